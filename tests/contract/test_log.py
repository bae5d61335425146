"""One JSON line per request to a query route, with the contract's fields and nothing of the content."""

from typing import Any

import pytest

from rag.errors import UpstreamError
from tests.contract.conftest import LogLines
from tests.fakes import (
    ANNUAL_LEAVE,
    HANG,
    MODEL_VERSION,
    QUESTION,
    FakeIndexes,
    ScriptedGenerator,
    make_app,
    make_client,
    make_pipeline,
)

FIELDS = [
    "event", "timestamp", "trace_id", "tenant_id", "principal_id", "route", "input_chars", "prompt_tokens",
    "completion_tokens", "latency_ms", "time_to_first_token_ms", "model_version", "finish_reason", "error_code",
    "retryable", "citations", "repaired_sentences", "dropped_sentences",
]  # fmt: skip
ROUTES = ["/query", "/v1/query", "/query/stream"]


async def post(path: str, body: Any = None, **app: Any) -> None:
    async with make_client(make_app(**app)) as client:
        await client.post(path, json=body or {"question": QUESTION}, headers={"x-trace-id": "tr-log"})


@pytest.mark.parametrize("path", ROUTES)
async def test_an_answer_leaves_one_line_with_every_field(path: str, log_lines: LogLines) -> None:
    """`query_ok`, with exactly these fields in this order."""
    await post(path)

    (line,) = log_lines()
    assert list(line) == FIELDS
    assert line["event"] == "query_ok"
    assert (line["trace_id"], line["route"], line["tenant_id"]) == ("tr-log", path, "demo")
    assert (line["principal_id"], line["model_version"]) == ("anonymous", MODEL_VERSION)
    assert (line["finish_reason"], line["error_code"], line["retryable"]) == ("stop", None, None)
    assert (line["input_chars"], line["citations"]) == (len(QUESTION), 1)
    assert line["prompt_tokens"] > 0
    assert line["completion_tokens"] > 0


async def test_only_a_stream_has_a_first_token(log_lines: LogLines) -> None:
    """TTFT is the time at which text was sent before the end."""
    await post("/query")
    await post("/query/stream")

    whole, stream = log_lines()
    assert whole["time_to_first_token_ms"] is None
    assert 0 <= stream["time_to_first_token_ms"] <= stream["latency_ms"]["total"]


async def test_repairs_and_omissions_are_counted(log_lines: LogLines) -> None:
    """What verification did is visible without the text."""
    generator = ScriptedGenerator(f"Staff have 99 days of leave. [S1] {ANNUAL_LEAVE} [S1]")
    await post("/query", pipeline=make_pipeline(generator=generator))

    (line,) = log_lines()
    assert line["repaired_sentences"] + line["dropped_sentences"] >= 1


async def test_no_answer_is_an_answer(log_lines: LogLines) -> None:
    """An abstention is `query_ok`."""
    await post("/query", pipeline=make_pipeline(indexes=FakeIndexes()))

    (line,) = log_lines()
    assert (line["event"], line["finish_reason"], line["citations"]) == ("query_ok", "no_answer", 0)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"content": b"x", "headers": {"content-type": "text/plain"}}, "UNSUPPORTED_MEDIA_TYPE"),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, "BAD_REQUEST"),
        ({"json": {}}, "VALIDATION_ERROR"),
        ({"json": {"question": "x", "tenant_id": "acme"}}, "FORBIDDEN"),
        ({"content": b" " * 70_000, "headers": {"content-type": "application/json"}}, "PAYLOAD_TOO_LARGE"),
    ],
)
@pytest.mark.parametrize("path", ROUTES)
async def test_a_refused_request_leaves_its_line_too(
    path: str, request_: dict[str, Any], code: str, log_lines: LogLines
) -> None:
    """`query_failed` with the code."""
    async with make_client(make_app()) as client:
        await client.post(path, **request_)

    (line,) = log_lines()
    assert list(line) == FIELDS
    assert (line["event"], line["error_code"], line["retryable"]) == ("query_failed", code, False)
    assert line["finish_reason"] == "error"


@pytest.mark.parametrize(("path", "code"), [("/query", "MODEL_TIMEOUT"), ("/query/stream", "STREAM_TIMEOUT")])
async def test_a_late_answer_finishes_with_timeout(path: str, code: str, log_lines: LogLines) -> None:
    """In the log `finish_reason` may be `timeout`."""
    pipeline = make_pipeline(generator=ScriptedGenerator(HANG), generation_timeout_s=0.01)
    await post(path, pipeline=pipeline)

    (line,) = log_lines()
    assert (line["event"], line["finish_reason"], line["error_code"]) == ("query_failed", "timeout", code)
    assert line["retryable"] is True


@pytest.mark.parametrize("path", ROUTES)
async def test_a_failed_stream_is_a_failed_query(path: str, log_lines: LogLines) -> None:
    """Status 200 or not: the line says how it ended."""
    await post(path, pipeline=make_pipeline(generator=ScriptedGenerator(f"{ANNUAL_LEAVE} [S1] ", UpstreamError())))

    (line,) = log_lines()
    assert (line["event"], line["error_code"]) == ("query_failed", "UPSTREAM_ERROR")


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("failure", [None, RuntimeError(QUESTION), UpstreamError()])
async def test_no_content_is_ever_logged(
    path: str, failure: Exception | None, capfd: pytest.CaptureFixture[str], own_logging: None
) -> None:
    """Never the question, the answer or passages, not even through an exception's message; at any log level."""
    ends = (failure,) if failure else ()
    await post(path, pipeline=make_pipeline(generator=ScriptedGenerator(f"{ANNUAL_LEAVE} [S1] ", *ends)))

    written = "".join(capfd.readouterr())
    assert "tr-log" in written
    assert "annual leave" not in written
    assert "12 days" not in written


async def test_redacted_text_is_logged_only_where_it_was_asked_for(log_lines: LogLines) -> None:
    """`RAG_LOG_CONTENT_SAMPLE` may add redacted text for debugging."""
    question = "Is an.nguyen@example.com, employee E-1024, on annual leave?"
    await post("/query", {"question": question}, log_content_sample=1.0)

    (line,) = log_lines()
    assert line["content"] == "Is <address> employee <number> on annual leave?"


async def test_status_routes_leave_no_line(log_lines: LogLines) -> None:
    """Probes would drown the account of queries."""
    async with make_client(make_app()) as client:
        await client.get("/health")
        await client.get("/ready")
        await client.get("/nothing")

    assert log_lines() == []
