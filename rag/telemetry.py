"""What a query leaves behind: its stage times, one log line, and the metrics; never its question or its answer."""

import json
import logging
import re
import sys
import time
import traceback
from collections import Counter as Tally
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

from prometheus_client import Counter, Gauge, Histogram

from rag.types import BatchReport, TokenUsage, VerdictKind
from schemas.errors import ERROR_TABLE, ErrorCode
from schemas.response import FinishReason, Latency

Stage = Literal["retrieval", "rerank", "generation", "verification"]
Outcome = Literal["query_ok", "query_failed", "query_cancelled"]
LoggedReason = FinishReason | Literal["timeout", "error", "client_disconnected"]

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 60)
_WAITS: Final = (0.001, 0.0025, *_SECONDS)
# Every label comes from a closed set: routes, codes, reasons, stages and verdicts of the contract,
# functions of our model services; never a tenant.
QUERIES = Counter(
    "rag_queries_total", "Requests to a query route, by how they ended.", ["route", "outcome", "reason", "code"]
)
DURATION = Histogram("rag_query_seconds", "Time of a whole query.", ["route"], buckets=_SECONDS)
STAGES = Histogram("rag_stage_seconds", "Time that a query spent in a stage.", ["stage"], buckets=_SECONDS)
FIRST_TOKEN = Histogram("rag_first_token_seconds", "Time until a stream sent its first text.", buckets=_SECONDS)
SENTENCES = Counter(
    "rag_sentences_total", "Draft sentences, by what verification made of them and why.", ["verdict", "reason"]
)
SUPPORT = Histogram(
    "rag_sentence_support",
    "Support of draft sentences by the passages, where it was measured.",
    ["verdict"],
    buckets=(-0.2, 0, 0.1, 0.22, 0.35, 0.45, 0.6, 0.75, 0.9, 1),
)
TOKENS = Counter("rag_tokens_total", "Tokens of the generator.", ["kind"])
LIMITED_LOCALLY = Counter("rag_limiter_degraded_total", "Requests limited by one process because Redis is lost.")
BATCH_ITEMS = Histogram(
    "rag_batch_items", "Items of a batch of a model.", ["function"], buckets=[2**power for power in range(9)]
)
BATCH_TOKENS = Histogram(
    "rag_batch_tokens",
    "Tokens of a batch of a model, padding counted.",
    ["function"],
    buckets=[2**power for power in range(4, 17)],
)
BATCH_WAIT = Histogram(
    "rag_batch_wait_seconds", "Time that the oldest item of a batch had waited.", ["function"], buckets=_WAITS
)
RUNNING = Gauge("rag_queries_running", "Queries that hold a place.", multiprocess_mode="livesum")

_TIMEOUTS: Final = frozenset({ErrorCode.MODEL_TIMEOUT, ErrorCode.STREAM_TIMEOUT})


def note_batch(report: BatchReport) -> None:
    """Counts one batch of a model service."""
    BATCH_ITEMS.labels(report.function).observe(report.items)
    BATCH_TOKENS.labels(report.function).observe(report.tokens)
    BATCH_WAIT.labels(report.function).observe(report.waited_s)


