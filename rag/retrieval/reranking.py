"""Rank candidates by how well they answer the question, and score single sentences for quotation."""

from collections.abc import Sequence
from dataclasses import replace

from rag.limits import Deadline
from rag.ports import PassageScorer
from rag.text.language import Language, stored_language
from rag.types import Candidate, RelevanceScale, Window


async def rerank(
    question: str,
    candidates: Sequence[Candidate],
    *,
    asked_in: Language,
    scale: RelevanceScale,
    scorer: PassageScorer,
    deadline: Deadline,
    trace_id: str,
) -> list[Candidate]:
    """Return the candidates with their `relevance`, on one scale for all languages, best first; ties keep their order.

    Raises: DeadlineExceeded, and what the scorer raises.
    """
    windows = [Window(each.chunk.ranked_text, tokens=each.tokens) for each in candidates]
    scores = await score_windows(question, windows, scorer=scorer, deadline=deadline, trace_id=trace_id)
    relevances = [
        scale.calibrate(score, asked_in, stored_language(each.chunk.text))
        for each, score in zip(candidates, scores, strict=True)
    ]
    ranked = sorted(zip(candidates, relevances, strict=True), key=lambda pair: -pair[1])
    return [replace(candidate, relevance=relevance) for candidate, relevance in ranked]


async def score_windows(
    question: str, windows: Sequence[Window], *, scorer: PassageScorer, deadline: Deadline, trace_id: str
) -> list[float]:
    """Return the relevance of each window, in order, as the scorer gives it; windows are scored in their passages.

    Raises: DeadlineExceeded, and what the scorer raises.
    """
    if not windows:
        return []
    async with deadline.enforced():
        return await scorer.score(question, windows, timeout_s=deadline.left_s(), trace_id=trace_id)
