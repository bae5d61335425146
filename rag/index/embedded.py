"""Answer the port of the index from files on this machine: chunk ids for ordinals, and a thread for what takes long."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from rag.chunk_id import ChunkId
from rag.ports import Vectors
from rag.text.language import Language
from rag.types import IndexVersion, PlacedChunk, StoredChunk

# Up to here a search in the event loop is faster than in a thread: 0.1 ms, against 5 ms of waiting for Python's lock on
# a busy server. A longer one would block the loop.
INLINE_MAX_CHUNKS: Final = 2_000
# The candidates of a question: 0.1 ms, or 0.6 ms if none of them was parsed before; a thread's turn costs as much.
INLINE_MAX_FETCHED: Final = 50

Result = TypeVar("Result")


class OpenedIndex(Protocol):
    """An opened version, or what a scope shows of it, by ordinals; safe to read from several threads."""

    @property
    def version(self) -> IndexVersion: ...

    @property
    def total(self) -> int:
        """The number of chunks that are searched through, whether or not they are shown."""
        ...

    def search_dense(self, vector: Vectors, k: int, language: Language | None = None) -> list[tuple[int, float]]:
        """Return the k nearest as (ordinal, cosine), best first; ties by ordinal."""
        ...

    def search_lexical(self, text: str, k: int) -> list[tuple[int, float]]:
        """Return the k best as (ordinal, score > 0), best first; ties by ordinal."""
        ...

    def ids(self, ordinals: Sequence[int]) -> list[str]:
        """Return the ids of these chunks, in this order."""
        ...

    def fetch(self, chunk_ids: Sequence[str], *, with_tokens: bool) -> list[StoredChunk]:
        """As `rag.ports.ChunkIndex.fetch`."""
        ...

    def find_chunk(self, chunk_id: ChunkId) -> PlacedChunk | None:
        """As `rag.ports.ChunkIndex.find_chunk`."""
        ...

    def spellings(self, word: str) -> dict[str, int]:
        """Return the words that equal this one without diacritics, and how many chunks hold each."""
        ...

    def near(self, word: str) -> dict[str, int]:
        """Return the words that are one typing error away, and how many chunks hold each."""
        ...

    def idf(self, words: Sequence[str]) -> list[float]:
        """As `rag.ports.ChunkIndex.idf`."""
        ...


@dataclass(frozen=True, slots=True)
class EmbeddedIndex:
    """A `rag.ports.ChunkIndex` over an opened version; it works in the event loop if that is short, else in a thread.

    What reads a few chunks by their ids, and looks up weights, stays in the loop.
    """

    opened: OpenedIndex

    @property
    def version(self) -> IndexVersion:
        return self.opened.version

    async def search_dense(self, vector: Vectors, k: int, language: Language | None = None) -> list[tuple[str, float]]:
        return await self._work(lambda: self._name(self.opened.search_dense(vector, k, language)))

    async def search_lexical(self, text: str, k: int) -> list[tuple[str, float]]:
        return await self._work(lambda: self._name(self.opened.search_lexical(text, k)))

    async def fetch(self, chunk_ids: Sequence[str], *, with_tokens: bool = False) -> list[StoredChunk]:
        if len(chunk_ids) <= INLINE_MAX_FETCHED:
            return self.opened.fetch(chunk_ids, with_tokens=with_tokens)
        return await self._work(lambda: self.opened.fetch(chunk_ids, with_tokens=with_tokens))

    async def find_chunk(self, chunk_id: ChunkId) -> PlacedChunk | None:
        return self.opened.find_chunk(chunk_id)

    async def spellings(self, words: Collection[str]) -> dict[str, dict[str, int]]:
        return await self._work(lambda: {word: self.opened.spellings(word) for word in words})

    async def near(self, words: Collection[str]) -> dict[str, dict[str, int]]:
        return await self._work(lambda: {word: self.opened.near(word) for word in words})

    async def idf(self, words: Sequence[str]) -> list[float]:
        return self.opened.idf(words)

    async def _work(self, work: Callable[[], Result]) -> Result:
        return work() if self.opened.total <= INLINE_MAX_CHUNKS else await asyncio.to_thread(work)

    def _name(self, hits: Sequence[tuple[int, float]]) -> list[tuple[str, float]]:
        ids = self.opened.ids([ordinal for ordinal, _ in hits])
        return [(chunk_id, score) for chunk_id, (_, score) in zip(ids, hits, strict=True)]
