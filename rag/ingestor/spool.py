"""Write arriving files to disk, piece by piece; a file that does not arrive whole leaves nothing behind."""

import asyncio
import errno
import hashlib
import shutil
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from rag.errors import NotReady
from rag.index.disk import Disk, open_private

# Left for the index, whose next version is written beside the serving one, and for everything else on the disk.
MIN_FREE_BYTES: Final = 256 << 20
# Written at once: a hop to a thread costs more than a small write.
_PIECE_BYTES: Final = 1 << 20
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
NO_ROOM_RETRY_AFTER_S: Final = 60.0
# No request takes as long: its front is gone.
STALE_AFTER_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Spooled:
    """A file that has arrived whole."""

    path: Path
    size_bytes: int
    sha256: str
    arrived_at: float  # on the monotonic clock


def measure_free(folder: Path) -> int:
    """Return the bytes that are free on the folder's disk."""
    return shutil.disk_usage(folder).free


class Spool:
    """The files that have arrived and belong to no job yet; of another process nothing is left when this one starts."""

    def __init__(self, folder: Path, disk: Disk | None = None, *, free: Callable[[Path], int] = measure_free) -> None:
        self._folder = folder
        self._disk = disk or Disk()
        self._free = free
        self._arrived: dict[str, Spooled] = {}

    def open(self) -> None:
        """Make the folder, for this user alone and empty.

        Raises: OSError: it cannot be written.
        """
        if self._folder.exists():
            self._disk.remove(self._folder)
        self._disk.make_folder(self._folder)

    async def receive(self, token: str, pieces: AsyncIterator[bytes]) -> Spooled:
        """Write a file; one that was not taken by a job before is replaced.

        Raises: NotReady: there is no room for it; whatever `pieces` raises.
        """
        path = self._folder / token
        self._drop_stale()
        self._arrived.pop(token, None)
        try:
            with open_private(path, "wb") as file:
                spooled = await self._write(path, file, pieces)
        except BaseException as error:
            path.unlink(missing_ok=True)
            if isinstance(error, OSError) and error.errno in _NO_ROOM:
                raise _no_room() from error
            raise
        self._arrived[token] = spooled
        return spooled

    async def _write(self, path: Path, file: BinaryIO, pieces: AsyncIterator[bytes]) -> Spooled:
        digest, size_bytes, waiting = hashlib.sha256(), 0, bytearray()

        def write() -> None:
            if self._free(self._folder) < MIN_FREE_BYTES + len(waiting):
                raise _no_room()
            digest.update(waiting)
            file.write(waiting)
            file.flush()

        async for piece in pieces:
            waiting += piece
            if len(waiting) >= _PIECE_BYTES:
                await asyncio.to_thread(write)
                size_bytes += len(waiting)
                waiting.clear()
        await asyncio.to_thread(write)
        size_bytes += len(waiting)
        await asyncio.to_thread(self._disk.sync, path)
        return Spooled(path, size_bytes, digest.hexdigest(), time.monotonic())

    def _drop_stale(self) -> None:
        oldest = time.monotonic() - STALE_AFTER_S
        for token in [token for token, each in self._arrived.items() if each.arrived_at < oldest]:
            self.discard(token)

    def find(self, token: str) -> Spooled | None:
        return self._arrived.get(token)

    def discard(self, token: str) -> None:
        """Remove a file that no job takes."""
        spooled = self._arrived.pop(token, None)
        if spooled is not None:
            spooled.path.unlink(missing_ok=True)

    def hand_over(self, token: str, target: Path) -> None:
        """Move a file to its job."""
        self._arrived.pop(token).path.replace(target)


def _no_room() -> NotReady:
    return NotReady("There is no room for documents now.", retry_after_s=NO_ROOM_RETRY_AFTER_S)
