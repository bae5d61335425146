"""Requests that are cancelled at any time leak no connection, neither here nor at the peer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import httpx
import pytest

from rag.clients.http_transport import BrokenReply, PatientTransport

# More turns of the event loop than making a connection and sending a request take.
STEPS: Final = 60
HEAD: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class SilentServer:
    """Reads requests, answers those for `/ok`, and counts the connections that are open."""

    def __init__(self) -> None:
        self.open = 0
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            with suppress(ConnectionError):
                while data := await reader.read(65_536):
                    if b" /ok " in data:
                        writer.write(HEAD)
        finally:
            self.open -= 1
            writer.close()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["SilentServer"]:
        async with await asyncio.start_server(self.serve, "127.0.0.1", 0) as server:
            self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            yield self

    async def left_by_all(self) -> None:
        async with asyncio.timeout(5):
            while self.open:  # noqa: ASYNC110  # the loop must turn for the connections to close
                await asyncio.sleep(0)


async def cancel_after(client: httpx.AsyncClient, path: str, steps: int) -> None:
    asking = asyncio.create_task(client.get(path))
    for _ in range(steps):
        await asyncio.sleep(0)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)


@pytest.mark.parametrize("path", ["/silent", "/ok"])
async def test_a_request_can_be_cancelled_at_any_moment(path: str) -> None:
    """While it connects, between connecting and sending, while it waits, and as the answer comes."""
    async with SilentServer().running() as server:
        transport = PatientTransport()
        async with httpx.AsyncClient(base_url=server.url, transport=transport) as client:
            for steps in range(STEPS):
                await cancel_after(client, path, steps)
            response = await client.get("/ok")
        await server.left_by_all()

    assert response.text == "ok"
    assert not transport._let_go
    assert not transport._pool.connections


async def test_no_connection_is_held_while_the_client_lives_on() -> None:
    """Of requests that nobody answers, none is left in the pool either."""
    async with SilentServer().running() as server:
        transport = PatientTransport()
        async with httpx.AsyncClient(base_url=server.url, transport=transport) as client:
            await asyncio.gather(*(cancel_after(client, "/silent", steps) for steps in range(STEPS)))
            await server.left_by_all()

            assert not transport._pool.connections


@pytest.mark.parametrize(
    ("reply", "expected"),
    [(b"", httpx.RemoteProtocolError), (HEAD[:9], BrokenReply), (b"SSH-2.0\r\n\r\n", BrokenReply)],
)
async def test_a_reply_that_breaks_off_is_told_from_none(reply: bytes, expected: type[httpx.HTTPError]) -> None:
    """On a new connection and on one that has served before; none at all may be asked again, half a one may not."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in (HEAD, reply):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with httpx.AsyncClient(base_url=url, transport=PatientTransport()) as client:
            await client.get("/")
            with pytest.raises(httpx.RemoteProtocolError) as failure:
                await client.get("/")

    assert failure.type is expected


async def test_failures_are_raised_as_ever() -> None:
    """Nothing listens there."""
    async with httpx.AsyncClient(base_url="http://127.0.0.1:1", transport=PatientTransport()) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get("/")
