"""Define the result of a check, as one line for a person and as data for a program."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

State = Literal["ok", "missing", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The state of one condition: what was found, and what to do about it; it never contains a secret."""

    state: State
    name: str
    found: str
    todo: str = ""

    def line(self) -> str:
        """Return the finding as one line of text."""
        return f"{self.state:<8} {self.name}: {self.found}" + (f" -> {self.todo}" if self.todo else "")


# Checks one thing; if it raises, `run_checks` turns the exception into a finding.
Check = Callable[[], Iterable[Finding]]


def run_checks(checks: Mapping[str, Check]) -> Iterator[Finding]:
    """Yield the findings of all checks, in order; a check that raises yields a finding `missing` under its name."""
    for name, check in checks.items():
        try:
            yield from check()
        except Exception as error:  # noqa: BLE001  # the edge: one failing check must not hide the other findings
            yield Finding("missing", name, f"could not be looked at: {type(error).__name__}", "look at it by hand")


def place_of(url: str) -> str:
    """Return host and port of a URL, without the credentials that it may contain."""
    parts = urlsplit(url)
    host = parts.hostname or parts.path
    return f"{host}:{parts.port}" if parts.port else host
