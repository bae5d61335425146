"""Restrict an index to some of its chunks, as if nothing else had been ingested."""

import math
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache

from rag.chunk_id import ChunkId
from rag.ports import ChunkIndex, Vectors
from rag.text.language import Language, word_set
from rag.types import Chunk, IndexVersion, PlacedChunk, StoredChunk


class Selection:
    """A `ChunkIndex` of the kept chunks of another one; word weights and spellings come from these alone."""

    def __init__(self, index: ChunkIndex, chunks: Sequence[Chunk], kept: Collection[str]) -> None:
        """`chunks` are all chunks of the index, and `kept` chunk ids."""
        self._index = index
        self._total = len(chunks)
        self._kept = kept
        self._word_sets = [_word_set(chunk.text) for chunk in chunks if chunk.chunk_id in kept]

    @property
    def version(self) -> IndexVersion:
        return self._index.version

    async def search_dense(self, vector: Vectors, k: int, language: Language | None = None) -> list[tuple[str, float]]:
        found = await self._index.search_dense(vector, self._total, language)
        return [hit for hit in found if hit[0] in self._kept][:k]

    async def search_lexical(self, text: str, k: int) -> list[tuple[str, float]]:
        return [hit for hit in await self._index.search_lexical(text, self._total) if hit[0] in self._kept][:k]

    async def fetch(self, chunk_ids: Sequence[str], *, with_tokens: bool = False) -> list[StoredChunk]:
        return await self._index.fetch(chunk_ids, with_tokens=with_tokens)

    async def find_chunk(self, chunk_id: ChunkId) -> PlacedChunk | None:
        return await self._index.find_chunk(chunk_id) if str(chunk_id) in self._kept else None

    async def spellings(self, words: Collection[str]) -> dict[str, dict[str, int]]:
        return {word: self._count_kept(found) for word, found in (await self._index.spellings(words)).items()}

    async def near(self, words: Collection[str]) -> dict[str, dict[str, int]]:
        return {word: self._count_kept(found) for word, found in (await self._index.near(words)).items()}

    async def idf(self, words: Sequence[str]) -> list[float]:
        total = len(self._word_sets)
        return [math.log(1 + (total - count + 0.5) / (count + 0.5)) for count in map(self._count, words)]

    def _count_kept(self, found: Mapping[str, int]) -> dict[str, int]:
        return {word: count for word in found if (count := self._count(word))}

    def _count(self, word: str) -> int:
        return sum(word in chunk for chunk in self._word_sets)


@lru_cache(4096)  # thousands of selections are made of one collection
def _word_set(text: str) -> frozenset[str]:
    return frozenset(word_set(text))
