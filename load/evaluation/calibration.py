"""How well the models of `rag.verification.answering` tell: fitted on some articles, judged on the others.

`make eval` prints what the weights there do, beside what weights do that were fitted without the article that they are
asked about. Weights fitted on everything, where those in `rag.verification.answering` come from, are in its report.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from load.evaluation.metrics import share
from load.evaluation.situations import QuotableSentence, Situation
from rag.verification import AnswerModel, PassageSigns, SentenceSigns
from rag.verification.answering import sentence_probabilities, weigh
from rag.verification.check import MAX_QUOTATIONS

Matrix = NDArray[np.float64]

THRESHOLDS: Final = (0.02, 0.05, 0.08, 0.1, 0.12, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6)
LENGTHS: Final = (0.0, 0.5, 0.6, 0.65, 0.7, 0.8, 0.9)
_FOLDS: Final = 8
_STEPS: Final = 25  # Newton's, of a convex problem
_RIDGE: Final = 1.0
_CONSTANT: Final = 1e-9  # what rounding leaves of the spread of equal numbers


@dataclass(frozen=True, slots=True)
class Threshold:
    """What `answerable_from` at `value` does: shares of the answerable and of the unanswerable questions."""

    value: float
    refused: float
    answered: float


@dataclass(frozen=True, slots=True)
class Length:
    """What `quoted_enough` at `value` does to answers by quotation: hits are of all answerable questions."""

    value: float
    hits: float
    median_words: float
    sentences: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """Of one language, on the whole collection; `shipped` with the product's weights, `held_out` with weights fitted on
    other articles. `small` is the shipped threshold on collections of so many documents.
    """

    shipped: tuple[Threshold, ...]
    held_out: tuple[Threshold, ...]
    lengths: tuple[Length, ...]
    small: dict[int, Threshold]
    chosen: Threshold


@dataclass(frozen=True, slots=True)
class Calibrations:
    """By language, and the weights that all situations together give."""

    languages: dict[str, Calibration]
    fitted: AnswerModel


def calibrate(situations: Sequence[Situation], model: AnswerModel, chosen: float) -> Calibrations:
    """`model`, which is fitted, and `chosen`, its `answerable_from`, are the product's."""
    assert model.passages is not None, "fitted"
    held_out = _fit_held_out(situations)
    found: dict[str, Calibration] = {}
    for language in dict.fromkeys(each.language for each in situations):
        own = [at for at, each in enumerate(situations) if each.language == language]
        whole = [at for at in own if situations[at].documents is None]
        shipped = {at: answerable_probability(situations[at], model.passages, model.bias) for at in own}
        found[language] = Calibration(
            shipped=tuple(_cut(situations, whole, shipped, value) for value in THRESHOLDS),
            held_out=tuple(_cut(situations, whole, held_out, value) for value in THRESHOLDS),
            lengths=tuple(_quote([situations[at] for at in whole], model, value) for value in LENGTHS),
            small={
                size: _cut(situations, [at for at in own if situations[at].documents == size], shipped, chosen)
                for size in sorted({each.documents for each in situations if each.documents is not None})
            },
            chosen=_cut(situations, whole, shipped, chosen),
        )
    return Calibrations(found, fit(situations))


def answerable_probability(situation: Situation, weights: PassageSigns, bias: float) -> float:
    """0 where nothing relevant was found."""
    return 0.0 if situation.passages is None else _sigmoid(bias + weigh(situation.passages, weights))


def fit(situations: Sequence[Situation]) -> AnswerModel:
    """The weights that these situations give: for passages by all of them, for sentences by those with an answer."""
    whole = [each.sentences for each in situations if each.documents is None and each.is_answerable]
    passages, bias = _fit_passages(situations)
    return AnswerModel(SentenceSigns(*_fit_choice(whole)), passages, bias)


def _fit_passages(situations: Iterable[Situation]) -> tuple[PassageSigns, float]:
    seen = [(astuple(each.passages), each.is_answerable) for each in situations if each.passages is not None]
    signs = np.array([signs for signs, _ in seen], dtype=np.float64)
    weights, bias = _fit_binary(signs, np.array([is_answerable for _, is_answerable in seen], dtype=np.float64))
    return PassageSigns(*weights), bias


