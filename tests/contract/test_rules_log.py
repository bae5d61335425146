"""Exactly one log line per request to a query route, however it ends, with the trace id that links everything else."""

import json
from datetime import datetime
from typing import Any

import pytest

from rag.errors import IndexUnavailable, NotReady, RateLimited, UpstreamError, UpstreamRateLimited
from rag.limits import Places
from rag.pipeline import Pipeline
from rag.types import Reservation
from schemas.response import DependencyState
from tests.asgi import Connection
from tests.contract.conftest import LogLines
from tests.fakes import (
    ANNUAL_LEAVE,
    HANG,
    QUESTION,
    FailingEmbedder,
    FakeIndexes,
    HangingEmbedder,
    ScriptedGenerator,
    make_app,
    make_client,
    make_pipeline,
)

JSON = {"content-type": "application/json"}
BODY = f'{{"question": "{QUESTION}"}}'.encode()
ROUTES = ["/query", "/v1/query", "/query/stream"]
NUMBERS = ["input_chars", "prompt_tokens", "completion_tokens", "citations", "repaired_sentences", "dropped_sentences"]
MARKED = {"x-trace-id": "tr-one"}


class Refusing:
    """A `RateLimiter` that admits nobody."""

    async def reserve(self, *_: Any, **__: Any) -> Reservation:
        raise RateLimited("requests", retry_after_s=2)

    async def settle(self, reservation: Reservation, used_tokens: int) -> None:
        raise AssertionError("nothing was reserved")

    async def state(self) -> DependencyState:
        return "ok"

    async def aclose(self) -> None:
        """Nothing is held open."""


def loading() -> Pipeline:
    raise NotReady


def failing_at(error: Exception) -> Pipeline:
    return make_pipeline(generator=ScriptedGenerator(f"{ANNUAL_LEAVE} [S1] ", error))


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize(
    ("app", "code", "retryable"),
    [
        ({"limiter": Refusing()}, "RATE_LIMITED", True),
        ({"pipeline": loading}, "NOT_READY", True),
        ({"pipeline": make_pipeline(indexes=FakeIndexes(demo=IndexUnavailable()))}, "NOT_READY", True),
        ({"pipeline": make_pipeline(embedder=HangingEmbedder(), stage_timeout_s=0.01)}, "MODEL_TIMEOUT", True),
        ({"pipeline": make_pipeline(embedder=FailingEmbedder(ValueError("x")))}, "INTERNAL_ERROR", False),
        ({"pipeline": failing_at(UpstreamRateLimited())}, "UPSTREAM_RATE_LIMITED", True),
        ({"pipeline": failing_at(UpstreamError())}, "UPSTREAM_ERROR", True),
        ({"pipeline": failing_at(KeyError("x"))}, "INTERNAL_ERROR", False),
    ],
)
async def test_every_failure_leaves_one_line(
    path: str, app: dict[str, Any], code: str, retryable: bool, log_lines: LogLines
) -> None:
    """`query_failed` with code and trace id, whether it was refused, failed before the first event, or after it."""
    async with make_client(make_app(**app)) as client:
        await client.post(path, content=BODY, headers={**JSON, **MARKED})

    (line,) = log_lines()
    assert (line["event"], line["error_code"], line["retryable"]) == ("query_failed", code, retryable)
    assert (line["trace_id"], line["route"], line["tenant_id"]) == ("tr-one", path, "demo")
    assert line["finish_reason"] == ("timeout" if code == "MODEL_TIMEOUT" else "error")


