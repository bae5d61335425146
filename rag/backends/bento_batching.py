"""BentoML's adaptive batching without its two worst habits: waiting for company that is gone, and working for the gone.

Its optimizer keeps the average wait of the last 50 batches as the time to hold the next one back, so after a burst a
lone request waits as long as the burst's did: 55 ms instead of 15 with a model of 10 ms. With a wait of 0 a batch is
whatever has queued up while the model was busy. And it computes for callers who have closed their connection: here they
are noticed, and what they had in the queue is dropped.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any, Final

from _bentoml_sdk.service.factory import Service
from bentoml._internal.marshal.dispatcher import CorkDispatcher, Optimizer
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# As in nginx; no client ever sees it.
CLIENT_GONE: Final = 499


class PromptOptimizer(Optimizer):  # type: ignore[misc]  # BentoML has no types here
    """Learns a batch's duration as ever, but never holds a batch back."""

    @property
    def wait(self) -> float:
        return 0.0

    @wait.setter
    def wait(self, _: float) -> None:
        """Refused: the average wait of the past says nothing about the next request."""


class PromptDispatcher(CorkDispatcher):  # type: ignore[misc]  # BentoML has no types here
    """Takes the work of a caller who is cancelled out of the queue."""

    async def inbound_call(self, data: Any) -> Any:  # Any: what the API takes and returns
        try:
            return await super().inbound_call(data)
        except asyncio.CancelledError:
            # In place: the controller holds the same deque, and looks at it only between two of its waits.
            waiting = [job for job in self._queue if not job.future.done()]
            self._queue.clear()
            self._queue.extend(waiting)
            raise


class PromptService(Service):  # type: ignore[misc]  # BentoML has no types here
    """A service whose batchable APIs start a batch as soon as the model is free, for those who still wait."""

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        # Late: the process that only starts the others does not need the second that this takes.
        from _bentoml_impl.server.app import ServiceAppFactory  # noqa: PLC0415

        self.inject_config()
        self.add_asgi_middleware(UnlessGone)
        factory = ServiceAppFactory(self, is_main=is_main)
        for dispatcher in factory.dispatchers.values():
            dispatcher.__class__ = PromptDispatcher  # the factory leaves no other way to choose it
            dispatcher.optimizer = PromptOptimizer(dispatcher.max_latency)
        app: ASGIApp = factory()
        return app


class UnlessGone:
    """Cancels the handling of a request whose client closes the connection before it is answered.

    Stands inside BentoML's timer, which does not pass a cancellation on.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body_read = asyncio.Event()

        async def receive_body() -> Message:
            message = await receive()
            if not message.get("more_body", False):
                body_read.set()
            return message

        if not await _finishes(self._app(scope, receive_body, send), _disconnected(body_read, receive)):
            # Nobody reads it, but the timer keeps the request until it sees an answer begin.
            await Response(status_code=CLIENT_GONE)(scope, receive, send)


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
