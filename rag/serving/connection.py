"""Limit what one client connection may do: the size and time of request heads, idling, and pipelining.

uvicorn (0.54) with httptools (0.9) has these defects, which this module fixes:

- The head of a request may be endless. The parser joins the pieces of a value in quadratic time and keeps all headers.
- A head may take for ever, and a connection may stay idle for ever; only the limit on open files bounds their number.
- An `Upgrade` to anything but a WebSocket loses the body. Java's HttpClient offers one with each first request.
- One received piece may hold some 14 000 pipelined requests, all of which wait behind the one being answered.
- Trailers are added to the headers of a request that is being answered.
- A parse error is answered in plain text, without a trace id, even in the middle of another response.
"""

import asyncio
import re
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import httptools
import uvicorn.config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from rag.api.rendering import RequestState, render
from rag.serving.crowd import Crowd, find_room
from schemas.errors import ErrorCode
from schemas.request import HEADERS_MAX, HEADERS_MAX_BYTES, TRACE_ID_PATTERN

HEAD_TIMEOUT_S: Final = 15.0
# Pipelined requests that may wait behind the one that is being answered.
PIPELINED_MAX: Final = 100
# The most that the parser is fed before sizes are checked again.
PIECE_BYTES: Final = 16 << 10
# Time for the client to read a refusal: closing a socket that holds unread data resets the connection.
LINGER_S: Final = 2.0
LINGER_MAX_BYTES: Final = 256 << 10
# Limit for a client that does not read: for draining a full write buffer, and for the rest when closing.
UNREAD_TIMEOUT_S: Final = 60.0
_PUNCTUATION_BYTES: Final = len(": \r\n")
_TRACE_ID: Final = re.compile(TRACE_ID_PATTERN.encode())


def bound_connections(maximum: int) -> None:
    """Make every uvicorn server of this process, including BentoML's, use `Connection`, with at most `maximum` clients.

    BentoML (1.4.39) leaves the choice of protocol to uvicorn, which looks it up in this table.
    """
    protocol: Any = partial(
        Connection, crowd=Crowd(find_room(maximum))
    )  # Any: the table holds protocol classes or the names to import them by
    uvicorn.config.HTTP_PROTOCOLS["auto"] = protocol


class _TooLargeError(Exception):
    """The headers, or the request target, exceed the limits."""


