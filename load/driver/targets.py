"""Define the dialects of the targets: how to write their requests and read their replies, without I/O."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from load.driver.outcome import Piece
from load.driver.planning import Ask

_NOTHING: Final = Piece()


@dataclass(frozen=True, slots=True)
class Call:
    """One POST request; `path` is relative to the target's URL."""

    path: str
    body: Mapping[str, object]
    headers: Mapping[str, str]


class Target(Protocol):
    """A dialect; reading raises KeyError, TypeError or ValueError if a reply is not in it."""

    def make_call(self, ask: Ask) -> Call: ...
    def read_event(self, name: str, data: str) -> Piece: ...
    def read_whole(self, content: bytes) -> Piece: ...
    def read_refusal(self, content: bytes) -> str: ...


@dataclass(frozen=True, slots=True)
class RagTarget:
    """This service, according to its contract."""

    key: str | None = None

    def make_call(self, ask: Ask) -> Call:
        headers = {"x-trace-id": ask.trace_id} | ({"x-api-key": self.key} if self.key else {})
        if ask.route == "stream":
            return Call("/query/stream", ask.body, headers)
        return Call("/query", {**ask.body, "include_trace": True}, headers)  # only the trace has the token counts

    def read_event(self, name: str, data: str) -> Piece:
        told = json.loads(data)
        match name:
            case "meta" | "citation":
                return _NOTHING
            case "token":
                return Piece(text=told["text"])
            case "done":
                return _read_end(told, told["usage"])
            case "error":
                return Piece(is_end=True, error_code=told["code"])
        raise ValueError(f"the contract has no event {name}")

    def read_whole(self, content: bytes) -> Piece:
        told = json.loads(content)
        return _read_end(told, told["trace"]["usage"])

    def read_refusal(self, content: bytes) -> str:
        return str(json.loads(content)["error"]["code"])


@dataclass(frozen=True, slots=True)
class OpenAITarget:
    """A server with OpenAI's chat completions, such as vLLM's; bodies are sent unchanged, except that they stream."""

    model: str
    key: str | None = None

    def make_call(self, ask: Ask) -> Call:
        headers = {"x-trace-id": ask.trace_id} | ({"authorization": f"Bearer {self.key}"} if self.key else {})
        streaming = {"model": self.model, "stream": True, "stream_options": {"include_usage": True}}
        return Call("/chat/completions", {**ask.body, **streaming}, headers)

    def read_event(self, name: str, data: str) -> Piece:
        if data == "[DONE]":
            return Piece(is_end=True)
        told = json.loads(data)
        if "error" in told:
            return Piece(is_end=True, error_code="STREAM_ERROR")
        usage = told.get("usage") or {}
        choice = told["choices"][0] if told["choices"] else {}
        return Piece(
            text=choice.get("delta", {}).get("content") or "",
            finish_reason=choice.get("finish_reason"),
            prompt_tokens=usage.get("prompt_tokens"),
            completion_tokens=usage.get("completion_tokens"),
        )

    def read_whole(self, content: bytes) -> Piece:
        raise ValueError("bodies are streamed")

    def read_refusal(self, content: bytes) -> str:
        """Raise ValueError, so that only the status is reported: this dialect has no closed list of error codes."""
        raise ValueError("no code")


def _read_end(told: Mapping[str, object], usage: Mapping[str, int]) -> Piece:
    stages_ms = told["latency_ms"]
    if not isinstance(stages_ms, dict):
        raise TypeError("latency_ms is no object")
    return Piece(
        is_end=True,
        finish_reason=str(told["finish_reason"]),
        prompt_tokens=usage["prompt_tokens"],
        completion_tokens=usage["completion_tokens"],
        stages_ms=stages_ms,
    )
