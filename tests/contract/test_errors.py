"""Every failure has the contract's body, status and headers, whichever layer makes it, and leaks no internals."""

import json
import re
from contextlib import suppress
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.utils import ClientDisconnected

from rag.api import ContractEdge
from rag.errors import (
    DeadlineExceeded,
    IndexUnavailable,
    NotReady,
    RagError,
    RateLimited,
    Unauthorized,
    UpstreamError,
    UpstreamRateLimited,
)
from rag.identity import Principal
from rag.limits import Places
from rag.pipeline import Pipeline
from schemas.errors import ERROR_TABLE, ErrorCode
from tests.asgi import Connection
from tests.fakes import (
    HANG,
    QUESTION,
    FailingEmbedder,
    FailingScorer,
    FakeIndexes,
    HangingEmbedder,
    HangingScorer,
    ScriptedGenerator,
    make_app,
    make_client,
    make_pipeline,
)

JSON = {"content-type": "application/json"}
QUERY_ROUTES = ["/query", "/v1/query", "/query/stream"]
SECRET = "sk-upstream-secret at /srv/rag/prompt.txt"


def assert_error(response: httpx.Response, code: ErrorCode) -> dict[str, Any]:
    """Status, content type, shape and trace id of an error, all at once: they are one promise."""
    spec = ERROR_TABLE[code]
    assert response.status_code == spec.status, response.text
    assert response.headers["content-type"] == "application/json"
    error: dict[str, Any] = response.json()["error"]
    assert error["code"] == code
    assert error["retryable"] is spec.retryable
    assert error["message"]
    assert error["trace_id"] == response.headers["x-trace-id"]
    assert error.keys() - {"fields"} == {"code", "message", "trace_id", "retryable"}
    if spec.status in (429, 503):
        assert re.fullmatch(r"[1-9]\d*", response.headers["retry-after"])
    return error


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/nothing"), ("POST", "/query/"), ("GET", "/query/stream/x"), ("DELETE", "/v2/query"), ("GET", "//")],
)
async def test_an_unknown_path_is_not_found(method: str, path: str) -> None:
    """404 NOT_FOUND, whatever the method."""
    async with make_client(make_app()) as client:
        response = await client.request(method, httpx.URL(f"http://rag{path}"))

    assert_error(response, ErrorCode.NOT_FOUND)


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/query", "POST"),
        ("PUT", "/query", "POST"),
        ("GET", "/v1/query", "POST"),
        ("DELETE", "/query/stream", "GET, HEAD, POST"),
        ("POST", "/health", "GET, HEAD"),
        ("POST", "/ready", "GET, HEAD"),
        ("PATCH", "/models/current", "GET, HEAD"),
        ("OPTIONS", "/query", "POST"),
        ("POST", "/metrics", "GET, HEAD"),
    ],
)
async def test_a_wrong_method_is_told_the_right_ones(method: str, path: str, allow: str) -> None:
    """405 METHOD_NOT_ALLOWED with `Allow`."""
    async with make_client(make_app()) as client:
        response = await client.request(method, path)

    assert_error(response, ErrorCode.METHOD_NOT_ALLOWED)
    assert response.headers["allow"] == allow


@pytest.mark.parametrize("path", QUERY_ROUTES)
@pytest.mark.parametrize(
    "content_type",
    [None, "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1", "application/jsonp"],
)
async def test_a_body_that_is_not_json_by_its_type_is_refused(path: str, content_type: str | None) -> None:
    """415 UNSUPPORTED_MEDIA_TYPE."""
    headers = {"content-type": content_type} if content_type else {}
    async with make_client(make_app()) as client:
        response = await client.post(path, content=b'{"question":"x"}', headers=headers)

    assert_error(response, ErrorCode.UNSUPPORTED_MEDIA_TYPE)


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "Application/JSON", 'application/json;charset="UTF-8"']
)
async def test_json_may_name_its_charset(content_type: str) -> None:
    """UTF-8 is what it must be anyway."""
    async with make_client(make_app()) as client:
        response = await client.post("/query", content=b'{"question":"x"}', headers={"content-type": content_type})

    assert response.status_code == 200


