"""Record one query: stage times, one log line, metrics and a span; never the answer.

The question appears only as the redacted `content` of a sampled log line.
"""

import json
import re
import time
from collections import Counter as Tally
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from rag.errors import RagError, UpstreamFailure
from rag.observability import metrics
from rag.observability.logs import now, write
from rag.types import FollowUp, TokenUsage, VerdictKind
from schemas.errors import ERROR_TABLE, ErrorCode
from schemas.response import FinishReason, Latency

if TYPE_CHECKING:
    from rag.observability.tracing.recording import Span

Stage = Literal["retrieval", "rerank", "generation", "verification"]
Outcome = Literal["query_ok", "query_failed", "query_cancelled"]
# The end of a request that wants no answer: a search, a chunk, HEAD, or a reconnecting stream (`Last-Event-ID`).
Unasked = Literal["unasked"]
LoggedReason = FinishReason | Literal["timeout", "error", "client_disconnected"] | None

_UNTRACED: Final = nullcontext()
_TIMEOUTS: Final = frozenset({ErrorCode.MODEL_TIMEOUT, ErrorCode.STREAM_TIMEOUT})


@dataclass(slots=True)
class QueryRecord:
    """What one request did: filled in while it runs, reported once when it ends."""

    trace_id: str
    route: str
    started: float = field(default_factory=time.monotonic)
    tenant_id: str | None = None
    tenant_label: str = metrics.OTHER_TENANT  # of metrics; the tenant's id only if the operator names it
    principal_id: str | None = None
    input_chars: int | None = None
    model_version: str | None = None
    usage: TokenUsage | None = None
    history_turns: int = 0
    follow_up: FollowUp | None = None  # None: it came without history, or history is off
    rewrite_error: ErrorCode | None = None
    first_token_s: float | None = None
    citations: int = 0
    verdicts: list[tuple[VerdictKind, str | None, float | None]] = field(default_factory=list)  # kind, reason, support
    content: str | None = None
    upstream: UpstreamFailure | None = None  # how a model service failed, if one did
    span: "Span | None" = None  # set if a trace collector is configured
    _stage_s: dict[Stage, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, stage: Stage) -> Iterator[None]:
        """Add the time of the block to the stage, and a child span to the query's span."""
        began = time.monotonic()
        try:
            with self.span.child(stage) if self.span else _UNTRACED:
                yield
        except RagError as error:
            metrics.note_upstream_error(stage, error.code)
            if isinstance(error, UpstreamFailure):
                self.upstream = error
            raise
        finally:
            self._stage_s[stage] = self._stage_s.get(stage, 0.0) + time.monotonic() - began

    def add_usage(self, usage: TokenUsage) -> None:
        """Add the tokens of one generation."""
        known = self.usage or TokenUsage(0, 0)
        self.usage = TokenUsage(
            known.prompt_tokens + usage.prompt_tokens, known.completion_tokens + usage.completion_tokens
        )

    def note_first_token(self) -> None:
        """Record the time of the first text; later calls do nothing."""
        if self.first_token_s is None:
            self.first_token_s = time.monotonic() - self.started

    def latency(self) -> Latency:
        """Return the times so far in ms; `total` is never less than a part, which rounding could otherwise cause."""
        parts = {stage: round(seconds * 1000) for stage, seconds in self._stage_s.items()}
        total = round((time.monotonic() - self.started) * 1000)
        return Latency(**parts, total=max(total, *parts.values(), 0))

    def report(self, end: FinishReason | ErrorCode | Unasked | None) -> None:
        """Write the log line (at any log level), update the metrics and end the span.

        `end` is the finish reason or the error code; None means that the client disconnected. A request that wanted
        no answer ("unasked") is logged as `query_ok` without a finish reason.
        """
        code = end if isinstance(end, ErrorCode) else None
        outcome: Outcome = "query_failed" if code else "query_ok" if end else "query_cancelled"
        reason = _logged_reason(end)
        self._log(outcome, reason, code)
        self._measure(outcome, reason, code)
        if self.span:
            self._end_span(self.span, reason, code)

    def note_verdict(self, kind: VerdictKind, reason: str | None, support: float | None) -> None:
        """Record the verdict on one sentence; `reason` must come from a closed set, because it becomes a label."""
        self.verdicts.append((kind, reason, support))

    def _log(self, outcome: Outcome, reason: LoggedReason, code: ErrorCode | None) -> None:
        usage = self.usage or TokenUsage(0, 0)
        kinds = Tally(kind for kind, _, _ in self.verdicts)
        line = {
            "event": outcome,
            "timestamp": now(),
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
        if self.history_turns:
            line["history_turns"] = self.history_turns
            line["follow_up"] = self.follow_up
        if self.rewrite_error is not None:
            line["rewrite_error"] = self.rewrite_error
        if self.upstream is not None:
            line["upstream_status"] = self.upstream.upstream_status
            line["upstream_error"] = self.upstream.upstream_error
        if self.content is not None:
            line["content"] = self.content
        write(json.dumps(line, ensure_ascii=False))

    def _measure(self, outcome: Outcome, reason: LoggedReason, code: ErrorCode | None) -> None:
        metrics.QUERIES.labels(self.route, outcome, reason or "", code or "").inc()
        metrics.DURATION.labels(self.route).observe(time.monotonic() - self.started)
        for stage, seconds in self._stage_s.items():
            metrics.STAGES.labels(stage).observe(seconds)
        if self.follow_up is not None:
            metrics.FOLLOW_UPS.labels(self.follow_up).inc()
        if self.first_token_s is not None:
            metrics.FIRST_TOKEN.observe(self.first_token_s)
        for verdict, why, support in self.verdicts:
            metrics.SENTENCES.labels(verdict, why or "").inc()
            if support is not None:
                metrics.SUPPORT.labels(verdict).observe(support)
        if self.usage is not None:
            metrics.TOKENS.labels("prompt", self.tenant_label).inc(self.usage.prompt_tokens)
            metrics.TOKENS.labels("completion", self.tenant_label).inc(self.usage.completion_tokens)

    def _end_span(self, span: "Span", reason: LoggedReason, code: ErrorCode | None) -> None:
        usage = self.usage or TokenUsage(0, 0)
        span.end(
            {
                "rag.tenant_id": self.tenant_id,
                "rag.principal_id": self.principal_id,
                "rag.model_version": self.model_version,
                "rag.prompt_tokens": usage.prompt_tokens,
                "rag.completion_tokens": usage.completion_tokens,
                "rag.answer.sentences": self.citations,
                "rag.finish_reason": reason,
                "rag.error_code": code,
            },
            # A client's mistake (4xx) does not mark the span as failed.
            failure=code if code and ERROR_TABLE[code].status >= 500 else None,
        )


def _logged_reason(end: FinishReason | ErrorCode | Unasked | None) -> LoggedReason:
    if end is None:
        return "client_disconnected"
    if end == "unasked":
        return None
    if isinstance(end, ErrorCode):
        return "timeout" if end in _TIMEOUTS else "error"
    return end


_REDACTIONS: Final = ((re.compile(r"\S+@\S+|https?://\S+"), "<address>"), (re.compile(r"\S*\d\S*"), "<number>"))
_REDACTED_CHARS: Final = 200


def redact(text: str) -> str:
    """Return the first 200 characters of a text, after replacing e-mail addresses, URLs and words with digits."""
    for pattern, replacement in _REDACTIONS:
        text = pattern.sub(replacement, text)
    return text[:_REDACTED_CHARS]
