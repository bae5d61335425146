"""Arrange the figures of a session as a table with one column for each run, for the terminal and the page."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from load.driver.metrics import LATE_MS, Distribution, Summary
from load.driver.outcome import Ending
from load.driver.record import Session

Row = tuple[str, list[str]]  # the name of a figure, and its value in each run

_NONE: Final = "–"
_MEBIBYTE: Final = 1 << 20
_LATENCIES: Final = (
    ("TTFT", "ttft_ms"),
    ("ITL", "itl_ms"),
    ("TPOT", "tpot_ms"),
    ("E2E", "e2e_ms"),
    ("time to refusal", "refusal_ms"),
)


def make_rows(session: Session) -> list[Row]:
    """Return all figures that at least one run has."""
    summaries = session.summarize()

    def row(title: str, show: Callable[[Summary], str]) -> Row:
        return title, [show(summary) for summary in summaries]

    rows = [
        row("requests", lambda summary: str(summary.requests)),
        row("sent, per s", lambda summary: _show(summary.sent_per_s)),
        row("completed, per s", lambda summary: _show(summary.completed_per_s)),
        row(f"goodput, per s ({session.objective})", lambda summary: _show(summary.goodput_per_s)),
        row("good, share of those who stayed", lambda summary: _show(summary.good_share)),
        row("output tokens, per s", lambda summary: _show(summary.output_tokens_per_s)),
        *((str(ending), [_show_ending(summary, ending) for summary in summaries]) for ending in Ending),
        *_rows_of_codes(summaries),
    ]
    for title, name in _LATENCIES:
        rows += _rows_of(title, [getattr(summary, name) for summary in summaries])
    for stage in dict.fromkeys(stage for summary in summaries for stage in summary.stages_ms):
        rows += _rows_of(f"stage {stage}", [summary.stages_ms.get(stage) for summary in summaries])
    rows += [
        row("answers without a count of tokens", lambda summary: str(summary.answers_without_usage or _NONE)),
        row("RSS of the server, peak, MiB", lambda summary: _show_mebibytes(summary.rss_peak_bytes)),
        row("GPU memory, peak, MiB", lambda summary: _show_mebibytes(summary.gpu_peak_bytes)),
        row("driver late, p99, ms", _show_lateness),
    ]
    return [(title, values) for title, values in rows if set(values) != {_NONE}]


def render_table(session: Session) -> str:
    """Render the table as plain text in columns."""
    lines = [("", [run.title for run in session.runs]), *make_rows(session)]
    title_width = max(len(title) for title, _ in lines)
    widths = [max(len(values[column]) for _, values in lines) for column in range(len(session.runs))]
    return "\n".join(
        f"{title:{title_width}}  " + "  ".join(f"{value:>{width}}" for value, width in zip(values, widths, strict=True))
        for title, values in lines
    )


def find_faults(session: Session) -> list[str]:
    """Return one line for each run whose figures are misleading."""
    return [
        f"{run.title}: the driver was late by {summary.lateness_ms.p99:.0f} ms at p99 (up to {LATE_MS:.0f} is fine): "
        "clients came later and more evenly than planned, and every time may hold the driver's own"
        for run, summary in zip(session.runs, session.summarize(), strict=True)
        if summary.is_late and summary.lateness_ms is not None
    ]


def _rows_of(title: str, distributions: Sequence[Distribution | None]) -> list[Row]:
    percentiles = ("p50", "p95", "p99")
    return [
        (f"{title} {name}, ms", [_NONE if each is None else _show(getattr(each, name)) for each in distributions])
        for name in percentiles
    ]


def _rows_of_codes(summaries: Sequence[Summary]) -> Iterable[Row]:
    for code in sorted({code for summary in summaries for code in summary.codes}):
        yield f"  code {code}", [str(summary.codes.get(code, _NONE)) for summary in summaries]


def _show(value: float | None) -> str:
    """Format with three significant digits, as a whole number from 100 on."""
    if value is None:
        return _NONE
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _show_ending(summary: Summary, ending: Ending) -> str:
    count = summary.endings.get(ending, 0)
    return f"{count} ({summary.share(ending):.1%})" if count else _NONE


def _show_mebibytes(size_bytes: int | None) -> str:
    return _show(None if size_bytes is None else size_bytes / _MEBIBYTE)


def _show_lateness(summary: Summary) -> str:
    if summary.lateness_ms is None:
        return _NONE
    return _show(summary.lateness_ms.p99) + (" LATE" if summary.is_late else "")