@pytest.mark.parametrize("path", QUERY_ROUTES)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{'question': 'x'}",
        b'{"question": "x"} trailing',
        b'{"question": "\xff"}',
        '{"question": "x"}'.encode("utf-16"),
        b'{"question": "x", "top_k": NaN}',
        b'{"question": "x", "top_k": Infinity}',
        b'{"question": "x", "top_k": -Infinity}',
        b"[" * 5000,
    ],
)
async def test_a_body_that_cannot_be_parsed_is_a_bad_request(path: str, body: bytes) -> None:
    """400 BAD_REQUEST: not parsable as UTF-8 JSON."""
    async with make_client(make_app()) as client:
        response = await client.post(path, content=body, headers=JSON)

    assert_error(response, ErrorCode.BAD_REQUEST)


@pytest.mark.parametrize("path", QUERY_ROUTES)
async def test_a_large_body_is_refused_while_reading_whatever_its_length_header_says(path: str) -> None:
    """413 PAYLOAD_TOO_LARGE after 64 KiB; the answer does not wait for the end of the body."""
    headers = {**JSON, "content-length": "10"}

    async with Connection(make_app(), "POST", path, body=[b"x" * 16_384] * 5, headers=headers, ends=False) as sending:
        status, _ = await sending.head()

    assert status == 413


@pytest.mark.parametrize("path", QUERY_ROUTES)
async def test_another_tenant_is_forbidden_where_the_service_is_open(path: str) -> None:
    """Without identities the service is open for the tenant `demo` alone."""
    async with make_client(make_app()) as client:
        response = await client.post(path, json={"question": "x", "tenant_id": "acme"})

    assert_error(response, ErrorCode.FORBIDDEN)


class ClosedAuthenticator:
    """Knows nobody."""

    async def authenticate(self, headers: Any) -> Principal:
        raise Unauthorized


@pytest.mark.parametrize("path", QUERY_ROUTES)
async def test_an_unknown_caller_is_refused_before_the_body_is_looked_at(path: str) -> None:
    """401 comes before 415 and 422: who is not known learns nothing of the schema."""
    async with make_client(make_app(authenticator=ClosedAuthenticator())) as client:
        response = await client.post(path, content=b"{")

    assert_error(response, ErrorCode.UNAUTHORIZED)


FAILURES: list[tuple[Pipeline, ErrorCode]] = [
    (make_pipeline(embedder=FailingEmbedder(NotReady())), ErrorCode.NOT_READY),
    (make_pipeline(embedder=FailingEmbedder(UpstreamError())), ErrorCode.UPSTREAM_ERROR),
    (make_pipeline(embedder=FailingEmbedder(DeadlineExceeded())), ErrorCode.MODEL_TIMEOUT),
    (make_pipeline(embedder=FailingEmbedder(RuntimeError(SECRET))), ErrorCode.INTERNAL_ERROR),
    (make_pipeline(scorer=FailingScorer(NotReady())), ErrorCode.NOT_READY),
    (make_pipeline(scorer=FailingScorer(ValueError(SECRET))), ErrorCode.INTERNAL_ERROR),
    (make_pipeline(embedder=HangingEmbedder(), stage_timeout_s=0.01), ErrorCode.MODEL_TIMEOUT),
    (make_pipeline(scorer=HangingScorer(), stage_timeout_s=0.01), ErrorCode.MODEL_TIMEOUT),
    (make_pipeline(indexes=FakeIndexes(demo=IndexUnavailable())), ErrorCode.NOT_READY),
]


@pytest.mark.parametrize(("pipeline", "code"), FAILURES)
@pytest.mark.parametrize("path", QUERY_ROUTES)
async def test_a_failure_before_the_first_event_has_its_status(path: str, pipeline: Pipeline, code: ErrorCode) -> None:
    """Retrieval and reranking fail as plain HTTP errors, on the stream too."""
    async with make_client(make_app(pipeline=pipeline)) as client:
        response = await client.post(path, json={"question": QUESTION})

    assert_error(response, code)
    assert "secret" not in response.text


