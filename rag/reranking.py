"""Orders what retrieval found by how well it answers the question, and scores single sentences for repairs."""

from collections.abc import Sequence
from dataclasses import replace

from rag.limits import Deadline
from rag.ports import PassageScorer
from rag.types import Candidate, Window


async def rerank(
    question: str, candidates: Sequence[Candidate], *, scorer: PassageScorer, deadline: Deadline, trace_id: str
) -> list[Candidate]:
    """The candidates with their `relevance`, best first; ties keep their order.

    Raises: DeadlineExceeded, and what the scorer raises.
    """
    windows = [Window(each.chunk.text, tokens=each.tokens) for each in candidates]
    scores = await score_windows(question, windows, scorer=scorer, deadline=deadline, trace_id=trace_id)
    ranked = sorted(zip(candidates, scores, strict=True), key=lambda pair: -pair[1])
    return [replace(candidate, relevance=relevance) for candidate, relevance in ranked]


async def score_windows(
    question: str, windows: Sequence[Window], *, scorer: PassageScorer, deadline: Deadline, trace_id: str
) -> list[float]:
    """The relevance of each window, in their order, each scored in the context of its passage.

    Raises: DeadlineExceeded, and what the scorer raises.
    """
    if not windows:
        return []
    async with deadline.enforced():
        return await scorer.score(question, windows, timeout_s=deadline.left_s(), trace_id=trace_id)
