"""How BentoML's server handles requests that our routes never see; this cannot be tested in process."""

import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from bentoml.exceptions import BentoMLException

from load.server import Server
from rag.api.openapi import describe_api
from schemas.errors import ErrorCode
from schemas.request import BODY_MAX_BYTES
from tests.integration.asking import Rag, assert_error, bentoml_client, make_trace_id, wait_for

pytestmark = pytest.mark.integration

QUESTION = "How many days of annual leave do full-time staff have?"
JSON = {"content-type": "application/json"}
TIMEOUT_S = 10


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "code"),
    [
        ("GET", "/nothing", {}, b"", ErrorCode.NOT_FOUND),
        ("POST", "/query/", JSON, b'{"question":"x"}', ErrorCode.NOT_FOUND),
        ("GET", "/static_content/index.css", {}, b"", ErrorCode.NOT_FOUND),
        ("GET", "/%2e%2e/etc/passwd", {}, b"", ErrorCode.NOT_FOUND),
        ("GET", "/query", {}, b"", ErrorCode.METHOD_NOT_ALLOWED),
        ("DELETE", "/query/stream", {}, b"", ErrorCode.METHOD_NOT_ALLOWED),
        ("OPTIONS", "/v1/query", {}, b"", ErrorCode.METHOD_NOT_ALLOWED),
        ("POST", "/metrics", {}, b"", ErrorCode.METHOD_NOT_ALLOWED),
        ("POST", "/query", {"content-type": "text/plain"}, b'{"question":"x"}', ErrorCode.UNSUPPORTED_MEDIA_TYPE),
        ("POST", "/v1/query", {"content-type": "text/plain"}, b'{"question":"x"}', ErrorCode.UNSUPPORTED_MEDIA_TYPE),
        ("POST", "/query", JSON, b"{", ErrorCode.BAD_REQUEST),
        ("POST", "/v1/query", JSON, b"{", ErrorCode.BAD_REQUEST),
        ("POST", "/query", JSON, b'{"question":"\xff"}', ErrorCode.BAD_REQUEST),
        ("POST", "/query", JSON, b"[]", ErrorCode.VALIDATION_ERROR),
        ("POST", "/v1/query", JSON, b'{"question":"x","top_k":"6"}', ErrorCode.VALIDATION_ERROR),
        ("POST", "/v1/query", JSON, b'{"request":{"question":"x"}}', ErrorCode.VALIDATION_ERROR),
        ("POST", "/query/stream", JSON, b'{"question":" "}', ErrorCode.VALIDATION_ERROR),
        ("GET", "/query/stream?question=x&top_k=21", {}, b"", ErrorCode.VALIDATION_ERROR),
        ("GET", "/query/stream?question=%ff", {}, b"", ErrorCode.BAD_REQUEST),
        ("POST", "/query", JSON, b'{"question":"x","tenant_id":"acme"}', ErrorCode.FORBIDDEN),
        ("POST", "/v1/query", JSON, b'{"question":"x","tenant_id":"acme"}', ErrorCode.FORBIDDEN),
    ],
)
def test_every_refusal_has_the_contracts_body(
    scripted: Rag, method: str, path: str, headers: dict[str, str], body: bytes, code: ErrorCode
) -> None:
    """One shape for every path and status, BentoML's own included; the client's trace id comes back."""
    trace_id = make_trace_id()

    response = scripted.http.request(method, path, headers={**headers, "x-trace-id": trace_id}, content=body)

    error = assert_error(response, code)
    assert error["trace_id"] == trace_id
    assert ("allow" in response.headers) == (code is ErrorCode.METHOD_NOT_ALLOWED)
    assert ("fields" in error) == (code is ErrorCode.VALIDATION_ERROR)


def test_head_is_answered_without_a_body(scripted: Rag) -> None:
    """Where it is allowed, and where it is not."""
    metrics, query = scripted.http.head("/metrics"), scripted.http.head("/query")

    assert (metrics.status_code, metrics.content) == (200, b"")
    assert (query.status_code, query.content, query.headers["allow"]) == (405, b"", "POST")


