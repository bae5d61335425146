"""Replace BentoML's adaptive batching by ours; the APIs are declared as usual, and clients see no difference.

BentoML collects the requests of each batchable API in a dispatcher. It counts items instead of tokens, delays a single
request as long as the last burst waited, refuses by prediction, and computes for callers that have disconnected
(`python -m load.bench batching` compares). Here every request goes straight to its API, in its own context, and the
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
from rag.serving.direct import DirectPaths, find_paths
from schemas.errors import ERROR_TABLE

# As in nginx; no client ever sees this status.
CLIENT_GONE: Final = 499
TIMEOUT_HEADER: Final = "x-timeout-ms"
# 8 digits are a day in ms; a longer value is not a sensible timeout.
_TIMEOUT_DIGITS: Final = 8

# Any: what the API takes and returns.
Callback = Callable[[Sequence[Any]], Awaitable[Sequence[Any]]]


class BatchedService(Service):  # type: ignore[misc]  # BentoML has no types here
    """A service whose batchable APIs use our `Batcher`, and compute only for callers that are still waiting.

    Its methods that are marked for it are served without BentoML (`rag.serving.direct`).
    """

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        # Imported late: it takes a second, and the process that only starts the others does not need it.
        from _bentoml_impl.server.app import ServiceAppFactory  # noqa: PLC0415

        self.inject_config()
        self.add_asgi_middleware(WhileWaiting)
        factory = ServiceAppFactory(self, is_main=is_main)
        # The factory has no other way to choose the dispatchers.
        factory.dispatchers = dict.fromkeys(factory.dispatchers, pass_on)
        return DirectPaths(factory(), find_paths(self.inner), lambda: factory._service_instance, self.middlewares)


def pass_on(callback: Callback) -> Callable[[Any], Awaitable[Any]]:
    """Replace a BentoML dispatcher: turn a function of a batch into one of a request, where each request is a batch.

    NotReady and DeadlineExceeded become responses here: BentoML would log each exception with its traceback.
    """

    async def call(items: Any) -> Any:
        try:
            (rows,) = await callback((items,))
        except (NotReady, DeadlineExceeded) as error:
            return JSONResponse({"error": error.message}, status_code=ERROR_TABLE[error.code].status)
        return rows

    return call


class WhileWaiting:
    """Middleware that sets the caller's deadline for the API, and cancels the API when the caller disconnects.

    It must run inside BentoML's timeout middleware, which does not pass on a cancellation.
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
            # Nobody reads this response, but BentoML's timer keeps the request until a response starts.
            await Response(status_code=CLIENT_GONE)(scope, receive, send)


class Traced:
    """Middleware that records a span for each call of a traced query; probes carry no trace and get no span.

    BentoML makes spans too, which are not exported; so these are children of the caller's span, not of BentoML's.
    """

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            # The flush at the end blocks the event loop, so the process cannot end before the spans are sent.
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
    """Return the deadline of the timeout header, on the loop's clock; None if it is missing or not a whole number."""
    value = dict(scope["headers"]).get(TIMEOUT_HEADER.encode(), b"")
    if not (value.isdigit() and len(value) <= _TIMEOUT_DIGITS):
        return None
    return asyncio.get_running_loop().time() + int(value) / 1000


async def _disconnected(body_read: asyncio.Event, receive: Receive) -> None:
    await body_read.wait()
    while (await receive())["type"] != "http.disconnect":
        pass


async def _finishes(work: Awaitable[None], end: Awaitable[None]) -> bool:
    """Return whether the work finishes before `end`, which cancels it; raise what the work raises."""
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
