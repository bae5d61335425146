"""What common clients, browsers and proxies send besides queries, and requests that a proxy could read differently."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import uvicorn

from rag.quotas import LocalLimiter, Quotas
from tests.asgi import Connection
from tests.contract.conftest import LogLines
from tests.fakes import (
    QUESTION,
    HangingEmbedder,
    RefusingGenerator,
    make_app,
    make_client,
    make_pipeline,
    probe_ok,
)

JSON = {"content-type": "application/json"}
QUERY_ROUTES = ["/query", "/v1/query", "/query/stream"]
READ = ["/", "/health", "/ready", "/models/current", "/openapi.json", "/docs.json"]
STREAM = f"/query/stream?question={QUESTION.replace(' ', '+')}"
APP = "https://app.example.org"


def untouched() -> Any:
    """A front whose pipeline may not be used: it would never answer, or fail."""
    return make_pipeline(embedder=HangingEmbedder(), generator=RefusingGenerator(AssertionError("it was asked")))


# --- bodies


@pytest.mark.parametrize("path", QUERY_ROUTES)
@pytest.mark.parametrize(
    "body",
    [
        b'{"question":"a","question":"b"}',
        b'{"question":"a","tenant_id":"demo","tenant_id":"acme"}',
        b'{"question":"a","\\u0071uestion":"b"}',
        b'{"question":{"a":1,"a":2}}',
    ],
)
async def test_a_name_that_stands_twice_is_no_request(path: str, body: bytes) -> None:
    """400 BAD_REQUEST: of two values a filter before us may see the one, and we the other."""
    async with make_client(make_app()) as client:
        response = await client.post(path, content=body, headers=JSON)

    assert (response.status_code, response.json()["error"]["code"]) == (400, "BAD_REQUEST")


@pytest.mark.parametrize("path", QUERY_ROUTES)
@pytest.mark.parametrize("encodings", [["gzip"], ["identity, br"], ["identity", "zstd"], ["x"]])
async def test_an_encoded_body_is_refused(path: str, encodings: Sequence[str]) -> None:
    """415 UNSUPPORTED_MEDIA_TYPE, whatever is in it."""
    headers = [("content-type", "application/json"), *(("content-encoding", each) for each in encodings)]
    async with make_client(make_app()) as client:
        response = await client.post(path, content=b'{"question":"x"}', headers=headers)

    assert (response.status_code, response.json()["error"]["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


async def test_identity_is_no_encoding() -> None:
    """Some clients say what is so anyway."""
    async with make_client(make_app()) as client:
        response = await client.post("/query", json={"question": "x"}, headers={"content-encoding": "Identity"})

    assert response.status_code == 200


# --- Host


def with_hosts(app: Any, hosts: Sequence[bytes]) -> Any:
    async def asked(scope: Any, receive: Any, send: Any) -> None:
        headers = [(name, value) for name, value in scope["headers"] if name != b"host"]
        await app({**scope, "headers": [*headers, *((b"host", host) for host in hosts)]}, receive, send)

    return asked


@pytest.mark.parametrize("path", ["/query", "/health", "/nothing"])
@pytest.mark.parametrize("hosts", [[], [b"rag", b"rag"], [b"rag", b"evil"]])
async def test_a_request_has_one_host(path: str, hosts: Sequence[bytes], log_lines: LogLines) -> None:
    """400 BAD_REQUEST without one and with two, on every path; one for an answer leaves its line."""
    async with make_client(with_hosts(make_app(), hosts)) as client:
        response = await client.post(path, json={"question": QUESTION})

    assert (response.status_code, response.json()["error"]["code"]) == (400, "BAD_REQUEST")
    assert [line["error_code"] for line in log_lines()] == (["BAD_REQUEST"] if path == "/query" else [])


# --- HEAD


@pytest.mark.parametrize("path", READ)
async def test_head_is_get_without_the_body(path: str) -> None:
    """The same status and the same headers, the length of the missing body included."""
    async with make_client(make_app()) as client:
        got = await client.get(path, headers={"x-trace-id": "tr-1"})
        head = await client.head(path, headers={"x-trace-id": "tr-1"})

    assert (head.status_code, head.headers, head.content) == (got.status_code, got.headers, b"")


async def test_head_on_a_failure_has_no_body_either() -> None:
    """503 of readiness, with what the body would have."""

    async def absent(_: str | None) -> Any:
        return "unreachable"

    async with make_client(make_app(probes={"index": probe_ok, "generator": absent})) as client:
        head = await client.head("/ready")

    assert (head.status_code, head.content) == (503, b"")
    assert "retry-after" in head.headers


async def test_head_on_a_stream_does_no_work(log_lines: LogLines) -> None:
    """The head of the stream, and nothing asked of a model or a quota; its line has no finish reason."""
    app = make_app(pipeline=untouched(), limiter=LocalLimiter(Quotas(window_s=60, requests=1, tokens=1)))
    async with make_client(app) as client:
        heads = [await client.head(STREAM) for _ in range(3)]

    for head in heads:
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert (head.headers["cache-control"], head.headers["x-accel-buffering"]) == ("no-cache", "no")
    assert [(line["event"], line["finish_reason"], line["error_code"]) for line in log_lines()] == [
        ("query_ok", None, None)
    ] * 3


@pytest.mark.parametrize(("query", "status"), [("", 422), ("?question=x&tenant_id=acme", 403)])
async def test_head_on_a_stream_that_cannot_be_is_refused_like_get(query: str, status: int) -> None:
    """What is known without work is answered."""
    async with make_client(make_app(pipeline=untouched())) as client:
        head = await client.head(f"/query/stream{query}")

    assert (head.status_code, head.content) == (status, b"")


# --- Last-Event-ID


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_a_stream_is_not_begun_again(method: str, log_lines: LogLines) -> None:
    """204, at which a browser stops asking; nothing is read, reserved or asked of a model."""
    app = make_app(pipeline=untouched(), limiter=LocalLimiter(Quotas(window_s=60, requests=1, tokens=1)))
    async with make_client(app) as client:
        responses = [await client.request(method, STREAM, headers={"Last-Event-ID": "7"}) for _ in range(2)]

    for response in responses:
        assert (response.status_code, response.content) == (204, b"")
        assert response.headers["x-trace-id"].startswith("tr_")
    assert [(line["event"], line["finish_reason"]) for line in log_lines()] == [("query_ok", None)] * 2


async def test_the_body_of_a_stream_that_is_not_begun_again_is_read() -> None:
    """A connection that is closed with something unread is reset, and the 204 is lost."""
    connection = Connection(
        make_app(), "POST", "/query/stream", body=[b"{", b"}"], headers={"last-event-id": "1", **JSON}
    )
    async with connection:
        status, _ = await connection.head()
        await connection.finished()

        assert (status, connection.unread) == (204, 0)


# --- other origins


async def test_no_origin_is_allowed_by_default() -> None:
    """No header of CORS, and a preflight is a method that the path does not take."""
    async with make_client(make_app()) as client:
        answer = await client.get("/health", headers={"origin": APP})
        preflight = await client.options("/query", headers={"origin": APP, "access-control-request-method": "POST"})

    assert preflight.status_code == 405
    for response in (answer, preflight):
        assert not [name for name in response.headers if name.startswith("access-control") or name == "vary"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health", 200),
        ("POST", "/query", 415),
        ("GET", "/nothing", 404),
        ("PUT", "/query", 405),
        ("GET", STREAM, 200),
    ],
)
async def test_an_allowed_page_may_read_every_answer(method: str, path: str, status: int) -> None:
    """Errors and streams too, with the two headers that a client needs; never with credentials."""
    async with make_client(make_app(origins=[APP])) as client:
        response = await client.request(method, path, headers={"origin": APP})

    assert response.status_code == status
    assert response.headers["access-control-allow-origin"] == APP
    assert response.headers["access-control-expose-headers"] == "x-trace-id, retry-after"
    assert response.headers["vary"] == "origin"
    assert "access-control-allow-credentials" not in response.headers


@pytest.mark.parametrize("origin", ["https://evil.example.org", "http://app.example.org", f"{APP}.evil.org", "null"])
async def test_another_page_may_read_nothing(origin: str) -> None:
    """It is answered as without the setting, but caches are told that the origin matters."""
    async with make_client(make_app(origins=[APP])) as client:
        answer = await client.get("/health", headers={"origin": origin})
        preflight = await client.options("/query", headers={"origin": origin, "access-control-request-method": "POST"})

    assert preflight.status_code == 405
    for response in (answer, preflight):
        assert "access-control-allow-origin" not in response.headers
        assert response.headers["vary"] == "origin"


@pytest.mark.parametrize("origins", [[APP], ["*"]])
async def test_a_preflight_is_answered_without_credentials(origins: list[str], log_lines: LogLines) -> None:
    """Browsers send none with it; it tells methods and headers, and is no query in the log."""
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,x-stainless-os"}
    async with make_client(make_app(pipeline=untouched(), origins=origins)) as client:
        response = await client.options("/query/stream", headers={"origin": APP, **asked})

    assert (response.status_code, response.content) == (204, b"")
    assert response.headers["access-control-allow-origin"] in (APP, "*")
    assert response.headers["access-control-allow-methods"] == "GET, HEAD, POST"
    assert response.headers["access-control-allow-headers"] == asked["access-control-request-headers"]
    assert "access-control-allow-credentials" not in response.headers
    assert log_lines() == []


async def test_a_preflight_of_an_unknown_path_is_not_found() -> None:
    """Nothing is allowed where nothing is."""
    async with make_client(make_app(origins=["*"])) as client:
        response = await client.options("/nothing", headers={"origin": APP, "access-control-request-method": "GET"})

    assert response.status_code == 404


# --- WebSocket


@asynccontextmanager
async def served(app: Any) -> AsyncIterator[int]:
    """The port of a real server of the kind that BentoML starts, without BentoML."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off"))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  # uvicorn tells nobody
        await asyncio.sleep(0)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await serving


async def test_a_strangers_websocket_is_no_error_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    """404 with the contract's body; whoever can connect could otherwise fill the log with errors."""
    caplog.set_level(logging.INFO)
    handshake = (
        b"GET /query/stream HTTP/1.1\r\nHost: rag\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    async with served(make_app()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(handshake)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()

    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 404")
    assert json.loads(body)["error"]["code"] == "NOT_FOUND"
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_client_that_follows_no_rule_gets_the_rules() -> None:
    """The same edge over a real connection: HEAD has the length of GET, and no body."""
    async with served(make_app()) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        got, head = await client.get("/health"), await client.head("/health")

    assert head.content == b""
    assert head.headers["content-length"] == got.headers["content-length"]
