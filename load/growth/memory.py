"""Read a process's memory: its own memory separately from mapped files, which the kernel can drop and share."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SAMPLE_EVERY_S: Final = 0.02
_STATUS: Final = Path("/proc/self/status")


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident bytes: those allocated by the process, and pages of files."""

    own_bytes: int
    mapped_bytes: int


class Peak:
    """The peaks of the process's own memory, which is sampled, and of the total, which the kernel records."""

    def __init__(self) -> None:
        self.own_bytes = 0
        self.resident_bytes = 0


def read_memory() -> Memory:
    """Read the memory of this process (Linux only)."""
    fields = _read_status()
    return Memory(fields["RssAnon"], fields["RssFile"] + fields["RssShmem"])


@contextmanager
def watched_peak() -> Iterator[Peak]:
    """Watch the peaks during the block; `resident_bytes`, set at its end, is the peak since the process started."""
    peak, done = Peak(), threading.Event()

    def watch() -> None:
        while not done.wait(SAMPLE_EVERY_S):
            peak.own_bytes = max(peak.own_bytes, _read_status()["RssAnon"])

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()
        last = _read_status()
        peak.own_bytes = max(peak.own_bytes, last["RssAnon"])
        # Not from `getrusage`, which starts with the parent's memory at the time of the fork.
        peak.resident_bytes = last["VmHWM"]


def _read_status() -> dict[str, int]:
    lines = (line.split() for line in _STATUS.read_text().splitlines())
    return {line[0].rstrip(":"): int(line[1]) * 1024 for line in lines if line[-1] == "kB"}
