"""Calls over a Unix socket: failures are told as httpx tells them, and no connection is left behind."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import httpx
import pytest

from rag.clients.bento_client import BentoQuestionEncoder, open_service_client
from rag.clients.socket_client import ServiceClient
from rag.errors import DeadlineExceeded, NotReady, RagError, UpstreamError
from rag.observability.tracing import TRACE_HEADERS

# More turns of the event loop than connecting and sending a request take.
STEPS: Final = 60
OK: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Peer:
    """Answers each request with what it is told, None for nothing, and counts its open connections."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "service.sock"
        self.answer: bytes | None = OK
        self.closes = False
        self.open = 0
        self.connections = 0
        self.heads: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.connections += 1
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while head := await reader.readuntil(b"\r\n\r\n"):
                    self.heads.append(head.decode())
                    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
                    await reader.readexactly(int(length.partition(b":")[2]))
                    if self.answer is not None:
                        writer.write(self.answer)
                    if self.closes:
                        break
        finally:
            self.open -= 1
            writer.close()

    async def left_by_all(self) -> None:
        async with asyncio.timeout(5):
            while self.open:  # noqa: ASYNC110  # the loop must turn for the connections to close
                await asyncio.sleep(0)


@pytest.fixture
async def peer(tmp_path: Path) -> AsyncIterator[Peer]:
    made = Peer(tmp_path)
    async with await asyncio.start_unix_server(made.serve, made.path, backlog=512):
        yield made


@asynccontextmanager
async def client_of(peer: Peer) -> AsyncIterator[ServiceClient]:
    async with open_service_client(f"file://{peer.path}") as client:
        yield client


async def post(client: ServiceClient, timeout: float = 5.0) -> bytes:
    return (await client.post("/echo", content=b"abc", headers={"x-trace-id": "tr-1"}, timeout=timeout)).content


async def test_a_reply_comes_whole_and_its_connection_is_used_again(peer: Peer) -> None:
    """The headers go out as they were given."""
    async with client_of(peer) as client:
        told = [await post(client) for _ in range(3)]

    assert told == [b"ok"] * 3
    assert peer.connections == 1
    assert "POST /echo HTTP/1.1" in peer.heads[0]
    assert "x-trace-id: tr-1" in peer.heads[0].lower()


async def test_as_many_connections_as_requests(peer: Peer) -> None:
    """Places limit what runs; a second limit here would make some wait unnoticed."""
    peer.answer = None
    async with client_of(peer) as client:
        asking = [asyncio.create_task(post(client)) for _ in range(150)]
        async with asyncio.timeout(10):
            while len(peer.heads) < 150:  # noqa: ASYNC110  # the loop must turn
                await asyncio.sleep(0)
        for each in asking:
            each.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        await peer.left_by_all()

    assert peer.connections == 150


@pytest.mark.parametrize("answers", [True, False])
async def test_a_request_can_be_cancelled_at_any_moment(peer: Peer, answers: bool) -> None:
    """While it connects, while it waits, and as the answer comes; the next request is answered."""
    async with client_of(peer) as client:
        for steps in range(STEPS):
            peer.answer = OK if answers else None
            asking = asyncio.create_task(post(client))
            for _ in range(steps):
                await asyncio.sleep(0)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        if not answers:
            await peer.left_by_all()
        peer.answer = OK
        assert await post(client) == b"ok"
        assert peer.open == 1
    await peer.left_by_all()


@pytest.mark.parametrize(
    ("answer", "closes", "expected"),
    [
        (b"", True, NotReady),
        (OK[:9], True, NotReady),
        (OK[:-1], True, NotReady),
        (b"SSH-2.0\r\n\r\n", True, NotReady),
        (None, False, DeadlineExceeded),
        (OK[:-1], False, DeadlineExceeded),
        (OK.replace(b"200", b"503"), False, NotReady),
        (OK.replace(b"200", b"504"), False, DeadlineExceeded),
        (OK.replace(b"200", b"500"), False, UpstreamError),
        (OK.replace(b"200 OK", b"302 Found\r\nlocation: /"), False, UpstreamError),
        (OK, False, UpstreamError),  # no question
    ],
)
async def test_a_failure_is_called_what_it_is(
    peer: Peer, answer: bytes | None, closes: bool, expected: type[RagError]
) -> None:
    """As over HTTP: a service that breaks off is down, a silent one is late, another status is a failure."""
    peer.answer, peer.closes = answer, closes
    async with client_of(peer) as client:
        timeout_s = 0.05 if expected is DeadlineExceeded else 5.0
        with pytest.raises(expected):
            await BentoQuestionEncoder(client, 2).encode_question("x", timeout_s=timeout_s, trace_id="tr-1")


async def test_a_socket_on_which_nobody_listens_is_a_service_that_is_down(tmp_path: Path) -> None:
    """Before its start, and after its end."""
    async with open_service_client(f"file://{tmp_path}/none.sock") as client:
        with pytest.raises(httpx.ConnectError):
            await post(client)


async def test_a_call_carries_the_span_in_which_it_is_made(peer: Peer) -> None:
    """Of a traced query; of any other, none."""
    async with client_of(peer) as client:
        encoder = BentoQuestionEncoder(client, 2)
        token = TRACE_HEADERS.set({"traceparent": "00-1-2-01"})
        with suppress(UpstreamError):
            await encoder.encode_question("x", timeout_s=5, trace_id="tr-1")
        TRACE_HEADERS.reset(token)
        with suppress(UpstreamError):
            await encoder.encode_question("x", timeout_s=5, trace_id="tr-1")

    assert ["traceparent: 00-1-2-01" in head.lower() for head in peer.heads] == [True, False]
