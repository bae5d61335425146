"""Report an evaluation: as tables, as JSON, and against the bounds that must hold."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from load.evaluation.calibration import Calibrations, Threshold
from load.evaluation.edits import BLOCKED_MIN
from load.evaluation.edits import SOURCE as EDITED
from load.evaluation.everyday.pages import EverydayReport, render_everyday
from load.evaluation.everyday.quality import EverydayTotals
from load.evaluation.examples import Examples
from load.evaluation.tables import (
    AnswersReport,
    RetrievalReport,
    render_answers,
    render_calibrations,
    render_latency,
    render_reasons,
    render_retrieval,
    render_verdicts,
)
from load.evaluation.verdicts import VerdictQuality

# The bounds of the local profile; each key names a setting.
RECALL_AT_1_MIN: Final[Mapping[str, float]] = {"en": 0.955, "vi": 0.94, "vi-en": 0.74}
ANSWERED_MIN: Final[Mapping[str, float]] = {"en": 0.85, "vi": 0.82}
MEDIAN_WORDS_MAX: Final = 45
REFUSED_MAX: Final = 0.03
FAULTLESS_MIN: Final = 1.0
# Not reached: docs/benchmarks.md says how far, and why. The bound stays until it is.
ANSWERED_MAX: Final = 0.10
# Of 60 sentences each: the first measurement of overlap in closed form.
FLAGGED_COPIES_MAX: Final = 0
BLOCKED_SUPPORTED_MAX: Final = 2
BLOCKED_UNSUPPORTED_MIN: Final = 40
# For the everyday questions of each part: the measure, its description, and its least or greatest value.
EVERYDAY_LEAST: Final[Mapping[str, tuple[str, float]]] = {
    "right": ("answerable questions answered rightly", 0.80),
    "folded_right": ("questions without diacritics answered rightly", 0.70),
    "across_right": ("questions across languages answered rightly", 0.60),
}
EVERYDAY_MOST: Final[Mapping[str, tuple[str, float]]] = {
    "wrong": ("answerable questions answered wrongly", 0.07),
    "wrongly_refused": ("answerable questions refused", 0.08),
    "unanswerable_answered": ("unanswerable questions answered", 0.25),
    "chat_answered": ("chit-chat answered from documents", 0.0),
}

_DECIMALS: Final = 4


@dataclass(frozen=True, slots=True)
class Bound:
    """A measured value, and the least or the greatest value allowed."""

    what: str
    value: float
    least: float | None = None
    most: float | None = None

    def find_miss(self) -> str | None:
        """Return one line that says how the bound is missed; None if it holds."""
        if self.least is not None and self.value < self.least:
            return f"{self.what} is {self.value:.4g}, must be at least {self.least:g}"
        if self.most is not None and self.value > self.most:
            return f"{self.what} is {self.value:.4g}, must be at most {self.most:g}"
        return None


@dataclass(frozen=True, slots=True)
class Report:
    """The results of an evaluation.

    `retrieval`, `answers` and `examples` are by the name of their setting, `everyday` by the name of its part. `models`
    is the reply of `/models/current`, by language. `verdicts` is None if there are no labelled sentences,
    `calibrations` if the reranker has no fitted weights.
    """

    date: str
    seconds: float
    machine: Mapping[str, str | int | float]
    versions: dict[str, str]
    settings: dict[str, str]
    models: dict[str, object]
    retrieval: RetrievalReport
    answers: AnswersReport
    verdicts: VerdictQuality | None = None
    calibrations: Calibrations | None = None
    examples: Mapping[str, Examples] = field(default_factory=dict)
    everyday: EverydayReport = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the report for JSON, with rounded numbers and the missed bounds."""
        return {name: _round(value) for name, value in asdict(self).items()} | {"missed": self.missed_bounds()}

    def missed_bounds(self) -> list[str]:
        """Return one line for each bound that was measured and missed."""
        return [miss for bound in self._bounds() if (miss := bound.find_miss())]

    def _bounds(self) -> Iterator[Bound]:
        for name, stages in self.retrieval.items():
            least = RECALL_AT_1_MIN.get(name)
            yield Bound(f"{name}: Recall@1, reranked", stages["reranked"].recall_at_1, least=least)
        for name, quality in self.answers.items():
            yield Bound(
                f"{name}: share of answers that hold the gold answer", quality.answered, least=ANSWERED_MIN[name]
            )
            yield Bound(f"{name}: median words of an answer", quality.median_words, most=MEDIAN_WORDS_MAX)
            yield Bound(f"{name}: share of responses without a fault", quality.faultless, least=FAULTLESS_MIN)
        for name, calibration in self.calibrations.sets.items() if self.calibrations else ():
            yield from _bound_calibration(name, calibration.chosen)
        if found := self.verdicts:
            yield Bound("verbatim copies blocked", found.flagged_copies, most=FLAGGED_COPIES_MAX)
            for group in found.groups:
                if group.source == EDITED and group.kind in BLOCKED_MIN:
                    share = group.right / group.sentences
                    yield Bound(f"{group.language}: {group.kind}, blocked", share, least=BLOCKED_MIN[group.kind])
        if found and found.has_judged:
            yield Bound("supported HAGRID sentences blocked", found.blocked_supported, most=BLOCKED_SUPPORTED_MAX)
            yield Bound(
                "unsupported HAGRID sentences blocked", found.blocked_unsupported, least=BLOCKED_UNSUPPORTED_MIN
            )
        for part, everyday in self.everyday.items():
            yield from _bound_everyday(part, everyday.totals)


def render_tables(report: Report) -> str:
    """Return the tables as Markdown, ready for docs/benchmarks.md."""
    blocks = [render_retrieval(report.retrieval)] if report.retrieval else []
    if report.calibrations:
        blocks.append(render_calibrations(report.calibrations))
    if report.answers:
        answers = report.answers
        blocks += [render_answers(answers), render_reasons(answers), render_latency(answers)]
    if report.verdicts:
        blocks.append(render_verdicts(report.verdicts))
    if report.everyday:
        blocks.append(render_everyday(report.everyday))
    return "\n\n".join(blocks)


def _bound_calibration(name: str, chosen: Threshold) -> Iterator[Bound]:
    """Yield the bounds of a set; the everyday questions have theirs in the answers of a server."""
    if name in ANSWERED_MIN and chosen.refused is not None and chosen.answered is not None:
        yield Bound(f"{name}: answerable questions refused", chosen.refused, most=REFUSED_MAX)
        yield Bound(f"{name}: unanswerable questions answered", chosen.answered, most=ANSWERED_MAX)


def _bound_everyday(part: str, totals: EverydayTotals) -> Iterator[Bound]:
    for name, (what, least) in EVERYDAY_LEAST.items():
        if (value := getattr(totals, name)) is not None:
            yield Bound(f"everyday, {part}: {what}", value, least=least)
    for name, (what, most) in EVERYDAY_MOST.items():
        if (value := getattr(totals, name)) is not None:
            yield Bound(f"everyday, {part}: {what}", value, most=most)


def _round(value: object) -> object:
    if isinstance(value, dict):
        return {key: _round(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_round(each) for each in value]
    return round(value, _DECIMALS) if isinstance(value, float) else value
