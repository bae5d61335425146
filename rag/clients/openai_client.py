"""Generate with any OpenAI-compatible server: stream chat completions and trust nothing in the responses.

The same adapter serves vLLM in our own Generator service and any server that RAG_GENERATOR_URL names.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from typing import Any, Final

import httpx

from rag.clients.chat_chunks import DeltaDecoder, failure
from rag.clients.chat_request import adapt
from rag.clients.event_stream import EventDecoder, ServerEvent
from rag.clients.http_transport import came_to_nothing
from rag.clients.retry_after import read_retry_after
from rag.clients.upstream_failures import Redaction
from rag.errors import DeadlineExceeded, UpstreamError, UpstreamRateLimited
from rag.types import Delta, Message

DONE: Final = b"[DONE]"
# Limits for reading a body that is not an event stream, to log the reason of a failure.
_REASON_LIMIT_BYTES: Final = 65_536
_REASON_TIMEOUT_S: Final = 0.5
# Limits for reading what follows `[DONE]`, mostly the end of the chunked body, so that the connection can be reused.
_REST_LIMIT_BYTES: Final = 65_536
_REST_TIMEOUT_S: Final = 0.25


class OpenAIGenerator:
    """Streams chat completions from `path` below the client's base URL; the client holds key, headers and limits.

    `body` adds fields to every request, or removes those that are None; see `rag.clients.chat_request`.
    `secrets` are the strings that must not appear in a log.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        *,
        model_name: str,
        path: str = "/chat/completions",
        temperature: float = 0.0,
        body: Mapping[str, object] | None = None,
        secrets: Sequence[str] = (),
    ) -> None:
        self._client = client
        self._path = path
        self._model_name = model_name
        self._temperature = temperature
        self._body = body or {}
        self._secrets = secrets
        self._resting: set[asyncio.Task[None]] = set()  # asyncio itself holds tasks weakly

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
        redaction = Redaction(messages, self._secrets)
        # Leaving the stack closes the connection, which ends the generation upstream.
        async with AsyncExitStack() as stack:
            try:
                response = await self._open(stack, adapt(body, self._body, max_tokens), timeout_s, trace_id)
            except httpx.TimeoutException as error:
                raise DeadlineExceeded from error
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise UpstreamError(upstream_error=type(error).__name__) from error
            reading = _Reading(response, redaction)
            await reading.check_status()
            yield reading.deltas()
            if reading.is_done:
                self._finish(stack.pop_all(), reading)

    def _finish(self, stack: AsyncExitStack, reading: "_Reading") -> None:
        """Read the rest of a complete response in the background, while the answer goes on to the client."""
        task = asyncio.create_task(reading.finish(stack))
        self._resting.add(task)
        task.add_done_callback(self._resting.discard)

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
            if not came_to_nothing(error):
                raise
            second: httpx.Response = await stack.enter_async_context(request())
            return second
        return first


class _Reading:
    """Reads one response and turns everything unexpected into an UpstreamError."""

    def __init__(self, response: httpx.Response, redaction: Redaction) -> None:
        self.is_done = False  # `[DONE]` has arrived
        self._response = response
        self._redaction = redaction
        self._pieces = response.aiter_bytes()
        self._head = bytearray()  # the bytes before the first event

    async def check_status(self) -> None:
        """Check that the status is 200.

        Raises: UpstreamRateLimited: it is 429. UpstreamError: it is something else.
        """
        status = self._response.status_code
        if status == httpx.codes.OK:
            return
        with suppress(TimeoutError, httpx.HTTPError):
            async with asyncio.timeout(_REASON_TIMEOUT_S):
                async for piece in self._pieces:
                    self._head += piece
                    if len(self._head) > _REASON_LIMIT_BYTES:
                        break
        described = self._describe_head()
        if status == httpx.codes.TOO_MANY_REQUESTS:
            wait_s = read_retry_after(self._response.headers)
            raise UpstreamRateLimited(retry_after_s=wait_s, upstream_status=status, upstream_error=described)
        raise UpstreamError(upstream_status=status, upstream_error=described)

    async def deltas(self) -> AsyncIterator[Delta]:
        """Yield the deltas until `[DONE]`.

        Raises:
            DeadlineExceeded: the server sent nothing for too long.
            UpstreamError: the response is not an event stream, contains no answer, or ends too early.
        """
        decoder, has_events = DeltaDecoder(self._redaction), False
        async with aclosing(self._events()) as events:
            async for event in events:
                has_events = True
                if event.data.strip() == DONE:
                    self.is_done = True
                    break
                yield decoder.decode(event)
        if not has_events:
            raise failure(self._describe_head())
        if not decoder.has_begun:
            raise failure("no delta")
        if not (self.is_done or decoder.has_finished):
            raise failure("the stream was cut")

    async def _events(self) -> AsyncGenerator[ServerEvent, None]:
        decoder, has_events = EventDecoder(), False
        try:
            async for piece in self._pieces:
                if not has_events and len(self._head) < _REASON_LIMIT_BYTES:
                    self._head += piece
                for event in decoder.feed(piece):
                    has_events = True
                    yield event
        except httpx.TimeoutException as error:
            raise DeadlineExceeded from error
        except httpx.HTTPError as error:
            raise failure(f"the stream was cut: {type(error).__name__}") from error
        for event in decoder.close():
            yield event

    async def finish(self, stack: AsyncExitStack) -> None:
        """Read to the end of the response within the limits, then release the connection."""
        left_bytes = _REST_LIMIT_BYTES
        async with stack:
            with suppress(TimeoutError, httpx.HTTPError):
                async with asyncio.timeout(_REST_TIMEOUT_S):
                    async for piece in self._pieces:
                        left_bytes -= len(piece)
                        if left_bytes < 0:
                            break

    def _describe_head(self) -> str:
        return self._redaction.describe_body(bytes(self._head), self._response.headers.get("content-type", ""))
