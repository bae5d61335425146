"""Measure whether two answers to one question agree: in equal words, or in similar words from the same documents."""

from collections import Counter
from collections.abc import Set
from dataclasses import dataclass
from typing import Final, Self

from load.evaluation.citations import MARKER
from rag.text.language import words
from schemas.response import QueryResponse

# Two different sentences of one XQuAD paragraph reach this word overlap in 1 of 100 pairs (2 in Vietnamese).
LIKE_FROM_F1: Final = 0.4


@dataclass(frozen=True, slots=True)
class Agreement:
    """The similarity of two answers, each value from 0 to 1.

    `f1` is that of their words, as in SQuAD; `documents` and `chunks` are the shares of the cited ones that both cite.
    """

    is_equal: bool
    f1: float
    documents: float
    chunks: float

    @classmethod
    def of(cls, one: QueryResponse, other: QueryResponse) -> Self:
        """Compare two answers, ignoring case, punctuation and markers; an abstention agrees only with another one."""
        abstentions = (one.finish_reason == "no_answer") + (other.finish_reason == "no_answer")
        if abstentions:
            is_equal = abstentions == 2
            return cls(is_equal, *[float(is_equal)] * 3)
        said, said_too = _words(one), _words(other)
        return cls(
            is_equal=said == said_too,
            f1=_measure_f1(said, said_too),
            documents=_share(*({each.document_id for each in response.citations} for response in (one, other))),
            chunks=_share(*({each.chunk_id for each in response.citations} for response in (one, other))),
        )

    @property
    def holds(self) -> bool:
        """Whether the answers agree, as far as these measures show."""
        return self.is_equal or (self.f1 >= LIKE_FROM_F1 and self.documents > 0)


def _words(response: QueryResponse) -> list[str]:
    return words(MARKER.sub(" ", response.answer))


def _measure_f1(one: list[str], other: list[str]) -> float:
    """Return the F1 of the words; 1 if there are none.

    Source: Rajpurkar, Zhang, Lopyrev, Liang, "SQuAD", EMNLP 2016, section 6.1.
    """
    total = len(one) + len(other)
    return 2 * (Counter(one) & Counter(other)).total() / total if total else 1.0


def _share(one: Set[str], other: Set[str]) -> float:
    """Return the Jaccard index of two sets; 1 if both are empty."""
    return len(one & other) / len(one | other) if one | other else 1.0
