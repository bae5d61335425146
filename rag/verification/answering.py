"""How well passages answer a question: which of their sentences does, and whether any of them does at all.

Two logistic models over a handful of signs, all of them shares and differences that do not depend on the subject.
Their weights were fitted on XQuAD, English and Vietnamese together, by `load.evaluation.calibration`, which reports how
they do on articles that they were not fitted on.
"""

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rag.verification.sources import Quotable, Source
from rag.verification.support import Claim, Facts, Idf, read_claim

_FIGURE_SOUGHT = re.compile(
    r"\bhow (?:many|much|old|long|far|tall|high|deep|large|big|fast|often)\b"
    r"|\bwhat (?:\w+ ){0,2}(?:percent|percentage|number|amount|population|share)\b"
    r"|\b(?:bao nhiêu|mấy|bao lâu|bao xa|tỷ lệ|tỉ lệ|phần trăm|số lượng)\b",
    re.IGNORECASE,
)
_TIME_SOUGHT = re.compile(
    r"\bwhen\b|\b(?:what|which) (?:year|date|day|month|century|decade)\b"
    r"|\b(?:khi nào|bao giờ|hồi nào|lúc nào|(?:năm|ngày|tháng|thế kỷ|thời gian|thời điểm) nào|năm bao nhiêu)\b",
    re.IGNORECASE,
)
_NAME_SOUGHT = re.compile(
    r"\b(?:(?-i:[Ww]ho)|whom|whose|where)\b"  # the WHO is a name, AI is not `ai`
    r"|\b(?:what|which) (?:person|team|player|company|king|scientist|city|country|state|place|region)\b"
    r"|\b(?:(?-i:[Aa]i)|người nào|ở đâu|đâu|nơi nào|thành phố nào|quốc gia nào|nước nào)\b",
    re.IGNORECASE,
)
_EARLIER_SHARE: Final = 0.5  # what the sentence before says of the question counts half
_RIVALS: Final = 5  # the candidates after the best one that it is compared with
_LIKELIEST_LOGIT: Final = 30.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What a question asks: its words as a claim's, and the kind of thing that would answer it."""

    claim: Claim
    figure: bool
    time: bool
    name: bool


def read_question(question: str, idf: Idf) -> Asked:
    question = " ".join(unicodedata.normalize("NFC", question).split())
    return Asked(
        read_claim(question, idf),
        figure=_FIGURE_SOUGHT.search(question) is not None,
        time=_TIME_SOUGHT.search(question) is not None,
        name=_NAME_SOUGHT.search(question) is not None,
    )


@dataclass(frozen=True, slots=True)
class SentenceSigns:
    """What speaks for one sentence: shares are of the question, `relevance_gap` is its passage's to the best one's."""

    relevance: float
    relevance_gap: float
    words: float  # weighted by idf
    earlier_words: float  # those that only the sentence before holds
    bigrams: float
    is_of_kind: float  # it holds a figure, a date or a name that the question does not, where one is sought


@dataclass(frozen=True, slots=True)
class PassageSigns:
    """What speaks for all passages together."""

    relevance: float  # of the best one
    relevance_lead: float  # before the candidates after it
    sentence_words: float  # share in the best sentence and the one before it
    bigrams: float  # share in the best sentence
    missing_words: float  # how many stand in no passage, as log(1 + n)
    missing_names: float
    missing_figures: float
    length: float  # of the question in content words, as log(1 + n)


@dataclass(frozen=True, slots=True)
class AnswerModel:
    """The weights, for one kind of reranker: relevance has another scale in each. `passages` None: not fitted."""

    sentence: SentenceSigns
    passages: PassageSigns | None = None
    bias: float = 0.0


