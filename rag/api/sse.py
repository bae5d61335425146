"""Write server-sent events: their wire format, and the guarantee that a stream ends with a terminal event.

We do not use sse-starlette: the contract needs ids without gaps, the first event before the headers, and a place held
around the response. All that would remain of the library is the line format below.
Source: WHATWG HTML, section 9.2, "Server-sent events".
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from types import TracebackType
from typing import Final, Self

from starlette.types import Send

from rag.errors import DeadlineExceeded, OurFault, RagError
from schemas.errors import ERROR_TABLE, ErrorCode
from schemas.events import CitationEvent, DoneEvent, ErrorEvent, Event

PING_AFTER_S: Final = 15.0
_PING: Final = b": ping\n\n"
STREAM_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would hold events back until its buffer is full
]

RawHeaders = Sequence[tuple[bytes, bytes]]

logger = logging.getLogger(__name__)


def encode(event: Event, number: int) -> bytes:
    """Encode one event with its id; `data` is one line, because JSON escapes line breaks."""
    if isinstance(event, CitationEvent):
        data = event.citation.model_dump_json()
    elif isinstance(event, DoneEvent) and event.trace is None:
        data = event.model_dump_json(exclude={"event", "trace"})
    else:
        data = event.model_dump_json(exclude={"event"})
    return f"id: {number}\nevent: {event.event}\ndata: {data}\n\n".encode()


def encode_data(data: str) -> bytes:
    """Encode an event that has neither id nor name, as the protocols of others want it; `data` must be one line."""
    return f"data: {data}\n\n".encode()


async def until_terminal(events: AsyncIterator[Event], *, trace_id: str) -> AsyncGenerator[Event, None]:
    """Pass on the events up to the terminal one; a failure, or an end without one, becomes an `error` event."""
    try:
        async for event in events:
            yield event
            if isinstance(event, DoneEvent | ErrorEvent):
                return
        raise OurFault
    except RagError as error:
        if isinstance(error, OurFault):
            logger.exception("stream_failed", extra={"fields": {"trace_id": trace_id}})
        yield _error_event(error, trace_id)
    except Exception:
        logger.exception("stream_failed", extra={"fields": {"trace_id": trace_id}})
        yield _error_event(OurFault(), trace_id)


def _error_event(error: RagError, trace_id: str) -> ErrorEvent:
    code = ErrorCode.STREAM_TIMEOUT if isinstance(error, DeadlineExceeded) else error.code
    return ErrorEvent(code=code, message=error.message, trace_id=trace_id, retryable=ERROR_TABLE[code].retryable)


class NumberedEvents:
    """Encodes the events of one stream with ids that count from 0."""

    def __init__(self) -> None:
        self._next_number = 0

    def __call__(self, event: Event) -> bytes:
        encoded = encode(event, self._next_number)
        self._next_number += 1
        return encoded


class EventWriter:
    """Writes events to one client: the response head on entry, the end of the body on a clean exit, pings in between.

    A ping goes out when nothing has been sent for `ping_after_s`. `encoder` decides what is sent for each event, which
    may be nothing; without one, events have ids and names.
    """

    def __init__(
        self,
        send: Send,
        *,
        encoder: Callable[[Event], bytes] | None = None,
        ping_after_s: float = PING_AFTER_S,
        headers: RawHeaders = (),
    ) -> None:
        self._send = send
        self._encoder = encoder or NumberedEvents()
        self._headers = headers
        self._ping_after_s = ping_after_s
        self._sent_at = 0.0
        self._pings: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._send({"type": "http.response.start", "status": 200, "headers": [*STREAM_HEADERS, *self._headers]})
        self._sent_at = time.monotonic()
        self._pings = asyncio.create_task(self._ping())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pings is not None:
            self._pings.cancel()
            await asyncio.gather(self._pings, return_exceptions=True)
        if kind is None:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def write(self, event: Event) -> None:
        """Send what the encoder makes of an event."""
        if chunk := self._encoder(event):
            await self.send_chunk(chunk)

    async def send_chunk(self, chunk: bytes) -> None:
        """Send what is encoded already: whole events, or a comment."""
        self._sent_at = time.monotonic()
        await self._send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def _ping(self) -> None:
        while True:
            silent_s = time.monotonic() - self._sent_at
            if silent_s >= self._ping_after_s:
                await self.send_chunk(_PING)
            else:
                await asyncio.sleep(self._ping_after_s - silent_s)
