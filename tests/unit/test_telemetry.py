"""A record sums up what a request did; the log of an exception never quotes a user."""

import json
import logging

import pytest
from prometheus_client import REGISTRY

from rag.observability.logs import JsonFormatter, describe_exception
from rag.observability.metrics import note_batch
from rag.observability.telemetry import QueryRecord, redact
from rag.types import BatchReport, TokenUsage
from schemas.errors import ErrorCode


def make_record() -> QueryRecord:
    return QueryRecord("tr_1", "/query")


def test_a_stage_that_is_entered_twice_adds_up() -> None:
    """Generation is timed delta by delta."""
    record = make_record()
    record.started -= 10
    for _ in range(2):
        with record.stage("generation"):
            pass

    assert record.latency().generation == 0
    assert record.latency().total >= 10_000


def test_the_total_is_at_least_each_of_its_parts() -> None:
    """Rounding must not break the promise."""
    record = make_record()
    record.started += 100  # as if the whole had taken less than a part

    with record.stage("rerank"):
        pass

    assert record.latency().total >= record.latency().rerank >= 0


def test_batches_are_counted_by_their_function() -> None:
    """In items, in tokens and by how long they waited."""
    note_batch(BatchReport("embed_nothing", items=3, tokens=150, waited_s=0.25))

    of_it = {"function": "embed_nothing"}
    assert REGISTRY.get_sample_value("rag_batch_items_sum", of_it) == 3
    assert REGISTRY.get_sample_value("rag_batch_tokens_sum", of_it) == 150
    assert REGISTRY.get_sample_value("rag_batch_wait_seconds_sum", of_it) == 0.25


def test_a_stage_that_fails_is_timed_too() -> None:
    """A timeout without its time would be of little use."""
    record = make_record()

    with pytest.raises(ValueError, match="late"), record.stage("retrieval"):
        raise ValueError("late")

    record.report(ErrorCode.MODEL_TIMEOUT)
    assert REGISTRY.get_sample_value("rag_stage_seconds_count", {"stage": "retrieval"})


def test_tokens_are_counted_once_they_are_known() -> None:
    """Prompt and completion apart, for the tenant where the record may name it."""
    labels = {"kind": "completion", "tenant": "acme"}
    record = make_record()
    record.tenant_label = "acme"
    record.usage = TokenUsage(10, 4)
    record.report("stop")

    assert REGISTRY.get_sample_value("rag_tokens_total", labels) == 4


def test_a_tenant_that_nobody_named_is_no_label() -> None:
    """Its id may come from a request: it would make a series for each value."""
    others = {"kind": "prompt", "tenant": "other"}
    before = REGISTRY.get_sample_value("rag_tokens_total", others) or 0
    record = make_record()
    record.tenant_id = "made-up"
    record.usage = TokenUsage(10, 4)
    record.report("stop")

    assert REGISTRY.get_sample_value("rag_tokens_total", others) == before + 10
    assert REGISTRY.get_sample_value("rag_tokens_total", {"kind": "prompt", "tenant": "made-up"}) is None


@pytest.mark.parametrize(
    ("end", "event", "reason"),
    [
        ("stop", "query_ok", "stop"),
        ("no_answer", "query_ok", "no_answer"),
        (ErrorCode.MODEL_TIMEOUT, "query_failed", "timeout"),
        (ErrorCode.STREAM_TIMEOUT, "query_failed", "timeout"),
        (ErrorCode.RATE_LIMITED, "query_failed", "error"),
        (None, "query_cancelled", "client_disconnected"),
    ],
)
def test_the_line_says_how_it_ended(end: object, event: str, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    """query_ok, query_failed or query_cancelled."""
    make_record().report(end)  # type: ignore[arg-type]  # the three kinds of end in one table

    line = json.loads(capsys.readouterr().out)
    assert (line["event"], line["finish_reason"]) == (event, reason)
    assert line["timestamp"].endswith("Z")


def test_an_exception_is_told_by_type_and_place() -> None:
    """A message may quote what a user wrote; the code's own names cannot."""
    try:
        try:
            raise KeyError("what the user wrote")
        except KeyError as error:
            raise RuntimeError("what the user wrote") from error
    except RuntimeError as error:
        described = describe_exception(error)

    assert [each.split(" ")[0] for each in described] == ["RuntimeError", "KeyError"]
    assert "test_an_exception_is_told_by_type_and_place" in described[0]
    assert "user" not in " ".join(described)


def test_a_log_record_is_one_json_object() -> None:
    """Events are constant strings, data goes into fields."""
    record = logging.LogRecord("rag.x", logging.WARNING, "f.py", 1, "redis_lost", None, None)
    record.fields = {"trace_id": "tr_1"}
    line = json.loads(JsonFormatter().format(record))

    assert (line["event"], line["level"], line["logger"], line["trace_id"]) == (
        "redis_lost", "WARNING", "rag.x", "tr_1",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("Lương của tôi là 12.000.000đ?", "Lương của tôi là <number>"),
        ("mail me@example.com or see https://x.test/a?b", "mail <address> or see <address>"),
        ("a" * 500, "a" * 200),
    ],
)
def test_redacted_text_has_no_addresses_and_no_numbers(text: str, redacted: str) -> None:
    """Enough to see what kind of question it was."""
    assert redact(text) == redacted
