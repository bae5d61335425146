"""Whether two answers to one question say the same: in the same words, or in like words from the same documents."""

from collections import Counter
from collections.abc import Set
from dataclasses import dataclass
from typing import Final, Self

from load.evaluation.citations import MARKER
from rag.text.language import words
from schemas.response import QueryResponse

# Of two different sentences of one paragraph of XQuAD so many words are the same in 1 of 100 pairs (Vietnamese: 2).
LIKE_FROM_F1: Final = 0.4


@dataclass(frozen=True, slots=True)
class Agreement:
    """How near two answers are, each from 0 to 1.

    `f1` is of their words, as SQuAD has it; `documents` and `chunks` are the shares of the cited that both cite.
    """

    is_equal: bool
    f1: float
    documents: float
    chunks: float

    @classmethod
    def of(cls, one: QueryResponse, other: QueryResponse) -> Self:
        """Case, punctuation and markers say nothing; two abstentions are equal, one alone agrees with nothing."""
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
        """Whether they say the same, as far as this can be told without reading them."""
        return self.is_equal or (self.f1 >= LIKE_FROM_F1 and self.documents > 0)


def _words(response: QueryResponse) -> list[str]:
    return words(MARKER.sub(" ", response.answer))


def _measure_f1(one: list[str], other: list[str]) -> float:
    """Source: Rajpurkar, Zhang, Lopyrev, Liang, "SQuAD", EMNLP 2016, section 6.1."""
    total = len(one) + len(other)
    return 2 * (Counter(one) & Counter(other)).total() / total if total else 1.0


def _share(one: Set[str], other: Set[str]) -> float:
    """Of those in either, the share in both (Jaccard); all of nothing."""
    return len(one & other) / len(one | other) if one | other else 1.0
