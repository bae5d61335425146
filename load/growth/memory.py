"""What a process takes: its own memory apart from the files that it maps, which the kernel can drop and share."""

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
    """Resident bytes: allocated by the process, and pages of files."""

    own_bytes: int
    mapped_bytes: int


class Peak:
    """The highest figures seen: of own memory, which is sampled, and of both together, which the kernel keeps."""

    def __init__(self) -> None:
        self.own_bytes = 0
        self.resident_bytes = 0


def read_memory() -> Memory:
    """Linux alone tells them apart."""
    fields = _read_status()
    return Memory(fields["RssAnon"], fields["RssFile"] + fields["RssShmem"])


@contextmanager
def watched_peak() -> Iterator[Peak]:
    """Yields: the peaks, filled in at the end; `resident_bytes` is that of the whole process so far."""
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
        # Not `getrusage`, which begins with what the parent had when it started us.
        peak.resident_bytes = last["VmHWM"]


def _read_status() -> dict[str, int]:
    lines = (line.split() for line in _STATUS.read_text().splitlines())
    return {line[0].rstrip(":"): int(line[1]) * 1024 for line in lines if line[-1] == "kB"}
