"""Send HTTP requests without leaking connections on cancellation, and tell a broken reply from a missing one.

If a task is cancelled after its connection is made and before the request is sent, httpcore 1.0 keeps the connection in
its pool for ever, neither idle nor closed, and the peer keeps it too. So until then this transport does not cancel the
request: it abandons it, and the request cancels itself once httpcore would close the connection correctly. From that
point on a request is cancelled at once.

httpx raises the same errors for a reply that breaks off in its head and for no reply; only the latter may be retried.
"""

import asyncio
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Final

import httpcore
import httpx

# httpcore's trace event at that point.
_SENDING: Final = "http11.send_request_headers.started"


class BrokenReply(httpx.RemoteProtocolError):
    """The connection failed after the first byte of a reply, or the reply is not HTTP."""


def came_to_nothing(error: httpx.HTTPError) -> bool:
    """Return whether the connection failed before the first byte of a reply; only then do we send the request again."""
    return isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError) and not isinstance(error, BrokenReply)


class PatientTransport(httpx.AsyncHTTPTransport):
    """An `httpx.AsyncHTTPTransport` that can be cancelled at any time without leaking a connection.

    Raises: BrokenReply: instead of any failure except a timeout, once a byte of the reply has arrived.
    """

    def __init__(self, **options: Any) -> None:  # Any: those of the base
        super().__init__(**options)
        self._let_go: set[asyncio.Task[httpx.Response]] = set()  # asyncio itself holds tasks weakly

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        attempt = _Attempt()
        request.extensions = {**request.extensions, "trace": attempt.note}
        attempt.task = asyncio.create_task(self._send(request, attempt))
        try:
            return await asyncio.shield(attempt.task)
        except asyncio.CancelledError:
            attempt.is_abandoned = True
            if attempt.is_sending:
                attempt.task.cancel()
                (outcome,) = await asyncio.gather(attempt.task, return_exceptions=True)
                if isinstance(outcome, httpx.Response):  # it arrived at the same moment
                    await outcome.aclose()
            else:
                self._let_go.add(attempt.task)
                attempt.task.add_done_callback(self._forget)
            raise

    async def _send(self, request: httpx.Request, attempt: "_Attempt") -> httpx.Response:
        _attempt.set(attempt)  # in the context of this task alone
        try:
            return await super().handle_async_request(request)
        except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
            if attempt.is_answered:
                raise BrokenReply(str(error)) from error
            raise

    def _forget(self, task: asyncio.Task[httpx.Response]) -> None:
        self._let_go.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved, or asyncio would log that it never was


class _Attempt:
    """The state of one request until its response begins."""

    task: asyncio.Task[httpx.Response]

    def __init__(self) -> None:
        self.is_sending = False
        self.is_abandoned = False
        self.is_answered = False

    async def note(self, event: str, details: Mapping[str, Any]) -> None:
        """Handle a trace event of httpcore: watch the reads of a new connection, and note when sending starts."""
        stream = details.get("return_value")
        if isinstance(stream, httpcore.AsyncNetworkStream):
            _report_reads(stream)
        if event == _SENDING:
            self.is_sending = True
            if self.is_abandoned:
                self.task.cancel()


_attempt: ContextVar[_Attempt] = ContextVar("attempt")


def _report_reads(stream: httpcore.AsyncNetworkStream) -> None:
    """Patch the stream to mark the attempt that reads from it, which may not be the one that opened it, as answered."""
    read = stream.read

    async def read_and_report(max_bytes: int, timeout: float | None = None) -> bytes:
        data = await read(max_bytes, timeout)
        attempt = _attempt.get(None)
        if data and attempt is not None:
            attempt.is_answered = True
        return data

    stream.read = read_and_report  # type: ignore[method-assign]  # httpx accepts no custom network backend
