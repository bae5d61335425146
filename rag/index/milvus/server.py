"""Serve the versions in Milvus: opened on first use, replaced in the background, given up while Milvus is away."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from rag.errors import IndexUnavailable
from rag.index.engine import EmbedderMismatchError, IndexState, OnRefresh
from rag.index.manifest import BrokenIndexError, DocumentEntry
from rag.index.milvus.driver import MilvusReader
from rag.index.milvus.filters import seen_at
from rag.index.milvus.index import MilvusIndex, OpenedVersion
from rag.index.milvus.layout import META, chunks_of
from rag.index.milvus.versions import (
    BLOB_FIELDS,
    SWITCH_FIELDS,
    MilvusVersion,
    Switch,
    blob_filter,
    read_blobs,
    read_switch,
    switch_filter,
)
from rag.types import IndexVersion, ModelInfo, Scope

# By contract a new version is in use within 5 s.
POLL_S: Final = 1.0
# Tenants whose documents are held in memory; the others are opened again when they are asked for, in two reads.
KEPT_TENANTS: Final = 256
OF_ALL_CALLERS: Final = Scope()

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Seen:
    """The result of the last look at a tenant's switch: a version or a fault."""

    version: IndexVersion | None = None
    fault: str | None = None
    is_mismatch: bool = False


