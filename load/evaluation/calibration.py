"""Measure the models of `rag.verification.answering`: fitted on some articles, tested on the others.

`make eval` prints the results of the product's weights, beside those of weights that were fitted without the article or
the everyday question tested. It prints the product's weights too, beside those fitted on all situations, from which the
weights in `rag.verification.answering` are taken.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from load.evaluation.fitting import fit
from load.evaluation.metrics import ratio, share
from load.evaluation.situations import WHOLE, QuotableSentence, Situation
from rag.verification import AnswerModel
from rag.verification.answering import answer_probability, sentence_probabilities
from rag.verification.quoting import MAX_QUOTATIONS

THRESHOLDS: Final = (0.02, 0.05, 0.08, 0.1, 0.12, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6)
LENGTHS: Final = (0.0, 0.5, 0.6, 0.65, 0.7, 0.8, 0.9)
_FOLDS: Final = 8


@dataclass(frozen=True, slots=True)
class Threshold:
    """The effect of `answerable_from` at `value`: the shares of answerable questions refused and of others answered.

    A share is None if there are no such questions.
    """

    value: float
    refused: float | None
    answered: float | None


@dataclass(frozen=True, slots=True)
class Length:
    """The effect of `quoted_enough` at `value` on answers by quotation; `hits` is of all answerable questions."""

    value: float
    hits: float
    median_words: float
    sentences: float


@dataclass(frozen=True, slots=True)
class Choice:
    """How often the likeliest sentence is right, over answerable questions with a right sentence in their passages."""

    questions: int
    shipped: float
    held_out: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """The results for one set of questions, on the whole collection.

    `shipped` uses the product's weights, `held_out` weights fitted on other articles. `parts` is the shipped threshold
    on other collections, by name.
    """

    shipped: tuple[Threshold, ...]
    held_out: tuple[Threshold, ...]
    choice: Choice
    lengths: tuple[Length, ...]
    parts: dict[str, Threshold]
    chosen: Threshold


@dataclass(frozen=True, slots=True)
class Calibrations:
    """The results by the name of the set; the product's weights, and those fitted on all situations."""

    sets: dict[str, Calibration]
    shipped: AnswerModel
    fitted: AnswerModel


def calibrate(situations: Sequence[Situation], model: AnswerModel, chosen: float) -> Calibrations:
    """Calibrate on these situations; `model`, which must be fitted, and `chosen`, its `answerable_from`, are ours."""
    assert model.passages is not None, "fitted"
    models = _fit_held_out(situations)
    held_out = [answerable_probability(each, models[each.article]) for each in situations]
    shipped = [answerable_probability(each, model) for each in situations]
    found: dict[str, Calibration] = {}
    for name in dict.fromkeys(each.questions for each in situations):
        own = [at for at, each in enumerate(situations) if each.questions == name]
        whole = [at for at in own if situations[at].collection == WHOLE]
        others = dict.fromkeys(situations[at].collection for at in own if situations[at].collection != WHOLE)
        found[name] = Calibration(
            shipped=tuple(_cut(situations, whole, shipped, value) for value in THRESHOLDS),
            held_out=tuple(_cut(situations, whole, held_out, value) for value in THRESHOLDS),
            choice=_choose([situations[at] for at in whole], model, models),
            lengths=tuple(_quote([situations[at] for at in whole], model, value) for value in LENGTHS),
            parts={
                other: _cut(situations, [at for at in own if situations[at].collection == other], shipped, chosen)
                for other in others
            },
            chosen=_cut(situations, whole, shipped, chosen),
        )
    return Calibrations(found, model, fit(situations))


def answerable_probability(situation: Situation, model: AnswerModel) -> float:
    """Return the probability that the question is answerable; 0 if nothing relevant was found."""
    return 0.0 if situation.sight.passages is None else answer_probability(situation.sight.passages, model)


def _fit_held_out(situations: Sequence[Situation]) -> dict[str, AnswerModel]:
    """Return for each article the weights fitted without it."""
    articles = sorted({each.article for each in situations})
    models = {}
    for fold in range(_FOLDS):
        left_out = set(articles[fold::_FOLDS])
        if left_out:
            model = fit([each for each in situations if each.article not in left_out])
            models.update(dict.fromkeys(left_out, model))
    return models


def _cut(
    situations: Sequence[Situation], places: Sequence[int], probability: Sequence[float], value: float
) -> Threshold:
    outcomes = [(situations[at].is_answerable, probability[at] >= value) for at in places]
    answerable = [is_answered for is_answerable, is_answered in outcomes if is_answerable]
    others = [is_answered for is_answerable, is_answered in outcomes if not is_answerable]
    return Threshold(
        value,
        refused=ratio(answerable.count(False), len(answerable)),
        answered=ratio(others.count(True), len(others)),
    )


def _choose(whole: Iterable[Situation], model: AnswerModel, models: Mapping[str, AnswerModel]) -> Choice:
    usable = [each for each in whole if each.is_answerable and any(one.is_right for one in each.sight.sentences)]
    if not usable:
        return Choice(0, 0.0, 0.0)
    return Choice(
        len(usable),
        shipped=share(_is_first_right(each.sight.sentences, model) for each in usable),
        held_out=share(_is_first_right(each.sight.sentences, models[each.article]) for each in usable),
    )


def _is_first_right(sentences: Sequence[QuotableSentence], model: AnswerModel) -> bool:
    return any(one.is_right for one in _take(sentences, model, 0.0))


def _quote(whole: Iterable[Situation], model: AnswerModel, enough: float) -> Length:
    answers = [_take(each.sight.sentences, model, enough) for each in whole if each.is_answerable]
    given = [answer for answer in answers if answer]
    return Length(
        enough,
        hits=share(any(one.is_right for one in answer) for answer in answers),
        median_words=float(np.median([sum(one.words for one in answer) for answer in given])) if given else 0.0,
        sentences=float(np.mean([len(answer) for answer in given])) if given else 0.0,
    )


def _take(sentences: Sequence[QuotableSentence], model: AnswerModel, enough: float) -> list[QuotableSentence]:
    """Return the sentences that `RequestCheck` would quote, likeliest first; repeats are not removed."""
    likely = sentence_probabilities([each.signs for each in sentences], model)
    taken: list[QuotableSentence] = []
    said = 0.0
    for probability, at in sorted(((p, at) for at, p in enumerate(likely)), reverse=True):
        if taken and (said >= enough or len(taken) == MAX_QUOTATIONS):
            break
        if sentences[at].words:
            taken.append(sentences[at])
            said += probability
    return taken