def _fit_held_out(situations: Sequence[Situation]) -> dict[int, float]:
    """The probability of each situation by weights that were fitted without its article."""
    articles = sorted({each.article for each in situations})
    held_out = {}
    for fold in range(_FOLDS):
        left_out = set(articles[fold::_FOLDS])
        weights, bias = _fit_passages(each for each in situations if each.article not in left_out)
        for at, each in enumerate(situations):
            if each.article in left_out:
                held_out[at] = answerable_probability(each, weights, bias)
    return held_out


def _fit_binary(signs: Matrix, labels: Matrix) -> tuple[list[float], float]:
    """Logistic regression with a ridge on standardised signs, by Newton's method."""
    scale = _spread(signs)
    inputs = np.column_stack([signs / scale, np.ones(len(signs))])
    ridge = np.diag([_RIDGE] * signs.shape[1] + [0.0])
    weights = np.zeros(inputs.shape[1])
    for _ in range(_STEPS):
        likely = 1 / (1 + np.exp(-inputs @ weights))
        gradient = inputs.T @ (labels - likely) - ridge @ weights
        curvature = (inputs * (likely * (1 - likely))[:, None]).T @ inputs + ridge
        weights = weights + np.linalg.solve(curvature, gradient)
    return [float(each) for each in weights[:-1] / scale], float(weights[-1])


def _fit_choice(questions: Iterable[Sequence[QuotableSentence]]) -> list[float]:
    """The weights under which the right sentences of each question are the likeliest together, by gradient ascent."""
    usable = [each for each in questions if any(one.is_right for one in each)]
    signs = [np.array([astuple(one.signs) for one in each], dtype=np.float64) for each in usable]
    right = [np.array([one.is_right for one in each]) for each in usable]
    scale = _spread(np.concatenate(signs))
    weights = np.zeros(scale.size)
    velocity = np.zeros(scale.size)
    for _ in range(300):
        gradient = -1e-3 * weights
        for each, is_right in zip(signs, right, strict=True):
            inputs = each / scale
            likely = _softmax(inputs @ weights)
            among = np.where(is_right, likely, 0.0)
            gradient = gradient + inputs.T @ (among / among.sum() - likely) / len(signs)
        velocity = 0.9 * velocity + gradient
        weights = weights + 0.3 * velocity
    return [float(each) for each in weights / scale]


def _cut(
    situations: Sequence[Situation], places: Iterable[int], probability: Mapping[int, float], value: float
) -> Threshold:
    outcomes = [(situations[at].is_answerable, probability[at] >= value) for at in places]
    return Threshold(
        value,
        refused=share(not is_answered for is_answerable, is_answered in outcomes if is_answerable),
        answered=share(is_answered for is_answerable, is_answered in outcomes if not is_answerable),
    )


def _quote(situations: Iterable[Situation], model: AnswerModel, enough: float) -> Length:
    answers = [_take(each.sentences, model, enough) for each in situations if each.is_answerable]
    return Length(
        enough,
        hits=share(any(one.is_right for one in answer) for answer in answers),
        median_words=float(np.median([sum(one.words for one in answer) for answer in answers if answer])),
        sentences=float(np.mean([len(answer) for answer in answers if answer])),
    )


def _take(sentences: Sequence[QuotableSentence], model: AnswerModel, enough: float) -> list[QuotableSentence]:
    likely = sentence_probabilities([each.signs for each in sentences], model)
    taken: list[QuotableSentence] = []
    said = 0.0
    for probability, at in sorted(((p, at) for at, p in enumerate(likely)), reverse=True):
        if taken and (said >= enough or len(taken) == MAX_QUOTATIONS):
            break
        taken.append(sentences[at])
        said += probability
    return taken


def _spread(signs: Matrix) -> Matrix:
    """The standard deviation of each sign; 1 for one that is always the same, and so gets no weight."""
    spread: Matrix = signs.std(axis=0)
    return np.where(spread > _CONSTANT, spread, 1.0)


def _sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, logit))))


def _softmax(logits: Matrix) -> Matrix:
    weights = np.exp(logits - logits.max())
    shares: Matrix = weights / weights.sum()
    return shares
