"""Files that say who may call, read again when they change: keys are given and taken without a restart.

A changed file that is broken leaves the last good content in force: one typing error must not lock everybody out.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Generic, TypeVar

from rag.background import note_failure

# How long a key that was taken away may still be used.
CHECK_INTERVAL_S: Final = 1.0
# A network file system that hangs must not hang the requests; they go on with what was read last.
LOOK_TIMEOUT_S: Final = 0.25

logger = logging.getLogger(__name__)

T = TypeVar("T")
# Modification time, size, inode, device: an atomic replacement and a swapped symbolic link change at least one.
Fingerprint = tuple[int, int, int, int]


class SourceError(ValueError):
    """What says who may call cannot be read; the message is one line, without any secret."""


class WatchedFile(Generic[T]):
    """The last good content of a file, parsed; `parse` raises SourceError."""

    def __init__(self, path: Path, parse: Callable[[bytes], T], *, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises: SourceError: the file is missing or broken now."""
        self._path = path
        self._parse = parse
        self._clock = clock
        self._looking: asyncio.Task[None] | None = None
        self._looked_at = clock()
        self._fingerprint: Fingerprint | None = None
        try:
            self._content = self._read()
        except SourceError as error:
            raise SourceError(f"{path}: {error}") from None

    async def current(self) -> T:
        """The content as of at most CHECK_INTERVAL_S ago, or the last that could be read."""
        if self._looking is None and self._clock() - self._looked_at >= CHECK_INTERVAL_S:
            self._looked_at = self._clock()
            self._looking = asyncio.create_task(asyncio.to_thread(self._look))
        if self._looking is not None:
            await asyncio.wait({self._looking}, timeout=LOOK_TIMEOUT_S)
        if self._looking is not None and self._looking.done():
            looked, self._looking = self._looking, None
            if error := looked.exception():
                note_failure("identities", error)
        return self._content

    def _look(self) -> None:
        """Warns once per change, because the fingerprint of a broken file is kept too."""
        seen = self._stat()
        if seen == self._fingerprint:
            return
        self._fingerprint = seen
        fields = {"path": str(self._path)}
        try:
            self._content = self._read()
        except SourceError as error:
            logger.warning("identity_file_broken", extra={"fields": fields | {"reason": str(error)}})
        else:
            logger.info("identity_file_read", extra={"fields": fields})

    def _stat(self) -> Fingerprint | None:
        try:
            return _fingerprint(self._path.stat())
        except OSError:
            return None

    def _read(self) -> T:
        """Content and fingerprint belong together even while the file is being replaced: both are of one open file."""
        try:
            with self._path.open("rb") as file:
                self._fingerprint = _fingerprint(os.fstat(file.fileno()))
                return self._parse(file.read())
        except OSError as error:
            raise SourceError(f"cannot be read: {error.strerror}") from None


def _fingerprint(status: os.stat_result) -> Fingerprint:
    return status.st_mtime_ns, status.st_size, status.st_ino, status.st_dev
