"""Ask the first query of a process from within, so that the first client does not wait for one-time work.

The first pass through each model chooses kernels, allocates buffers and imports modules. So the service asks once, of
any tenant's index or of one passage of its own, with every threshold off, so that every stage runs.
"""

import asyncio
import logging
from collections.abc import Collection, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Final

from rag.chunk_id import ChunkId
from rag.index.engine import IndexServer
from rag.limits import Deadline
from rag.observability.telemetry import QueryRecord
from rag.pipeline import Pipeline, StageLimits
from rag.ports import ChunkIndex, Vectors
from rag.text.language import Language
from rag.types import Chunk, IndexVersion, Scope, StoredChunk
from rag.verification import Policies, Policy
from schemas.request import QueryRequest

# After this time the service becomes ready without it: a slow first answer is better than none.
TIMEOUT_S: Final = 10.0
TRIED_WHATEVER_IT_SAYS: Final = Policies(Policy(answerable_from=0.0))
_QUESTION: Final = "What do the documents say?"
_PASSAGE: Final = "The documents say what they are about. Tài liệu nói về những gì có trong đó."
_CHUNK: Final = Chunk("warm-up", "warm-up", "", _PASSAGE, 0, len(_PASSAGE), None, None, None)
_OUTPUT_TOKENS: Final = 16  # the minimum of a request

_log = logging.getLogger(__name__)


async def warm_up(pipeline: Pipeline, *, timeout_s: float = TIMEOUT_S) -> None:
    """Ask one query and discard the answer, without quota, query metrics or log line; failures are only logged."""
    query = QueryRequest(question=_QUESTION, max_output_tokens=_OUTPUT_TOKENS)
    record = QueryRecord("warm-up", "warm-up")
    try:
        async with asyncio.timeout(timeout_s):
            events = pipeline.answer(query, record=record, deadline=Deadline.after(timeout_s))
            async with aclosing(events):
                async for _ in events:
                    pass
    except Exception as error:  # noqa: BLE001  # whatever it is, queries will meet it and report it
        _log.warning("warm_up_failed", extra={"fields": {"error": type(error).__name__}})


def with_patience(limits: StageLimits, *, timeout_s: float = TIMEOUT_S) -> StageLimits:
    """Return the limits with each stage allowed the time of the whole."""
    return replace(
        limits,
        retrieval_timeout_s=timeout_s,
        rerank_timeout_s=timeout_s,
        generation_timeout_s=timeout_s,
    )


class AnyIndex:
    """A `rag.ports.IndexProvider` of the first index that can be served, for any tenant; else of one passage."""

    def __init__(self, served: IndexServer) -> None:
        self._served = served

    async def current(self, tenant_id: str, scope: Scope) -> ChunkIndex:
        for each in self._served.versions():
            index = await self._served.current(each, scope)
            if index is not None:
                return index
        return _OnePassage()


class _OnePassage:
    """A `rag.ports.ChunkIndex` that finds its one passage for any question."""

    version: Final = IndexVersion("warm-up", 1, 1, "1970-01-01T00:00:00Z")

    async def search_dense(self, vector: Vectors, k: int, language: Language | None = None) -> list[tuple[str, float]]:
        return [(_CHUNK.chunk_id, 1.0)]

    async def search_lexical(self, text: str, k: int) -> list[tuple[str, float]]:
        return [(_CHUNK.chunk_id, 1.0)]

    async def fetch(self, chunk_ids: Sequence[str], *, with_tokens: bool = False) -> list[StoredChunk]:
        return [StoredChunk(_CHUNK) for _ in chunk_ids]

    async def find_chunk(self, chunk_id: ChunkId) -> None:
        return None

    async def spellings(self, words: Collection[str]) -> dict[str, dict[str, int]]:
        return {word: {word: 1} for word in words}

    async def near(self, words: Collection[str]) -> dict[str, dict[str, int]]:
        return {word: {} for word in words}

    async def idf(self, words: Sequence[str]) -> list[float]:
        return [1.0 for _ in words]
