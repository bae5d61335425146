"""Serve from the database: know which version of each tenant serves, and hand it to each question.

The database is asked for new versions each second. LISTEN was rejected: it needs a connection of its own, which a
pooler does not give, and a lost notice would have to be found by asking anyway.
"""

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, LiteralString

from rag.errors import IndexUnavailable
from rag.index.engine import IndexState, OnRefresh
from rag.index.manifest import DocumentEntry, Manifest
from rag.index.postgres.index import DatabaseIndex
from rag.index.postgres.pool import Pool
from rag.index.postgres.rows import read_entry, read_grouped, read_header
from rag.index.postgres.scopes import Served, Views
from rag.types import IndexVersion, ModelInfo, Scope

# By contract a new version is in use within 5 s.
POLL_S: Final = 1.0
OF_ALL_CALLERS: Final = Scope()

_NAMES: Final[LiteralString] = """
SELECT t.tenant_id, v.name FROM rag.tenants t JOIN rag.versions v ON v.tenant = t.tenant AND v.number = t.serving
"""
_VERSIONS: Final[LiteralString] = """
SELECT t.tenant_id, v.tenant, v.number, v.name, v.header, v.grouped, v.words, v.languages, v.last_doc, v.hidden
FROM rag.tenants t JOIN rag.versions v ON v.tenant = t.tenant AND v.number = t.serving
WHERE t.tenant_id = ANY(%(tenant_ids)s::text[])
"""
_DOCUMENTS: Final[LiteralString] = """
SELECT entry FROM rag.documents WHERE tenant = %(tenant)s AND born <= %(version)s AND %(version)s < died
ORDER BY document_id
"""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the last look found: a version, by its name, and why it cannot serve, if it cannot."""

    name: str
    served: Served | None
    fault: str | None = None
    is_mismatch: bool = False


class DatabaseServer:
    """A `rag.index.engine.IndexServer`."""

    def __init__(self, url: str, expected: ModelInfo, on_refresh: OnRefresh = lambda _: None) -> None:
        """Connects when it is first asked. Raises: ValueError: the URL cannot be read."""
        self._pool = Pool(url)
        self._views = Views(self._pool)
        self._expected = expected
        self._on_refresh = on_refresh
        self._seen: dict[str, _Seen] = {}
        self._has_looked = False
        self._is_lost = False
        self._lists: dict[str, tuple[str, Sequence[DocumentEntry]]] = {}

    async def current(self, tenant_id: str, scope: Scope = OF_ALL_CALLERS) -> DatabaseIndex | None:
        seen = self._seen.get(tenant_id)
        if seen is None:
            await self._look_at([tenant_id])
            seen = self._seen.get(tenant_id)
        if seen is None:
            return None
        if seen.served is None:
            raise IndexUnavailable from RuntimeError(seen.fault)
        if not seen.served.summary.chunks:
            return None
        view = await self._views.find(seen.served, scope)
        return DatabaseIndex(self._pool, tenant_id, view) if view else None

    def state(self) -> IndexState:
        if not self._has_looked:
            return "unreachable" if self._is_lost else "loading"
        faults = [seen for seen in self._seen.values() if seen.served is None]
        if self._is_lost:
            return "unreachable"
        if any(seen.is_mismatch for seen in faults):
            return "mismatch"
        return "unreachable" if faults and len(faults) == len(self._seen) else "ok"

    def versions(
        self, tenant_ids: Collection[str] | None = None, groups: Collection[str] | None = None
    ) -> dict[str, IndexVersion]:
        served = {tenant_id: seen.served.summary for tenant_id, seen in self._seen.items() if seen.served}
        return {
            tenant_id: served[tenant_id] if groups is None else served[tenant_id].seen_with(groups)
            for tenant_id in sorted(served)
            if tenant_ids is None or tenant_id in tenant_ids
        }

    async def documents(self, tenant_id: str) -> tuple[str | None, Sequence[DocumentEntry]]:
        await self._look_at([tenant_id], keeps_known=True)
        seen = self._seen.get(tenant_id)
        if seen is None:
            return None, ()
        if seen.served is None and not seen.is_mismatch:
            raise IndexUnavailable
        kept = self._lists.get(tenant_id)
        if kept is None or kept[0] != seen.name:
            kept = self._lists[tenant_id] = (seen.name, await self._list(tenant_id))
        return kept

    async def open_all(self) -> None:
        await self.refresh()

    async def watch(self) -> None:
        while True:
            await self.refresh()
            await asyncio.sleep(POLL_S)

    async def refresh(self) -> None:
        """Look once which versions serve; never fails."""
        try:
            names: dict[str, str] = dict(await self._pool.ask(None, _NAMES, {}))
            changed = [each for each, name in names.items() if each not in self._seen or self._seen[each].name != name]
            await self._look_at(changed)
        except IndexUnavailable as error:
            if not self._is_lost:
                _log.warning("index_database_lost", extra={"fields": {"reason": str(error.__cause__)}})
            self._is_lost = True
            return
        if self._is_lost:
            _log.info("index_database_found")
        for tenant_id in self._seen.keys() - names.keys():
            del self._seen[tenant_id]
        self._is_lost, self._has_looked = False, True
        self._on_refresh(self.versions())

    async def aclose(self) -> None:
        await self._pool.aclose()

    async def _look_at(self, tenant_ids: Sequence[str], *, keeps_known: bool = False) -> None:
        """Read which versions of these tenants serve. Raises: IndexUnavailable."""
        if not tenant_ids:
            return
        rows = await self._pool.ask(None, _VERSIONS, {"tenant_ids": list(tenant_ids)})
        for tenant_id, *row in rows:
            seen = self._seen.get(tenant_id)
            if seen is not None and keeps_known and seen.name == row[2]:
                continue
            self._seen[tenant_id] = self._judge(tenant_id, *row)
        for tenant_id in set(tenant_ids) - {row[0] for row in rows}:
            self._seen.pop(tenant_id, None)

    def _judge(self, tenant_id: str, tenant: int, number: int, name: str, header: bytes, *row: Any) -> _Seen:
        try:
            manifest = read_header(header)
            summary = IndexVersion(name, manifest.chunks, manifest.documents, manifest.built_at, read_grouped(row[0]))
        except ValueError:
            return self._refuse(tenant_id, name, "its description cannot be read", is_mismatch=False)
        made_by = manifest.embedder
        if manifest.chunks and made_by != self._expected:
            fault = f"made by {made_by.name} {made_by.revision}, not {self._expected.name} {self._expected.revision}"
            return self._refuse(tenant_id, name, fault, is_mismatch=True)
        return _Seen(name, _serve(tenant, number, summary, manifest, row[1:]))

    def _refuse(self, tenant_id: str, name: str, fault: str, *, is_mismatch: bool) -> _Seen:
        before = self._seen.get(tenant_id)
        if before is None or before.fault != fault:
            _log.warning("index_version_refused", extra={"fields": {"tenant_id": tenant_id, "reason": fault}})
        return _Seen(name, None, fault, is_mismatch)

    async def _list(self, tenant_id: str) -> Sequence[DocumentEntry]:
        rows = await self._pool.ask(None, _VERSIONS, {"tenant_ids": [tenant_id]})
        if not rows:
            return ()
        keys: Mapping[str, Any] = {"tenant": rows[0][1], "version": rows[0][2]}
        found = await self._pool.ask(rows[0][1], _DOCUMENTS, keys)
        return tuple(read_entry(entry) for (entry,) in found)


def _serve(tenant: int, number: int, summary: IndexVersion, manifest: Manifest, row: Sequence[Any]) -> Served:
    words, languages, last_doc, hidden = row
    return Served(
        tenant, number, summary, manifest.embedder, manifest.has_tokens, words, languages, last_doc, hidden
    )  # fmt: skip
