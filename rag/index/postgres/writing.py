"""Connect to write: one connection, of one tenant, that keeps other writers of the tenant out while it lives."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, LiteralString

import psycopg

from rag.index.postgres.adapters import register
from rag.index.postgres.address import DatabaseError, describe, read_address
from rag.index.postgres.schema import GRANTS, MIGRATIONS, SCHEMA_VERSION

Connection = psycopg.Connection[tuple[Any, ...]]

# Advisory locks are two numbers; the first says that it is ours.
_SCHEMA_LOCK: Final = (1_380_009_777, 0)
_TENANT_LOCK: Final = 1_380_009_778

_HAS_TABLES: Final[LiteralString] = """
SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'rag' AND c.relname = 'schema_version'
"""


@contextmanager
def telling() -> Iterator[None]:
    """Raises: DatabaseError for what the driver raises."""
    try:
        yield
    except psycopg.Error as error:
        raise DatabaseError(describe(error)) from error


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    """Yields: a connection whose statements are transactions of their own; the tables exist.

    Raises: DatabaseError.
    """
    with telling(), psycopg.connect(read_address(url, "writer"), autocommit=True) as connection:
        connection.prepare_threshold = None
        _migrate(connection)
        types = connection.execute("SELECT 'vector'::regtype::oid, 'vector[]'::regtype::oid").fetchone()
        assert types is not None
        register(connection, *types)
        yield connection


def _migrate(connection: Connection) -> None:
    """Bring the tables up to date. Raises: DatabaseError: they were made by newer code, or pgvector is missing."""
    if _find_version(connection) == SCHEMA_VERSION:
        return
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s, %s)", _SCHEMA_LOCK)
        version = _find_version(connection)
        if version > SCHEMA_VERSION:
            raise DatabaseError(f"the tables are of version {version}, and this code knows {SCHEMA_VERSION}")
        if version == 0 and not _has_vector(connection):
            connection.execute("CREATE EXTENSION vector")
        for migration in MIGRATIONS[version:]:
            connection.execute(migration)
        connection.execute("UPDATE rag.schema_version SET version = %s", (SCHEMA_VERSION,))
        connection.execute(GRANTS)


def _find_version(connection: Connection) -> int:
    # Not by `to_regclass`: it may remember that there was none before another writer made it.
    if connection.execute(_HAS_TABLES).fetchone() is None:
        return 0
    row = connection.execute("SELECT version FROM rag.schema_version").fetchone()
    return int(row[0]) if row else 0


def _has_vector(connection: Connection) -> bool:
    return connection.execute("SELECT FROM pg_extension WHERE extname = 'vector'").fetchone() is not None


def enter_tenant(connection: Connection, tenant_id: str, *, create: bool = False) -> int | None:
    """Let the connection see this tenant's rows; returns its number, None if it has none and none is made."""
    if create:
        connection.execute("INSERT INTO rag.tenants (tenant_id) VALUES (%s) ON CONFLICT DO NOTHING", (tenant_id,))
    row = connection.execute("SELECT tenant FROM rag.tenants WHERE tenant_id = %s", (tenant_id,)).fetchone()
    if row is None:
        return None
    connection.execute("SELECT set_config('rag.tenant', %s, false)", (str(row[0]),))
    return int(row[0])


def lock_tenant(connection: Connection, tenant: int, on_wait: Callable[[], object]) -> None:
    """Keep other writers of this tenant out until the connection ends; `on_wait` is called if one is active."""
    key = (_TENANT_LOCK, tenant)
    row = connection.execute("SELECT pg_try_advisory_lock(%s, %s)", key).fetchone()
    if not (row and row[0]):
        on_wait()
        connection.execute("SELECT pg_advisory_lock(%s, %s)", key)
