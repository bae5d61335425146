"""Compute the measures from plain values; each question has one relevant document, so its rank is enough.

This is six lines of arithmetic. `ir-measures` gives the same numbers on random rankings, but it wants scores where we
have ranks, and brings the C code of trec_eval.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rag.text.language import words


@dataclass(frozen=True, slots=True)
class RankingQuality:
    """Means over the questions, 0 to 1; as TREC and BEIR define them, with one relevant document per question."""

    recall_at_1: float
    recall_at_3: float
    recall_at_6: float
    mrr_at_10: float
    ndcg_at_10: float


def find_rank(document_ids: Iterable[str], wanted: str) -> int | None:
    """Return the rank of a document, from 1, with documents ranked by their best chunk; None if it is missing.

    The ids are those of ranked chunks, best first, so they may repeat.
    """
    ranked = dict.fromkeys(document_ids)
    return next((rank for rank, document_id in enumerate(ranked, start=1) if document_id == wanted), None)


def measure_ranking(ranks: Sequence[int | None]) -> RankingQuality:
    """Return the quality for these ranks of the right documents, from 1.

    Raises: ValueError: there are no ranks.
    """
    return RankingQuality(
        recall_at_1=share(_within(rank, 1) for rank in ranks),
        recall_at_3=share(_within(rank, 3) for rank in ranks),
        recall_at_6=share(_within(rank, 6) for rank in ranks),
        mrr_at_10=_mean([1 / rank if rank and _within(rank, 10) else 0.0 for rank in ranks]),
        ndcg_at_10=_mean([1 / math.log2(rank + 1) if rank and _within(rank, 10) else 0.0 for rank in ranks]),
    )


def holds_answer(text: str, answers: Iterable[str]) -> bool:
    """Return whether the text holds one of the answers, as whole words, regardless of case, punctuation and spacing.

    By characters alone every "14" would hold the answer "4".
    """
    said = f" {' '.join(words(text))} "
    return any(f" {' '.join(wanted)} " in said for answer in answers if (wanted := words(answer)))


def share(outcomes: Iterable[bool]) -> float:
    """Return the share of true outcomes.

    Raises: ValueError: there are no outcomes.
    """
    return _mean([float(outcome) for outcome in outcomes])


def ratio(part: float, whole: float) -> float | None:
    """Return part / whole; None if the whole is 0, which need not make the run a bad one."""
    return part / whole if whole else None


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that at least `percent` per cent of the values do not exceed (nearest rank).

    Raises: ValueError: there are no values.
    """
    if not values:
        raise ValueError("no values, no percentile")
    return sorted(values)[max(0, math.ceil(percent / 100 * len(values)) - 1)]


def _within(rank: int | None, cutoff: int) -> bool:
    return rank is not None and rank <= cutoff


def _mean(values: Sequence[float]) -> float:
    if not values:
        raise ValueError("no values, no mean")
    return sum(values) / len(values)
