"""How well passages answer a question: which of their sentences does, and whether any of them does at all.

Two logistic models over a handful of signs, all of them shares and differences that do not depend on the subject.
Their weights were fitted on XQuAD and on the tuning part of the everyday questions, English and Vietnamese together,
by `load.evaluation.calibration`, which reports how they do on articles that they were not fitted on.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Final

from rag.language import Language, fold, words
from rag.types import Chunk
from rag.verification.asking import Asked, is_negated, is_of_kind
from rag.verification.judging import differ
from rag.verification.sources import Quotable, Source
from rag.verification.statements import Statement
from rag.verification.support import Claim, Facts

_EARLIER_SHARE: Final = 0.5  # what the sentence before says of the question counts half
_RIVALS: Final = 5  # the candidates after the best one that it is compared with
_LIKELIEST_LOGIT: Final = 30.0
_KEPT_TEXTS: Final = 1024


@dataclass(frozen=True, slots=True)
class SentenceSigns:
    """What speaks for one sentence: shares are of the question, `relevance_gap` is its passage's to the best one's."""

    relevance: float
    relevance_gap: float
    words: float  # weighted by idf
    earlier_words: float  # those that only what stands before and above it holds
    bigrams: float
    is_of_kind: float  # it holds a thing of the kind that is sought, and one that the question does not name
    is_negated: float  # it, or what stands above it, says that something is not so, and the question asks for that
    is_head: float  # it is a lead or a heading, with a list to show
    heads_list: float  # … and a list is sought


@dataclass(frozen=True, slots=True)
class PassageSigns:
    """What speaks for all passages together."""

    relevance: float  # of the best one
    relevance_lead: float  # before the candidates after it
    sentence_words: float  # share in the best sentence and what stands before and above it
    bigrams: float  # share in the best sentence
    missing_words: float  # how many stand in no passage, as log(1 + n)
    missing_names: float  # how many stand nowhere in their documents, as far as these were found
    mistaken_names: float  # how many of them look like another one: `Sông Hồng`, where there is a `Sông Xanh`
    missing_codes: float  # `D9`, `4.3`, `RC7-X`
    missing_figures: float
    length: float  # of the question in content words, as log(1 + n)
    best_relevance: float  # of the likeliest sentence
    lacks_kind: float  # no sentence at all holds what is sought
    is_across: float  # the likeliest is in another language, where no words can be compared
    clearness: float  # the probability of the likeliest sentence against all others


@dataclass(frozen=True, slots=True)
class AnswerModel:
    """The weights, for one kind of reranker: relevance has another scale in each. `passages` None: not fitted."""

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
        # These three by hand: few of the questions that the others were fitted on name what no document knows.
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
# A relevance from 0 to 1, as a cross-encoder's: not measured here, so relevance decides and the rest breaks ties.
# Whether anything answers is left to its floor.
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
) -> list[SentenceSigns]:
    """What speaks for each sentence.

    `relevances` are those of the sentences, `passage_relevances` those of the passages by their numbers.
    """
    best = max(passage_relevances.values(), default=0.0)
    return [
        _read_sentence(asked, each, relevance, passage_relevances[each.source.passage.number] - best)
        for each, relevance in zip(quotables, relevances, strict=True)
    ]


def sentence_probabilities(sentences: Sequence[SentenceSigns], model: AnswerModel) -> list[float]:
    """For each sentence the probability that it is the one that answers, given that one does; they add up to 1."""
    logits = [weigh(signs, model.sentence) for signs in sentences]
    top = max(logits, default=0.0)
    weights = [math.exp(logit - top) for logit in logits]
    total = sum(weights)
    return [weight / total for weight in weights]


def answer_probability(signs: PassageSigns, model: AnswerModel) -> float:
    """The probability that these passages answer the question; 1 where the model has not been fitted."""
    if model.passages is None:
        return 1.0
    logit = model.bias + weigh(signs, model.passages)
    return 1 / (1 + math.exp(-max(-_LIKELIEST_LOGIT, min(_LIKELIEST_LOGIT, logit))))


def weigh(signs: SentenceSigns | PassageSigns, weights: SentenceSigns | PassageSigns) -> float:
    """The sum of the signs, each times its weight."""
    return float(sum(getattr(signs, name) * getattr(weights, name) for name in signs.__slots__))


def read_passages(
    asked: Asked,
    sources: Sequence[Source],
    *,
    found: Sequence[Chunk],
    relevances: Sequence[float],
    likeliest: Sequence[tuple[Quotable, float, float]],
    asked_in: Language,
) -> PassageSigns:
    """What speaks for these passages.

    `found` are the chunks of all candidates, in which a document may name what its passages are about, `relevances`
    theirs, best first; `likeliest` are the sentences that most likely answer, each with its own relevance and its
    probability, likeliest first.
    """
    claim = asked.claim
    sentences = [
        (
            _share(claim, facts.stems, source.title),
            _share(claim, each.earlier - facts.stems, source.title),
            _bigram_share(claim, facts, source.title),
        )
        for source in sources
        for each in (Quotable(source, at) for at in range(len(source.statements)))
        for facts in (each.facts,)
    ]
    held = frozenset[str]().union(*(source.evidence.stems for source in sources))
    documents = {source.passage.chunk.document_id for source in sources}
    texts = [_plain_words(each.ranked_text) for each in found if each.document_id in documents]
    likeliest_document = likeliest[0][0].source.passage.chunk.document_id if likeliest else ""
    likeliest_texts = [fold(each.ranked_text) for each in found if each.document_id == likeliest_document]
    rivals = relevances[1 : 1 + _RIVALS]
    missing_figures = sum(not any(value in source.evidence.figures for source in sources) for value in claim.figures)
    return PassageSigns(
        relevance=relevances[0],
        relevance_lead=relevances[0] - sum(rivals) / len(rivals) if rivals else 0.0,
        sentence_words=max((own + _EARLIER_SHARE * earlier for own, earlier, _ in sentences), default=0.0),
        bigrams=max((bigrams for _, _, bigrams in sentences), default=0.0),
        missing_words=math.log1p(len(claim.content.keys() - held)),
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
    """The words of a stored text without diacritics, between spaces."""
    return f" {fold(' '.join(words(text)))} "


def _is_named(name: Sequence[str], texts: Sequence[str]) -> bool:
    """Whether a name stands there: `Sông Hồng` does not, where there are a `Sông Xanh` and a `Lê Hồng Vân`.

    People write the names of other languages as their keyboard has them, so diacritics do not count. Of a long name two
    words that stand together are enough.
    """
    parts: list[tuple[str, ...]] = [*pairwise(name)] or [tuple(name)]
    return any(f" {' '.join(part)}" in text for text in texts for part in parts)


def _is_mistaken(name: Sequence[str], texts: Sequence[str]) -> bool:
    """Whether the texts, which have no diacritics, know a name that begins alike, and not how this one goes on."""
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
    """Whether a code does, or what begins with it: version `4.2` is there where `4.2.1` is."""
    return any(f" {code} " in text or f" {code}." in text for text in texts)


def _read_sentence(asked: Asked, quotable: Quotable, relevance: float, gap: float) -> SentenceSigns:
    facts, statement, title = quotable.facts, quotable.statement, quotable.source.title
    is_head = statement.kind in ("lead", "heading")
    above = [quotable.source.statements[place].text for place in statement.above]
    return SentenceSigns(
        relevance=relevance,
        relevance_gap=gap,
        words=_share(asked.claim, facts.stems, title),
        earlier_words=_share(asked.claim, quotable.earlier - facts.stems, title),
        bigrams=_bigram_share(asked.claim, facts, title),
        is_of_kind=float(is_of_kind(asked, facts, quotable.text)),
        is_negated=float(asked.is_negated and any(map(is_negated, [quotable.text, *above]))),
        is_head=float(is_head),
        heads_list=float(asked.seeks_list and statement.first_item is not None),
    )


def _where_sought(
    asked: Asked, sources: Sequence[Source], likeliest: Sequence[tuple[Quotable, float, float]]
) -> Iterator[tuple[Facts, Statement]]:
    """The sentences that may hold what is sought; of numbers to call and names there are many, each about one thing."""
    if asked.kind in ("contact", "called"):
        yield from ((each.facts, each.statement) for each, _, _ in likeliest)
        return
    for source in sources:
        yield from zip(source.evidence.sentences, source.statements, strict=True)


def _share(claim: Claim, stems: frozenset[str], title: frozenset[str]) -> float:
    """The weight of the question's words that stand there; those of the document's title stand everywhere in it."""
    asked = {stem: weight for stem, weight in claim.content.items() if stem not in title}
    total = sum(asked.values())
    return sum(weight for stem, weight in asked.items() if stem in stems) / total if total else 0.0


def _bigram_share(claim: Claim, facts: Facts, title: frozenset[str]) -> float:
    pairs = {pair for pair in claim.bigrams if not title.issuperset(pair)}
    return len(pairs & facts.bigrams) / len(pairs) if pairs else 0.0
