"""Draw the plots of a session: those of the outcomes of a run, and those of the runs of a sweep."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from load.driver.markup import Markup
from load.driver.metrics import Distribution, Summary, summarize
from load.driver.outcome import Ending, Outcome
from load.driver.plots import Point, Series, plot_bars, plot_lines, plot_stack
from load.driver.record import Session
from load.driver.run import RunResult

COLOURS: Final = {
    Ending.OK: "c0",
    Ending.REFUSED: "c1",
    Ending.TIMEOUT: "c2",
    Ending.ERROR: "c3",
    Ending.CUT: "c4",
    Ending.ABANDONED: "c5",
}
# Possible widths of a column, all of them round numbers of seconds.
_COLUMN_WIDTHS_S: Final = (1, 2, 5, 10, 30, 60, 300, 600, 1800, 3600)
_MOST_COLUMNS: Final = 60
_CURVE_POINTS: Final = 201
_MEBIBYTE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Figure:
    """A plot and its title."""

    title: str
    plot: Markup


def draw_run(run: RunResult, session: Session) -> list[Figure]:
    """Draw latencies, outcomes over time, stages and memory of a run, each only if there is data."""
    summary = summarize(run, session.objective)
    figures = [Figure("Requests by when they came, and how they ended", _plot_endings(run.outcomes))]
    if summary.e2e_ms:
        figures.insert(0, Figure("Share of answers that took at most so long", _plot_latencies(run.outcomes)))
    if summary.stages_ms:
        rows = {stage: (found.p50, found.p95) for stage, found in summary.stages_ms.items()}
        plot = plot_bars("Times of the service's stages", rows, names=("p50", "p95"), x="milliseconds")
        figures.append(Figure("Stages, as the service times them", plot))
    if len(run.memory) > 1:
        points = [(sample.at_s, sample.rss_bytes / _MEBIBYTE) for sample in run.memory]
        series = [Series("RSS, sum over processes", points, "c0")]
        figures.append(Figure("Memory of the server", plot_lines("Memory", series, x="seconds", y="MiB")))
    return figures


def draw_sweep(session: Session, scenario: str) -> list[Figure]:
    """Draw the figures of a scenario against the offered rate; an empty list if it has fewer than two rates."""
    pairs = zip(session.runs, session.summarize(), strict=True)
    found = [
        (run.rate_per_s, summary)
        for run, summary in pairs
        if run.scenario == scenario and run.rate_per_s is not None and summary.requests
    ]
    found.sort(key=lambda each: each[0])
    if len({rate for rate, _ in found}) < 2:
        return []

    def line(name: str, colour: str, value: Callable[[Summary], float | None]) -> Series:
        points = [(rate, shown) for rate, summary in found if (shown := value(summary)) is not None]
        return Series(name, points, colour)

    offered: list[Point] = [(rate, rate) for rate, _ in found]
    rates = [
        Series("offered", offered, "c6", is_dashed=True),
        line("completed", "c5", lambda summary: summary.completed_per_s),
        line("goodput", "c0", lambda summary: summary.goodput_per_s),  # last, so that it covers equal lines
    ]
    latencies = [
        line("E2E p99", "c2", lambda summary: _find_p99(summary.e2e_ms)),
        line("TTFT p99", "c0", lambda summary: _find_p99(summary.ttft_ms)),
        line("refusal p99", "c1", lambda summary: _find_p99(summary.refusal_ms)),
    ]
    shares = [
        line("refused", "c1", lambda summary: summary.share(Ending.REFUSED)),
        line("timed out", "c2", lambda summary: summary.share(Ending.TIMEOUT)),
        line("failed", "c3", lambda summary: summary.share(Ending.ERROR, Ending.CUT)),
    ]
    x = "offered requests per second"
    return [
        Figure("Goodput", plot_lines("Goodput against the offered rate", rates, x=x, y="per second")),
        Figure("Latency", plot_lines("Latency against the offered rate", latencies, x=x, y="milliseconds")),
        Figure("What was not answered", plot_lines("Failures against the offered rate", shares, x=x, y="share")),
    ]


def count_endings(outcomes: Sequence[Outcome]) -> tuple[int, dict[str, list[float]]]:
    """Return the width of a column in seconds and, for each ending, the number of requests scheduled in each column."""
    last_s = max((outcome.scheduled_s for outcome in outcomes), default=0.0)
    width_s = next((width for width in _COLUMN_WIDTHS_S if last_s < width * _MOST_COLUMNS), _COLUMN_WIDTHS_S[-1])
    present = [ending for ending in Ending if any(outcome.ending == ending for outcome in outcomes)]
    layers = {str(ending): [0.0] * (int(last_s // width_s) + 1) for ending in present}
    for outcome in outcomes:
        layers[outcome.ending][int(outcome.scheduled_s // width_s)] += 1
    return width_s, layers


def _plot_endings(outcomes: Sequence[Outcome]) -> Markup:
    width_s, layers = count_endings(outcomes)
    colours = {str(ending): colour for ending, colour in COLOURS.items()}
    return plot_stack("Requests over time by how they ended", layers, colours, width_s=width_s)


def _plot_latencies(outcomes: Sequence[Outcome]) -> Markup:
    timed = [outcome for outcome in outcomes if outcome.ending == Ending.OK and outcome.is_patient]
    named = {
        "TTFT": ([outcome.ttft_s for outcome in timed if outcome.ttft_s is not None], "c0"),
        "E2E": ([outcome.e2e_s for outcome in timed], "c2"),
    }
    series = [Series(name, _accumulate(values_s), colour) for name, (values_s, colour) in named.items() if values_s]
    return plot_lines("Distribution of latencies", series, x="milliseconds", y="share", is_log=True)


def _accumulate(values_s: Sequence[float]) -> list[Point]:
    """Return the cumulative distribution as points of milliseconds and share."""
    shares = np.linspace(0, 1, _CURVE_POINTS)
    return list(zip((np.quantile(values_s, shares) * 1000).tolist(), shares.tolist(), strict=True))


def _find_p99(distribution: Distribution | None) -> float | None:
    return None if distribution is None else distribution.p99
