"""Locate the versions of each tenant, name the one that serves, and replace it by the next.

A tenant has one folder and nothing outside it. At every moment `CURRENT` names a whole version or does not exist. So a
process may die between any two steps: nothing names what it leaves behind, and the next ingestion removes it.
"""

import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

from rag.index.disk import Disk, link_file, open_private
from rag.index.engine import RollbackError
from rag.index.manifest import (
    MANIFEST_NAME,
    BrokenIndexError,
    Manifest,
    StoredVersion,
    is_version_name,
    name_version,
    read_manifest,
    read_version,
    render_manifest,
)
from rag.index.plan import require_embedder, restore
from rag.index.recovery import find_highest_number, find_whole, read_all
from rag.types import ModelInfo

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
    """Return a safe name for a tenant's folder: `.` and `..` are valid tenants, and some file systems ignore case.

    Raises: ValueError: the id is not a valid tenant.
    """
    if not _TENANT.fullmatch(tenant_id):
        raise ValueError("a tenant has 1 to 64 characters of A-Za-z0-9._-")
    return _PREFIX + re.sub("[A-Z]", lambda capital: "=" + capital.group().lower(), tenant_id)


def tenant_of(folder: str) -> str | None:
    """Return the tenant whose folder has this name; None if it is no tenant's folder."""
    tenant_id = re.sub("=([a-z])", lambda capital: capital.group(1).upper(), folder.removeprefix(_PREFIX))
    valid = _TENANT.fullmatch(tenant_id) is not None and folder_name(tenant_id) == folder
    return tenant_id if valid else None


