"""Describe the outcome of one request: its times, its tokens and its ending; nothing here waits or reads a clock."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Final

from load.driver.planning import Ask

# The driver's own codes, in addition to those of the contract.
CLIENT_TIMEOUT: Final = "CLIENT_TIMEOUT"
CUT_OFF: Final = "CUT_OFF"
CONTRACT_BROKEN: Final = "CONTRACT_BROKEN"


class Ending(StrEnum):
    """How a request ended; only `OK` counts for latencies."""

    OK = "ok"
    REFUSED = "refused"  # 429 or 503, before any work was done
    TIMEOUT = "timeout"  # the service's deadline, or ours
    ERROR = "error"
    CUT = "cut"  # the reply broke off without a terminal event
    ABANDONED = "abandoned"  # we disconnected, as planned


@dataclass(frozen=True, slots=True)
class Piece:
    """The information in one event or one whole body; tokens are None if they are missing."""

    text: str = ""
    is_end: bool = False
    error_code: str | None = None
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    stages_ms: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one request; times are seconds since the run's start.

    `gaps_s` are the times between events with text, which are not tokens. `ttft_s` is from `sent_s` to the first
    non-empty text; None if there was none, or for a whole answer. `is_patient` is false for a client that was planned
    to leave: if it was answered before, its answer was a fast one.
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
        """The seconds from sending to the end."""
        return self.ended_s - self.sent_s

    @property
    def lateness_s(self) -> float:
        """The driver's own delay: how long after its scheduled time the request was sent."""
        return self.sent_s - self.scheduled_s

    @property
    def tpot_s(self) -> float | None:
        """Seconds per output token after the first, as in vLLM's `benchmark_serving`."""
        if self.ttft_s is None or self.completion_tokens is None or self.completion_tokens < 2:
            return None
        return (self.e2e_s - self.ttft_s) / (self.completion_tokens - 1)


class Hearing:
    """Collects the pieces of one reply, and makes its outcome."""

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
        """Whether any text has arrived."""
        return bool(self._text_at_s)

    def take(self, piece: Piece, at_s: float) -> None:
        """Add a piece; pieces after the end are ignored."""
        if self._ended_s is not None:
            return
        if piece.text:
            self._text_at_s.append(at_s)
        self._facts = _merge(self._facts, piece)
        if piece.is_end:
            self._ended_s = at_s

    def end(self, ending: Ending, code: str | None, at_s: float) -> Outcome:
        """Make the outcome; if the terminal event has arrived, it overrides the arguments."""
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
    """Return the ending for a failure with this status and code (in a stream only the code matters)."""
    if status in (429, 503):
        return Ending.REFUSED
    if status == 504 or code in ("MODEL_TIMEOUT", "STREAM_TIMEOUT"):
        return Ending.TIMEOUT
    return Ending.ERROR


def _merge(known: Piece, new: Piece) -> Piece:
    """Merge two pieces; a newer value wins over an older one, unless it is missing."""
    return Piece(
        error_code=new.error_code or known.error_code,
        finish_reason=new.finish_reason or known.finish_reason,
        prompt_tokens=known.prompt_tokens if new.prompt_tokens is None else new.prompt_tokens,
        completion_tokens=known.completion_tokens if new.completion_tokens is None else new.completion_tokens,
        stages_ms=new.stages_ms or known.stages_ms,
    )