@pytest.mark.parametrize(
    ("generator", "code"),
    [
        (ScriptedGenerator(UpstreamError()), ErrorCode.UPSTREAM_ERROR),
        (ScriptedGenerator("Full-time staff", UpstreamError()), ErrorCode.UPSTREAM_ERROR),
        (ScriptedGenerator(RuntimeError(SECRET)), ErrorCode.INTERNAL_ERROR),
        (ScriptedGenerator(HANG), ErrorCode.MODEL_TIMEOUT),
        (ScriptedGenerator("Full-time staff", HANG), ErrorCode.MODEL_TIMEOUT),
    ],
)
async def test_a_failing_generator_fails_the_whole_answer(generator: ScriptedGenerator, code: ErrorCode) -> None:
    """`POST /query` gives no half answers."""
    pipeline = make_pipeline(generator=generator, generation_timeout_s=0.05)
    async with make_client(make_app(pipeline=pipeline)) as client:
        response = await client.post("/query", json={"question": QUESTION})

    assert_error(response, code)
    assert "secret" not in response.text
    assert generator.open_streams == 0


async def test_the_providers_retry_after_is_passed_on() -> None:
    """UPSTREAM_RATE_LIMITED with its `Retry-After`, in whole seconds."""
    generator = ScriptedGenerator(UpstreamRateLimited(retry_after_s=6.2))
    async with make_client(make_app(pipeline=make_pipeline(generator=generator))) as client:
        response = await client.post("/query", json={"question": QUESTION})

    assert_error(response, ErrorCode.UPSTREAM_RATE_LIMITED)
    assert response.headers["retry-after"] == "7"


@pytest.mark.parametrize("path", ["/query", "/query/stream"])
async def test_the_whole_request_has_a_deadline_of_its_own(path: str) -> None:
    """Each stage may be in time and the request still be late."""
    pipeline = make_pipeline(embedder=HangingEmbedder())
    app = make_app(pipeline=pipeline, request_timeout_s=0.01, stream_timeout_s=0.01)
    async with make_client(app) as client:
        response = await client.post(path, json={"question": QUESTION})

    assert_error(response, ErrorCode.MODEL_TIMEOUT)


async def test_a_body_that_never_comes_is_not_waited_for() -> None:
    """Every wait has a deadline, the one for the client too."""
    app = make_app(request_timeout_s=0.01)

    async with Connection(app, "POST", "/query", body=[b"{"], headers=JSON, ends=False) as connection:
        status, _ = await connection.head()

    assert status == 504


async def test_models_that_are_not_known_yet_are_not_ready() -> None:
    """While loading: 503 NOT_READY on the query routes and on `/models/current`."""

    def loading() -> Pipeline:
        raise NotReady

    async with make_client(make_app(pipeline=loading)) as client:
        response = await client.post("/query", json={"question": QUESTION})

    assert_error(response, ErrorCode.NOT_READY)


@pytest.mark.parametrize("path", QUERY_ROUTES)
async def test_no_place_is_a_concurrency_limit(path: str) -> None:
    """503 CONCURRENCY_LIMIT after the queue timeout, with `Retry-After`."""
    places = Places(1, queue_timeout_s=0.001)
    async with places.hold(), make_client(make_app(places=places)) as client:
        response = await client.post(path, json={"question": QUESTION})

    assert_error(response, ErrorCode.CONCURRENCY_LIMIT)


@pytest.mark.parametrize(
    "pipeline",
    [
        make_pipeline(),
        make_pipeline(embedder=FailingEmbedder(UpstreamError())),
        make_pipeline(generator=ScriptedGenerator(UpstreamError())),
    ],
)
@pytest.mark.parametrize("path", QUERY_ROUTES)
async def test_the_place_is_free_after_the_response(path: str, pipeline: Pipeline) -> None:
    """Success and failure alike give it back."""
    places = Places(1, queue_timeout_s=0.001)
    async with make_client(make_app(places=places, pipeline=pipeline)) as client:
        await client.post(path, json={"question": QUESTION})
        await client.post(path, json={"question": QUESTION})

    assert places.taken == 0


