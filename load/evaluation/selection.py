"""Restrict an index to some of its chunks, as if nothing else had been ingested."""

import math
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache

from rag.ports import ChunkIndex, Vectors
from rag.text.language import Language, word_set
from rag.types import Chunk, IndexVersion, TokenVectors


class Selection:
    """A `ChunkIndex` of the kept chunks of another one; word weights and spellings come from these alone."""

    def __init__(self, index: ChunkIndex, chunks: Sequence[Chunk], kept: Collection[str]) -> None:
        """`chunks` are all chunks of the index, by ordinal; `kept` are chunk ids."""
        self._index = index
        self._total = len(chunks)
        self._kept = {at for at, chunk in enumerate(chunks) if chunk.chunk_id in kept}
        self._word_sets = [_word_set(chunks[at].text) for at in sorted(self._kept)]

    @property
    def version(self) -> IndexVersion:
        return self._index.version

    def search_dense(self, vector: Vectors, k: int, language: Language | None = None) -> list[tuple[int, float]]:
        return [hit for hit in self._index.search_dense(vector, self._total, language) if hit[0] in self._kept][:k]

    def search_lexical(self, text: str, k: int) -> list[tuple[int, float]]:
        return [hit for hit in self._index.search_lexical(text, self._total) if hit[0] in self._kept][:k]

    def chunks(self, ordinals: Sequence[int]) -> list[Chunk]:
        return self._index.chunks(ordinals)

    def token_vectors(self, ordinals: Sequence[int]) -> Sequence[TokenVectors | None]:
        return self._index.token_vectors(ordinals)

    def spellings(self, word: str) -> dict[str, int]:
        return self._count_kept(self._index.spellings(word))

    def near(self, word: str) -> dict[str, int]:
        return self._count_kept(self._index.near(word))

    def idf(self, words: Sequence[str]) -> list[float]:
        total = len(self._word_sets)
        return [math.log(1 + (total - count + 0.5) / (count + 0.5)) for count in map(self._count, words)]

    def _count_kept(self, found: Mapping[str, int]) -> dict[str, int]:
        return {word: count for word in found if (count := self._count(word))}

    def _count(self, word: str) -> int:
        return sum(word in chunk for chunk in self._word_sets)


@lru_cache(4096)  # thousands of selections are made of one collection
def _word_set(text: str) -> frozenset[str]:
    return frozenset(word_set(text))
