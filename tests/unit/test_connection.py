"""One connection, byte by byte: bounded heads, ignored upgrades, refusals in the contract's form."""

import asyncio
import json
import re
import resource
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from rag.serving import connection
from rag.serving.connection import Connection, bound_connections
from rag.serving.crowd import Crowd, find_room
from schemas.errors import ErrorCode
from schemas.request import HEADERS_MAX, HEADERS_MAX_BYTES

UPGRADES: Final = {
    "h2c": "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n",
    "websocket": "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: eA==\r\n",
    "kept alive": "Connection: keep-alive, Upgrade\r\nUpgrade: TLS/1.0\r\n",
}
GET: Final = b"GET / HTTP/1.1\r\nHost: rag\r\n\r\n"


@dataclass(slots=True)
class Echo:
    """An app that answers with what it was asked; a path of its own lets a test hold it."""

    held: asyncio.Event = field(default_factory=asyncio.Event)
    requests: list[Scope] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.requests.append(scope)
        self.asked.set()
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.gone.set()
                return
            body += message["body"]
            if not message["more_body"]:
                break
        if scope["path"] == "/held":
            await self.held.wait()
        asked = {
            "path": scope["path"],
            "body": body.decode(),
            "headers": [name.decode() for name, _ in scope["headers"]],
        }
        answer = json.dumps(asked).encode()
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(answer))]}
        )
        await send({"type": "http.response.body", "body": answer})


@dataclass(slots=True)
class Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def read_answer(self) -> tuple[int, dict[str, str], dict[str, Any]]:
        """Status, headers, and the JSON of the next answer; the JSON may hold anything."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        return (
            int(head[0].split()[1]),
            headers,
            json.loads(await self.reader.readexactly(int(headers["content-length"]))),
        )


Connect = Callable[[], Awaitable[Client]]


@asynccontextmanager
async def serving(
    app: Echo, make: Callable[..., asyncio.Protocol] | None = None, *, maximum: int = 100, keep_alive_s: float = 5
) -> AsyncIterator[Connect]:
    """Yields: what opens one more connection to the app."""
    config = uvicorn.Config(app, log_config=None, lifespan="off", access_log=False)
    config.timeout_keep_alive = keep_alive_s  # type: ignore[assignment]  # whole seconds alone would be long
    state, crowd, loop = ServerState(), Crowd(maximum), asyncio.get_running_loop()

    def protocol() -> asyncio.Protocol:
        if make is not None:
            return make(config=config, server_state=state, app_state={})
        return Connection(config=config, server_state=state, app_state={}, crowd=crowd)

    server = await loop.create_server(protocol, "127.0.0.1", 0)
    clients: list[Client] = []

    async def connect() -> Client:
        clients.append(Client(*await asyncio.open_connection(*server.sockets[0].getsockname())))
        return clients[-1]

    try:
        yield connect
    finally:
        for client in clients:
            client.writer.close()
        server.close()
        app.held.set()
        while state.connections or state.tasks:  # noqa: ASYNC110 - uvicorn tells nobody
            await asyncio.sleep(0)


@pytest.fixture
def app() -> Echo:
    return Echo()


async def assert_refused(client: Client, code: ErrorCode, status: int) -> dict[str, str]:
    """The contract's error, and then nothing more; returns its headers."""
    answered, headers, body = await client.read_answer()

    assert (answered, body["error"]["code"], headers["content-type"]) == (status, code, "application/json")
    assert headers["x-trace-id"] == body["error"]["trace_id"]
    assert headers["connection"] == "close"
    assert await client.reader.read() == b""
    return headers


def make_head(*, size_bytes: int = 0, headers: int = 1) -> bytes:
    """A request whose target and headers are as large, and as many, as they are counted."""
    small = "".join(f"X-{number:03}: \r\n" for number in range(headers - 1))
    filling = size_bytes - len("/") - len(small) - len("X-Large: \r\n")
    return f"GET / HTTP/1.1\r\n{small}X-Large: {'x' * filling}\r\n\r\n".encode()


@pytest.mark.parametrize("head", [make_head(size_bytes=HEADERS_MAX_BYTES), make_head(headers=HEADERS_MAX)])
async def test_headers_up_to_the_bounds_are_read(app: Echo, head: bytes) -> None:
    """64 KiB of them, 100 of them."""
    async with serving(app) as connect:
        client = await connect()
        client.send(head)
        status, _, _ = await client.read_answer()

    assert status == 200