class IndexStore:
    """The versions of all tenants below one directory."""

    def __init__(self, index_dir: Path, disk: Disk | None = None) -> None:
        self.index_dir: Final = index_dir
        self._disk = disk or Disk()

    def tenants(self) -> list[str]:
        """Return all tenants that have a folder, sorted, whether or not a version serves."""
        if not self.index_dir.is_dir():
            return []
        found = (tenant_of(entry.name) for entry in os.scandir(self.index_dir) if entry.is_dir())
        return sorted(tenant_id for tenant_id in found if tenant_id is not None)

    def folder(self, tenant_id: str) -> Path:
        """Return the folder of a tenant, whether or not it exists."""
        return self.index_dir / folder_name(tenant_id)

    def serving_name(self, tenant_id: str) -> str | None:
        """Return the name of the serving version, or None if the tenant has none.

        Raises: BrokenIndexError: `CURRENT` holds no name of a version.
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
        """Return what `use` makes of the serving version, or of the next one if it is pruned meanwhile.

        Returns None if the tenant has no version.

        Raises: BrokenIndexError: a file is missing or truncated, or `use` raises it.
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

    def read_named(self, tenant_id: str, name: str, use: Callable[[StoredVersion], T]) -> T | None:
        """Return what `use` makes of this version, whether or not it serves; None if it is gone.

        Raises: BrokenIndexError: a file is missing or truncated, or `use` raises it.
        """
        folder = self.folder(tenant_id) / _VERSIONS / name
        try:
            return use(read_version(folder))
        except (BrokenIndexError, FileNotFoundError):
            if folder.is_dir():
                raise
            return None

    def current(self, tenant_id: str) -> StoredVersion | None:
        """Return the serving version without reading its files; None if the tenant has none.

        Raises: BrokenIndexError: a file is missing or truncated.
        """
        return self.read(tenant_id, lambda stored: stored)

    def verify(self, tenant_id: str) -> StoredVersion | None:
        """Return the serving version after reading every byte and opening every part; None if the tenant has none.

        Raises: BrokenIndexError: with all problems found.
        """
        return self.read(tenant_id, read_all)

    def recover(self, tenant_id: str) -> tuple[StoredVersion | None, int]:
        """Return, after damage to the serving version, the last whole one and the number that new ones must exceed.

        Called inside `exclusive`. Raises: OSError: the disk failed.
        """
        versions = self.folder(tenant_id) / _VERSIONS
        serving = None
        with contextlib.suppress(BrokenIndexError):
            serving = self.serving_name(tenant_id)
        return find_whole(versions), find_highest_number(versions, serving)

    @contextlib.contextmanager
    def exclusive(self, tenant_id: str, on_wait: Callable[[], object]) -> Iterator[Path]:
        """Keep other writers of this tenant out; `on_wait` is called first if one is active.

        Yields: an empty folder in which to build the next version; it is removed at the end.
        """
        folder = self.folder(tenant_id)
        self._disk.make_folder(folder / _VERSIONS)
        with open_private(folder / _LOCK, "ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                on_wait()
                fcntl.flock(lock, fcntl.LOCK_EX)
            building = folder / _BUILDING
            self._prune(tenant_id)
            self._disk.make_private(folder)  # older code left it open to all
            building.mkdir(0o700)
            try:
                yield building
            finally:
                shutil.rmtree(building, ignore_errors=True)

    def publish(self, tenant_id: str, building: Path, manifest: Manifest) -> StoredVersion:
        """Make the version in `building` serve; called inside `exclusive`.

        Raises: OSError: the old version still serves, or, if only the pruning failed, the new one does.
        """
        content = render_manifest(manifest)
        versions = self.folder(tenant_id) / _VERSIONS
        target = versions / name_version(manifest, content)
        (building / MANIFEST_NAME).write_bytes(content)
        self._disk.make_private(building)
        self._disk.sync_tree(building)
        self._disk.rename(building, target)
        try:
            self._disk.write(self.folder(tenant_id) / _CURRENT, f"{target.name}\n".encode())
        except OSError:
            with contextlib.suppress(OSError):
                self._prune(tenant_id)  # a full disk needs the space
            raise
        self._prune(tenant_id)
        return StoredVersion(target.name, target, manifest)

    def rollback(self, tenant_id: str, embedder: ModelInfo, on_wait: Callable[[], object]) -> tuple[str, StoredVersion]:
        """Restore the content of the previous version as a new version; returns the old one's name, and the new one.

        The new version follows the serving one, so a second rollback undoes the first. Only the manifest of the serving
        one is needed; if that or `CURRENT` is damaged too, the last whole version is restored.

        Raises: RollbackError: there is no previous version, or it is damaged or made by another embedder than this.
            OSError: as in `publish`.
        """
        with contextlib.suppress(BrokenIndexError):
            if self.serving_name(tenant_id) is None:
                raise RollbackError("there is no index")
        with self.exclusive(tenant_id, on_wait) as building:
            try:
                name = self.serving_name(tenant_id)
                assert name is not None
                serving = read_manifest(self.folder(tenant_id) / _VERSIONS / name)
            except BrokenIndexError as damage:
                old, numbers_above = self.recover(tenant_id)
                if old is None:
                    raise RollbackError(f"the serving version is damaged, and no other is whole: {damage}") from damage
                require_embedder(old, embedder)
                manifest = replace(old.manifest, previous=old.name, numbers_above=numbers_above)
            else:
                old = _read_previous(self.folder(tenant_id) / _VERSIONS, serving, embedder)
                manifest = restore(old.manifest, after=name, serving=serving)
            for seal in old.manifest.files:
                link_file(old.folder / seal.name, building / seal.name)
            return old.name, self.publish(tenant_id, building, manifest)

    def _prune(self, tenant_id: str) -> None:
        """Remove what no reader can need: all but the serving and the previous version, and the remains of a crash.

        If the serving version is too damaged to name the previous one, all versions stay: one may be the last whole
        one.
        """
        folder = self.folder(tenant_id)
        versions = folder / _VERSIONS
        try:
            name = self.serving_name(tenant_id)
            kept = {name, read_manifest(versions / name).previous} if name else set()
        except BrokenIndexError:
            kept = {version.name for version in versions.iterdir()}
        for version in sorted(versions.iterdir()):
            if version.name not in kept:
                self._disk.remove(version)
        for debris in (folder / _BUILDING, folder / f"{_CURRENT}.new"):
            if debris.exists():
                self._disk.remove(debris)


def _read_previous(versions: Path, serving: Manifest, embedder: ModelInfo) -> StoredVersion:
    """Return the previous version, fully read.

    Raises: RollbackError: there is none, or it is damaged or made by another embedder.
    """
    if serving.previous is None:
        raise RollbackError("there is no version before the one that serves")
    try:
        old = read_all(read_version(versions / serving.previous))
    except BrokenIndexError as error:
        raise RollbackError(f"the version before, {serving.previous}, is damaged: {error}") from error
    require_embedder(old, embedder)
    return old
