"""A clock that can be moved under programs that run, by libfaketime, Debian's package of which is fetched if need be.

Only what tells the time of day is moved: setting a machine's clock leaves the monotonic one alone too.
"""

import os
import platform
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

LIBRARY: Final = f"usr/lib/{platform.machine()}-linux-gnu/faketime/libfaketimeMT.so.1"
# How soon a program sees that it was moved.
SEEN_AFTER_S: Final = 1


class NoMovedClockError(Exception):
    """There is no libfaketime on this machine, and none could be fetched."""


class MovedClock:
    """`environment` makes a program that is started with it live by this clock."""

    def __init__(self, library: Path, file: Path) -> None:
        self._file = file
        self.move(0)
        self.environment: Final[Mapping[str, str]] = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_CACHE_DURATION": str(SEEN_AFTER_S),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_RESET": "1",
        }

    def move(self, seconds: int) -> None:
        """So far ahead of the machine's clock, or behind it."""
        beside = self._file.with_suffix(".new")
        beside.write_text(f"{seconds:+d}s\n", "ascii")
        beside.replace(self._file)


@contextmanager
def moved_clock() -> Iterator[MovedClock]:
    """Yields: a clock that is right, so far.

    Raises: NoMovedClockError.
    """
    with tempfile.TemporaryDirectory() as folder:
        yield MovedClock(_find_library(Path(folder)), Path(folder) / "clock")


def _find_library(folder: Path) -> Path:
    installed = Path("/", LIBRARY)
    if installed.exists():
        return installed
    try:
        for command in (["apt-get", "download", "libfaketime"], ["dpkg-deb", "-x", "libfaketime.deb", "."]):
            subprocess.run(command, cwd=folder, capture_output=True, check=True, env={**os.environ, "LC_ALL": "C"})  # noqa: S603 - our own commands
            for package in folder.glob("libfaketime_*.deb"):
                package.rename(folder / "libfaketime.deb")
    except (OSError, subprocess.CalledProcessError) as error:
        raise NoMovedClockError(f"no libfaketime here, and none can be fetched: {error}") from error
    if not (folder / LIBRARY).exists():
        raise NoMovedClockError("libfaketime has no library for this machine")
    return folder / LIBRARY
