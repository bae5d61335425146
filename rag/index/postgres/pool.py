"""Ask the database from one event loop: a few connections, opened when they are needed and dropped when one fails.

psycopg's own pool was rejected: it opens connections in the background, and gives up after minutes without a database.
Each question here finds out by itself, so the first one after a fail-over is answered.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, LiteralString

import psycopg
from psycopg import AsyncConnection

from rag.errors import IndexUnavailable
from rag.index.postgres.adapters import register
from rag.index.postgres.address import describe, read_address
from rag.index.postgres.schema import SCHEMA_VERSION

Row = tuple[Any, ...]
Statement = LiteralString | bytes

SIZE: Final = 8  # connections of a front; more questions wait
CONNECT_S: Final = 5.0
# Callers leave sooner; this ends what a caller forgot to.
_STATEMENT_MS: Final = 30_000
_CANCEL_S: Final = 1.0

# In one answer with the statement, and for its transaction alone: a pooler between us may give the next one another
# connection. Neither compiling nor helpers: both take longer to start than most statements. A graph is searched on
# until enough is found that the caller may see.
_ENTER: Final[LiteralString] = """
SELECT set_config('rag.tenant', %s, true), set_config('statement_timeout', %s, true), set_config('jit', 'off', true),
set_config('max_parallel_workers_per_gather', '0', true), set_config('hnsw.ef_search', %s, true),
set_config('hnsw.iterative_scan', 'strict_order', true)
"""
EF_SEARCH: Final = 200

_log = logging.getLogger(__name__)


class Pool:
    """Connections of one event loop."""

    def __init__(self, url: str, size: int = SIZE) -> None:
        """Raises: ValueError: the URL cannot be read."""
        self._address = read_address(url, "front")
        self._places = asyncio.Semaphore(size)
        self._idle: list[AsyncConnection[Row]] = []
        self._ending: set[asyncio.Task[None]] = set()

    async def ask(self, tenant: int | None, statement: Statement, parameters: Mapping[str, Any]) -> list[Row]:
        """Return the rows that a statement finds among those of this tenant; none before the first change of all.

        A connection that was lost while nobody used it is replaced once. Raises: IndexUnavailable.
        """
        await self._places.acquire()
        is_left = False
        try:
            while True:
                connection, is_new = await self._take()
                if connection is None:
                    return []
                task = asyncio.create_task(_ask(connection, tenant, statement, parameters))
                try:
                    rows = await asyncio.shield(task)
                except asyncio.CancelledError:
                    # The caller goes now; a database that hangs would keep it for as long.
                    is_left = True
                    self._end(connection, task)
                    raise
                except psycopg.Error as error:
                    await self._drop(connection)
                    if is_new or not isinstance(error, psycopg.OperationalError):
                        _log.warning("index_query_failed", extra={"fields": {"reason": describe(error)}})
                        raise IndexUnavailable from error
                    await self._drop_idle()
                    continue
                except BaseException:  # a bug of ours: what the connection is in the middle of is unknown
                    await self._drop(connection)
                    raise
                self._idle.append(connection)
                return rows
        finally:
            if not is_left:
                self._places.release()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._drop_idle()
        if self._ending:
            await asyncio.wait(self._ending)

    async def _take(self) -> tuple[AsyncConnection[Row] | None, bool]:
        """Return a connection, and whether it is new; None if nothing was ever written to the database."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed:
                return connection, False
        try:
            async with asyncio.timeout(CONNECT_S):
                return await self._connect(), True
        except (psycopg.Error, OSError, TimeoutError) as error:
            told = describe(error) if isinstance(error, psycopg.Error) else type(error).__name__
            raise IndexUnavailable from ConnectionError(told)

    async def _connect(self) -> AsyncConnection[Row] | None:
        connection = await AsyncConnection.connect(self._address, autocommit=True, prepare_threshold=None)
        try:
            cursor = await connection.execute("SELECT to_regclass('rag.schema_version') IS NULL")
            if await cursor.fetchone() == (True,):
                await connection.close()
                return None
            cursor = await connection.execute(
                "SELECT version, 'vector'::regtype::oid, 'vector[]'::regtype::oid FROM rag.schema_version"
            )
            row = await cursor.fetchone()
            if row is None or row[0] != SCHEMA_VERSION:
                raise psycopg.OperationalError("the tables were made by other code than this")
            register(connection, row[1], row[2])
        except BaseException:
            await connection.close()
            raise
        return connection

    def _end(self, connection: AsyncConnection[Row], task: "asyncio.Task[list[Row]]") -> None:
        ending = asyncio.create_task(self._give_up(connection, task))
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    async def _give_up(self, connection: AsyncConnection[Row], task: "asyncio.Task[list[Row]]") -> None:
        """End a statement whose caller has left, in the server too if it listens."""
        try:
            if not task.done():
                with suppress(psycopg.Error, OSError):
                    await connection.cancel_safe(timeout=_CANCEL_S)
                await asyncio.wait({task}, timeout=_CANCEL_S)
            if not task.done():
                with suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as line:
                    line.shutdown(socket.SHUT_RDWR)
                await asyncio.wait({task})
            task.exception()
            await self._drop(connection)
        finally:
            self._places.release()

    async def _drop(self, connection: AsyncConnection[Row]) -> None:
        with suppress(psycopg.Error, OSError):
            await connection.close()

    async def _drop_idle(self) -> None:
        while self._idle:
            await self._drop(self._idle.pop())


async def _ask(
    connection: AsyncConnection[Row], tenant: int | None, statement: Statement, parameters: Mapping[str, Any]
) -> list[Row]:
    entering = ("" if tenant is None else str(tenant), str(_STATEMENT_MS), str(EF_SEARCH))
    async with connection.pipeline():
        await connection.execute("BEGIN READ ONLY")
        await connection.execute(_ENTER, entering)
        cursor = await connection.execute(statement, parameters, binary=True)
        await connection.execute("COMMIT")
    return await cursor.fetchall()
