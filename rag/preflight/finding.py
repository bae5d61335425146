"""What a check says: one line for a person, and the same for a machine."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

State = Literal["ok", "missing", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One condition: what was found, and what is to be done about it; never a secret."""

    state: State
    name: str
    found: str
    todo: str = ""

    def line(self) -> str:
        return f"{self.state:<8} {self.name}: {self.found}" + (f" -> {self.todo}" if self.todo else "")


# Looks at one thing; it may raise, and then is a finding too.
Check = Callable[[], Iterable[Finding]]


def run_checks(checks: Mapping[str, Check]) -> Iterator[Finding]:
    """The findings of all checks by their name, in their order."""
    for name, check in checks.items():
        try:
            yield from check()
        except Exception as error:  # noqa: BLE001  # the edge: one check that breaks must not hide what the others find
            yield Finding("missing", name, f"could not be looked at: {type(error).__name__}", "look at it by hand")


def place_of(url: str) -> str:
    """Where a URL leads, without the credentials that it may hold."""
    parts = urlsplit(url)
    host = parts.hostname or parts.path
    return f"{host}:{parts.port}" if parts.port else host
