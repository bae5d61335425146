"""The OpenAPI document is true: every response and event matches it, and contains nothing else."""

from typing import Any, Final

import httpx
import pytest

from rag.api.openapi import describe_api
from rag.errors import (
    BadRequest,
    DeadlineExceeded,
    NotReady,
    RagError,
    RateLimited,
    Unauthorized,
    UpstreamError,
    UpstreamRateLimited,
)
from rag.identity import Principal
from rag.limits import Places
from schemas.errors import ErrorCode
from schemas.request import BODY_MAX_BYTES
from tests.asgi import SentEvent, parse_events
from tests.described import Description
from tests.fakes import (
    ANNUAL_LEAVE,
    HANG,
    QUESTION,
    FailingEmbedder,
    FakeIndexes,
    ScriptedGenerator,
    make_app,
    make_client,
    make_pipeline,
    probe_ok,
)

DESCRIPTION: Final = Description(describe_api(is_open=True))
QUERIES: Final = [("POST", "/query"), ("POST", "/v1/query"), ("POST", "/query/stream"), ("GET", "/query/stream")]
JSON: Final = {"content-type": "application/json"}


async def ask(client: httpx.AsyncClient, method: str, path: str, **fields: object) -> httpx.Response:
    """One question, in the body or in the URL."""
    if method == "GET":
        return await client.get(path, params={"question": QUESTION, **{name: str(fields[name]) for name in fields}})
    return await client.post(path, json={"question": QUESTION, **fields})


class Refusing:
    """An `Authenticator` that knows nobody, and says why."""

    def __init__(self, error: RagError) -> None:
        self._error = error

    async def authenticate(self, headers: Any) -> Principal:
        raise self._error


@pytest.mark.parametrize("path", ["/health", "/ready", "/models/current", "/openapi.json"])
async def test_a_status_is_as_described(path: str) -> None:
    """The good answers of the routes that take no question."""
    async with make_client(make_app()) as client:
        response = await client.get(path)

    assert response.status_code == 200
    DESCRIPTION.check_response(response)


@pytest.mark.parametrize(
    "probe_states", [{"index": "loading"}, {"embedder": "unreachable", "index": "mismatch"}, {"generator": "timeout"}]
)
async def test_what_is_not_ready_is_as_described(probe_states: dict[str, Any]) -> None:
    """503 with the state of every dependency."""

    def probe(state: Any) -> Any:
        async def answer(_: str | None) -> Any:
            return state

        return answer

    probes = {name: probe(state) for name, state in probe_states.items()}
    async with make_client(make_app(probes={"limiter": probe_ok, **probes})) as client:
        response = await client.get("/ready")

    assert response.json()["dependencies"] == {"limiter": "ok", **probe_states}
    DESCRIPTION.check_response(response)


