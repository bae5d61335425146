"""Search for chunks by meaning and by words, and fuse the rankings into candidates."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import islice
from typing import Final, TypeVar

from rag.limits import Deadline, gather
from rag.ports import ChunkIndex, TextEmbedder, Vectors
from rag.retrieval.fusion import fuse
from rag.text.language import Language
from rag.types import Candidate

# Up to here a search in the event loop is faster than in a thread: 0.1 ms, against 5 ms of waiting for Python's lock on
# a busy server. A longer one would block the loop.
INLINE_MAX_CHUNKS: Final = 2_000

Result = TypeVar("Result")
First = TypeVar("First")
Second = TypeVar("Second")


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
            _search(index, lambda: index.search_lexical(question, k)),
        )
        return await _search(index, lambda: _fuse(index, vector, lexical=lexical, asked_in=asked_in, k=k, limit=limit))


async def _both(first: Awaitable[First], second: Awaitable[Second]) -> tuple[First, Second]:
    tasks = asyncio.ensure_future(first), asyncio.ensure_future(second)
    await gather(tasks)
    return tasks[0].result(), tasks[1].result()


async def _search(index: ChunkIndex, work: Callable[[], Result]) -> Result:
    return work() if index.version.chunks <= INLINE_MAX_CHUNKS else await asyncio.to_thread(work)


def _fuse(
    index: ChunkIndex,
    vector: Vectors,
    *,
    lexical: Sequence[tuple[int, float]],
    asked_in: Language,
    k: int,
    limit: int,
) -> list[Candidate]:
    dense = index.search_dense(vector, k)
    other = _OTHER.get(asked_in)
    across = index.search_dense(vector, min(k, ACROSS_K), other) if other else []
    # A chunk that only `across` finds ranks below all that both other searches find, however low, so a third is
    # reserved.
    everything = fuse([[ordinal for ordinal, _ in ranking] for ranking in (dense, lexical, across)])
    chosen = {ordinal for ordinal, _ in across[: limit // 3]}
    others = (ordinal for ordinal, _ in everything if ordinal not in chosen)
    chosen |= set(islice(others, limit - len(chosen)))
    fused = [pair for pair in everything if pair[0] in chosen]
    similarity, bm25_score = dict([*across, *dense]), dict(lexical)
    ordinals = [ordinal for ordinal, _ in fused]
    return [
        Candidate(
            chunk,
            similarity=similarity.get(ordinal),
            bm25_score=bm25_score.get(ordinal),
            rrf_score=rrf_score,
            tokens=tokens,
        )
        for (ordinal, rrf_score), chunk, tokens in zip(
            fused, index.chunks(ordinals), index.token_vectors(ordinals), strict=True
        )
    ]
