"""Send one request over HTTP and return its outcome; every kind of failure is an outcome, not an exception."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Final

import httpx
from httpx_sse import EventSource, SSEError

from load.driver.outcome import CLIENT_TIMEOUT, CONTRACT_BROKEN, CUT_OFF, Ending, Hearing, Outcome, classify
from load.driver.planning import Ask
from load.driver.targets import Target

# No limit on connections, because waiting for one would be hidden in the latencies. No keep-alive, because clients are
# unrelated, a server that closes a kept connection while we send looks broken, and httpcore 1.0 searches them in
# quadratic time: with some 300 kept connections, at 60 requests a second, that was half of the driver's time.
LIMITS: Final = httpx.Limits(max_connections=None, max_keepalive_connections=0)
# The exceptions for a reply that is not in the target's dialect.
_MISREAD: Final = (SSEError, KeyError, TypeError, ValueError, AttributeError)

Clock = Callable[[], float]


class Client:
    """Sends requests to one target, any number of them at the same time."""

    def __init__(self, http: httpx.AsyncClient, target: Target, *, timeout_s: float) -> None:
        self._http = http
        self._target = target
        self._timeout_s = timeout_s

    async def ask(self, ask: Ask, scheduled_s: float, clock: Clock) -> Outcome:
        """Send the request now, and read until the reply ends, the client leaves as planned, or the timeout passes."""
        hearing = Hearing(ask, scheduled_s, sent_s=clock())
        leaves_first = ask.leaves_at_s is not None and ask.leaves_at_s < self._timeout_s
        try:
            async with asyncio.timeout(ask.leaves_at_s if leaves_first else self._timeout_s):
                return await self._listen(ask, hearing, clock)
        except TimeoutError:
            ending, code = (Ending.ABANDONED, None) if leaves_first else (Ending.TIMEOUT, CLIENT_TIMEOUT)
        except _MISREAD:
            ending, code = Ending.ERROR, CONTRACT_BROKEN
        except httpx.HTTPError as error:
            has_begun = hearing.status is not None
            ending, code = (Ending.CUT, CUT_OFF) if has_begun else (Ending.ERROR, type(error).__name__)
        return hearing.end(ending, code, clock())

    async def _listen(self, ask: Ask, hearing: Hearing, clock: Clock) -> Outcome:
        call = self._target.make_call(ask)
        async with self._http.stream("POST", call.path, json=call.body, headers=call.headers) as response:
            hearing.status = response.status_code
            if not response.is_success:
                content = await response.aread()
                code = self._name_refusal(response, content)
                return hearing.end(classify(response.status_code, code), code, clock())
            if ask.route == "whole":
                content = await response.aread()
                hearing.take(self._target.read_whole(content), clock())
                return hearing.end(Ending.CUT, CUT_OFF, clock())
            async with aclosing(EventSource(response).aiter_sse()) as events:
                async for event in events:
                    if not event.data:
                        continue  # a ping: not an event by the standard, but httpx-sse 0.4.3 makes one after any id
                    at_s = clock()
                    hearing.take(self._target.read_event(event.event, event.data), at_s)
                    if ask.leaves_at_first_text and hearing.has_text:
                        return hearing.end(Ending.ABANDONED, None, at_s)
        return hearing.end(Ending.CUT, CUT_OFF, clock())

    def _name_refusal(self, response: httpx.Response, content: bytes) -> str:
        """Return the error code in the body; the status if there is none (from a proxy, or in another dialect)."""
        try:
            return self._target.read_refusal(content)
        except _MISREAD:
            return f"HTTP_{response.status_code}"


@asynccontextmanager
async def open_client(url: str, target: Target, *, timeout_s: float) -> AsyncIterator[Client]:
    """Open a client without a limit on connections; each request's timeout is the only deadline."""
    async with httpx.AsyncClient(base_url=url, limits=LIMITS, timeout=None) as http:  # noqa: S113 - see above
        yield Client(http, target, timeout_s=timeout_s)