@pytest.mark.parametrize(
    "head",
    [
        make_head(size_bytes=HEADERS_MAX_BYTES + 1),
        make_head(headers=HEADERS_MAX + 1),
        b"GET /" + b"x" * HEADERS_MAX_BYTES + b" HTTP/1.1\r\nHost: rag\r\n\r\n",
    ],
    ids=["size", "number", "target"],
)
async def test_more_headers_are_too_large(app: Echo, head: bytes) -> None:
    """431 in the contract's words; the app never hears of it."""
    async with serving(app) as connect:
        client = await connect()
        client.send(head)
        await assert_refused(client, ErrorCode.HEADERS_TOO_LARGE, 431)

    assert app.requests == []


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"GET / HTTP/1.1\r\nX-Endless: ", b"x" * 4096),
        (b"GET / HTTP/1.1\r\n", b"X-One-More: x\r\n" * 100),
        (b"GET / HTTP/1.1\r\nX", b"x" * 4096),
        (b"GET /", b"x" * 4096),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Endless: ", b"x" * 4096),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;x=", b"x" * 4096),
    ],
    ids=["value", "headers", "name", "target", "trailer", "chunk extension"],
)
async def test_what_never_ends_is_refused_before_its_end(app: Echo, start: bytes, piece: bytes) -> None:
    """The answer comes although the head never does, after little more than what is allowed."""
    async with serving(app) as connect:
        client = await connect()
        client.send(start)
        for _ in range((HEADERS_MAX_BYTES + connection.PIECE_BYTES) // len(piece) + 1):
            client.send(piece)
        headers = await assert_refused(client, ErrorCode.HEADERS_TOO_LARGE, 431)

    assert headers["x-trace-id"].startswith("tr_")


async def test_a_refusal_has_the_trace_id_that_was_read(app: Echo) -> None:
    """As every answer has."""
    async with serving(app) as connect:
        client = await connect()
        client.send(b"GET / HTTP/1.1\r\nX-Trace-Id: mine\r\nX-Large: " + b"x" * 2 * HEADERS_MAX_BYTES)
        headers = await assert_refused(client, ErrorCode.HEADERS_TOO_LARGE, 431)

    assert headers["x-trace-id"] == "mine"


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"NONSENSE\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: rag\r\n folded\r\n\r\n",
        "GET /ä HTTP/1.1\r\nHost: rag\r\n\r\n".encode(),
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n",
        b"CONNECT rag:443 HTTP/1.1\r\nHost: rag\r\n\r\n",
    ],
)
async def test_what_is_no_request_is_a_bad_one(app: Echo, data: bytes) -> None:
    """400 in the contract's words."""
    async with serving(app) as connect:
        client = await connect()
        client.send(data)
        await assert_refused(client, ErrorCode.BAD_REQUEST, 400)


