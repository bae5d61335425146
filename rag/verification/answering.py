"""Estimate which sentence of the passages answers a question, and whether any of them does.

Both estimates are logistic models over a few signs: shares and differences that do not depend on the subject. The
weights were fitted on XQuAD and on the tuning part of the everyday questions, English and Vietnamese together, by
`load.evaluation.calibration`, which reports the results on articles that were not used for fitting.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from operator import attrgetter, mul
from typing import Final

from rag.text.language import Language, fold, words
from rag.types import Chunk
from rag.verification.asking import Asked, is_of_kind, is_stored_negated
from rag.verification.judging import differ
from rag.verification.shares import Shares
from rag.verification.sources import Quotable, Source
from rag.verification.statements import Statement
from rag.verification.support import Facts

_EARLIER_SHARE: Final = 0.5  # the words of the question that only the text before a sentence holds count half
_RIVALS: Final = 5  # the best candidate is compared with the mean of this many after it
_LIKELIEST_LOGIT: Final = 30.0
_KEPT_TEXTS: Final = 1024


@dataclass(frozen=True, slots=True)
class SentenceSigns:
    """The signs that one sentence answers. Shares are shares of the question's words.

    `relevance_gap` is the relevance of the sentence's passage minus that of the best passage.
    """

    relevance: float
    relevance_gap: float
    words: float  # weighted by idf
    earlier_words: float  # the share that only the text before and above the sentence holds
    bigrams: float
    is_of_kind: float  # it holds a thing of the kind asked for that the question does not name
    is_negated: float  # the question contains a negation, and so does the sentence or the text above it
    is_head: float  # it is a lead or a heading with a list to show
    heads_list: float  # it belongs to a list, and the question asks for a list


@dataclass(frozen=True, slots=True)
class PassageSigns:
    """The signs that the passages, taken together, answer the question."""

    relevance: float  # of the best candidate
    relevance_lead: float  # of the best candidate over the mean of those after it
    sentence_words: float  # highest share in a sentence; the text before and above it counts half
    bigrams: float  # highest share in a sentence
    missing_words: float  # content words that no passage holds, as log(1 + n)
    missing_names: float  # names that their documents do not hold, as far as these were found
    mistaken_names: float  # missing names that resemble another one: `Sông Hồng` if there is a `Sông Xanh`
    missing_codes: float  # codes that their documents do not hold: `D9`, `4.3`, `RC7-X`
    missing_figures: float
    length: float  # content words of the question, as log(1 + n)
    best_relevance: float  # highest relevance among the likeliest sentences
    lacks_kind: float  # no sentence holds the kind of thing asked for
    is_across: float  # the likeliest sentence is in another language, so words cannot be compared
    clearness: float  # the probability of the likeliest sentence among all sentences


@dataclass(frozen=True, slots=True)
class AnswerModel:
    """The weights for one kind of reranker, as each has its own scale of relevance; `passages` is None if unfitted."""

    sentence: SentenceSigns
    passages: PassageSigns | None = None
    bias: float = 0.0


LATE_INTERACTION: Final = AnswerModel(
    SentenceSigns(
        relevance=80,
        relevance_gap=25,
        words=7.2,
        earlier_words=4.6,
        bigrams=3,
        is_of_kind=2.1,
        is_negated=2.2,
        is_head=1.5,
        heads_list=1.6,
    ),
    PassageSigns(
        relevance=23,
        relevance_lead=19,
        sentence_words=0,
        bigrams=2.4,
        missing_words=0,
        # These three were set by hand: few of the questions used for fitting name something that no document holds.
        missing_names=-1.9,
        mistaken_names=-3.3,
        missing_codes=-3.5,
        missing_figures=-0.1,
        length=-0.65,
        best_relevance=20,
        lacks_kind=-1.5,
        is_across=0.5,
        clearness=1.8,
    ),
    bias=-36.65,
)
# For a relevance from 0 to 1, as a cross-encoder gives it. These weights were not measured: relevance decides, and the
# other signs break ties. Only the floor of relevance decides whether anything answers.
ZERO_TO_ONE: Final = AnswerModel(
    SentenceSigns(
        relevance=8,
        relevance_gap=4,
        words=1,
        earlier_words=0.5,
        bigrams=1,
        is_of_kind=1,
        is_negated=0.5,
        is_head=-0.5,
        heads_list=1,
    )
)


def read_sentences(
    asked: Asked,
    quotables: Sequence[Quotable],
    relevances: Sequence[float],
    passage_relevances: Mapping[int, float],
    shares: Shares | None = None,
) -> list[SentenceSigns]:
    """Return the signs of each sentence, in the order of `quotables`.

    `relevances` belong to the sentences; `passage_relevances` belong to the passages, by passage number. `shares` keeps
    the shares of the question's words for `read_passages`.
    """
    shares = shares or Shares(asked.claim)
    best = max(passage_relevances.values(), default=0.0)
    gaps = {number: relevance - best for number, relevance in passage_relevances.items()}
    return [
        _read_sentence(asked, each, shares, relevance, gaps[each.source.passage.number])
        for each, relevance in zip(quotables, relevances, strict=True)
    ]


def sentence_probabilities(sentences: Sequence[SentenceSigns], model: AnswerModel) -> list[float]:
    """Return for each sentence the probability that it is the one that answers, given that one does; the sum is 1."""
    logits = [weigh(signs, model.sentence) for signs in sentences]
    top = max(logits, default=0.0)
    weights = [math.exp(logit - top) for logit in logits]
    total = sum(weights)
    return [weight / total for weight in weights]


def answer_probability(signs: PassageSigns, model: AnswerModel) -> float:
    """Return the probability that these passages answer the question; 1 if the model has no weights for passages."""
    if model.passages is None:
        return 1.0
    logit = model.bias + weigh(signs, model.passages)
    return 1 / (1 + math.exp(-max(-_LIKELIEST_LOGIT, min(_LIKELIEST_LOGIT, logit))))


def weigh(signs: SentenceSigns | PassageSigns, weights: SentenceSigns | PassageSigns) -> float:
    """Return the weighted sum of the signs."""
    read = _READ[type(signs)]
    return float(sum(map(mul, read(signs), read(weights))))


def read_passages(
    asked: Asked,
    sources: Sequence[Source],
    *,
    found: Sequence[Chunk],
    relevances: Sequence[float],
    likeliest: Sequence[tuple[Quotable, float, float]],
    asked_in: Language,
    shares: Shares | None = None,
) -> PassageSigns:
    """Return the signs of these passages.

    `found` are the chunks of all candidates: a document may name the subject of its passages in any of them.
    `relevances` are those of the candidates, best first. `likeliest` are the sentences most likely to answer, likeliest
    first, each with its relevance and its probability. `shares` are those of `read_sentences`.
    """
    claim = asked.claim
    shares = shares or Shares(claim)
    sentences = [shares.of(source, unit) for source in sources for unit in source.units]
    held = [source.evidence.stems for source in sources]
    documents = {source.passage.chunk.document_id for source in sources}
    is_named = bool(asked.names or asked.codes)
    texts = [_plain_words(each.ranked_text) for each in found if is_named and each.document_id in documents]
    likeliest_document = likeliest[0][0].source.passage.chunk.document_id if likeliest else ""
    likeliest_texts = [
        _folded(each.ranked_text) for each in found if asked.names and each.document_id == likeliest_document
    ]
    rivals = relevances[1 : 1 + _RIVALS]
    missing_figures = sum(not any(value in source.evidence.figures for source in sources) for value in claim.figures)
    return PassageSigns(
        relevance=relevances[0],
        relevance_lead=relevances[0] - sum(rivals) / len(rivals) if rivals else 0.0,
        sentence_words=max((own + _EARLIER_SHARE * earlier for own, earlier, _ in sentences), default=0.0),
        bigrams=max((bigrams for _, _, bigrams in sentences), default=0.0),
        missing_words=math.log1p(sum(not any(stem in stems for stems in held) for stem in claim.content)),
        missing_names=float(sum(not _is_named(name, texts) for name in asked.names)),
        mistaken_names=float(sum(_is_mistaken(name, likeliest_texts) for name in asked.names)),
        missing_codes=float(sum(not _stands_there(code, texts) for code in asked.codes)),
        missing_figures=float(missing_figures),
        length=math.log1p(len(claim.content)),
        best_relevance=max((relevance for _, relevance, _ in likeliest), default=0.0),
        lacks_kind=float(
            asked.kind is not None
            and not any(
                is_of_kind(asked, facts, statement.text)
                for facts, statement in _where_sought(asked, sources, likeliest)
            )
        ),
        is_across=float(bool(likeliest) and differ(asked_in, likeliest[0][0].language)),
        clearness=likeliest[0][2] if likeliest else 0.0,
    )


@lru_cache(_KEPT_TEXTS)
def _plain_words(text: str) -> str:
    """Return the words of a stored text without diacritics, with a space before and after each."""
    return f" {fold(' '.join(words(text)))} "


@lru_cache(_KEPT_TEXTS)
def _folded(text: str) -> str:
    return fold(text)


def _is_named(name: Sequence[str], texts: Sequence[str]) -> bool:
    """Return whether the texts hold a name: with `Sông Xanh` and `Lê Hồng Vân` they do not hold `Sông Hồng`.

    Diacritics do not count: foreign names are typed without them. Two adjacent words of a longer name are enough.
    """
    parts: list[tuple[str, ...]] = [*pairwise(name)] or [tuple(name)]
    return any(f" {' '.join(part)}" in text for text in texts for part in parts)


def _is_mistaken(name: Sequence[str], texts: Sequence[str]) -> bool:
    """Return whether the texts, without diacritics, hold a name that begins like this one, but not its continuation."""
    for first, second in pairwise(name):
        follows = re.compile(rf"\b{re.escape(first)}\w*[ -](?!{re.escape(second)})[A-Z0-9]", re.IGNORECASE)
        known = re.compile(rf"\b{re.escape(second)}", re.IGNORECASE)
        alike = any(
            found.group()[-1].isupper() or found.group()[-1].isdigit()
            for text in texts
            for found in follows.finditer(text)
        )
        if alike and not any(known.search(text) for text in texts):
            return True
    return False


def _stands_there(code: str, texts: Sequence[str]) -> bool:
    """Return whether the texts hold a code, or a longer one that begins with it: `4.2.1` counts for version `4.2`."""
    return any(f" {code} " in text or f" {code}." in text for text in texts)


def _read_sentence(asked: Asked, quotable: Quotable, shares: Shares, relevance: float, gap: float) -> SentenceSigns:
    unit, statement = quotable.unit, quotable.statement
    is_head = statement.kind in ("lead", "heading")
    own, earlier, bigrams = shares.of(quotable.source, unit)
    return SentenceSigns(
        relevance=relevance,
        relevance_gap=gap,
        words=own,
        earlier_words=earlier,
        bigrams=bigrams,
        is_of_kind=float(is_of_kind(asked, unit.facts, unit.text)),
        is_negated=float(asked.is_negated and _is_told_negated(quotable)),
        is_head=float(is_head),
        heads_list=float(asked.seeks_list and statement.first_item is not None),
    )


def _is_told_negated(quotable: Quotable) -> bool:
    """Return whether the text, or what stands above it, holds a negation."""
    above = (quotable.source.statements[place].text for place in quotable.statement.above)
    return is_stored_negated(quotable.text) or any(map(is_stored_negated, above))


def _where_sought(
    asked: Asked, sources: Sequence[Source], likeliest: Sequence[tuple[Quotable, float, float]]
) -> Iterator[tuple[Facts, Statement]]:
    """Yield the sentences that may hold the kind of thing asked for; numbers and names count only in the likeliest."""
    if asked.kind in ("contact", "called"):
        yield from ((each.facts, each.statement) for each, _, _ in likeliest)
        return
    for source in sources:
        yield from zip(source.evidence.sentences, source.statements, strict=True)


_READ: Final = {kind: attrgetter(*kind.__slots__) for kind in (SentenceSigns, PassageSigns)}