@pytest.mark.parametrize("path", ROUTES)
async def test_who_finds_no_place_leaves_one_line(path: str, log_lines: LogLines) -> None:
    """CONCURRENCY_LIMIT, though no stage ever began."""
    async with make_client(make_app(places=Places(0, queue_timeout_s=0.001))) as client:
        await client.post(path, content=BODY, headers=JSON)

    (line,) = log_lines()
    assert (line["event"], line["error_code"], line["retryable"]) == ("query_failed", "CONCURRENCY_LIMIT", True)
    assert line["latency_ms"]["retrieval"] == 0


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("script", [(ANNUAL_LEAVE,), (f"{ANNUAL_LEAVE} [S1]",), ("",), (UpstreamError(),)])
async def test_a_line_has_numbers_where_numbers_belong(path: str, script: Any, log_lines: LogLines) -> None:
    """Whole numbers of at least zero, times in whole milliseconds of which `total` is the largest, a time in UTC."""
    pipeline = make_pipeline(generator=ScriptedGenerator(*script))
    async with make_client(make_app(pipeline=pipeline)) as client:
        await client.post(path, content=BODY, headers=JSON)

    (line,) = log_lines()
    latency = line["latency_ms"]
    assert all(type(line[name]) is int and line[name] >= 0 for name in NUMBERS)
    assert all(type(value) is int and value >= 0 for value in latency.values())
    assert latency["total"] == max(latency.values())
    assert datetime.fromisoformat(line["timestamp"]).utcoffset() is not None
    first = line["time_to_first_token_ms"]
    assert first is None or 0 <= first <= latency["total"]


@pytest.mark.parametrize(("method", "path"), [("GET", "/query"), ("DELETE", "/v1/query"), ("PUT", "/query/stream")])
async def test_a_wrong_method_leaves_one_line(method: str, path: str, log_lines: LogLines) -> None:
    """It is a request to a query route like any other."""
    async with make_client(make_app()) as client:
        await client.request(method, path, headers=MARKED)

    (line,) = log_lines()
    assert (line["route"], line["error_code"], line["trace_id"]) == (path, "METHOD_NOT_ALLOWED", "tr-one")


async def test_a_question_in_the_url_leaves_one_line_too(log_lines: LogLines) -> None:
    """`GET` and `POST` of one route are one route; the parameters are no part of its name."""
    async with make_client(make_app()) as client:
        await client.get("/query/stream", params={"question": QUESTION}, headers=MARKED)
        await client.get("/query/stream?question=")

    answered, refused = log_lines()
    assert (answered["event"], answered["route"], answered["input_chars"]) == (
        "query_ok", "/query/stream", len(QUESTION),
    )  # fmt: skip
    assert (refused["event"], refused["error_code"]) == ("query_failed", "VALIDATION_ERROR")


@pytest.mark.parametrize("path", ROUTES)
async def test_a_client_that_left_leaves_one_line(path: str, log_lines: LogLines) -> None:
    """`query_cancelled`: no code, nothing to retry, and the tokens that it cost."""
    generator = ScriptedGenerator("Full-time staff ", HANG)
    app = make_app(pipeline=make_pipeline(generator=generator))
    async with Connection(app, "POST", path, body=[BODY], headers={**JSON, **MARKED}) as connection:
        await generator.reached.wait()
        await connection.disconnect()

    (line,) = log_lines()
    assert (line["event"], line["finish_reason"]) == ("query_cancelled", "client_disconnected")
    assert (line["error_code"], line["retryable"], line["trace_id"]) == (None, None, "tr-one")
    assert line["prompt_tokens"] > 0


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("error", [KeyError("confidential"), RuntimeError("confidential")])
async def test_the_cause_of_an_internal_error_is_found_under_its_trace_id(
    path: str, error: Exception, capfd: pytest.CaptureFixture[str], own_logging: None
) -> None:
    """500: the log holds the cause, its type and its place but not its words, as one JSON object per line."""
    pipeline = make_pipeline(embedder=FailingEmbedder(error))
    async with make_client(make_app(pipeline=pipeline)) as client:
        response = await client.post(path, content=BODY, headers={**JSON, **MARKED})

    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert response.status_code == 500
    assert [line["trace_id"] for line in lines] == ["tr-one", "tr-one"]
    assert type(error).__name__ in str(lines[0]["exception"])
    assert "confidential" not in str(lines)


@pytest.mark.parametrize("path", ROUTES)
async def test_credentials_are_never_logged(path: str, capfd: pytest.CaptureFixture[str], own_logging: None) -> None:
    """Neither keys nor tokens of identity, at any log level."""
    headers = {**JSON, "x-api-key": "sk-of-the-caller", "authorization": "Bearer eyJ-of-the-caller"}
    async with make_client(make_app()) as client:
        await client.post(path, content=BODY, headers=headers)

    assert "of-the-caller" not in "".join(capfd.readouterr())
