"""Decode the chunks of a chat completion, in the dialects of many servers, and detect failures in all their forms."""

import json
from typing import Any, Final

from rag.clients.event_stream import ServerEvent
from rag.clients.upstream_failures import Redaction
from rag.errors import UpstreamError
from rag.types import Delta, TokenUsage

# Finish reasons that mean a failure, in lower case: those of OpenAI, Azure, Anthropic, Gemini, OpenRouter and vLLM.
FAILED_REASONS: Final = frozenset(
    {
        "content_filter", "content_filtered", "refusal", "error", "abort", "aborted", "cancelled", "safety",
        "recitation", "blocklist", "prohibited_content", "spii", "guardrail_intervened",
    }
)  # fmt: skip
# The error fields of a chunk without choices: OpenAI and most others, FastAPI, and servers that send the bare error.
_ERROR_FIELDS: Final = ("error", "errors", "detail", "message")
_THOUGHT_FIELDS: Final = ("reasoning_content", "reasoning")


class DeltaDecoder:
    """Decodes the events of one stream to deltas, without I/O.

    A delta that holds only the role opens an answer but is none. If the stream ends then, the usage decides, which most
    servers send after the end: if it counts tokens, the model ran and chose to say nothing, or its thoughts are hidden,
    and a repetition would give the same. If it counts none, or never comes, the server failed.
    """

    def __init__(self, redaction: Redaction) -> None:
        self.has_finished = False  # a finish reason has arrived
        self.has_begun = False  # a delta with content has arrived, or tokens were counted
        self._is_open = False  # any delta has arrived, be it the role or an empty text
        self._held_reason: str | None = None  # until it is known whether there is an answer
        self._redaction = redaction
        self._high_half = ""

    def decode(self, event: ServerEvent) -> Delta:
        """Decode one event.

        Raises: UpstreamError: the event is not a chunk of a chat completion, or reports a failure.
        """
        chunk = self._parse(event)
        choices = chunk.get("choices") or []
        choice = choices[0] if isinstance(choices, list) and choices else {}
        if not isinstance(choice, dict):
            raise failure("a choice that is no object")
        if choice.get("error"):
            raise failure(self._redaction.describe(choice))
        delta = choice.get("delta") or {}
        delta = delta if isinstance(delta, dict) else {}
        if delta.get("refusal"):
            raise failure("refusal")
        usage = _parse_usage(chunk.get("usage"))
        self._open(delta, usage)
        return Delta(
            text=self._mend(_read_content(delta.get("content"))),
            # Some servers send the same text in both fields.
            thought=next((text for field in _THOUGHT_FIELDS if isinstance(text := delta.get(field), str)), ""),
            finish_reason=self._read_reason(choice.get("finish_reason")),
            usage=usage,
            model=model if isinstance(model := chunk.get("model"), str) else None,
        )

    def _open(self, delta: dict[str, Any], usage: TokenUsage | None) -> None:  # Any: JSON of any kind
        self._is_open = self._is_open or bool(delta)
        says = any(value for field, value in delta.items() if field != "role")
        is_counted = self._is_open and usage is not None and usage.completion_tokens > 0
        self.has_begun = self.has_begun or says or is_counted

    def _parse(self, event: ServerEvent) -> dict[str, Any]:  # Any: JSON of any kind
        try:
            chunk = json.loads(event.data)
        except (ValueError, RecursionError) as error:
            if event.kind == b"error":
                raise failure(self._redaction.describe(event.data.decode(errors="replace"))) from error
            raise failure("an event that is no JSON") from error
        if event.kind == b"error" or not isinstance(chunk, dict) or _is_error(chunk):
            raise failure(self._redaction.describe(chunk))
        return chunk

    def _read_reason(self, reason: object) -> str | None:
        if isinstance(reason, str) and reason:
            if reason.lower() in FAILED_REASONS:
                raise failure(f"finish_reason {reason.lower()}")
            self._held_reason = reason
        if self._held_reason is None or not self.has_begun:
            return None
        self.has_finished = True
        released, self._held_reason = self._held_reason, None
        return released

    def _mend(self, text: str) -> str:
        """Join surrogate pairs that a server has split over two chunks; a lone surrogate becomes U+FFFD."""
        text = self._high_half + text
        self._high_half = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
        text = text.removesuffix(self._high_half)
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def failure(described: str) -> UpstreamError:
    """Return the error for a response with status 200; the description goes into the log."""
    return UpstreamError(upstream_status=200, upstream_error=described)


def _read_content(content: object) -> str:
    """Return the text, also from a list of parts, as Mistral's thinking models send it (thoughts are other parts)."""
    if not isinstance(content, list):
        return content if isinstance(content, str) else ""
    texts = (part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text")
    return "".join(text for text in texts if isinstance(text, str))


def _is_error(chunk: dict[str, Any]) -> bool:  # Any: JSON of any kind
    if chunk.get("error") or chunk.get("object") == "error" or chunk.get("type") == "error":
        return True
    return "choices" not in chunk and any(chunk.get(field) is not None for field in _ERROR_FIELDS)


def _parse_usage(usage: object) -> TokenUsage | None:
    if not isinstance(usage, dict):
        return None
    prompt_tokens, completion_tokens = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if type(prompt_tokens) is not int or type(completion_tokens) is not int:  # a bool is an int too
        return None
    if prompt_tokens < 0 or completion_tokens < 0:
        return None
    return TokenUsage(prompt_tokens, completion_tokens)
