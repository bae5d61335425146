"""The index in PostgreSQL: what writes to it; who asks it is in `server.py`."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from rag.index.engine import OnDamage, OnRefresh, RollbackError
from rag.index.manifest import BrokenIndexError, number_of
from rag.index.plan import Makers, require_embedder, warn_of_damage
from rag.index.plan import restore as restored
from rag.index.postgres.address import read_address
from rag.index.postgres.approximate import keep_searchable
from rag.index.postgres.change import Base, DatabaseChange, Place
from rag.index.postgres.content import SNAPSHOT, DatabaseContent
from rag.index.postgres.pruning import prune
from rag.index.postgres.publishing import restore
from rag.index.postgres.server import DatabaseServer
from rag.index.postgres.versions import (
    DatabaseVersion,
    is_kept,
    read_serving,
    read_version,
    serving_number,
    verify_contents,
)
from rag.index.postgres.writing import Connection, connected, enter_tenant, lock_tenant
from rag.types import ModelInfo


class PostgresEngine:
    """A `rag.index.engine.IndexEngine`."""

    def __init__(self, url: str) -> None:
        """Raises: ValueError: the URL cannot be read."""
        read_address(url, "")
        self._url = url

    def serve(self, embedder: ModelInfo, on_refresh: OnRefresh = lambda _: None) -> DatabaseServer:
        return DatabaseServer(self._url, embedder, on_refresh)

    def tenants(self) -> list[str]:
        with connected(self._url) as connection:
            return [name for (name,) in connection.execute("SELECT tenant_id FROM rag.tenants ORDER BY tenant_id")]

    def current(self, tenant_id: str) -> DatabaseVersion | None:
        with connected(self._url) as connection:
            tenant = enter_tenant(connection, tenant_id)
            return None if tenant is None else read_serving(connection, tenant)

    def verify(self, tenant_id: str) -> DatabaseVersion | None:
        with connected(self._url) as connection:
            tenant = enter_tenant(connection, tenant_id)
            version = None if tenant is None else read_serving(connection, tenant)
            if tenant is not None and version is not None:
                verify_contents(connection, tenant, version)
            return version

    @contextmanager
    def read(self, tenant_id: str, name: str | None = None) -> Iterator[DatabaseContent | None]:
        with connected(self._url) as connection:
            tenant = enter_tenant(connection, tenant_id)
            if tenant is None:
                yield None
                return
            with connection.transaction():
                connection.execute(SNAPSHOT)
                number = number_of(name) if name else serving_number(connection, tenant)
                if number is None or not is_kept(connection, tenant, number):
                    yield None
                    return
                version = read_version(connection, tenant, number)
                verify_contents(connection, tenant, version)
                yield DatabaseContent(connection, tenant, version)

    @contextmanager
    def update(
        self,
        tenant_id: str,
        on_wait: Callable[[], object],
        embedder: ModelInfo | None = None,
        *,
        chunker_version: str = "",
        keeps_tokens: bool = False,
        on_damage: OnDamage = warn_of_damage,
    ) -> Iterator[DatabaseChange]:
        makers = Makers(embedder, chunker_version, keeps_tokens) if embedder else None
        with connected(self._url) as connection, tempfile.TemporaryDirectory(prefix="rag-index-") as folder:
            tenant = enter_tenant(connection, tenant_id, create=makers is not None)
            if tenant is None:
                raise BrokenIndexError("there is no index")
            lock_tenant(connection, tenant, on_wait)
            base = _find_base(connection, tenant, on_damage if makers else None)
            if makers is None:
                if base.version is None:
                    raise BrokenIndexError("there is no index")
                of = base.version.manifest
                makers = Makers(of.embedder, of.chunker_version, of.has_tokens)
            change = DatabaseChange(Place(connection, tenant, tenant_id), Path(folder), base, makers)
            with closing(change):
                yield change

    def rollback(
        self, tenant_id: str, embedder: ModelInfo, on_wait: Callable[[], object]
    ) -> tuple[str, DatabaseVersion]:
        with connected(self._url) as connection:
            tenant = enter_tenant(connection, tenant_id)
            if tenant is None or serving_number(connection, tenant) is None:
                raise RollbackError("there is no index")
            lock_tenant(connection, tenant, on_wait)
            serving = read_serving(connection, tenant)
            assert serving is not None
            old = _read_previous(connection, tenant, serving, embedder)
            manifest = restored(old.manifest, after=serving.name, serving=serving.manifest)
            version = restore(connection, tenant, manifest, old, serving=serving.number)
            prune(connection, tenant, serving.number)
            keep_searchable(connection, tenant, version.manifest)
            return old.name, version


def _find_base(connection: Connection, tenant: int, on_damage: OnDamage | None) -> Base:
    """Return what a change starts from: the serving version, or, if that is damaged, the one before it, or nothing."""
    number = serving_number(connection, tenant)
    if number is None:
        return Base(None, 0)
    try:
        version = read_version(connection, tenant, number)
    except BrokenIndexError as damage:
        if on_damage is None:
            raise
        base = _find_whole(connection, tenant, below=number)
        on_damage(damage, base)
        return Base(base, number, damaged=number)
    return Base(version, version.manifest.numbers_above)


def _find_whole(connection: Connection, tenant: int, *, below: int) -> DatabaseVersion | None:
    rows = connection.execute(
        "SELECT number FROM rag.versions WHERE tenant = %s AND number < %s ORDER BY number DESC", (tenant, below)
    ).fetchall()
    for (number,) in rows:
        try:
            return read_version(connection, tenant, number)
        except BrokenIndexError:
            continue
    return None


def _read_previous(
    connection: Connection, tenant: int, serving: DatabaseVersion, embedder: ModelInfo
) -> DatabaseVersion:
    """Return the version before the serving one. Raises: RollbackError."""
    row = connection.execute(
        "SELECT max(number) FROM rag.versions WHERE tenant = %s AND number < %s", (tenant, serving.number)
    ).fetchone()
    if serving.manifest.previous is None or row is None or row[0] is None:
        raise RollbackError("there is no version before the one that serves")
    try:
        old = read_version(connection, tenant, row[0])
        verify_contents(connection, tenant, old)
    except BrokenIndexError as error:
        raise RollbackError(f"the version before, {serving.manifest.previous}, is damaged: {error}") from error
    require_embedder(old, embedder)
    return old
