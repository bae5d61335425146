"""Recover from a damaged serving version: find the last whole one, and version numbers that were never used.

Damage is never copied into the next version. It is unknown what the damaged version had added or removed, so the next
one starts from the last whole version, or from nothing.
"""

from collections.abc import Iterator
from pathlib import Path

from rag.index.manifest import BrokenIndexError, StoredVersion, is_version_name, number_of, read_version, verify_files
from rag.index.version import TenantIndex


def read_all(stored: StoredVersion) -> StoredVersion:
    """Return the version after reading every byte and opening every part.

    Raises: BrokenIndexError: a byte differs from what was sealed, or a part cannot be opened.
    """
    verify_files(stored)
    if stored.manifest.chunks:
        TenantIndex(stored)
    return stored


def find_whole(versions: Path) -> StoredVersion | None:
    """Return the version with the highest number of which every byte is as sealed; None if there is none."""
    for name in sorted(_names(versions), key=number_of, reverse=True):
        try:
            return read_all(read_version(versions / name))
        except BrokenIndexError:
            continue
    return None


def find_highest_number(versions: Path, serving: str | None) -> int:
    """Return the number of the last version, damaged or not; `serving` may name one whose folder is gone.

    No document version has a higher number, because it grows by at most one from one index version to the next.
    """
    return max(map(number_of, [*_names(versions), *([serving] if serving else [])]), default=0)


def _names(versions: Path) -> Iterator[str]:
    return (path.name for path in versions.iterdir() if is_version_name(path.name))
