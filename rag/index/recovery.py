"""What is left where the serving version is damaged: the last one that is whole, and numbers that nothing ever had.

Damage is never carried into a next version. What the damaged one had added or removed is not known for certain, so the
next starts from the last whole version, or from nothing.
"""

from collections.abc import Iterator
from pathlib import Path

from rag.index.manifest import BrokenIndexError, StoredVersion, is_version_name, number_of, read_version, verify_files
from rag.index.version import TenantIndex


def read_all(stored: StoredVersion) -> StoredVersion:
    """Raises: BrokenIndexError: a byte is not what was sealed, or a part cannot be opened."""
    verify_files(stored)
    if stored.manifest.chunks:
        TenantIndex(stored)
    return stored


def find_whole(versions: Path) -> StoredVersion | None:
    """The version with the highest number of which every byte is what was sealed."""
    for name in sorted(_names(versions), key=number_of, reverse=True):
        try:
            return read_all(read_version(versions / name))
        except BrokenIndexError:
            continue
    return None


def find_highest_number(versions: Path, serving: str | None) -> int:
    """The number of the last version, damaged or not; `serving` may name one whose folder is gone.

    No document has a version with a higher number: from one version of the index to the next it grows by one at most.
    """
    return max(map(number_of, [*_names(versions), *([serving] if serving else [])]), default=0)


def _names(versions: Path) -> Iterator[str]:
    return (path.name for path in versions.iterdir() if is_version_name(path.name))
