"""Render the results of the gate as a table for people and as JSON for programs."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from statistics import fmean
from typing import Any, Final

from load.gate.comparison import measure_agreement
from load.gate.pairs import Reply
from load.gate.run import GateRun

SCHEMA: Final = "load-gate/1"

Row = tuple[str, str, str, str]  # name, stable value, canary value, allowed


def render_table(run: GateRun) -> str:
    """Render plain text in columns, and lines on agreement and statistical power."""
    rows = [("", "stable", "canary", "allowed"), *_make_rows(run)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [
        f"{what:{widths[0]}}  {stable:>{widths[1]}}  {canary:>{widths[2]}}  {allowed}".rstrip()
        for what, stable, canary, allowed in rows
    ]
    return "\n".join([*lines, *_tell_agreement(run), _tell_power(run)])


def render_json(run: GateRun) -> str:
    """Render everything, including questions and answers, so that a person can read the answers that differ."""
    told = {
        "schema": SCHEMA,
        "date": run.date,
        "passed": not run.reasons,
        "reasons": run.reasons,
        "warnings": run.warnings,
        "options": asdict(run.options),
        "deployments": {"stable": run.deployments.stable.model_dump(), "canary": run.deployments.canary.model_dump()},
        "checks": [{**asdict(each), "refuses": each in run.comparison.refusing} for each in run.comparison.checks],
        "pairs": [
            {
                "question": pair.question,
                "route": pair.route,
                "stable": _simplify(pair.stable),
                "canary": _simplify(pair.canary),
                "agreement": [{**asdict(each), "holds": each.holds} for each in measure_agreement([pair])],
            }
            for pair in run.pairs
        ],
    }
    return json.dumps(told, ensure_ascii=False, indent=1, default=str) + "\n"


def _make_rows(run: GateRun) -> Iterator[Row]:
    stable, canary = run.deployments.stable, run.deployments.canary
    for name in ("model_version", "model_name", "runtime", "prompt_version"):
        yield name, getattr(stable, name), getattr(canary, name), ""
    before, now = (index.version if (index := each.index.get(run.options.tenant)) else "–" for each in (stable, canary))
    yield f"index of {run.options.tenant}", before, now, ""
    yield "requests", str(len(run.pairs)), str(len(run.pairs)), ""
    stable_refused = sum(len(pair.stable.refused) for pair in run.pairs)
    canary_refused = sum(len(pair.canary.refused) for pair in run.pairs)
    yield "429 or 503, asked again", str(stable_refused), str(canary_refused), ""
    for check in run.comparison.checks:
        mark = "  REFUSED" if check in run.comparison.refusing else ""
        yield check.name, check.show(check.stable), check.show(check.canary), check.allowed + mark


def _tell_agreement(run: GateRun) -> Iterator[str]:
    found = measure_agreement(run.pairs)
    rest = [each for each in found if not each.is_equal]
    if rest:
        yield (
            f"{len(found) - len(rest)} of {len(found)} answers are equal; in the rest, words in common (F1) "
            f"{fmean(each.f1 for each in rest):.2f}, documents {fmean(each.documents for each in rest):.2f}, "
            f"chunks {fmean(each.chunks for each in rest):.2f}"
        )


def _tell_power(run: GateRun) -> str:
    streamed = sum(pair.route == "stream" for pair in run.pairs)
    fewest, asked = run.options.tolerances.fewest_bad, run.options.requests
    return (
        f"{streamed} of {len(run.pairs)} requests were streamed; "
        f"from {fewest} of {asked} on ({fewest / asked:.1%}) what only the canary does wrong is told from luck"
    )


def _simplify(reply: Reply) -> dict[str, Any]:  # Any: JSON
    response = reply.response.model_dump(exclude={"trace"}) if reply.response else None
    return {
        **{name: getattr(reply, name) for name in ("trace_id", "e2e_s", "ttft_s", "error", "fault")},
        "refused": len(reply.refused),
        "response": response,
    }
