"""A disk of a few kilobytes to fill, for what happens when there is no space left; only root can mount one."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_PAGE_BYTES: Final = 4096
FILLING: Final = "filling"


class NoSmallDiskError(Exception):
    """This machine does not let us mount one."""


@contextmanager
def mounted_disk(folder: Path, size_bytes: int) -> Iterator[Path]:
    """Yields: the folder, which is a disk of this size inside the block.

    Raises: NoSmallDiskError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(folder)]
    try:
        subprocess.run(command, capture_output=True, check=True)  # noqa: S603 - our own command
    except (OSError, subprocess.CalledProcessError) as error:
        raise NoSmallDiskError(f"no tmpfs can be mounted here: {error}") from error
    try:
        yield folder
    finally:
        # Lazily: who was ended a moment ago may still hold a file.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)  # noqa: S603, S607 - our own command


def fill(disk: Path, *, but_bytes: int = 0) -> None:
    """Leaves so much space, by pages, and no more; `empty` undoes it."""
    with (disk / FILLING).open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(_PAGE_BYTES))
        except OSError:
            pages = file.tell() // _PAGE_BYTES
        file.truncate(max(0, pages * _PAGE_BYTES - but_bytes))


def empty(disk: Path) -> None:
    (disk / FILLING).unlink()
