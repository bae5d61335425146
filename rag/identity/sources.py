"""Reload identity files when they change, so that keys are added and revoked without a restart.

If the changed file is invalid, the last valid content stays in force: one typo must not lock everybody out.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Generic, TypeVar

from rag.background import note_failure

# A revoked key may still be used for this long.
CHECK_INTERVAL_S: Final = 1.0
# If a network file system hangs, requests do not wait longer than this; they use the content that was read last.
LOOK_TIMEOUT_S: Final = 0.25

logger = logging.getLogger(__name__)

T = TypeVar("T")
# Modification time, size, inode, device: replacing the file or swapping a symbolic link changes at least one of them.
Fingerprint = tuple[int, int, int, int]


class SourceError(ValueError):
    """A source of identities cannot be read or is invalid; the message is one line and contains no secret."""


class WatchedFile(Generic[T]):
    """A file and its last valid content; `parse` must raise SourceError if the content is invalid."""

    def __init__(self, path: Path, parse: Callable[[bytes], T], *, clock: Callable[[], float] = time.monotonic) -> None:
        """Read the file.

        Raises: SourceError: the file is missing or invalid now.
        """
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

    @property
    def last(self) -> T:
        """The content that was read last; nobody looks whether the file has changed."""
        return self._content

    async def current(self) -> T:
        """Return the content as of at most CHECK_INTERVAL_S ago, or the last valid content."""
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
        """Reload the file if it changed; the fingerprint of an invalid file is kept too, so it is logged only once."""
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
        """Read and parse the file; content and fingerprint are of one open file, so a replacement cannot mix them."""
        try:
            with self._path.open("rb") as file:
                self._fingerprint = _fingerprint(os.fstat(file.fileno()))
                return self._parse(file.read())
        except OSError as error:
            raise SourceError(f"cannot be read: {error.strerror}") from None


def _fingerprint(status: os.stat_result) -> Fingerprint:
    return status.st_mtime_ns, status.st_size, status.st_ino, status.st_dev