async def test_a_broken_body_ends_its_request(app: Echo) -> None:
    """The app waits for a body that nobody will send."""
    async with serving(app) as connect:
        client = await connect()
        client.send(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.send(b"no size\r\n")
        await assert_refused(client, ErrorCode.BAD_REQUEST, 400)
        await app.gone.wait()

    assert len(app.requests) == 1


async def test_nonsense_behind_a_request_is_not_its_answer(app: Echo) -> None:
    """Whoever reads the first answer would take the refusal for it."""
    async with serving(app) as connect:
        client = await connect()
        client.send(b"GET /held HTTP/1.1\r\nHost: rag\r\n\r\nNONSENSE\r\n\r\n")

        assert await client.reader.read() == b""


async def test_requests_that_do_not_wait_for_answers_are_answered_in_their_order(app: Echo) -> None:
    """Pipelined, as HTTP/1.1 allows it."""
    async with serving(app) as connect:
        client = await connect()
        client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: rag\r\n\r\n" % number for number in range(100)))
        paths = [(await client.read_answer())[2]["path"] for _ in range(100)]

    assert paths == [f"/{number}" for number in range(100)]


async def test_too_many_that_do_not_wait_are_cut_off(app: Echo) -> None:
    """Each that waits takes memory."""
    async with serving(app) as connect:
        client = await connect()
        client.send(GET * (connection.PIPELINED_MAX + 2))

        assert await client.reader.read() == b""


@pytest.mark.parametrize("upgrade", UPGRADES.values(), ids=UPGRADES)
@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("split", [False, True])
async def test_an_upgrade_that_is_not_spoken_is_ignored(app: Echo, upgrade: str, framing: str, split: bool) -> None:
    """The request is answered as if it had not been offered, its body included, and so is the next one."""
    length, body = {
        "length": ("Content-Length: 5", "hello"),
        "chunked": ("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"),
    }[framing]
    request = f"POST /first HTTP/1.1\r\nHost: rag\r\n{upgrade}{length}\r\n\r\n{body}".encode() + GET

    async with serving(app) as connect:
        client = await connect()
        for part in (request[start : start + 1] for start in range(len(request))) if split else [request]:
            client.send(part)
            await asyncio.sleep(0)
        _, _, first = await client.read_answer()
        _, _, second = await client.read_answer()

    assert (first["path"], first["body"]) == ("/first", "hello")
    assert "upgrade" not in first["headers"]
    assert (second["path"], second["body"]) == ("/", "")


async def test_trailers_are_no_headers(app: Echo) -> None:
    """Whoever is in front of us has not seen them: they could hold credentials, or a host."""
    async with serving(app) as connect:
        client = await connect()
        client.send(
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Api-Key: k\r\nHost: b\r\n\r\n"
        )
        _, _, answer = await client.read_answer()

    assert answer == {"path": "/", "body": "x", "headers": ["transfer-encoding"]}


@pytest.mark.parametrize("before", [b"", GET])
@pytest.mark.parametrize("sent", [b"", b"\r\n"])
async def test_who_asks_nothing_is_closed(
    app: Echo, monkeypatch: pytest.MonkeyPatch, before: bytes, sent: bytes
) -> None:
    """From the beginning, and between two requests; a line of nothing is no sign of life."""
    monkeypatch.setattr(connection, "HEAD_TIMEOUT_S", 0.05)

    async with serving(app, keep_alive_s=0.05) as connect:
        client = await connect()
        if before:
            client.send(before)
            await client.read_answer()
        client.send(sent)

        assert await client.reader.read() == b""


@pytest.mark.parametrize("before", [b"", GET])
async def test_a_head_that_is_not_finished_in_time_is_refused(
    app: Echo, monkeypatch: pytest.MonkeyPatch, before: bytes
) -> None:
    """However often a piece of it comes, and whatever was asked before."""
    monkeypatch.setattr(connection, "HEAD_TIMEOUT_S", 0.05)

    async with serving(app) as connect:
        client = await connect()
        if before:
            client.send(before)
            await client.read_answer()
        client.send(b"GET / HTTP/1.1\r\nHost:")
        await assert_refused(client, ErrorCode.BAD_REQUEST, 400)


async def test_who_waits_longest_makes_way(app: Echo) -> None:
    """A full process lets the next one in; who is being answered is left alone."""
    async with serving(app, maximum=2) as connect:
        answered = await connect()
        answered.send(b"GET /held HTTP/1.1\r\nHost: rag\r\n\r\n")
        await app.asked.wait()
        idle = await connect()
        newcomer = await connect()
        newcomer.send(GET)
        status, _, _ = await newcomer.read_answer()

        assert await idle.reader.read() == b""
        app.held.set()
        assert (status, (await answered.read_answer())[0]) == (200, 200)


async def test_one_more_than_can_be_answered_is_told_so(app: Echo) -> None:
    """503 with `Retry-After`, where nobody can make way."""
    async with serving(app, maximum=1) as connect:
        answered = await connect()
        answered.send(b"GET /held HTTP/1.1\r\nHost: rag\r\n\r\n")
        await app.asked.wait()
        headers = await assert_refused(await connect(), ErrorCode.CONCURRENCY_LIMIT, 503)
        app.held.set()
        await answered.read_answer()

        assert headers["retry-after"] == "1"
        next_one = await connect()
        next_one.send(GET)
        assert (await next_one.read_answer())[0] == 200


@pytest.mark.parametrize(("open_files", "room"), [(20_000, 1000), (1024, 512), (100, 36), (64, 8)])
def test_files_are_left_for_answers(monkeypatch: pytest.MonkeyPatch, open_files: int, room: int) -> None:
    """A process that has all its files in connections can open no index, and ask no service."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (open_files, open_files))

    assert find_room(1000) == room


@pytest.fixture
def restored_protocols(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uvicorn.config, "HTTP_PROTOCOLS", dict(uvicorn.config.HTTP_PROTOCOLS))


@pytest.mark.usefixtures("restored_protocols")
def test_what_bentoml_starts_speaks_so(app: Echo) -> None:
    """It leaves the protocol open; if this fails, uvicorn or BentoML chooses it elsewhere."""
    bound_connections(7)
    config = uvicorn.Config(app, log_config=None)
    config.load()

    made: Any = config.http_protocol_class  # what stands for a class is none
    assert made.func is Connection


class TestUvicornAlone:
    """If one of these fails, uvicorn or httptools has changed: a part of `Connection` may no longer be needed."""

    async def test_has_no_limit(self, app: Echo) -> None:
        async with serving(app, HttpToolsProtocol) as connect:
            client = await connect()
            client.send(make_head(size_bytes=4 * HEADERS_MAX_BYTES, headers=2 * HEADERS_MAX))

            assert (await client.read_answer())[0] == 200

    async def test_lets_any_number_of_requests_wait(self, app: Echo) -> None:
        async with serving(app, HttpToolsProtocol) as connect:
            client = await connect()
            client.send(GET * (connection.PIPELINED_MAX + 2))

            for _ in range(connection.PIPELINED_MAX + 2):
                await client.read_answer()

    async def test_loses_the_body_of_an_upgrade(self, app: Echo) -> None:
        async with serving(app, HttpToolsProtocol) as connect:
            client = await connect()
            client.send(f"POST / HTTP/1.1\r\n{UPGRADES['h2c']}Content-Length: 5\r\n\r\nhello".encode())

            assert (await client.read_answer())[2]["body"] == ""

    async def test_takes_trailers_for_headers(self, app: Echo) -> None:
        async with serving(app, HttpToolsProtocol) as connect:
            client = await connect()
            client.send(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Api-Key: k\r\n\r\n")

            assert "x-api-key" in (await client.read_answer())[2]["headers"]

    async def test_refuses_in_plain_text(self, app: Echo) -> None:
        async with serving(app, HttpToolsProtocol) as connect:
            client = await connect()
            client.send(b"NONSENSE\r\n\r\n")

            assert re.search(rb"content-type: text/plain", await client.reader.read())