class Connection(HttpToolsProtocol):
    """A connection; it counts as *waiting* while no request with a complete head is unanswered."""

    def __init__(self, *args: Any, crowd: Crowd, **kwargs: Any) -> None:  # Any: uvicorn's
        super().__init__(*args, **kwargs)
        self._crowd = crowd
        self._timer: asyncio.TimerHandle | None = None
        self._is_waiting = True
        self._in_head = False
        self._is_refused = False
        self._too_large = False
        self._headers = 0
        self._head_bytes = 0
        self._quiet_bytes = 0  # fed to the parser since it last reported the start of a message, or body data
        self._discarded_bytes = 0

    # Called by the transport.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(transport)
        self._arm(HEAD_TIMEOUT_S, self._give_up)
        if not self._crowd.admit(self):
            self._refuse(ErrorCode.CONCURRENCY_LIMIT)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._disarm()
        self._crowd.leave(self)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if self._is_refused:
            self._discard(data)
            return
        try:
            self._read(memoryview(data))
        except (httptools.HttpParserError, _TooLargeError):
            self._refuse(ErrorCode.HEADERS_TOO_LARGE if self._too_large else ErrorCode.BAD_REQUEST)
        else:
            if self._is_waiting and self._timer is None:
                self._arm(HEAD_TIMEOUT_S, self._give_up)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._arm(UNREAD_TIMEOUT_S, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.transport.is_closing():
            self._disarm()

    def _read(self, data: memoryview) -> None:
        start = 0
        while start < len(data):
            piece = data[start : start + PIECE_BYTES]
            self._quiet_bytes += len(piece)
            try:
                self.parser.feed_data(piece)
            except httptools.HttpParserUpgrade as upgrade:
                start += upgrade.args[0]  # the offset at which the parser thinks that HTTP ends: after the head
                self._stay_with_http()
            else:
                start += len(piece)
            self._check_size(self._quiet_bytes)

    def _stay_with_http(self) -> None:
        """Parse the head again without its `Upgrade` header, so that a new parser reads the body that follows."""
        head = [self.parser.get_method(), b" ", self.url, b" HTTP/", self.parser.get_http_version().encode(), b"\r\n"]
        for name, value in self.headers:
            if name != b"upgrade":
                head += [name, b": ", value, b"\r\n"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's
        self.parser.feed_data(b"".join([*head, b"\r\n"]))

    # Called by the parser. An exception stops it with an HttpParserError.

    def on_message_begin(self) -> None:
        self._in_head = True
        self._headers = self._head_bytes = self._quiet_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._head_bytes += len(url)
        self._check_size(self._head_bytes)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers += 1
        self._head_bytes += len(name) + len(value) + _PUNCTUATION_BYTES
        self._check_size(self._head_bytes)
        if self._in_head:  # trailers are not headers
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise httptools.HttpParserError("this is no proxy")
            return
        if len(self.pipeline) >= PIPELINED_MAX:
            raise httptools.HttpParserError("too many requests wait")
        if not self.flow.write_paused:
            self._disarm()
        self._is_waiting = False
        self._crowd.note_busy(self)
        super().on_headers_complete()

    def on_chunk_header(self) -> None:
        self._quiet_bytes = 0

    def on_body(self, body: bytes) -> None:
        self._quiet_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def _check_size(self, size_bytes: int) -> None:
        if size_bytes > HEADERS_MAX_BYTES or self._headers > HEADERS_MAX:
            self._too_large = True
            raise _TooLargeError

    # Called at the end of a response, or by timers.

    def on_response_complete(self) -> None:
        is_last = not self.pipeline or self.transport.is_closing()
        super().on_response_complete()
        if is_last:
            self._is_waiting = True
            self._crowd.note_waiting(self)
            if self.transport.is_closing():
                self._close()

    def timeout_keep_alive_handler(self) -> None:
        self._close()

    def give_way(self) -> None:
        """Close the connection at once, for a new one; a response that was not read in full is cut."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()

    def _give_up(self) -> None:
        if self._in_head:
            self._refuse(ErrorCode.BAD_REQUEST)
        else:
            self._close()

    def _close(self) -> None:
        self.transport.close()
        self._arm(UNREAD_TIMEOUT_S, self.transport.abort)

    def _refuse(self, code: ErrorCode) -> None:
        """Stop reading, and send the error, unless the client could take it for the response to an earlier request."""
        self._is_refused = True
        is_running = self.cycle is not None and not self.cycle.response_complete
        if self.pipeline or (is_running and (self.cycle.response_started or not self.cycle.more_body)):
            self._close()
            return
        if is_running:  # the error is in the body of the running request
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.write(self._render(code))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._arm(LINGER_S, self.transport.abort)

    def _render(self, code: ErrorCode) -> bytes:
        given = next((value for name, value in self.headers or () if name == b"x-trace-id"), b"")
        trace_id = given.decode() if _TRACE_ID.fullmatch(given) else f"tr_{uuid.uuid4().hex}"
        response = render(code, RequestState(trace_id, route=""))
        headers = [
            *self.server_state.default_headers,
            *response.raw_headers,
            (b"x-trace-id", trace_id.encode()),
            (b"connection", b"close"),
        ]
        lines = [b"%s: %s\r\n" % header for header in headers]
        return b"".join([STATUS_LINE[response.status_code], *lines, b"\r\n", bytes(response.body)])

    def _discard(self, data: bytes) -> None:
        self._discarded_bytes += len(data)
        if self._discarded_bytes > LINGER_MAX_BYTES:
            self.transport.abort()

    def _arm(self, delay_s: float, then: Callable[[], None]) -> None:
        self._disarm()
        self._timer = self.loop.call_later(delay_s, then)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
