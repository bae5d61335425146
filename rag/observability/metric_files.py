"""The files through which the processes of one server show their metrics together, on a disk that may be full.

prometheus_client (0.26.0) makes them as long as they will be without taking the space, and writes through a map of the
file: where the disk has no page left, the kernel answers with SIGBUS, which ends the front in the middle of whatever it
does, and each one that is started after it. Here the space is taken before it is mapped. What finds none is counted in
memory, where /metrics does not see it, until there is some.
"""

import logging
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from prometheus_client import values
from prometheus_client.mmap_dict import MmapedDict

# As prometheus_client has it.
INITIAL_BYTES: Final = 1 << 16
TRY_AGAIN_AFTER_S: Final = 10.0
# Of an entry, beside its key: a length, padding, the value and its time.
_ENTRY_BYTES: Final = 32

logger = logging.getLogger(__name__)


def reserve_space() -> None:
    """Makes every metric of this process that is made from now on keep its values so."""
    vars(values)["MmapedDict"] = ReservedFile  # it is looked up anew for each file


class ReservedFile(MmapedDict):
    """A file of values, every page of which is there before it is written; without space, values in memory.

    As with what it stands for, the caller holds a lock.
    """

    def __init__(self, filename: str, read_mode: bool = False) -> None:
        self._fname = filename
        self._f: Any = None  # Any: prometheus_client's own are untyped
        self._waiting: dict[str, tuple[float, float]] = {}
        self._try_again_at = 0.0
        self._is_news = True
        if read_mode:
            super().__init__(filename, read_mode)  # type: ignore[no-untyped-call]
        else:
            with suppress(OSError):
                self._open()

    def read_value(self, key: str) -> tuple[float, float]:
        """The value and its time; of a key that was never written 0 and 0."""
        if key in self._waiting or not self._find_place(key):
            return self._waiting.setdefault(key, (0.0, 0.0))
        value, timestamp = super().read_value(key)  # type: ignore[no-untyped-call]
        return value, timestamp

    def write_value(self, key: str, value: float, timestamp: float) -> None:
        if key in self._waiting or not self._find_place(key):
            self._waiting[key] = (value, timestamp)
        else:
            super().write_value(key, value, timestamp)  # type: ignore[no-untyped-call]
        if self._waiting and time.monotonic() >= self._try_again_at:
            self._move()

    def _move(self) -> None:
        """Moves what waits into the file, as far as there is space now."""
        for key in list(self._waiting):
            if not self._find_place(key):
                self._try_again_at = time.monotonic() + TRY_AGAIN_AFTER_S
                if self._is_news:
                    logger.warning("metrics_without_space", extra={"fields": {"file": Path(self._fname).name}})
                self._is_news = False
                return
            super().write_value(key, *self._waiting.pop(key))  # type: ignore[no-untyped-call]
        if not self._is_news:
            logger.warning("metrics_have_space", extra={"fields": {"file": Path(self._fname).name}})
        self._is_news = True

    def _find_place(self, key: str) -> bool:
        """Whether the file has one for this key, or could get it."""
        try:
            if self._f is None:
                self._open()
            if key not in self._positions:
                needed, capacity = self._used + len(key.encode()) + _ENTRY_BYTES, self._capacity
                while capacity < needed:
                    capacity *= 2
                if capacity > self._capacity:
                    os.posix_fallocate(self._f.fileno(), 0, capacity)
        except OSError:
            return False
        return True

    def _open(self) -> None:
        """Raises: OSError: there is no space; then no file is left either, because an empty one cannot be read."""
        path = Path(self._fname)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        size_bytes = os.fstat(handle).st_size
        try:
            os.posix_fallocate(handle, 0, max(size_bytes, INITIAL_BYTES))
        except OSError:
            if not size_bytes:
                path.unlink(missing_ok=True)
            raise
        finally:
            os.close(handle)
        super().__init__(self._fname)  # type: ignore[no-untyped-call]
