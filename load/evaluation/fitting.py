"""Fit the weights of `rag.verification.answering` on situations.

What people ask of ordinary documents counts more than what annotators asked about the paragraph before them. In the
choice of sentences an everyday question counts four times, and XQuAD's questions as two hundred per language, however
many there are. Whether passages answer is fitted on whole collections, and on everyday collections made unanswerable.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import astuple
from typing import Final

import numpy as np
from numpy.typing import NDArray

from load.evaluation.everyday.situations import EVERYDAY
from load.evaluation.situations import WHOLE, QuotableSentence, Situation
from rag.verification import AnswerModel, PassageSigns, SentenceSigns

Matrix = NDArray[np.float64]

_QUESTIONS: Final = 200  # a set other than the everyday questions counts as at most this many
_EVERYDAY_CHOICE: Final = 4.0
# Weights for passages: an everyday question that is answered, one that nothing answers, and one whose answer was
# removed; any other question.
_ANSWERED: Final = 4.0
_UNANSWERABLE: Final = 6.0
_TAKEN_OUT: Final = 1.5
_OTHERS: Final = 0.7

_NEWTON_STEPS: Final = 30  # the problem is convex
_RIDGE: Final = 1.0
_CHOICE_STEPS: Final = 400
_CHOICE_RIDGE: Final = 1e-3
_RATE: Final = 0.3
_MOMENTUM: Final = 0.9
_CONSTANT: Final = 1e-9  # rounding leaves up to this spread in equal numbers


def fit(situations: Sequence[Situation]) -> AnswerModel:
    """Fit the weights: for passages on all situations that count, for sentences on those with a right sentence.

    There must be at least one of each.
    """
    sizes = Counter(each.questions for each in situations if each.collection == WHOLE and each.is_answerable)
    passages, bias = _fit_passages(situations, sizes)
    return AnswerModel(_fit_sentences(situations, sizes), passages, bias)


def _fit_sentences(situations: Iterable[Situation], sizes: Counter[str]) -> SentenceSigns:
    usable = [
        each
        for each in situations
        if each.collection == WHOLE and each.is_answerable and any(one.is_right for one in each.sight.sentences)
    ]
    weights = [_EVERYDAY_CHOICE if each.questions == EVERYDAY else _share_of(each, sizes) for each in usable]
    return SentenceSigns(*_fit_choice([each.sight.sentences for each in usable], weights))


def _fit_passages(situations: Iterable[Situation], sizes: Counter[str]) -> tuple[PassageSigns, float]:
    seen = [
        (astuple(each.sight.passages), each.is_answerable, weight)
        for each in situations
        if each.sight.passages is not None and (weight := _weight_among_passages(each, sizes))
    ]
    signs = np.array([signs for signs, _, _ in seen], dtype=np.float64)
    labels = np.array([is_answerable for _, is_answerable, _ in seen], dtype=np.float64)
    weights, bias = _fit_binary(signs, labels, np.array([weight for _, _, weight in seen]))
    return PassageSigns(*weights), bias


def _weight_among_passages(situation: Situation, sizes: Counter[str]) -> float:
    """Return the weight of a situation in the fit for passages; 0 if it is left out."""
    if situation.questions != EVERYDAY:
        return _OTHERS * _share_of(situation, sizes) if situation.collection == WHOLE else 0.0
    if situation.collection != WHOLE:
        return _TAKEN_OUT
    return _ANSWERED if situation.is_answerable else _UNANSWERABLE


def _share_of(situation: Situation, sizes: Counter[str]) -> float:
    return min(1.0, _QUESTIONS / sizes[situation.questions])


def _fit_binary(signs: Matrix, labels: Matrix, weights: Matrix) -> tuple[list[float], float]:
    """Fit a weighted logistic regression with a ridge on standardised signs, by Newton's method."""
    scale = _spread(signs)
    inputs = np.column_stack([signs / scale, np.ones(len(signs))])
    ridge = np.diag([_RIDGE] * signs.shape[1] + [0.0])
    found = np.zeros(inputs.shape[1])
    for _ in range(_NEWTON_STEPS):
        likely = 1 / (1 + np.exp(-inputs @ found))
        gradient = inputs.T @ (weights * (labels - likely)) - ridge @ found
        curvature = (inputs * (weights * likely * (1 - likely))[:, None]).T @ inputs + ridge
        found = found + np.linalg.solve(curvature, gradient)
    return [float(each) for each in found[:-1] / scale], float(found[-1])


def _fit_choice(questions: Sequence[Sequence[QuotableSentence]], weights: Sequence[float]) -> list[float]:
    """Fit the weights that make the right sentences of each question likeliest together, by gradient ascent."""
    starts = np.cumsum([0, *map(len, questions)])[:-1]
    of_question = np.repeat(np.arange(len(questions)), [*map(len, questions)])
    signs = np.array([astuple(one.signs) for each in questions for one in each], dtype=np.float64)
    is_right = np.array([one.is_right for each in questions for one in each])
    parts = (np.array(weights) / sum(weights))[of_question]
    scale = _spread(signs)
    inputs = signs / scale
    found = np.zeros(scale.size)
    velocity = np.zeros(scale.size)
    for _ in range(_CHOICE_STEPS):
        logits = inputs @ found
        likely = np.exp(logits - np.maximum.reduceat(logits, starts)[of_question])
        among = np.where(is_right, likely, 0.0)
        likely /= np.add.reduceat(likely, starts)[of_question]
        among /= np.add.reduceat(among, starts)[of_question]
        velocity = _MOMENTUM * velocity + inputs.T @ (parts * (among - likely)) - _CHOICE_RIDGE * found
        found = found + _RATE * velocity
    return [float(each) for each in found / scale]


def _spread(signs: Matrix) -> Matrix:
    """Return the standard deviation of each sign; 1 for a constant sign, which thus gets no weight."""
    spread: Matrix = signs.std(axis=0)
    return np.where(spread > _CONSTANT, spread, 1.0)
