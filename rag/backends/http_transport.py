"""HTTP connections that are not lost in the moment in which nobody wants them any more.

httpcore 1.0 keeps a connection in its pool for ever, neither idle nor closed, if the task is cancelled after it was
made and before the request goes out: the other side holds it too. So until then a request is not cancelled but let go,
and ends itself at the first point from which httpcore closes; from there on it is cancelled at once.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import httpx

# httpcore's name for that point.
_SENDING: Final = "http11.send_request_headers.started"


class PatientTransport(httpx.AsyncHTTPTransport):
    """An `httpx.AsyncHTTPTransport` that can be cancelled at any moment without losing a connection."""

    def __init__(self, **options: Any) -> None:  # Any: those of the base
        super().__init__(**options)
        self._let_go: set[asyncio.Task[httpx.Response]] = set()  # asyncio itself holds tasks weakly

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        attempt = _Attempt()
        request.extensions = {**request.extensions, "trace": attempt.note}
        attempt.task = asyncio.create_task(super().handle_async_request(request))
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

    async def note(self, event: str, _: Mapping[str, Any]) -> None:
        """Called by httpcore with what it does."""
        if event == _SENDING:
            self.is_sending = True
            if self.is_abandoned:
                self.task.cancel()
