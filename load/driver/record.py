"""Store a session as JSON: every outcome, and everything needed to draw its report again on any machine."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from load.driver.memory import MemorySample
from load.driver.metrics import Objective, Summary, summarize
from load.driver.outcome import Ending, Outcome
from load.driver.run import RunResult
from load.evaluation.xquad import DataError

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
    """Write the session; its summaries are only for readers, because a report is computed from the outcomes."""
    told = _simplify(asdict(session))
    for run, summary in zip(told["runs"], session.summarize(), strict=True):
        run["summary"] = _simplify(asdict(summary)) | {"is_late": summary.is_late}
    path.write_text(json.dumps({"schema": SCHEMA, **told}, ensure_ascii=False) + "\n", "utf-8")


def read_session(path: Path) -> Session:
    """Read a session.

    Raises: DataError: the file cannot be read, has another form, or has another schema version.
    """
    try:
        told = json.loads(path.read_text("utf-8"))
        if (found := told.pop("schema")) != SCHEMA:
            raise DataError(f"{path} is {found!r}, not {SCHEMA}")
        told["objective"] = Objective(**told["objective"])
        told["runs"] = tuple(_read_run(run) for run in told["runs"])
        return Session(**told)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is no result of the load driver: {error!r}") from error


def _read_run(told: dict[str, Any]) -> RunResult:  # Any: JSON
    del told["summary"]
    told["outcomes"] = tuple(_read_outcome(each) for each in told["outcomes"])
    told["memory"] = tuple(MemorySample(**{"gpu_bytes": None, **each}) for each in told["memory"])
    return RunResult(**told)


def _read_outcome(told: dict[str, Any]) -> Outcome:  # Any: JSON
    unsaid = {each.name: None for each in fields(Outcome) if each.name not in ("gaps_s", "stages_ms")}
    gaps_s = tuple(told.pop("gaps_s", ()))
    return Outcome(**{**unsaid, "stages_ms": {}, **told, "ending": Ending(told["ending"]), "gaps_s": gaps_s})


def _simplify(value: Any) -> Any:  # Any: JSON
    """Round floats, and remove values that are None, to keep a list of thousands small."""
    if isinstance(value, Mapping):
        return {name: _simplify(each) for name, each in value.items() if each is not None}
    if isinstance(value, list | tuple):
        return [_simplify(each) for each in value]
    return round(value, _DECIMALS) if isinstance(value, float) else value
