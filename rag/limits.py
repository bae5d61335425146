"""Limit what a request may use of this process: admission, a deadline, and a place among the running requests."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

from rag.errors import ConcurrencyLimited, DeadlineExceeded, NotReady

# A place becomes free as soon as one running request ends; one second is the minimum that the header can express.
PLACE_RETRY_AFTER_S = 1
# By then another process has taken over the address, or this one has restarted.
STOPPING_RETRY_AFTER_S = 5


Result = TypeVar("Result")


async def gather(calls: Sequence[Awaitable[Result]]) -> list[Result]:
    """Run `asyncio.gather`; if one call fails, cancel the others and wait for them before raising its error."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Gate:
    """A gate that admits requests until it is closed, and knows when the last one has left."""

    def __init__(self) -> None:
        self._is_closed = False
        self._inside = 0
        self._is_empty = asyncio.Event()
        self._is_empty.set()

    @property
    def is_closed(self) -> bool:
        """Whether new requests are refused."""
        return self._is_closed

    @property
    def inside(self) -> int:
        """The number of requests that are inside."""
        return self._inside

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Count one request as inside while the block runs.

        Raises: NotReady: the gate is closed.
        """
        if self._is_closed:
            raise NotReady("The service is stopping.", retry_after_s=STOPPING_RETRY_AFTER_S)
        self._inside += 1
        self._is_empty.clear()
        try:
            yield
        finally:
            self._inside -= 1
            if not self._inside:
                self._is_empty.set()

    def close(self) -> None:
        """Refuse new requests from now on."""
        self._is_closed = True

    async def emptied(self) -> None:
        """Wait until no request is inside."""
        await self._is_empty.wait()


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point on the monotonic clock, made once per request and passed down; each wait asks it for the seconds left."""

    at: float

    @classmethod
    def after(cls, timeout_s: float) -> "Deadline":
        """Return the deadline `timeout_s` from now."""
        return cls(time.monotonic() + timeout_s)

    def sooner(self, timeout_s: float) -> "Deadline":
        """Return the deadline of a stage: `timeout_s` from now, but never later than this one."""
        return Deadline(min(self.at, time.monotonic() + timeout_s))

    def left_s(self) -> float:
        """Return the seconds left, at least 0."""
        return max(0.0, self.at - time.monotonic())

    @asynccontextmanager
    async def enforced(self) -> AsyncIterator[None]:
        """Cancel the block at the deadline.

        Raises: DeadlineExceeded: the deadline passed during the block, or before it.
        """
        left_s = self.left_s()
        if not left_s:
            raise DeadlineExceeded
        try:
            async with asyncio.timeout(left_s):
                yield
        except TimeoutError as error:
            raise DeadlineExceeded from error


class Places:
    """The places for requests that may run at the same time in this process; waiting requests get one in FIFO order.

    Each request enters the context manager `waiting()` while it waits, and `running()` while it holds a place.
    """

    def __init__(
        self,
        limit: int,
        *,
        queue_timeout_s: float,
        waiting: Callable[[], AbstractContextManager[object]] = nullcontext,
        running: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._waiting = waiting
        self._running = running
        self._queue_timeout_s = queue_timeout_s
        self._free = asyncio.Semaphore(limit)
        self._taken = 0

    @property
    def taken(self) -> int:
        """The number of places that are taken."""
        return self._taken

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """Hold one place while the block runs.

        Raises: ConcurrencyLimited: no place became free within the queue timeout.
        """
        with self._waiting():
            await self._take()
        self._taken += 1
        try:
            with self._running():
                yield
        finally:
            self._taken -= 1
            self._free.release()

    async def _take(self) -> None:
        try:
            async with asyncio.timeout(self._queue_timeout_s):
                await self._free.acquire()
        except TimeoutError as error:
            raise ConcurrencyLimited(retry_after_s=PLACE_RETRY_AFTER_S) from error
