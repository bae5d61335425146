"""Run the models behind a service's batchable APIs: one batch at a time, in a thread, formed from the waiting items.

`batch_queue` decides which items form a batch. This module handles the callers and the thread, and callers that
disconnect, run out of time, or send an item on which the model fails.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from rag.engines.batch_queue import BatchLimits, BatchQueue, Waiting
from rag.errors import DeadlineExceeded, NotReady
from rag.types import BatchReport
from schemas.services import Entailment

Item = TypeVar("Item")
# Any: numbers, or the objects that a model makes of its items.
Rows = NDArray[Any]

# Until when the caller of this context waits: a time on its event loop's clock; None means without a limit.
CALLER_DEADLINE: Final[ContextVar[float | None]] = ContextVar("caller_deadline", default=None)
# In the example documents, English and Vietnamese, a token of the local embedder has 3.2 to 5.2 bytes of UTF-8.
_BYTES_PER_TOKEN: Final = 4
# The prompt (such as `passage: `) and the special tokens around a text.
_FRAME_TOKENS: Final = 6

_log = logging.getLogger(__name__)


def estimate_text(text: str) -> int:
    """Estimate the tokens of a text with its prompt; an exact count would cost more than it gains."""
    return _FRAME_TOKENS + len(text.encode()) // _BYTES_PER_TOKEN


def estimate_entailment(pair: Entailment) -> int:
    """Estimate the tokens of a premise and a hypothesis that the model reads together."""
    return estimate_text(pair.premise) + estimate_text(pair.hypothesis)


@dataclass(slots=True, eq=False)
class _Call:
    """One call of `Batcher.run`; its rows are filled in one by one."""

    rows: Rows
    missing: int
    done: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def fill(self, place: int, row: Any) -> None:
        self.rows[place] = row
        self.missing -= 1
        if not self.missing and not self.done.done():
            self.done.set_result(None)


@dataclass(frozen=True, slots=True)
class _Part:
    """One item of a call and its position in it. Any: each function has its own item type."""

    call: _Call
    place: int
    item: Any


class Batcher:
    """Runs functions from n items to n rows in batches; two batches of one batcher never run at the same time.

    `on_batch` gets a report of each batch; `on_waiting` gets a function's name and the change of its waiting items.
    """

    def __init__(
        self,
        limits: BatchLimits,
        on_batch: Callable[[BatchReport], None] = lambda _: None,
        on_waiting: Callable[[str, int], None] = lambda _, __: None,
    ) -> None:
        self._queue: BatchQueue[_Part] = BatchQueue(limits)
        self._on_batch = on_batch
        self._on_waiting = on_waiting
        self._running: asyncio.Task[None] | None = None
        self._alarm: asyncio.TimerHandle | None = None

    async def run(
        self,
        function: Callable[[Sequence[Item]], object],
        items: Sequence[Item],
        estimate: Callable[[Item], int],
        *,
        row_shape: tuple[int, ...] = (),
        dtype: DTypeLike = np.float32,
    ) -> Rows:
        """Return the rows of the items, (n, *row_shape), in order; rows of items that failed hold NaN.

        `row_shape` is the same in all calls with one function: `(dim,)` for vectors; `()` for scores, and for objects
        with `dtype=object`. `estimate` returns an item's tokens. If the call is cancelled or its caller's deadline
        passes, its items that are still waiting are removed from the queue.

        Raises:
            DeadlineExceeded: the caller's deadline passed first.
            NotReady: the queue has no room for the items.
        """
        rows = np.full((len(items), *row_shape), np.nan, dtype=dtype)
        if not items:
            return rows
        now, deadline = asyncio.get_running_loop().time(), CALLER_DEADLINE.get()
        if deadline is not None and deadline <= now:
            raise DeadlineExceeded
        call = _Call(rows, len(items))
        parts = [(_Part(call, place, item), estimate(item)) for place, item in enumerate(items)]
        waiting = self._queue.put(function, parts, now)
        if waiting is None:
            raise NotReady("Too much waits for the model.")
        self._on_waiting(function.__name__, len(waiting))
        self._start_next()
        try:
            async with asyncio.timeout_at(deadline):
                await call.done
        except TimeoutError:
            raise DeadlineExceeded from None
        finally:
            self._on_waiting(function.__name__, -self._queue.discard(waiting))
        return rows

    def _start_next(self) -> None:
        if self._running is not None:
            return
        loop = asyncio.get_running_loop()
        batch = self._queue.take(loop.time())
        if batch:
            function: Any = batch[0].lane  # Any: of its items' type, which only the caller knows
            self._on_waiting(function.__name__, -len(batch))
            self._running = loop.create_task(
                self._run_batch(batch, loop.time() - min(each.arrived_at for each in batch))
            )
        elif (due_at := self._queue.due_at()) is not None:
            if self._alarm is not None:
                self._alarm.cancel()
            self._alarm = loop.call_at(due_at, self._start_next)

    async def _run_batch(self, batch: Sequence[Waiting[_Part]], waited_s: float) -> None:
        function: Any = batch[0].lane  # Any: of its items' type, which only the caller knows
        parts = [each.item for each in batch]
        wanted = parts[0].call.rows
        try:
            rows = await run_safely(function, [part.item for part in parts], wanted.shape[1:], wanted.dtype)
        finally:
            self._running = None
        self._start_next()  # before the callers get their rows, so that the model does not idle
        for part, row in zip(parts, rows, strict=True):
            part.call.fill(part.place, row)
        longest = max(each.tokens for each in batch)
        self._on_batch(BatchReport(function.__name__, len(batch), len(batch) * longest, waited_s))


async def run_safely(
    function: Callable[[Sequence[Item]], object],
    items: Sequence[Item],
    row_shape: tuple[int, ...],
    dtype: DTypeLike = np.float32,
) -> Rows:
    """Run the function in a thread and return (n, *row_shape); if it fails, run each item alone, with NaN for failures.

    The rows of one batch belong to many callers: an exception would fail all of them, a missing row would shift others.
    """
    try:
        return await _run(function, items, row_shape, dtype)
    except Exception:  # noqa: BLE001  # whatever the model raises, the callers must get their rows
        _log.exception("batch_failed", extra={"fields": {"items": len(items)}})
    rows = np.full((len(items), *row_shape), np.nan, dtype=dtype)
    for number, item in enumerate(items):
        try:
            rows[number] = (await _run(function, [item], row_shape, dtype))[0]
        except Exception:  # noqa: BLE001
            _log.exception("item_failed")
    return rows


async def _run(
    function: Callable[[Sequence[Item]], object],
    items: Sequence[Item],
    row_shape: tuple[int, ...],
    dtype: DTypeLike,
) -> Rows:
    rows = np.asarray(await asyncio.to_thread(function, items), dtype=dtype)
    expected = (len(items), *row_shape)
    if rows.shape != expected:
        raise ValueError(f"a model gave rows of shape {rows.shape} where {expected} was asked for")
    return rows
