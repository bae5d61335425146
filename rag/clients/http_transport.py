"""HTTP connections that are not lost in the moment in which nobody wants them any more.

httpcore 1.0 keeps a connection in its pool for ever, neither idle nor closed, if the task is cancelled after it was
made and before the request goes out: the other side holds it too. So until then a request is not cancelled but let go,
and ends itself at the first point from which httpcore closes; from there on it is cancelled at once.

And httpx says the same of a reply that breaks off in its head as of none at all; only one of them may be asked again.
"""

import asyncio
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Final

import httpcore
import httpx

# httpcore's name for that point.
_SENDING: Final = "http11.send_request_headers.started"


class BrokenReply(httpx.RemoteProtocolError):
    """The connection failed after the first byte of a reply, or what came is no HTTP."""


class PatientTransport(httpx.AsyncHTTPTransport):
    """An `httpx.AsyncHTTPTransport` that can be cancelled at any moment without losing a connection.

    Raises: BrokenReply: instead of any failure but a timeout, once a byte of the reply has come.
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
                if isinstance(outcome, httpx.Response):  # it came in the same moment
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
            task.exception()  # seen: nobody else will look


class _Attempt:
    """One request until its response begins."""

    task: asyncio.Task[httpx.Response]

    def __init__(self) -> None:
        self.is_sending = False
        self.is_abandoned = False
        self.is_answered = False

    async def note(self, event: str, details: Mapping[str, Any]) -> None:
        """Called by httpcore with what it does; a new connection is made to tell what is read from it."""
        stream = details.get("return_value")
        if isinstance(stream, httpcore.AsyncNetworkStream):
            _report_reads(stream)
        if event == _SENDING:
            self.is_sending = True
            if self.is_abandoned:
                self.task.cancel()


_attempt: ContextVar[_Attempt] = ContextVar("attempt")


def _report_reads(stream: httpcore.AsyncNetworkStream) -> None:
    """From now on the attempt that reads from it, maybe not the one that opened it, learns that a byte has come."""
    read = stream.read

    async def read_and_report(max_bytes: int, timeout: float | None = None) -> bytes:
        data = await read(max_bytes, timeout)
        attempt = _attempt.get(None)
        if data and attempt is not None:
            attempt.is_answered = True
        return data

    stream.read = read_and_report  # type: ignore[method-assign]  # httpx takes no backend that could do it
