"""Any OpenAI-compatible server as our generator: chat completions as a stream, read byte by byte with distrust.

One adapter for vLLM inside our own Generator service and for whatever RAG_GENERATOR_URL names.
"""

import json
import math
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpx

from rag.backends.http_transport import BrokenReply
from rag.errors import DeadlineExceeded, UpstreamError, UpstreamRateLimited
from rag.types import Delta, Message, TokenUsage

# A chunk of chat completion is a few hundred bytes; a line of a megabyte is an attack or a defect.
LINE_LIMIT_BYTES: Final = 1 << 20
LINES_LIMIT: Final = 1000
DONE: Final = b"[DONE]"
DEFAULT_RETRY_AFTER_S: Final = 1.0
# Who asks for more than a day has made a mistake, which is not to be handed on.
MAX_RETRY_AFTER_S: Final = 86_400.0
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class EventDecoder:
    """Bytes of an event stream to the data of its events, however the bytes are cut; does no I/O.

    Works on bytes, so that a character cut in two is whole again before it is decoded, and splits at LF and CR alone:
    `str.splitlines` would also cut at U+2028, which JSON allows inside a string.
    Source: HTML Standard, section 9.2, server-sent events.
    """

    def __init__(self) -> None:
        self._buffer = b""
        self._data: list[bytes] = []
        self._has_begun = False

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Raises: UpstreamError: a line or an event has no end."""
        self._buffer += piece
        if not self._has_begun:
            if len(self._buffer) < len(BYTE_ORDER_MARK) and BYTE_ORDER_MARK.startswith(self._buffer):
                return
            self._buffer = self._buffer.removeprefix(BYTE_ORDER_MARK)
            self._has_begun = True
        if b"\r" in self._buffer:
            # A CR at the very end may be half of a CR LF; it waits for the next piece.
            held = self._buffer.endswith(b"\r")
            self._buffer = self._buffer[:-1] if held else self._buffer
            self._buffer = self._buffer.replace(b"\r\n", b"\n").replace(b"\r", b"\n") + (b"\r" if held else b"")
        *lines, self._buffer = self._buffer.split(b"\n")
        if len(self._buffer) > LINE_LIMIT_BYTES:
            raise UpstreamError
        for line in lines:
            if line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" "))
                if sum(map(len, self._data)) > LINE_LIMIT_BYTES or len(self._data) > LINES_LIMIT:
                    raise UpstreamError
            elif not line and self._data:
                data, self._data = b"\n".join(self._data), []
                yield data

    def close(self) -> Iterator[bytes]:
        """What an unfinished last event holds: some servers leave out the last blank line."""
        yield from self.feed(b"\n\n")


class OpenAIGenerator:
    """Streams chat completions from `path` below the client's address; the client carries key and limits too."""

    def __init__(
        self, client: httpx.AsyncClient, *, model_name: str, path: str = "/chat/completions", temperature: float = 0.0
    ) -> None:
        self._client = client
        self._path = path
        self._model_name = model_name
        self._temperature = temperature

    @asynccontextmanager
    async def stream(
        self, messages: Sequence[Message], *, max_tokens: int, timeout_s: float, trace_id: str
    ) -> AsyncIterator[AsyncIterator[Delta]]:
        body = {
            "model": self._model_name,
            "messages": [{"role": message.role, "content": message.content} for message in messages],
            "max_tokens": max_tokens,
            "temperature": self._temperature,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        # Leaving the stack closes the connection, which is what ends the generation upstream.
        async with AsyncExitStack() as stack:
            try:
                response = await self._open(stack, body, timeout_s, trace_id)
            except httpx.TimeoutException as error:
                raise DeadlineExceeded from error
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise UpstreamError from error
            _check_status(response)
            yield _read_deltas(response)

    async def _open(
        self, stack: AsyncExitStack, body: Mapping[str, object], timeout_s: float, trace_id: str
    ) -> httpx.Response:
        def request() -> Any:  # Any: httpx does not name the type of its context manager
            return self._client.stream(
                "POST", self._path, json=body, headers={"x-trace-id": trace_id}, timeout=timeout_s
            )

        try:
            first: httpx.Response = await stack.enter_async_context(request())
        except httpx.HTTPError as error:
            if not _came_to_nothing(error):
                raise
            second: httpx.Response = await stack.enter_async_context(request())
            return second
        return first


def _came_to_nothing(error: httpx.HTTPError) -> bool:
    """Whether the connection failed before any byte of a reply, so that trying again cannot repeat anything."""
    return isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError) and not isinstance(error, BrokenReply)


