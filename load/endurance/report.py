"""Render the report of an endurance run in Markdown."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from load.endurance.callers import KINDS, NO_ANSWER, Tally
from load.endurance.vitals import Vitals

_ABOUT: Final = """{requests} requests in {minutes:.1f} minutes, {day}; fake models, callers of all the kinds below at
once, each over a connection of its own. After each thousand requests, when all of them have ended, what the processes
hold is read. `make endurance` makes this page again.
"""
_ROWS_MAX: Final = 20
_MEBIBYTE: Final = 1 << 20
# After this share of the run, everything that is created once and kept exists: pools, caches, the allocator's arenas.
_SETTLED_FROM: Final = 1 / 3


@dataclass(frozen=True, slots=True)
class Sample:
    """The resources of the processes after `requests` requests, all of which have ended."""

    requests: int
    at_s: float
    vitals: Mapping[str, Vitals]


def render(samples: Sequence[Sample], tally: Tally, errors: Counter[str], about: Mapping[str, object]) -> str:
    """Render the report."""
    return "\n".join(
        [
            "# Endurance",
            _ABOUT.format(requests=samples[-1].requests, minutes=samples[-1].at_s / 60, day=datetime.now(UTC).date()),
            f"`{json.dumps(about)}`",
            "",
            *_render_growth(samples),
            "",
            *_render_samples(samples),
            "",
            *_render_tally(tally, errors),
            "",
        ]
    )


def _render_growth(samples: Sequence[Sample]) -> list[str]:
    """Render the growth per 1000 requests, without the first third of the run."""
    settled = samples[int(len(samples) * _SETTLED_FROM) :]
    thousands = (settled[-1].requests - settled[0].requests) / 1000 or 1
    lines = [
        f"Growth per 1000 requests, from request {settled[0].requests} to request {settled[-1].requests}:",
        "",
        "| process | RSS, KiB | files | threads | tasks |",
        "|---|---|---|---|---|",
    ]
    for name, first in settled[0].vitals.items():
        last = settled[-1].vitals[name]
        tasks = "" if first.tasks is None or last.tasks is None else f"{(last.tasks - first.tasks) / thousands:+.2f}"
        lines.append(
            f"| {name} | {(last.rss_bytes - first.rss_bytes) / 1024 / thousands:+.0f}"
            f" | {(last.files - first.files) / thousands:+.2f}"
            f" | {(last.threads - first.threads) / thousands:+.2f} | {tasks} |"
        )
    return lines


def _render_samples(samples: Sequence[Sample]) -> list[str]:
    every = -(-len(samples) // _ROWS_MAX)
    shown = [*samples[:-1:every], samples[-1]]
    names = list(samples[0].vitals)
    cells = [f"{name}: {what}" for name in names for what in ("RSS, MiB", "files", "threads", "tasks")]
    lines = [f"| requests | minutes | {' | '.join(cells)} |", "|---" * (2 + len(cells)) + "|"]
    for sample in shown:
        told = [_render_vitals(each) for each in sample.vitals.values()]
        lines.append(f"| {sample.requests} | {sample.at_s / 60:.1f} | {' | '.join(told)} |")
    return lines


def _render_vitals(vitals: Vitals) -> str:
    tasks = "" if vitals.tasks is None else vitals.tasks
    return f"{vitals.rss_bytes / _MEBIBYTE:.1f} | {vitals.files} | {vitals.threads} | {tasks}"


def _render_tally(tally: Tally, errors: Counter[str]) -> list[str]:
    lines = ["| callers | answers |", "|---|---|"]
    for kind in KINDS:
        told = [
            f"{'none' if status == NO_ANSWER else status}: {count}"
            for (name, status), count in sorted(tally.counts.items())
            if name == kind.name
        ]
        lines.append(f"| {kind.name} | {', '.join(told)} |")
    wrong = tally.find_wrong()
    lines += [
        "",
        f"Answers that were none of the contract's: {wrong or 'none'}. Errors in the log: {dict(errors) or 'none'}.",
    ]
    return lines
