"""Render the everyday results as Markdown: tables for a report, and all answers of a part for reading."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Final

from load.evaluation.everyday.followups import render_follow_ups
from load.evaluation.everyday.quality import OUTCOMES, EverydayQuality, EverydayTotals, Graded, Outcome, Tally
from load.evaluation.tables import render_table

EverydayReport = Mapping[str, EverydayQuality]

_TOTALS: Final[Mapping[str, str]] = {
    "right": "answerable: right",
    "partly": "answerable: partly",
    "wrong": "answerable: wrong",
    "wrongly_refused": "answerable: wrongly refused",
    "unanswerable_answered": "unanswerable: answered",
    "chat_answered": "chat: answered",
    "folded_right": "without diacritics: right",
    "across_right": "across languages: right",
}
# Worst first, as readers look for those.
_READING_ORDER: Final[Sequence[Outcome]] = (
    "wrong",
    "should have refused",
    "wrongly refused",
    "failed",
    "partly",
    "right",
    "rightly refused",
)


def render_everyday(report: EverydayReport) -> str:
    """Render the totals of all parts side by side, then each part by kind and by language."""
    totals = [
        [_TOTALS[each.name], *(_render_share(getattr(quality.totals, each.name)) for quality in report.values())]
        for each in fields(EverydayTotals)
    ]
    counts = ["questions", *(str(quality.questions) for quality in report.values())]
    tables = [render_table(["everyday questions", *report], [counts, *totals])]
    follow_ups = [render_follow_ups(name, each.follow_ups) for name, each in report.items() if each.follow_ups]
    return "\n\n".join([*tables, *(_render_part(name, quality) for name, quality in report.items()), *follow_ups])


def render_answers_to_read(name: str, graded: Sequence[Graded]) -> str:
    """Render every question with the expected and the actual answer, worst outcomes first."""
    blocks = [f"# Everyday questions, {name}"]
    for outcome in _READING_ORDER:
        shown = [each for each in graded if each.outcome == outcome]
        blocks += [f"## {outcome}: {len(shown)} of {len(graded)}"] if shown else []
        blocks += [_render_answer(each) for each in shown]
    return "\n\n".join(blocks) + "\n"


def _render_part(name: str, quality: EverydayQuality) -> str:
    total: Counter[Outcome] = Counter()
    for tally in quality.languages.values():
        total.update(tally)
    rows = [_row(each, tally) for each, tally in [*quality.kinds.items(), *quality.languages.items(), ("all", total)]]
    return render_table([f"everyday questions, {name}", "questions", *OUTCOMES], rows)


def _row(name: str, tally: Tally) -> list[str]:
    return [name, str(sum(tally.values())), *(str(tally.get(outcome, 0)) for outcome in OUTCOMES)]


def _render_share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _render_answer(graded: Graded) -> str:
    question, response = graded.question, graded.reply.response
    lines = [
        f"**{question.question_id}** · {question.kind} · {question.document or 'no document'}",
        f"- question: {question.text}",
        f"- expected: {_render_expected(graded)}",
    ]
    if graded.grade and graded.grade.found_never:
        lines.append(f"- must not be said: {'; '.join(graded.grade.found_never)}")
    answer = response.answer if response else f"error {graded.reply.error}"
    lines.append(f"- answer: {' '.join(answer.split())}")
    return "\n".join(lines)


def _render_expected(graded: Graded) -> str:
    """Return the groups of facts, with a cross at those that the answer does not meet."""
    if not graded.question.is_answerable:
        return "that the documents do not say"
    met: Iterable[bool] = graded.grade.met if graded.grade else (False,) * len(graded.question.facts)
    return "; ".join(
        f"{' / '.join(group)}{'' if is_met else ' ✗'}" for group, is_met in zip(graded.question.facts, met, strict=True)
    )