@dataclass(slots=True)
class QueryRecord:
    """What one request did, written down while it runs and reported once, when it ends."""

    trace_id: str
    route: str
    started: float = field(default_factory=time.monotonic)
    tenant_id: str | None = None
    principal_id: str | None = None
    input_chars: int | None = None
    model_version: str | None = None
    usage: TokenUsage | None = None
    first_token_s: float | None = None
    citations: int = 0
    verdicts: list[tuple[VerdictKind, str | None, float | None]] = field(default_factory=list)  # kind, reason, support
    content: str | None = None
    _stage_s: dict[Stage, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, stage: Stage) -> Iterator[None]:
        """Adds the time of the block to the stage."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._stage_s[stage] = self._stage_s.get(stage, 0.0) + time.monotonic() - began

    def note_first_token(self) -> None:
        if self.first_token_s is None:
            self.first_token_s = time.monotonic() - self.started

    def latency(self) -> Latency:
        """The times so far; a total that is rounded to less than one of its parts would not be one."""
        parts = {stage: round(seconds * 1000) for stage, seconds in self._stage_s.items()}
        total = round((time.monotonic() - self.started) * 1000)
        return Latency(**parts, total=max(total, *parts.values(), 0))

    def report(self, end: FinishReason | ErrorCode | None) -> None:
        """Accounts for the request: how it finished, how it failed, or None where the client went away.

        Writes its line whatever the log level is.
        """
        code = end if isinstance(end, ErrorCode) else None
        outcome: Outcome = "query_failed" if code else "query_ok" if end else "query_cancelled"
        reason = _logged_reason(end)
        self._log(outcome, reason, code)
        self._measure(outcome, reason, code)

    def note_verdict(self, kind: VerdictKind, reason: str | None, support: float | None) -> None:
        """`reason` comes from a closed set."""
        self.verdicts.append((kind, reason, support))

    def _log(self, outcome: Outcome, reason: LoggedReason, code: ErrorCode | None) -> None:
        usage = self.usage or TokenUsage(0, 0)
        kinds = Tally(kind for kind, _, _ in self.verdicts)
        line = {
            "event": outcome,
            "timestamp": _now(),
            "trace_id": self.trace_id,
            "tenant_id": self.tenant_id,
            "principal_id": self.principal_id,
            "route": self.route,
            "input_chars": self.input_chars,
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "latency_ms": self.latency().model_dump(),
            "time_to_first_token_ms": None if self.first_token_s is None else round(self.first_token_s * 1000),
            "model_version": self.model_version,
            "finish_reason": reason,
            "error_code": code,
            "retryable": ERROR_TABLE[code].retryable if code else None,
            "citations": self.citations,
            "repaired_sentences": kinds["repaired"],
            "dropped_sentences": kinds["dropped"],
        }
        if self.content is not None:
            line["content"] = self.content
        _write(json.dumps(line, ensure_ascii=False))

    def _measure(self, outcome: Outcome, reason: LoggedReason, code: ErrorCode | None) -> None:
        QUERIES.labels(self.route, outcome, reason, code or "").inc()
        DURATION.labels(self.route).observe(time.monotonic() - self.started)
        for stage, seconds in self._stage_s.items():
            STAGES.labels(stage).observe(seconds)
        if self.first_token_s is not None:
            FIRST_TOKEN.observe(self.first_token_s)
        for verdict, why, support in self.verdicts:
            SENTENCES.labels(verdict, why or "").inc()
            if support is not None:
                SUPPORT.labels(verdict).observe(support)
        if self.usage is not None:
            TOKENS.labels("prompt").inc(self.usage.prompt_tokens)
            TOKENS.labels("completion").inc(self.usage.completion_tokens)


def _logged_reason(end: FinishReason | ErrorCode | None) -> LoggedReason:
    if end is None:
        return "client_disconnected"
    if isinstance(end, ErrorCode):
        return "timeout" if end in _TIMEOUTS else "error"
    return end


_REDACTIONS: Final = ((re.compile(r"\S+@\S+|https?://\S+"), "<address>"), (re.compile(r"\S*\d\S*"), "<number>"))
_REDACTED_CHARS: Final = 200


def redact(text: str) -> str:
    """The beginning of a text without addresses and without anything that holds a digit."""
    for pattern, replacement in _REDACTIONS:
        text = pattern.sub(replacement, text)
    return text[:_REDACTED_CHARS]


class JsonFormatter(logging.Formatter):
    """One JSON object per record: its constant text as `event`, and the fields given as `extra={"fields": {…}}`.

    Of an exception only the types and the places in the code are shown: a message may quote what a user wrote.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {  # any value that JSON can hold
            "event": record.getMessage(),
            "timestamp": _now(),
            "level": record.levelname,
            "logger": record.name,
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[1]:
            line["exception"] = describe_exception(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False, default=str)


class _StdoutHandler(logging.Handler):
    """Writes where the query lines go: to the stdout of the moment, a whole line at once."""

    def emit(self, record: logging.LogRecord) -> None:
        _write(self.format(record))


def configure_logging(level: str) -> None:
    """Sends what `rag` logs to stdout as JSON lines; what the server logs is the server's."""
    handler = _StdoutHandler()
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("rag")
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    logger.propagate = False


def describe_exception(error: BaseException) -> list[str]:
    """The chain of causes, the last one first: `Type at file:line in function`, innermost frame."""
    described = []
    cause: BaseException | None = error
    while cause is not None:
        frames = traceback.extract_tb(cause.__traceback__)
        place = f" at {frames[-1].filename}:{frames[-1].lineno} in {frames[-1].name}" if frames else ""
        described.append(f"{type(cause).__qualname__}{place}")
        cause = cause.__cause__ or cause.__context__
    return described


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _write(line: str) -> None:
    # One write, so that lines of several workers on one pipe do not mix.
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