@pytest.mark.parametrize(
    "path", ["/health", "/ready", "/models/current", "/metrics", "/livez", "/readyz", "/docs.json"]
)
def test_every_good_answer_has_a_trace_id(scripted: Rag, path: str) -> None:
    """All responses carry `x-trace-id`; an id that is not one is ignored."""
    given = scripted.http.get(path, headers={"x-trace-id": "abc-1"})
    made = scripted.http.get(path, headers={"x-trace-id": "not an id"})

    assert (given.status_code, given.headers["x-trace-id"]) == (200, "abc-1")
    assert made.headers["x-trace-id"].startswith("tr_")


@pytest.mark.parametrize("path", ["/query", "/v1/query", "/query/stream"])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_body_is_refused(scripted: Rag, path: str, chunked: bool) -> None:
    """413 PAYLOAD_TOO_LARGE over 64 KiB, with and without `Content-Length`."""
    body = json.dumps({"question": "x" * BODY_MAX_BYTES}).encode()

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(body), 4096):
            yield body[start : start + 4096]

    response = scripted.http.post(path, content=pieces() if chunked else body, headers=JSON)

    assert_error(response, ErrorCode.PAYLOAD_TOO_LARGE)


@contextmanager
def connected(server: Server) -> Iterator[socket.socket]:
    parts = urlsplit(server.url)
    assert parts.hostname is not None
    with socket.create_connection((parts.hostname, parts.port or 80), timeout=TIMEOUT_S) as connection:
        yield connection


def test_a_large_body_is_refused_before_its_end(scripted_server: Server) -> None:
    """Refused while reading: the answer comes although the body never ends."""
    piece = b"x" * 8192
    head = b"POST /query HTTP/1.1\r\nHost: rag\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"

    with connected(scripted_server) as connection:
        connection.sendall(head + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for _ in range(9)))
        answer = connection.recv(65536)

    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_client_that_leaves_before_its_body_ends_is_logged_as_gone(scripted: Rag, scripted_server: Server) -> None:
    """`query_cancelled`, and nothing else happens."""
    trace_id = make_trace_id()
    head = "POST /query HTTP/1.1\r\nHost: rag\r\nContent-Type: application/json\r\nContent-Length: 99\r\n"

    with connected(scripted_server) as connection:
        connection.sendall(f"{head}X-Trace-Id: {trace_id}\r\n\r\n{{".encode())

    assert scripted.log_line(trace_id)["event"] == "query_cancelled"


def test_bentomls_client_sees_a_refusal_as_one(scripted_server: Server) -> None:
    """The status of an error goes through BentoML's own client."""
    with bentoml_client(scripted_server) as client, pytest.raises(BentoMLException) as refusal:
        client.query(question="x", tenant_id="acme")

    assert refusal.value.error_code == 403


def test_both_descriptions_are_ours(scripted: Rag) -> None:
    """`/docs.json` is BentoML's path, but BentoML's own document knows neither our errors nor our events."""
    docs = scripted.http.get("/docs.json").json()
    openapi = scripted.http.get("/openapi.json").json()

    assert docs == openapi == describe_api(is_open=True)


def test_metrics_count_queries_and_name_no_tenant(scripted: Rag) -> None:
    """Labels come from closed sets: never a trace id, a stranger's path, or a tenant that no identities file names."""
    scripted.http.get("/some-strangers-path")
    scripted.answer(QUESTION)

    def counted() -> str | None:
        text = scripted.http.get("/metrics").text
        return text if 'rag_queries_total{code="",outcome="query_ok",reason="stop",route="/query"}' in text else None

    metrics = wait_for(counted, within_s=10)

    assert "rag_stage_seconds_bucket" in metrics
    assert set(re.findall('tenant="([^"]*)"', metrics)) == {"other"}
    assert "demo" not in metrics
    assert "some-strangers-path" not in metrics