def _check_status(response: httpx.Response) -> None:
    if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
        raise UpstreamRateLimited(retry_after_s=_read_retry_after(response.headers))
    if response.status_code != httpx.codes.OK:
        raise UpstreamError


def _read_retry_after(headers: Mapping[str, str]) -> float:
    """Seconds to wait, whether given as a number or as a date; RFC 9110, section 10.2.3."""
    value = headers.get("retry-after", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        try:
            at = parsedate_to_datetime(value)
        except ValueError:
            return DEFAULT_RETRY_AFTER_S
        seconds = (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    if not math.isfinite(seconds):
        return DEFAULT_RETRY_AFTER_S
    return min(max(DEFAULT_RETRY_AFTER_S, seconds), MAX_RETRY_AFTER_S)


async def _read_deltas(response: httpx.Response) -> AsyncIterator[Delta]:
    """The deltas until `[DONE]`.

    Raises: DeadlineExceeded: silence. UpstreamError: no event stream, not JSON, or cut before its end.
    """
    events, deltas = EventDecoder(), DeltaDecoder()
    try:
        async for piece in response.aiter_bytes():
            for data in events.feed(piece):
                if data.strip() == DONE:
                    return
                yield deltas.decode(data)
    except httpx.TimeoutException as error:
        raise DeadlineExceeded from error
    except httpx.HTTPError as error:
        raise UpstreamError from error
    for data in events.close():
        if data.strip() == DONE:
            return
        yield deltas.decode(data)
    if not deltas.has_finished:
        raise UpstreamError


class DeltaDecoder:
    """The data of events to deltas; does no I/O."""

    def __init__(self) -> None:
        self.has_finished = False  # a reason for the end has come
        self._high_half = ""

    def decode(self, data: bytes) -> Delta:
        """Raises: UpstreamError: it is no chunk of a chat completion."""
        try:
            chunk = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise UpstreamError from error
        if not isinstance(chunk, dict) or chunk.get("error"):
            raise UpstreamError
        choices = chunk.get("choices") or []
        choice = choices[0] if isinstance(choices, list) and choices else {}
        if not isinstance(choice, dict):
            raise UpstreamError
        delta = choice.get("delta") or {}
        content = delta.get("content") if isinstance(delta, dict) else None
        reason = choice.get("finish_reason")
        self.has_finished = self.has_finished or isinstance(reason, str)
        return Delta(
            text=self._mend(content) if isinstance(content, str) else "",
            finish_reason=reason if isinstance(reason, str) else None,
            usage=_parse_usage(chunk.get("usage")),
        )

    def _mend(self, text: str) -> str:
        """Puts the halves of a surrogate pair together that a server has cut apart; half a pair alone is no text."""
        text = self._high_half + text
        self._high_half = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
        text = text.removesuffix(self._high_half)
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _parse_usage(usage: object) -> TokenUsage | None:
    if not isinstance(usage, dict):
        return None
    prompt_tokens, completion_tokens = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if type(prompt_tokens) is not int or type(completion_tokens) is not int:  # a bool is an int too
        return None
    if prompt_tokens < 0 or completion_tokens < 0:
        return None
    return TokenUsage(prompt_tokens, completion_tokens)
