"""Provide the index versions that a running server answers from: opened on first use, replaced in the background."""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rag.errors import IndexUnavailable
from rag.index.embedded import EmbeddedIndex
from rag.index.engine import EmbedderMismatchError, IndexState
from rag.index.listing import DocumentLists
from rag.index.manifest import BrokenIndexError, DocumentEntry, StoredVersion
from rag.index.scoped import ScopedIndexes
from rag.index.store import IndexStore
from rag.index.version import TenantIndex
from rag.types import IndexVersion, ModelInfo, Scope

# By contract a new version is in use within 5 s; this leaves four to open it.
POLL_S: Final = 1.0
# The documents without groups.
OF_ALL_CALLERS: Final = Scope()

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Seen:
    """The result of the last look at a tenant's serving version: a version or a fault."""

    version: IndexVersion | None = None
    fault: BrokenIndexError | OSError | None = None


class ServedIndexes:
    """A `rag.ports.IndexProvider` over an index directory that ingestions may change at any time.

    It belongs to one event loop. A query keeps the version that it was given; an old version is closed once the last
    query has released it.
    """

    def __init__(
        self,
        index_dir: Path,
        expected: ModelInfo,
        on_refresh: Callable[[Mapping[str, IndexVersion]], None] = lambda _: None,
    ) -> None:
        """`on_refresh` is called after each refresh with the serving version of each tenant."""
        self._on_refresh = on_refresh
        self._store = IndexStore(index_dir)
        self._lists = DocumentLists(self._store)
        self._expected = expected
        self._open: dict[str, ScopedIndexes] = {}
        self._opening: dict[str, asyncio.Task[ScopedIndexes | None]] = {}
        self._seen: dict[str, _Seen] = {}
        self._has_looked = False

    async def current(self, tenant_id: str, scope: Scope = OF_ALL_CALLERS) -> EmbeddedIndex | None:
        """Return the serving version as the scope shows it, or None if there is no document in it.

        Raises: IndexUnavailable: it is broken, or made by another embedder.
        """
        indexes = self._open.get(tenant_id)
        if indexes is None or not indexes.whole.is_whole():
            self._forget(tenant_id)
            try:
                indexes = await self._open_once(tenant_id)
            except (BrokenIndexError, OSError) as error:
                raise IndexUnavailable from error
        return indexes.find(scope) if indexes else None

    def state(self) -> IndexState:
        """Return the state for readiness.

        `loading`: before the first `refresh`. `mismatch`: the index of some tenant was made by another embedder.
        `unreachable`: no tenant can be served. A damaged tenant affects only itself.
        """
        faults = [seen.fault for tenant_id, seen in self._seen.items() if seen.fault and tenant_id not in self._open]
        if not self._has_looked:
            return "loading"
        if any(isinstance(fault, EmbedderMismatchError) for fault in faults):
            return "mismatch"
        return "unreachable" if faults and len(faults) == len(self._seen) else "ok"

    def versions(
        self, tenant_ids: Collection[str] | None = None, groups: Collection[str] | None = None
    ) -> dict[str, IndexVersion]:
        """Return what serves, for these tenants or for all; tenants that cannot be served are left out.

        The sizes are those that a caller with these groups sees, or those of the whole.
        """
        served = {tenant_id: seen.version for tenant_id, seen in self._seen.items() if seen.version}
        served |= {tenant_id: indexes.whole.version for tenant_id, indexes in self._open.items()}
        return {
            tenant_id: served[tenant_id] if groups is None else served[tenant_id].seen_with(groups)
            for tenant_id in sorted(served)
            if tenant_ids is None or tenant_id in tenant_ids
        }

    async def documents(self, tenant_id: str) -> tuple[str | None, Sequence[DocumentEntry]]:
        """Return the name of the serving version as of now, None if there is none, and its documents, sorted by id.

        Raises: IndexUnavailable: the index is damaged, or cannot be read.
        """
        listing = await self._lists.read(tenant_id)
        return listing.version, listing.entries

    async def aclose(self) -> None:
        """Do nothing: files are closed with their last reader."""

    async def open_all(self) -> None:
        """Open all indexes that can be served, so that no query has to wait for it; broken tenants are skipped."""
        await self.refresh()
        for tenant_id in list(self._seen):
            with suppress(IndexUnavailable):
                await self.current(tenant_id)

    async def watch(self) -> None:
        """Refresh for ever; runs as a task beside the server."""
        while True:
            await self.refresh()
            await asyncio.sleep(POLL_S)

    async def refresh(self) -> None:
        """Look at every tenant on disk once, and open versions that replace an open one; never fails."""
        try:
            names = await asyncio.to_thread(self._serving_names)
        except OSError as error:
            _log.warning("index_dir_unreadable", extra={"fields": {"reason": str(error)}})
            return
        if not names and (self._seen or not self._has_looked):
            _log.warning("no_index_there", extra={"fields": {"tenants_before": len(self._seen)}})
        for tenant_id in self._seen.keys() | self._open.keys() | names.keys():
            await self._refresh_tenant(tenant_id, names.get(tenant_id))
        self._has_looked = True
        self._on_refresh(self.versions())

    async def _refresh_tenant(self, tenant_id: str, name: str | None) -> None:
        if tenant_id in self._open and not self._open[tenant_id].whole.is_whole():
            self._forget(tenant_id)
        opened, before = self._open.get(tenant_id), self._seen.get(tenant_id, _Seen())
        version = opened.whole.version if opened else before.version
        if version is not None and version.version == name:
            self._seen[tenant_id] = _Seen(version)
            return
        try:
            if opened:
                await self._open_once(tenant_id)
            version = await asyncio.to_thread(self._store.read, tenant_id, self._summarise)
        except (BrokenIndexError, OSError) as error:
            if str(error) != str(before.fault):
                _log.warning("index_version_refused", extra={"fields": {"tenant_id": tenant_id, "reason": str(error)}})
            self._seen[tenant_id] = _Seen(fault=error)
            return
        if version is None:
            self._seen.pop(tenant_id, None)
        else:
            self._seen[tenant_id] = _Seen(version)

    def _forget(self, tenant_id: str) -> None:
        """Discard an open version, so that the tenant is looked at again and refused if a file was truncated."""
        if self._open.pop(tenant_id, None) is not None:
            self._seen.pop(tenant_id, None)

    async def _open_once(self, tenant_id: str) -> ScopedIndexes | None:
        """Open the serving version once for all waiters; a waiter that is cancelled does not stop the others.

        Raises: BrokenIndexError, OSError: it cannot be opened; the version that was open stays.
        """
        task = self._opening.get(tenant_id)
        if task is None:
            task = self._opening[tenant_id] = asyncio.create_task(self._open_serving(tenant_id))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())  # all waiters may have left
        return await asyncio.shield(task)

    async def _open_serving(self, tenant_id: str) -> ScopedIndexes | None:
        try:
            index = await asyncio.to_thread(self._store.read, tenant_id, self._open_accepted)
            if index is None:
                self._open.pop(tenant_id, None)
                return None
            self._open[tenant_id] = ScopedIndexes(index)
            return self._open[tenant_id]
        finally:
            del self._opening[tenant_id]

    def _serving_names(self) -> dict[str, str | None]:
        """Return the serving name of each tenant; None if `CURRENT` is missing or damaged: a closer look tells."""
        names: dict[str, str | None] = {}
        for tenant_id in self._store.tenants():
            try:
                names[tenant_id] = self._store.serving_name(tenant_id)
            except (BrokenIndexError, OSError):
                names[tenant_id] = None
        return names

    def _open_accepted(self, stored: StoredVersion) -> TenantIndex | None:
        self._accept(stored)
        try:
            return TenantIndex(stored) if stored.manifest.chunks else None
        except (BrokenIndexError, OSError):
            raise
        except Exception as error:  # libraries raise anything on bytes that are not theirs
            raise BrokenIndexError(f"cannot be opened: {type(error).__name__}") from error

    def _summarise(self, stored: StoredVersion) -> IndexVersion:
        self._accept(stored)
        return stored.summary

    def _accept(self, stored: StoredVersion) -> None:
        made_by = stored.manifest.embedder
        if stored.manifest.chunks and made_by != self._expected:
            raise EmbedderMismatchError(
                f"made by {made_by.name} {made_by.revision}, not {self._expected.name} {self._expected.revision}"
            )
