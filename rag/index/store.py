"""Where each tenant's versions are, which one serves, and how the next takes its place.

A tenant has one folder and nothing outside it. At every moment `CURRENT` names a whole version or does not exist, so a
process may die between any two steps: what it leaves behind is named by nobody, and the next ingestion removes it.
"""

import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

from rag.index.disk import Disk
from rag.index.manifest import (
    MANIFEST_NAME,
    BrokenIndexError,
    Manifest,
    StoredVersion,
    is_version_name,
    name_version,
    read_version,
    render_manifest,
    verify_files,
)
from rag.index.version import TenantIndex

T = TypeVar("T")

_PREFIX: Final = "tenant-"
_TENANT: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_CURRENT: Final = "CURRENT"
_LOCK: Final = "LOCK"
_BUILDING: Final = "building"
_VERSIONS: Final = "versions"
# A reader loses a version only if two newer ones are published while it opens one; five times in a row is no race.
_READ_ATTEMPTS: Final = 5


def folder_name(tenant_id: str) -> str:
    """A safe name for a tenant's folder: `.` and `..` are tenants too, and some file systems ignore case.

    Raises: ValueError: this can be no tenant.
    """
    if not _TENANT.fullmatch(tenant_id):
        raise ValueError("a tenant has 1 to 64 characters of A-Za-z0-9._-")
    return _PREFIX + re.sub("[A-Z]", lambda capital: "=" + capital.group().lower(), tenant_id)


def tenant_of(folder: str) -> str | None:
    """The tenant whose folder has this name, if it is one's."""
    tenant_id = re.sub("=([a-z])", lambda capital: capital.group(1).upper(), folder.removeprefix(_PREFIX))
    valid = _TENANT.fullmatch(tenant_id) is not None and folder_name(tenant_id) == folder
    return tenant_id if valid else None


class IndexStore:
    """The versions of all tenants below one directory."""

    def __init__(self, index_dir: Path, disk: Disk | None = None) -> None:
        self._index_dir = index_dir
        self._disk = disk or Disk()

    def tenants(self) -> list[str]:
        """All who have a folder, whether or not a version serves."""
        if not self._index_dir.is_dir():
            return []
        found = (tenant_of(entry.name) for entry in os.scandir(self._index_dir) if entry.is_dir())
        return sorted(tenant_id for tenant_id in found if tenant_id is not None)

    def folder(self, tenant_id: str) -> Path:
        return self._index_dir / folder_name(tenant_id)

    def serving_name(self, tenant_id: str) -> str | None:
        """The name of the version that serves, or None where the tenant has none.

        Raises: BrokenIndexError: `CURRENT` names nothing that could be a version.
        """
        try:
            name = (self.folder(tenant_id) / _CURRENT).read_text("ascii").strip()
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise BrokenIndexError(f"{_CURRENT} names no version") from error
        if not is_version_name(name):
            raise BrokenIndexError(f"{_CURRENT} names no version")
        return name

    def read(self, tenant_id: str, use: Callable[[StoredVersion], T]) -> T | None:
        """What `use` makes of the version that serves, or of the next one where it was pruned meanwhile.

        Returns None where the tenant has no version.

        Raises: BrokenIndexError: a file is missing or cut, or `use` says so.
        """
        for _ in range(_READ_ATTEMPTS):
            name = self.serving_name(tenant_id)
            if name is None:
                return None
            try:
                return use(read_version(self.folder(tenant_id) / _VERSIONS / name))
            except (BrokenIndexError, FileNotFoundError):
                if self.serving_name(tenant_id) == name:
                    raise
        raise BrokenIndexError("its versions change faster than they can be read")

    def current(self, tenant_id: str) -> StoredVersion | None:
        """The version that serves, not looked into; None where the tenant has none.

        Raises: BrokenIndexError: a file is missing or cut.
        """
        return self.read(tenant_id, lambda stored: stored)

    def verify(self, tenant_id: str) -> StoredVersion | None:
        """The version that serves, every byte read and every part opened; None where the tenant has none.

        Raises: BrokenIndexError: with everything that is wrong.
        """

        def read_all(stored: StoredVersion) -> StoredVersion:
            verify_files(stored)
            if stored.manifest.chunks:
                TenantIndex(stored)
            return stored

        return self.read(tenant_id, read_all)

    @contextlib.contextmanager
    def exclusive(self, tenant_id: str, on_wait: Callable[[], object]) -> Iterator[Path]:
        """Keeps other writers of this tenant out, after calling `on_wait` if one is in.

        Yields: an empty folder in which to make the next version; it is gone at the end.
        """
        folder = self.folder(tenant_id)
        self._disk.make_folder(folder / _VERSIONS)
        with (folder / _LOCK).open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                on_wait()
                fcntl.flock(lock, fcntl.LOCK_EX)
            building = folder / _BUILDING
            self._prune(tenant_id)
            building.mkdir()
            try:
                yield building
            finally:
                shutil.rmtree(building, ignore_errors=True)

    def publish(self, tenant_id: str, building: Path, manifest: Manifest) -> StoredVersion:
        """Makes what was built the serving version; called inside `exclusive`.

        Raises: OSError: the old version still serves, or, where only the pruning failed, the new one does.
        """
        content = render_manifest(manifest)
        versions = self.folder(tenant_id) / _VERSIONS
        target = versions / name_version(manifest, content)
        (building / MANIFEST_NAME).write_bytes(content)
        self._disk.sync_tree(building)
        self._disk.rename(building, target)
        self._disk.write(self.folder(tenant_id) / _CURRENT, f"{target.name}\n".encode())
        self._prune(tenant_id)
        return StoredVersion(target.name, target, manifest)

    def _prune(self, tenant_id: str) -> None:
        """Removes what no reader can want: all but the serving version and the one before, and what a crash left."""
        folder = self.folder(tenant_id)
        stored = self.current(tenant_id)
        kept = {stored.name, stored.manifest.previous} if stored else set()
        for version in sorted((folder / _VERSIONS).iterdir()):
            if version.name not in kept:
                self._disk.remove(version)
        for debris in (folder / _BUILDING, folder / f"{_CURRENT}.new"):
            if debris.exists():
                self._disk.remove(debris)
