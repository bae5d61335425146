"""Measure follow-ups: each is asked with its conversation, and alone, which is what `RAG_HISTORY=off` makes of it."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, get_args

from tqdm import tqdm

from load.evaluation.asking import Reply, ask_all
from load.evaluation.everyday.grading import Grade, Verdict, grade
from load.evaluation.everyday.questions import EverydayPart, Follows, FollowUpQuestion
from load.evaluation.tables import render_table
from load.evaluation.xquad import Question

_OUTCOMES: Final[tuple[str, ...]] = (*get_args(Verdict), "failed")
Tally = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class AskedFollowUp:
    """One follow-up with its replies and outcomes; `standalone` is what the service made of it, None if unchanged."""

    question: FollowUpQuestion
    with_history: Reply
    alone: Reply

    @property
    def standalone(self) -> str | None:
        response = self.with_history.response
        return response.trace.standalone_question if response and response.trace else None

    @property
    def outcomes(self) -> tuple[str, str]:
        return _outcome(self.question, self.with_history), _outcome(self.question, self.alone)


@dataclass(frozen=True, slots=True)
class FollowUpQuality:
    """Tallies by outcome of the answers with history and alone, by what they follow and by language.

    `standalone_changed` of `standalone` questions that need no history were changed by it, `unchanged` of the others
    were not.
    """

    questions: int
    standalone: int
    standalone_changed: int
    unchanged: int
    with_history: Mapping[str, Tally]
    alone: Mapping[str, Tally]


async def ask_follow_ups(url: str, part: EverydayPart) -> list[AskedFollowUp]:
    """Ask the follow-ups of a part with their history, then without."""
    questions = [Question(each.question_id, each.text, each.document or "", ()) for each in part.follow_ups]
    histories = [[turn.model_dump() for turn in each.history] for each in part.follow_ups]
    replies = []
    with tqdm(total=2 * len(questions), desc=f"asking follow-ups, {part.name}", unit="question") as bar:
        ways: list[list[dict[str, object]]] = [[{"history": each, "include_trace": True} for each in histories], []]
        for fields in ways:
            replies.append(await ask_all(url, questions, lambda: bar.update(1), fields))
    return [AskedFollowUp(*each) for each in zip(part.follow_ups, *replies, strict=True)]


def measure_follow_ups(asked: Sequence[AskedFollowUp]) -> FollowUpQuality:
    """Measure the follow-ups of a part."""
    alone = [each for each in asked if each.question.follows == "standalone"]
    return FollowUpQuality(
        questions=len(asked),
        standalone=len(alone),
        standalone_changed=sum(each.standalone is not None for each in alone),
        unchanged=sum(each.standalone is None for each in asked if each.question.follows != "standalone"),
        with_history=_tally(asked, lambda each: each.outcomes[0]),
        alone=_tally(asked, lambda each: each.outcomes[1]),
    )


def render_follow_ups(name: str, found: FollowUpQuality) -> str:
    """Render the outcomes with history and without, and what was changed."""
    rows = []
    for group in found.with_history:
        for way, tallies in (("with history", found.with_history), ("off", found.alone)):
            tally = tallies[group]
            rows.append([group, way, str(sum(tally.values())), *(str(tally.get(each, 0)) for each in _OUTCOMES)])
    table = render_table([f"follow-ups, {name}", "history", "questions", *_OUTCOMES], rows)
    changed = (
        f"Of {found.standalone} questions that need no history {found.standalone_changed} were changed; of"
        f" {found.questions - found.standalone} that need it {found.unchanged} were not."
    )
    return f"{table}\n\n{changed}"


def render_follow_ups_to_read(asked: Sequence[AskedFollowUp]) -> str:
    """Render every follow-up with what was made of it and its answer, for reading."""
    lines = ["# Follow-ups", ""]
    for each in sorted(asked, key=lambda each: each.outcomes[0] == "right"):
        response = each.with_history.response
        lines += [
            f"**{each.question.question_id}** · {each.question.follows} · {' · off: '.join(each.outcomes)}",
            *(f"- {turn.role}: {turn.content}" for turn in each.question.history),
            f"- question: {each.question.text}",
            f"- made: {each.standalone}",
            f"- answer: {response.answer if response else each.with_history.error}",
            "",
        ]
    return "\n".join(lines)


def _outcome(question: FollowUpQuestion, reply: Reply) -> str:
    found: Grade | None = (
        grade(question, reply.response.answer, reply.response.finish_reason) if reply.response else None
    )
    return found.verdict if found else "failed"


def _tally(asked: Sequence[AskedFollowUp], outcome: Callable[[AskedFollowUp], str]) -> dict[str, Tally]:
    tallies: dict[str, Counter[str]] = {name: Counter() for name in (*get_args(Follows), "en", "vi", "all")}
    for each in asked:
        for group in (each.question.follows, each.question.language, "all"):
            tallies[group][outcome(each)] += 1
    return {name: dict(tally) for name, tally in tallies.items() if tally}