class MilvusServer:
    """A `rag.index.engine.IndexServer`."""

    def __init__(self, reader: MilvusReader, expected: ModelInfo, on_refresh: OnRefresh = lambda _: None) -> None:
        self._reader = reader
        self._expected = expected
        self._on_refresh = on_refresh
        self._open: OrderedDict[str, OpenedVersion] = OrderedDict()
        self._opening: dict[str, asyncio.Task[OpenedVersion | None]] = {}
        self._seen: dict[str, _Seen] = {}
        self._has_looked = False
        self._is_away = False

    async def current(self, tenant_id: str, scope: Scope = OF_ALL_CALLERS) -> MilvusIndex | None:
        """Return the serving version as the scope shows it.

        Raises: IndexUnavailable: it is broken, or made by another embedder, or Milvus is away.
        """
        opened = self._open.get(tenant_id)
        if opened is None:
            try:
                opened = await self._open_once(tenant_id)
            except BrokenIndexError as error:
                raise IndexUnavailable from error
        else:
            self._open.move_to_end(tenant_id)
        return opened.find(scope) if opened else None

    def state(self) -> IndexState:
        faults = [seen for seen in self._seen.values() if seen.fault]
        if not self._has_looked:
            return "unreachable" if self._is_away else "loading"
        if self._is_away or (
            faults and len(faults) == len(self._seen) and not any(each.is_mismatch for each in faults)
        ):
            return "unreachable"
        return "mismatch" if any(each.is_mismatch for each in faults) else "ok"

    def versions(
        self, tenant_ids: Collection[str] | None = None, groups: Collection[str] | None = None
    ) -> dict[str, IndexVersion]:
        served = {tenant_id: seen.version for tenant_id, seen in self._seen.items() if seen.version}
        served |= {tenant_id: opened.summary for tenant_id, opened in self._open.items()}
        return {
            tenant_id: served[tenant_id] if groups is None else served[tenant_id].seen_with(groups)
            for tenant_id in sorted(served)
            if tenant_ids is None or tenant_id in tenant_ids
        }

    async def documents(self, tenant_id: str) -> tuple[str | None, Sequence[DocumentEntry]]:
        try:
            switch = await self._look(tenant_id)
            opened = self._open.get(tenant_id)
            if switch is None:
                return None, ()
            is_open = opened is not None and opened.summary.version == switch.name
            stored = opened.stored if opened and is_open else await self._read(tenant_id, switch.name)
        except BrokenIndexError as error:
            raise IndexUnavailable("The documents of this tenant cannot be read now.") from error
        return stored.name, sorted(stored.manifest.document_list, key=lambda each: each.document_id)

    async def open_all(self) -> None:
        """Make ready the tenants that can be served, as many as are kept in memory."""
        await self.refresh()
        for tenant_id in list(self._seen)[:KEPT_TENANTS]:
            with suppress(IndexUnavailable):
                await self.current(tenant_id)

    async def watch(self) -> None:
        """Refresh for ever; runs as a task beside the server."""
        while True:
            await self.refresh()
            await asyncio.sleep(POLL_S)

    async def refresh(self) -> None:
        """Look at every switch once, and open versions that replace an open one; never fails."""
        try:
            has_any = await self._reader.has(META)
            rows = await self._reader.query(META, switch_filter(), SWITCH_FIELDS) if has_any else []
        except IndexUnavailable as error:
            if not self._is_away:
                _log.warning("index_unreachable", extra={"fields": {"reason": type(error.__cause__).__name__}})
            self._is_away = True
            return
        self._is_away = False
        if not rows and (self._seen or not self._has_looked):
            _log.warning("no_index_there", extra={"fields": {"tenants_before": len(self._seen)}})
        switches = {row["tenant"]: row for row in rows}
        for tenant_id in (self._seen.keys() | self._open.keys()) - switches.keys():
            self._seen.pop(tenant_id, None)
            self._open.pop(tenant_id, None)
        for tenant_id, row in switches.items():
            await self._refresh_tenant(tenant_id, row)
        self._has_looked = True
        self._on_refresh(self.versions())

    async def aclose(self) -> None:
        for task in self._opening.values():
            task.cancel()
        await self._reader.aclose()

    async def _refresh_tenant(self, tenant_id: str, row: dict[str, str]) -> None:
        before, opened = self._seen.get(tenant_id, _Seen()), self._open.get(tenant_id)
        serving = {before.version and before.version.version, opened.summary.version if opened else row["name"]}
        if serving == {row["name"]}:
            return
        try:
            switch = read_switch(row)
            self._accept(switch)
            if opened is not None:
                opened = await self._open_once(tenant_id)
            whole = opened.summary if opened else switch.version
            if opened is None and not switch.is_whole:
                whole = (await self._read(tenant_id, switch.name)).summary
            self._seen[tenant_id] = _Seen(whole)
        except (BrokenIndexError, IndexUnavailable) as error:
            reason = str(error)
            if reason != before.fault:
                _log.warning("index_version_refused", extra={"fields": {"tenant_id": tenant_id, "reason": reason}})
            # A version that is open goes on serving.
            if opened is None:
                self._seen[tenant_id] = _Seen(fault=reason, is_mismatch=isinstance(error, EmbedderMismatchError))

    async def _open_once(self, tenant_id: str) -> OpenedVersion | None:
        """Open the serving version once for all waiters; a waiter that is cancelled does not stop the others.

        Raises: BrokenIndexError, IndexUnavailable: it cannot be opened; the version that was open stays.
        """
        task = self._opening.get(tenant_id)
        if task is None:
            task = self._opening[tenant_id] = asyncio.create_task(self._open_serving(tenant_id))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())  # all waiters may have left
        return await asyncio.shield(task)

    async def _open_serving(self, tenant_id: str) -> OpenedVersion | None:
        try:
            switch = await self._look(tenant_id)
            if switch is None or not switch.version.chunks:
                self._open.pop(tenant_id, None)
                return None
            self._accept(switch)
            stored = await self._read(tenant_id, switch.name)
            opened = OpenedVersion(self._reader, tenant_id, stored)
            collection = chunks_of(stored.manifest.embedder)
            found = await self._reader.count(collection, seen_at(tenant_id, stored.number))
            if found != stored.manifest.chunks:
                raise BrokenIndexError(f"{found} chunks are there instead of {stored.manifest.chunks}")
            self._open[tenant_id] = opened
            self._open.move_to_end(tenant_id)
            while len(self._open) > KEPT_TENANTS:
                self._open.popitem(last=False)
            return opened
        finally:
            del self._opening[tenant_id]

    async def _look(self, tenant_id: str) -> Switch | None:
        if not await self._reader.has(META):
            return None
        rows = await self._reader.query(META, switch_filter(tenant_id), SWITCH_FIELDS)
        return read_switch(rows[0]) if rows else None

    async def _read(self, tenant_id: str, name: str) -> MilvusVersion:
        return read_blobs(name, await self._reader.query(META, blob_filter(tenant_id, name), BLOB_FIELDS))

    def _accept(self, switch: Switch) -> None:
        made_by = switch.embedder
        if switch.version.chunks and made_by != self._expected:
            raise EmbedderMismatchError(
                f"made by {made_by.name} {made_by.revision}, not {self._expected.name} {self._expected.revision}"
            )
