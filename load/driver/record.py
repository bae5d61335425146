"""The JSON file of a session: its figures, and every outcome that they were counted from."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from load.driver.metrics import Objective, Summary, summarize
from load.driver.run import RunResult

SCHEMA: Final = "rag-load/1"
_DECIMALS: Final = 5  # of a second: finer than the accuracy of our clocks


@dataclass(frozen=True, slots=True)
class Session:
    """One or more runs on one target; `server` is its /models/current, `settings` are those of a server of our own."""

    date: str
    seed: int
    target: str
    objective: Objective
    timeout_s: float
    machine: Mapping[str, str | int | float]
    versions: Mapping[str, str]
    server: Mapping[str, Any]  # Any: whatever JSON it gave
    settings: Mapping[str, str]
    runs: tuple[RunResult, ...]

    def summarize(self) -> list[Summary]:
        """Compute the figures of each run, in order."""
        return [summarize(run, self.objective) for run in self.runs]


def write_session(session: Session, path: Path) -> None:
    """Each run with its summary beside its outcomes."""
    told = _simplify(asdict(session))
    for run, summary in zip(told["runs"], session.summarize(), strict=True):
        run["summary"] = _simplify(asdict(summary)) | {"is_late": summary.is_late}
    path.write_text(json.dumps({"schema": SCHEMA, **told}, ensure_ascii=False) + "\n", "utf-8")


def _simplify(value: Any) -> Any:  # Any: JSON
    """Round floats, and remove values that are None, to keep a list of thousands small."""
    if isinstance(value, Mapping):
        return {name: _simplify(each) for name, each in value.items() if each is not None}
    if isinstance(value, list | tuple):
        return [_simplify(each) for each in value]
    return round(value, _DECIMALS) if isinstance(value, float) else value
