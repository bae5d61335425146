"""The measures, as numbers of plain values: each question has one document that answers it, so a rank says it all."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rag.language import words


@dataclass(frozen=True, slots=True)
class RankingQuality:
    """Means over the questions, 0 to 1; as TREC and BEIR define them, with one relevant document per question."""

    recall_at_1: float
    recall_at_3: float
    recall_at_6: float
    mrr_at_10: float
    ndcg_at_10: float


def find_rank(document_ids: Iterable[str], wanted: str) -> int | None:
    """The rank of a document, from 1, where documents are ranked by their best chunk; None where it is not among them.

    The ids are those of ranked chunks, best first, so one may come up many times.
    """
    ranked = dict.fromkeys(document_ids)
    return next((rank for rank, document_id in enumerate(ranked, start=1) if document_id == wanted), None)


def measure_ranking(ranks: Sequence[int | None]) -> RankingQuality:
    """The quality that these ranks of the right documents, from 1, amount to.

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
    """Whether one of the answers stands in the text, word by word, whatever the case, punctuation and spacing.

    Whole words: by characters alone the answer "4" would stand in every "14".
    """
    said = f" {' '.join(words(text))} "
    return any(f" {' '.join(wanted)} " in said for answer in answers if (wanted := words(answer)))


def share(outcomes: Iterable[bool]) -> float:
    """Raises: ValueError: there are no outcomes."""
    return _mean([float(outcome) for outcome in outcomes])


def ratio(part: float, whole: float) -> float | None:
    """None where there is nothing that could be a part: the run as a whole may still have been a good one."""
    return part / whole if whole else None


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest of the values that at least `percent` per cent of them do not exceed (nearest rank).

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