def foreign_app() -> ASGIApp:
    """What BentoML does outside the mounted app."""

    async def fail(request: Any) -> Response:
        raise RuntimeError(SECRET)

    async def answer(request: Any) -> Response:
        status = int(request.query_params["status"])
        return JSONResponse({"error": SECRET}, status, headers={"retry-after": "3", "server": "BentoML"})

    async def ok(request: Any) -> Response:
        return PlainTextResponse("\n")

    routes = [Route("/readyz", answer), Route("/livez", ok), Route("/metrics", fail)]
    return ContractEdge(Starlette(routes=routes), ours=Starlette())


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, ErrorCode.BAD_REQUEST),
        (404, ErrorCode.NOT_FOUND),
        (405, ErrorCode.METHOD_NOT_ALLOWED),
        (418, ErrorCode.BAD_REQUEST),
        (429, ErrorCode.CONCURRENCY_LIMIT),
        (500, ErrorCode.INTERNAL_ERROR),
        (501, ErrorCode.INTERNAL_ERROR),
        (503, ErrorCode.NOT_READY),
        (504, ErrorCode.MODEL_TIMEOUT),
    ],
)
async def test_foreign_errors_are_rewritten(status: int, code: ErrorCode) -> None:
    """BentoML's own 400, 404, 405, 429 and 504 included; nothing of their bodies stays."""
    async with make_client(foreign_app()) as client:
        response = await client.get("/readyz", params={"status": status})

    assert_error(response, code)
    assert "secret" not in response.text
    assert int(response.headers["content-length"]) == len(response.content)


async def test_a_crash_outside_the_routes_is_an_internal_error() -> None:
    """Not even a bug in a middleware shows its stack."""
    transport = httpx.ASGITransport(foreign_app(), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://rag") as client:
        response = await client.get("/metrics")

    assert_error(response, ErrorCode.INTERNAL_ERROR)
    assert "secret" not in response.text


async def test_foreign_answers_that_are_fine_pass_unchanged() -> None:
    """The edge adds the trace id and nothing else."""
    async with make_client(foreign_app()) as client:
        response = await client.get("/livez")

    assert (response.status_code, response.text) == (200, "\n")
    assert response.headers["x-trace-id"]


async def test_a_stream_that_breaks_outside_our_hands_is_cut_not_ended() -> None:
    """After the status line a crash must reach the server, which closes the connection."""

    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError

    async with make_client(ContractEdge(broken, ours=broken)) as client:
        with pytest.raises(RuntimeError):
            await client.get("/metrics")


@pytest.mark.parametrize(
    "error", [RateLimited("requests", retry_after_s=0.2), RateLimited("tokens", retry_after_s=59.001), NotReady()]
)
async def test_retry_after_is_whole_seconds_and_never_too_early(error: RagError) -> None:
    """Rounded up, at least one."""
    pipeline = make_pipeline(embedder=FailingEmbedder(error))
    async with make_client(make_app(pipeline=pipeline)) as client:
        response = await client.post("/query", json={"question": QUESTION})

    assert int(response.headers["retry-after"]) >= (error.retry_after_s or 1)


@pytest.mark.parametrize("headers", [JSON, {"content-type": "text/plain"}])
async def test_the_body_of_a_refused_request_is_read_before_the_answer_ends(headers: dict[str, str]) -> None:
    """A connection that is closed with something unread is reset, and its client may never see the answer."""
    pieces = [b"x" * 40_000] * 10
    async with Connection(make_app(), "POST", "/query", body=pieces, headers=headers) as connection:
        status, _ = await connection.head()
        body = await connection.json()
        await connection.finished()

        assert status == body_status(body)
        assert connection.unread == 0


def body_status(body: dict[str, Any]) -> int:
    return ERROR_TABLE[ErrorCode(body["error"]["code"])].status


@pytest.mark.parametrize("path", ["/query/stream", "/nowhere"])
async def test_a_websocket_is_refused_like_an_unknown_path(path: str) -> None:
    """404 NOT_FOUND with the contract's body and the trace id, for every status of every path."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    scope: Scope = {"type": "websocket", "path": path, "headers": [(b"x-trace-id", b"tr-1")], "query_string": b""}
    with suppress(ClientDisconnected):  # which is what the server waits for
        await make_app()({**scope, "extensions": {"websocket.http.response": {}}}, receive, send)
    await make_app()(scope, receive, send)

    head, body, closed = sent
    assert (head["type"], head["status"]) == ("websocket.http.response.start", 404)
    assert (b"x-trace-id", b"tr-1") in head["headers"]
    assert json.loads(body["body"])["error"]["code"] == "NOT_FOUND"
    assert closed == {"type": "websocket.close"}