@pytest.mark.parametrize("error", [Unauthorized(), NotReady(), RuntimeError()])
@pytest.mark.parametrize(("method", "path"), [*QUERIES, ("GET", "/models/current")])
async def test_a_caller_who_is_not_let_in_is_told_as_described(method: str, path: str, error: Any) -> None:
    """401 and 503, wherever credentials are asked for."""
    transport = httpx.ASGITransport(make_app(authenticator=Refusing(error)), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://rag") as client:
        response = await (client.get(path) if path == "/models/current" else ask(client, method, path))

    DESCRIPTION.check_response(response)


def failing(error: Exception) -> Any:
    return make_app(pipeline=make_pipeline(embedder=FailingEmbedder(error)))


FAILURES: Final = [
    (BadRequest(), ErrorCode.BAD_REQUEST),
    (RateLimited("requests", retry_after_s=3), ErrorCode.RATE_LIMITED),
    (RuntimeError(), ErrorCode.INTERNAL_ERROR),
    (UpstreamError(), ErrorCode.UPSTREAM_ERROR),
    (NotReady(), ErrorCode.NOT_READY),
    (DeadlineExceeded(), ErrorCode.MODEL_TIMEOUT),
]


@pytest.mark.parametrize(("error", "code"), FAILURES)
@pytest.mark.parametrize(("method", "path"), QUERIES)
async def test_a_failed_query_is_as_described(method: str, path: str, error: Exception, code: ErrorCode) -> None:
    """Each status with its codes, its headers and its body."""
    async with make_client(failing(error)) as client:
        response = await ask(client, method, path)

    assert response.json()["error"]["code"] == code
    DESCRIPTION.check_response(response)


@pytest.mark.parametrize(("method", "path"), QUERIES)
async def test_a_refused_query_is_as_described(method: str, path: str) -> None:
    """Another's tenant, a field out of its bounds, and no place left."""
    places = Places(1, queue_timeout_s=0.001)
    async with places.hold(), make_client(make_app(places=places)) as client:
        responses = [
            await ask(client, method, path, tenant_id="acme"),
            await ask(client, method, path, top_k=21),
            await ask(client, method, path),
        ]

    assert [response.status_code for response in responses] == [403, 422, 503]
    for response in responses:
        DESCRIPTION.check_response(response)


@pytest.mark.parametrize("path", ["/query", "/v1/query", "/query/stream"])
async def test_a_refused_body_is_as_described(path: str) -> None:
    """Not JSON, too large, of another type."""
    async with make_client(make_app()) as client:
        responses = [
            await client.post(path, content=b"{", headers=JSON),
            await client.post(path, content=b"x" * (BODY_MAX_BYTES + 1), headers=JSON),
            await client.post(path, content=b"{}"),
        ]

    assert [response.status_code for response in responses] == [400, 413, 415]
    for response in responses:
        DESCRIPTION.check_response(response)


async def test_what_belongs_to_no_operation_is_as_described() -> None:
    """Unknown paths and wrong methods."""
    responses = DESCRIPTION.document["components"]["responses"]
    async with make_client(make_app()) as client:
        DESCRIPTION.check_as(responses["NotFound"], await client.get("/nothing"))
        DESCRIPTION.check_as(responses["MethodNotAllowed"], await client.put("/query"))


@pytest.mark.parametrize("path", ["/query", "/v1/query"])
@pytest.mark.parametrize("include_trace", [False, True])
@pytest.mark.parametrize("indexes", [None, FakeIndexes()])
async def test_an_answer_is_as_described(path: str, include_trace: bool, indexes: FakeIndexes | None) -> None:
    """With its trace only where it is asked for, with citations and without."""
    async with make_client(make_app(indexes=indexes)) as client:
        response = await ask(client, "POST", path, include_trace=include_trace)

    assert ("trace" in response.json()) is include_trace
    DESCRIPTION.check_response(response)


@pytest.mark.parametrize("path", ["/query", "/v1/query"])
async def test_a_whole_answer_tells_that_the_provider_limits_us(path: str) -> None:
    """UPSTREAM_RATE_LIMITED is a status here, and an event on a stream."""
    pipeline = make_pipeline(generator=ScriptedGenerator(UpstreamRateLimited(retry_after_s=3)))
    async with make_client(make_app(pipeline=pipeline)) as client:
        response = await ask(client, "POST", path)

    assert response.status_code == 429
    DESCRIPTION.check_response(response)


async def stream(method: str, app: Any, **fields: object) -> list[SentEvent]:
    """The events of a stream, each held against its schema."""
    async with make_client(app) as client:
        response = await ask(client, method, "/query/stream", **fields)
    DESCRIPTION.check_response(response)
    events = parse_events(response.text)
    for event in events:
        DESCRIPTION.check_event(event)
    return events


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("include_trace", ["false", "true"])
async def test_a_stream_is_as_described(method: str, include_trace: str) -> None:
    """Every event of an answer, and the headers before them."""
    asked = include_trace if method == "GET" else include_trace == "true"

    events = await stream(method, make_app(), include_trace=asked)

    assert {event.name for event in events} == {"meta", "citation", "token", "done"}


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (UpstreamError(), ErrorCode.UPSTREAM_ERROR),
        (UpstreamRateLimited(), ErrorCode.UPSTREAM_RATE_LIMITED),
        (NotReady(), ErrorCode.NOT_READY),
        (RuntimeError(), ErrorCode.INTERNAL_ERROR),
        (HANG, ErrorCode.STREAM_TIMEOUT),
    ],
)
async def test_a_failure_in_a_stream_is_as_described(failure: Any, code: ErrorCode) -> None:
    """The `error` event, with each code that it may carry."""
    generator = ScriptedGenerator(f"{ANNUAL_LEAVE} [S1]", failure)
    pipeline = make_pipeline(generator=generator, generation_timeout_s=0.05)

    events = await stream("POST", make_app(pipeline=pipeline))

    assert (events[-1].name, events[-1].data["code"]) == ("error", code)
