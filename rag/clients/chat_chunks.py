"""The chunks of a chat completion, as many servers write them, to deltas; a failure in any shape is one here."""

import json
from typing import Any, Final

from rag.clients.event_stream import ServerEvent
from rag.clients.upstream_failures import Redaction
from rag.errors import UpstreamError
from rag.types import Delta, TokenUsage

# Ends that are no answer, in the words of OpenAI, Azure, Anthropic, Gemini, OpenRouter and vLLM, in small letters.
FAILED_REASONS: Final = frozenset(
    {
        "content_filter", "content_filtered", "refusal", "error", "abort", "aborted", "cancelled", "safety",
        "recitation", "blocklist", "prohibited_content", "spii", "guardrail_intervened",
    }
)  # fmt: skip
# Of a chunk that has no choices: OpenAI and most others, FastAPI, and servers that send the bare error.
_ERROR_FIELDS: Final = ("error", "errors", "detail", "message")
_THOUGHT_FIELDS: Final = ("reasoning_content", "reasoning")


class DeltaDecoder:
    """The events of one stream to deltas; does no I/O."""

    def __init__(self, redaction: Redaction) -> None:
        self.has_finished = False  # a reason for the end has come
        self.has_begun = False  # a delta that holds anything has come
        self._redaction = redaction
        self._high_half = ""

    def decode(self, event: ServerEvent) -> Delta:
        """Raises: UpstreamError: it is no chunk of a chat completion, or says that there will be no answer."""
        chunk = self._parse(event)
        choices = chunk.get("choices") or []
        choice = choices[0] if isinstance(choices, list) and choices else {}
        if not isinstance(choice, dict):
            raise failure("a choice that is no object")
        if choice.get("error"):
            raise failure(self._redaction.describe(choice))
        delta = choice.get("delta") or {}
        delta = delta if isinstance(delta, dict) else {}
        self.has_begun = self.has_begun or bool(delta)
        if delta.get("refusal"):
            raise failure("refusal")
        return Delta(
            text=self._mend(_read_content(delta.get("content"))),
            # Some servers send the same under both names.
            thought=next((text for field in _THOUGHT_FIELDS if isinstance(text := delta.get(field), str)), ""),
            finish_reason=self._read_reason(choice.get("finish_reason")),
            usage=_parse_usage(chunk.get("usage")),
        )

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
        if not isinstance(reason, str) or not reason:
            return None
        if reason.lower() in FAILED_REASONS:
            raise failure(f"finish_reason {reason.lower()}")
        if not self.has_begun:
            raise failure("no delta")
        self.has_finished = True
        return reason

    def _mend(self, text: str) -> str:
        """Puts the halves of a surrogate pair together that a server has cut apart; half a pair alone is no text."""
        text = self._high_half + text
        self._high_half = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
        text = text.removesuffix(self._high_half)
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def failure(described: str) -> UpstreamError:
    """Of a response whose status was 200; the text goes into the log."""
    return UpstreamError(upstream_status=200, upstream_error=described)


def _read_content(content: object) -> str:
    """A text, or the texts of a list of parts, as Mistral's models that think send it; its thoughts are other parts."""
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
