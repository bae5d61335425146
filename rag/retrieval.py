"""Finds chunks by meaning and by words, side by side, and fuses both rankings into candidates."""

import asyncio

from rag.fusion import fuse
from rag.limits import Deadline
from rag.ports import ChunkIndex, TextEmbedder
from rag.types import Candidate


async def retrieve(
    question: str, *, index: ChunkIndex, embedder: TextEmbedder, k: int, limit: int, deadline: Deadline
) -> list[Candidate]:
    """At most `limit` candidates out of the `k` nearest and the `k` best by words, best `rrf_score` first.

    Raises: DeadlineExceeded, and what the embedder raises.
    """
    async with deadline.enforced():
        dense, lexical = await asyncio.gather(
            _search_dense(question, index, embedder, k, deadline),
            asyncio.to_thread(index.search_lexical, question, k),
        )
        fused = fuse([[ordinal for ordinal, _ in dense], [ordinal for ordinal, _ in lexical]])[:limit]
        chunks = await asyncio.to_thread(index.chunks, [ordinal for ordinal, _ in fused])
    similarity, bm25_score = dict(dense), dict(lexical)
    return [
        Candidate(
            chunk,
            similarity=similarity.get(ordinal),
            bm25_score=bm25_score.get(ordinal),
            rrf_score=rrf_score,
        )
        for (ordinal, rrf_score), chunk in zip(fused, chunks, strict=True)
    ]


async def _search_dense(
    question: str, index: ChunkIndex, embedder: TextEmbedder, k: int, deadline: Deadline
) -> list[tuple[int, float]]:
    vector = await embedder.embed_query(question, timeout_s=deadline.left_s())
    return await asyncio.to_thread(index.search_dense, vector, k)
