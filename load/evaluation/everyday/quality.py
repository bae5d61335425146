"""Aggregate the grades of the everyday answers, per part, kind and language."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from load.evaluation.asking import Reply
from load.evaluation.everyday.followups import FollowUpQuality
from load.evaluation.everyday.grading import Grade, Verdict, grade
from load.evaluation.everyday.questions import KINDS, EverydayPart, EverydayQuestion, Kind, PartName
from load.evaluation.metrics import ratio
from load.evaluation.xquad import LANGUAGES

Outcome = Literal[Verdict, "failed"]  # failed: an error came instead of a response
OUTCOMES: Final[tuple[Outcome, ...]] = get_args(Outcome)
Tally = Mapping[Outcome, int]


@dataclass(frozen=True, slots=True)
class Graded:
    """One question with its reply and its grade; no grade if the reply is an error."""

    question: EverydayQuestion
    reply: Reply
    grade: Grade | None

    @property
    def outcome(self) -> Outcome:
        return self.grade.verdict if self.grade else "failed"


@dataclass(frozen=True, slots=True)
class EverydayTotals:
    """Shares of all questions of their kind, including those that failed; None if there are none of it."""

    right: float | None
    partly: float | None
    wrong: float | None
    wrongly_refused: float | None
    unanswerable_answered: float | None
    chat_answered: float | None
    folded_right: float | None
    across_right: float | None


@dataclass(frozen=True, slots=True)
class EverydayQuality:
    """The quality of one part: `totals` over all its questions, and tallies by outcome, without zeros."""

    part: PartName
    questions: int
    kinds: Mapping[str, Tally]
    languages: Mapping[str, Tally]
    totals: EverydayTotals
    follow_ups: FollowUpQuality | None = None


def grade_replies(part: EverydayPart, replies: Sequence[Reply]) -> list[Graded]:
    """Grade the replies to the questions of the part, in the same order."""
    return [
        Graded(question, reply, _grade_reply(question, reply))
        for question, reply in zip(part.questions, replies, strict=True)
    ]


def measure_everyday(name: PartName, graded: Sequence[Graded]) -> EverydayQuality:
    """Measure the quality of a part from its graded replies."""
    return EverydayQuality(
        part=name,
        questions=len(graded),
        kinds=_tally_by(graded, KINDS, lambda question: question.kind),
        languages=_tally_by(graded, LANGUAGES, lambda question: question.language),
        totals=_total(graded),
    )


def _grade_reply(question: EverydayQuestion, reply: Reply) -> Grade | None:
    response = reply.response
    return grade(question, response.answer, response.finish_reason) if response else None


def _total(graded: Sequence[Graded]) -> EverydayTotals:
    answerable = _tally(graded, lambda question: question.is_answerable)

    def of_kind(kind: Kind, outcome: Outcome) -> float | None:
        return _share(_tally(graded, lambda question: question.kind == kind), outcome)

    return EverydayTotals(
        right=_share(answerable, "right"),
        partly=_share(answerable, "partly"),
        wrong=_share(answerable, "wrong"),
        wrongly_refused=_share(answerable, "wrongly refused"),
        unanswerable_answered=of_kind("unanswerable", "should have refused"),
        chat_answered=of_kind("chat", "should have refused"),
        folded_right=of_kind("folded", "right"),
        across_right=of_kind("across", "right"),
    )


def _tally_by(
    graded: Sequence[Graded], names: Sequence[str], name_of: Callable[[EverydayQuestion], str]
) -> dict[str, Tally]:
    """Return the tallies in the order of the names, without empty ones."""
    tallies: dict[str, Counter[Outcome]] = {name: Counter() for name in names}
    for each in graded:
        tallies[name_of(each.question)][each.outcome] += 1
    return {name: dict(tally) for name, tally in tallies.items() if tally}


def _tally(graded: Sequence[Graded], is_counted: Callable[[EverydayQuestion], bool]) -> dict[Outcome, int]:
    return dict(Counter(each.outcome for each in graded if is_counted(each.question)))


def _share(tally: Tally, outcome: Outcome) -> float | None:
    return ratio(tally.get(outcome, 0), sum(tally.values()))