LATE_INTERACTION: Final = AnswerModel(
    SentenceSigns(relevance=38, relevance_gap=44, words=4, earlier_words=2.4, bigrams=2.6, is_of_kind=3),
    PassageSigns(
        relevance=17.5,
        relevance_lead=31.8,
        sentence_words=5.0,
        bigrams=2.6,
        missing_words=-0.7,
        missing_names=-0.5,
        missing_figures=-0.3,
        length=0.6,
    ),
    bias=-19.4,
)
# A relevance from 0 to 1, as a cross-encoder's: not measured here, so relevance decides and the rest breaks ties.
# Whether anything answers is left to its floor.
ZERO_TO_ONE: Final = AnswerModel(
    SentenceSigns(relevance=8, relevance_gap=4, words=1, earlier_words=0.5, bigrams=1, is_of_kind=1)
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


def answer_probability(
    asked: Asked, sources: Sequence[Source], relevances: Sequence[float], model: AnswerModel
) -> float:
    """The probability that these passages answer the question; 1 where the model has not been fitted.

    `relevances` are those of all candidates, best first.
    """
    if model.passages is None or not sources or not asked.claim.content:
        return 1.0
    logit = model.bias + weigh(read_passages(asked, sources, relevances), model.passages)
    return 1 / (1 + math.exp(-max(-_LIKELIEST_LOGIT, min(_LIKELIEST_LOGIT, logit))))


def weigh(signs: SentenceSigns | PassageSigns, weights: SentenceSigns | PassageSigns) -> float:
    """The sum of the signs, each times its weight."""
    return float(sum(getattr(signs, name) * getattr(weights, name) for name in signs.__slots__))


def read_passages(asked: Asked, sources: Sequence[Source], relevances: Sequence[float]) -> PassageSigns:
    """What speaks for these passages; `relevances` are those of all candidates, best first."""
    claim = asked.claim
    sentences = [
        pair
        for source in sources
        for pair in zip((None, *source.evidence.sentences), source.evidence.sentences, strict=False)
    ]
    held = frozenset[str]().union(*(source.evidence.stems for source in sources))
    rivals = relevances[1 : 1 + _RIVALS]
    missing_figures = sum(not any(value in source.evidence.figures for source in sources) for value in claim.figures)
    return PassageSigns(
        relevance=relevances[0],
        relevance_lead=relevances[0] - sum(rivals) / len(rivals) if rivals else 0.0,
        sentence_words=max(
            (
                _share(claim, facts.stems) + _EARLIER_SHARE * _earlier_share(claim, before, facts)
                for before, facts in sentences
            ),
            default=0.0,
        ),
        bigrams=max((_bigram_share(claim, facts) for _, facts in sentences), default=0.0),
        missing_words=math.log1p(len(claim.content.keys() - held)),
        missing_names=float(sum(name not in held for name in claim.names)),
        missing_figures=float(missing_figures),
        length=math.log1p(len(claim.content)),
    )


def _read_sentence(asked: Asked, quotable: Quotable, relevance: float, gap: float) -> SentenceSigns:
    facts = quotable.facts
    return SentenceSigns(
        relevance=relevance,
        relevance_gap=gap,
        words=_share(asked.claim, facts.stems),
        earlier_words=_earlier_share(asked.claim, quotable.facts_before, facts),
        bigrams=_bigram_share(asked.claim, facts),
        is_of_kind=_is_of_kind(asked, facts),
    )


def _share(claim: Claim, stems: frozenset[str]) -> float:
    total = sum(claim.content.values())
    return sum(weight for stem, weight in claim.content.items() if stem in stems) / total if total else 0.0


def _earlier_share(claim: Claim, before: Facts | None, facts: Facts) -> float:
    return _share(claim, before.stems - facts.stems) if before else 0.0


def _bigram_share(claim: Claim, facts: Facts) -> float:
    pairs = set(claim.bigrams)
    return len(pairs & facts.bigrams) / len(pairs) if pairs else 0.0


def _is_of_kind(asked: Asked, facts: Facts) -> float:
    brings_figure = bool(facts.figures.difference(asked.claim.figures))
    if asked.figure and brings_figure:
        return 1.0
    if asked.time and brings_figure and facts.is_dated:
        return 1.0
    return float(asked.name and bool(facts.names - asked.claim.content.keys() - set(asked.claim.names)))
