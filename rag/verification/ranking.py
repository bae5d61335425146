"""Rank what may be quoted for each part of a question, likeliest to answer first."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rag.text.language import Language
from rag.types import Candidate, Quote
from rag.verification.answering import (
    AnswerModel,
    answer_probability,
    read_passages,
    read_sentences,
    sentence_probabilities,
)
from rag.verification.asking import Asked
from rag.verification.shares import Shares
from rag.verification.sources import Quotable
from rag.verification.superseding import Superseded

# This many of the likeliest sentences are examined for the kind of thing asked for.
LIKELIEST: Final = 3
# An older edition's statement answers only if the newer one says nothing about it.
_OLDER: Final = 0.02


@dataclass(frozen=True, slots=True)
class Part:
    """One of the things that a question asks; `candidates` are all that were reranked for it, best first."""

    question: str
    candidates: Sequence[Candidate]


@dataclass(frozen=True, slots=True)
class RankedQuote:
    """A quotation for one part of the question: `sent` is its text in an answer, `keys` are the statements shown.

    `relevance` is the reranker's; `probability` is that it answers its part, given that one of the quotations does.
    """

    quote: Quote
    sent: str
    keys: frozenset[str]
    language: Language
    relevance: float
    probability: float
    part: int = 0


def rank_part(
    at: int,
    part: Part,
    asked: Asked,
    *,
    found: Sequence[Quotable],
    relevances: Sequence[float],
    model: AnswerModel,
    superseded: Superseded,
    asked_in: Language,
) -> tuple[list[RankedQuote], float]:
    """Return the quotations for the part `at`, likeliest first, and the probability that the passages answer it.

    `relevances` are those of `found`, in its order, on one scale for all languages.
    """
    of_chunks = {each.chunk.chunk_id: each.relevance or 0.0 for each in part.candidates}
    sources = list({each.source.passage.number: each.source for each in found}.values())
    of_passages = {each.passage.number: of_chunks.get(each.passage.chunk.chunk_id, 0.0) for each in sources}
    shares = Shares(asked.claim)
    signs = read_sentences(asked, found, relevances, of_passages, shares)
    likely = sentence_probabilities(signs, model)
    likely = [
        probability * (_OLDER if each.source.passage.number in superseded.older else 1.0)
        for each, probability in zip(found, likely, strict=True)
    ]
    order = sorted(range(len(found)), key=lambda place: -likely[place])
    ranked = []
    for place in order:
        quotable = found[place]
        shown = quotable.show(asked.claim, seeks_list=asked.seeks_list)
        if shown is None or quotable.statement.key in superseded.by:
            continue
        quotation, keys = shown
        quote = Quote(quotable.source.passage, quotation.start, quotation.end)
        ranked.append(
            RankedQuote(quote, quotation.sent, keys, quotable.language, relevances[place], likely[place], part=at)
        )
    if not sources:
        return ranked, 0.0
    likeliest = [(found[place], relevances[place], likely[place]) for place in order[:LIKELIEST]]
    scores = [each.relevance for each in part.candidates if each.relevance is not None] or [0.0]
    chunks = [each.chunk for each in part.candidates]
    return ranked, answer_probability(
        read_passages(
            asked, sources, found=chunks, relevances=scores, likeliest=likeliest, asked_in=asked_in, shares=shares
        ),
        model,
    )
