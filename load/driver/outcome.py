"""What became of one request: its times, its tokens, and how it ended; nothing here waits or reads a clock."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Final

from load.driver.planning import Ask

# Codes of the driver's own, beside those of the contract.
CLIENT_TIMEOUT: Final = "CLIENT_TIMEOUT"
CUT_OFF: Final = "CUT_OFF"
CONTRACT_BROKEN: Final = "CONTRACT_BROKEN"


class Ending(StrEnum):
    """Each request has just one; those after the first have no place among latencies."""

    OK = "ok"
    REFUSED = "refused"  # 429 or 503, before any work was done for it
    TIMEOUT = "timeout"  # the service's deadline, or ours
    ERROR = "error"
    CUT = "cut"  # the reply broke off, without a last event
    ABANDONED = "abandoned"  # we left, as planned


@dataclass(frozen=True, slots=True)
class Piece:
    """What one event, or one whole body, tells; tokens are None where it does not say."""

    text: str = ""
    is_end: bool = False
    error_code: str | None = None
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    stages_ms: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Times are seconds since the run's start; `gaps_s` lie between events with text, which are not tokens.

    `ttft_s` counts from `sent_s` to the first text that is not empty; None where there was none, or no stream.
    `is_patient` is false for a client that would have left: if it was answered first, it was answered fast.
    """

    trace_id: str
    ending: Ending
    code: str | None
    status: int | None
    scheduled_s: float
    sent_s: float
    ended_s: float
    is_stream: bool
    is_patient: bool
    ttft_s: float | None = None
    gaps_s: tuple[float, ...] = ()
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    finish_reason: str | None = None
    stages_ms: Mapping[str, float] = field(default_factory=dict)

    @property
    def e2e_s(self) -> float:
        return self.ended_s - self.sent_s

    @property
    def lateness_s(self) -> float:
        """The driver's own fault: how long after its time the request was sent."""
        return self.sent_s - self.scheduled_s

    @property
    def tpot_s(self) -> float | None:
        """Seconds per output token after the first, as vLLM's `benchmark_serving` has it."""
        if self.ttft_s is None or self.completion_tokens is None or self.completion_tokens < 2:
            return None
        return (self.e2e_s - self.ttft_s) / (self.completion_tokens - 1)


class Hearing:
    """Collects what is heard of one answer, and makes its outcome."""

    def __init__(self, ask: Ask, scheduled_s: float, sent_s: float) -> None:
        self._ask = ask
        self._scheduled_s = scheduled_s
        self._sent_s = sent_s
        self._text_at_s: list[float] = []
        self._facts = Piece()
        self._ended_s: float | None = None
        self.status: int | None = None

    @property
    def has_text(self) -> bool:
        return bool(self._text_at_s)

    def take(self, piece: Piece, at_s: float) -> None:
        """What comes after the end changes nothing."""
        if self._ended_s is not None:
            return
        if piece.text:
            self._text_at_s.append(at_s)
        self._facts = _merge(self._facts, piece)
        if piece.is_end:
            self._ended_s = at_s

    def end(self, ending: Ending, code: str | None, at_s: float) -> Outcome:
        """The outcome of a request of which nothing more will come; the last event decides, where it was heard."""
        if self._ended_s is not None:
            at_s, code = self._ended_s, self._facts.error_code
            ending = classify(self.status or 0, code) if code else Ending.OK
        ask, facts, heard = self._ask, self._facts, self._text_at_s
        streams = ask.route == "stream"
        return Outcome(
            trace_id=ask.trace_id,
            ending=ending,
            code=code,
            status=self.status,
            scheduled_s=self._scheduled_s,
            sent_s=self._sent_s,
            ended_s=at_s,
            is_stream=streams,
            is_patient=ask.is_patient,
            ttft_s=heard[0] - self._sent_s if streams and heard else None,
            gaps_s=tuple(later - earlier for earlier, later in pairwise(heard)) if streams else (),
            prompt_tokens=facts.prompt_tokens,
            completion_tokens=facts.completion_tokens,
            finish_reason=facts.finish_reason,
            stages_ms=facts.stages_ms,
        )


def classify(status: int, code: str) -> Ending:
    """How a failure with this status, or in a stream with this code, is counted."""
    if status in (429, 503):
        return Ending.REFUSED
    if status == 504 or code in ("MODEL_TIMEOUT", "STREAM_TIMEOUT"):
        return Ending.TIMEOUT
    return Ending.ERROR


def _merge(known: Piece, new: Piece) -> Piece:
    """What is told later wins over what was told before, and over what was not told."""
    return Piece(
        error_code=new.error_code or known.error_code,
        finish_reason=new.finish_reason or known.finish_reason,
        prompt_tokens=known.prompt_tokens if new.prompt_tokens is None else new.prompt_tokens,
        completion_tokens=known.completion_tokens if new.completion_tokens is None else new.completion_tokens,
        stages_ms=new.stages_ms or known.stages_ms,
    )
