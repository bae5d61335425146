"""Our batching in the place of BentoML's: its APIs are declared as ever, and no client sees a difference.

BentoML gathers the requests of a batchable API in a dispatcher of its own, one per API. It counts items and not tokens,
holds a lone request back for as long as the last burst waited, refuses by prediction, and computes for callers who have
left; `python -m load.bench batching` compares. Here every request goes straight to its API, in its own context, and the
API puts its items into the service's `Batcher`. BentoML's metric `adaptive_batch_size` is therefore always 1.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from _bentoml_sdk.service.factory import Service
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rag.engines.batching import CALLER_DEADLINE
from rag.errors import DeadlineExceeded, NotReady
from rag.observability.tracing import Tracer
from schemas.errors import ERROR_TABLE

# As in nginx; no client ever sees it.
CLIENT_GONE: Final = 499
TIMEOUT_HEADER: Final = "x-timeout-ms"
# A day: what is longer is no timeout, or no number.
_TIMEOUT_DIGITS: Final = 8

# Any: what the API takes and returns.
Callback = Callable[[Sequence[Any]], Awaitable[Sequence[Any]]]


class BatchedService(Service):  # type: ignore[misc]  # BentoML has no types here
    """A service whose batchable APIs batch by themselves, for those who still wait."""

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        # Late: the process that only starts the others does not need the second that this takes.
        from _bentoml_impl.server.app import ServiceAppFactory  # noqa: PLC0415

        self.inject_config()
        self.add_asgi_middleware(WhileWaiting)
        factory = ServiceAppFactory(self, is_main=is_main)
        # The factory leaves no other way to choose them.
        factory.dispatchers = dict.fromkeys(factory.dispatchers, pass_on)
        app: ASGIApp = factory()
        return app


def pass_on(callback: Callback) -> Callable[[Any], Awaitable[Any]]:
    """Stands for a dispatcher of BentoML's, which makes of a function of batches one of requests: each is a batch.

    What cannot be served becomes a response here: as an exception it would be logged with its traceback, every time.
    """

    async def call(items: Any) -> Any:
        try:
            (rows,) = await callback((items,))
        except (NotReady, DeadlineExceeded) as error:
            return JSONResponse({"error": error.message}, status_code=ERROR_TABLE[error.code].status)
        return rows

    return call


class WhileWaiting:
    """Tells the API how long its caller waits, and cancels it when the caller closes the connection.

    Stands inside BentoML's timer, which does not pass a cancellation on.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        CALLER_DEADLINE.set(_find_deadline(scope))
        body_read = asyncio.Event()

        async def receive_body() -> Message:
            message = await receive()
            if not message.get("more_body", False):
                body_read.set()
            return message

        if not await _finishes(self._app(scope, receive_body, send), _disconnected(body_read, receive)):
            # Nobody reads it, but the timer keeps the request until it sees an answer begin.
            await Response(status_code=CLIENT_GONE)(scope, receive, send)


class Traced:
    """A span for each call of a query that is traced; probes carry no trace and have none.

    BentoML makes spans too, which nobody exports: these hang below the caller's own and not below those.
    """

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            # The server goes on only when this task waits: what is left is sent before the process ends.
            with self._tracer.running():
                await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"]) if scope["type"] == "http" else {}
        if b"traceparent" not in headers:
            await self._app(scope, receive, send)
            return
        trace_id = headers.get(b"x-trace-id", b"").decode("latin-1")
        span = self._tracer.begin(scope["path"], trace_id=trace_id, headers=scope["headers"])
        status = 0

        async def note_status(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, receive, note_status)
        finally:
            if span:
                failure = None if 0 < status < 500 else f"status {status}"
                span.end({"http.response.status_code": status}, failure=failure)


def _find_deadline(scope: Scope) -> float | None:
    """When the time is over that the header gives; None where it is missing or no whole number."""
    value = dict(scope["headers"]).get(TIMEOUT_HEADER.encode(), b"")
    if not (value.isdigit() and len(value) <= _TIMEOUT_DIGITS):
        return None
    return asyncio.get_running_loop().time() + int(value) / 1000


async def _disconnected(body_read: asyncio.Event, receive: Receive) -> None:
    await body_read.wait()
    while (await receive())["type"] != "http.disconnect":
        pass


async def _finishes(work: Awaitable[None], end: Awaitable[None]) -> bool:
    """Whether the work comes before the end, at which it is cancelled; raises what it raises."""
    working, ending = asyncio.ensure_future(work), asyncio.ensure_future(end)
    try:
        await asyncio.wait({working, ending}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
        return working.done()
    finally:
        working.cancel()
        ending.cancel()
        await asyncio.gather(working, ending, return_exceptions=True)
