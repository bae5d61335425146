"""Search for chunks by meaning and by words, and fuse the rankings into candidates."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from itertools import islice
from typing import Final, TypeVar

from rag.limits import Deadline, gather
from rag.ports import ChunkIndex, TextEmbedder, Vectors
from rag.retrieval.fusion import fuse
from rag.text.language import Language
from rag.types import Candidate

First = TypeVar("First")
Second = TypeVar("Second")
Ranking = Sequence[tuple[str, float]]  # chunk ids with scores, best first


# This many of the nearest chunks in the other language are always searched for: of 300 questions with their passage in
# the other language, it is among the five nearest there for 95 to 97 %.
ACROSS_K: Final = 10
_OTHER: Final[Mapping[Language, Language]] = {"en": "vi", "vi": "en"}


async def retrieve(
    question: str,
    *,
    asked_in: Language,
    index: ChunkIndex,
    embedder: TextEmbedder,
    k: int,
    limit: int,
    deadline: Deadline,
    trace_id: str,
) -> list[Candidate]:
    """Return at most `limit` candidates, highest `rrf_score` first; ties as in `rag.retrieval.fusion`.

    They come from the `k` nearest, the `k` best by words, and the nearest in the other language.

    Raises: DeadlineExceeded, and what the embedder raises.
    """
    async with deadline.enforced():
        # The search by words runs while the question is embedded, which takes longer.
        vector, lexical = await _both(
            embedder.embed_query(question, timeout_s=deadline.left_s(), trace_id=trace_id),
            index.search_lexical(question, k),
        )
        dense, across = await _search_by_meaning(index, vector, asked_in, k)
        fused = _fuse(dense, lexical, across, limit)
        stored = await index.fetch([chunk_id for chunk_id, _ in fused], with_tokens=True)
    similarity, bm25_score = dict([*across, *dense]), dict(lexical)
    return [
        Candidate(
            each.chunk,
            similarity=similarity.get(chunk_id),
            bm25_score=bm25_score.get(chunk_id),
            rrf_score=rrf_score,
            tokens=each.tokens,
        )
        for (chunk_id, rrf_score), each in zip(fused, stored, strict=True)
    ]


async def _both(first: Awaitable[First], second: Awaitable[Second]) -> tuple[First, Second]:
    tasks = asyncio.ensure_future(first), asyncio.ensure_future(second)
    await gather(tasks)
    return tasks[0].result(), tasks[1].result()


async def _search_by_meaning(index: ChunkIndex, vector: Vectors, asked_in: Language, k: int) -> tuple[Ranking, Ranking]:
    """Return the nearest of all, and the nearest in the other language; both are searched for at the same time."""
    other = _OTHER.get(asked_in)
    if other is None:
        return await index.search_dense(vector, k), []
    # One task and not two: where nothing has to be waited for, tasks are most of the time of a search.
    across = asyncio.ensure_future(index.search_dense(vector, min(k, ACROSS_K), other))
    try:
        return await index.search_dense(vector, k), await across
    finally:
        if not across.done():
            across.cancel()
            await asyncio.gather(across, return_exceptions=True)


def _fuse(dense: Ranking, lexical: Ranking, across: Ranking, limit: int) -> list[tuple[str, float]]:
    """Return the chunks that become candidates, with their fused scores, best first."""
    # A chunk that only `across` finds ranks below all that both other searches find, however low, so a third is
    # reserved.
    everything = fuse([[chunk_id for chunk_id, _ in ranking] for ranking in (dense, lexical, across)])
    chosen = {chunk_id for chunk_id, _ in across[: limit // 3]}
    others = (chunk_id for chunk_id, _ in everything if chunk_id not in chosen)
    chosen |= set(islice(others, limit - len(chosen)))
    return [pair for pair in everything if pair[0] in chosen]
