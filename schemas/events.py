"""Define the events of one answer: `meta` first, then tokens and citations, and one `done` or `error` last."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.errors import ErrorCode
from schemas.response import Citation, FinishReason, Latency, Trace, Usage


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, protected_namespaces=())


class MetaEvent(_Event):
    event: Literal["meta"] = "meta"
    trace_id: str
    model_version: str


class TokenEvent(_Event):
    event: Literal["token"] = "token"
    text: str


class CitationEvent(_Event):
    event: Literal["citation"] = "citation"
    citation: Citation


class DoneEvent(_Event):
    event: Literal["done"] = "done"
    trace_id: str
    finish_reason: FinishReason
    latency_ms: Latency
    usage: Usage
    trace: Trace | None = None


class ErrorEvent(_Event):
    event: Literal["error"] = "error"
    code: ErrorCode
    message: str
    trace_id: str
    retryable: bool


Event = Annotated[
    MetaEvent | TokenEvent | CitationEvent | DoneEvent | ErrorEvent,
    Field(discriminator="event"),
]
