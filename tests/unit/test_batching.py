"""Batchable APIs return to every caller its own rows, whatever other callers sent, abandoned or broke."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from rag.engines.batch_queue import BatchLimits
from rag.engines.batching import (
    CALLER_DEADLINE,
    Batcher,
    estimate_entailment,
    estimate_text,
)
from rag.errors import DeadlineExceeded, NotReady
from rag.types import BatchReport
from schemas.services import Entailment

BAD = 13


def double(items: Sequence[int]) -> list[float]:
    if BAD in items:
        raise ValueError("bad item")
    return [2.0 * item for item in items]


def weigh(_: int) -> int:
    return 10


class GatedModel:
    """Computes in its thread when the test lets it, and fails where two batches run at once."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.may_run = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._busy = asyncio.Event()
        self._one = threading.Lock()

    def __call__(self, items: Sequence[int]) -> list[float]:
        assert self._one.acquire(blocking=False), "two batches at once"
        self.batches.append(list(items))
        self._loop.call_soon_threadsafe(self._busy.set)
        assert self.may_run.wait(30)
        self._one.release()
        return double(items)

    __name__ = "gated"
    other = __call__

    async def wait_until_busy(self) -> None:
        async with asyncio.timeout(30):
            await self._busy.wait()


def start(batcher: Batcher, function: Any, items: Sequence[int]) -> asyncio.Task[Any]:
    return asyncio.create_task(batcher.run(function, items, weigh))


async def test_rows_keep_the_order_of_items() -> None:
    """n items, n rows, in order, whatever the lengths by which they were put together."""
    rows = await Batcher(BatchLimits(budget_tokens=50)).run(double, [3, 1, 2, 9, 4], lambda item: 10 * item)

    assert rows.tolist() == [6.0, 2.0, 4.0, 18.0, 8.0]
    assert rows.dtype == np.float32


async def test_no_items_are_no_rows() -> None:
    """And nothing for the model."""
    rows = await Batcher(BatchLimits()).run(double, [], weigh, row_shape=(4,))

    assert rows.shape == (0, 4)


async def test_a_bad_item_harms_nobody_else() -> None:
    """Its own row is NaN; all others, of other callers too, are as if it had not been there."""
    batcher = Batcher(BatchLimits())
    rows, others = await asyncio.gather(batcher.run(double, [3, BAD, 2], weigh), batcher.run(double, [5], weigh))

    assert rows[[0, 2]].tolist() == [6.0, 4.0]
    assert np.isnan(rows[1])
    assert others.tolist() == [10.0]


async def test_missing_rows_are_never_shifted() -> None:
    """A model that gives fewer rows than it got items fails; no caller gets another's."""
    rows = await Batcher(BatchLimits()).run(lambda items: [1.0] * (len(items) - 1), [1, 2], weigh)

    assert np.isnan(rows).all()


async def test_what_came_while_the_model_was_busy_is_one_batch() -> None:
    """And each caller gets its own rows of it."""
    model, batcher = GatedModel(), Batcher(BatchLimits())
    first = start(batcher, model, [1])
    await model.wait_until_busy()
    others = [start(batcher, model, items) for items in ([2, 3], [4], [5, 6])]
    await asyncio.sleep(0)

    model.may_run.set()
    rows = await asyncio.gather(first, *others)

    assert [each.tolist() for each in rows] == [[2.0], [4.0, 6.0], [8.0], [10.0, 12.0]]
    assert model.batches == [[1], [2, 3, 4, 5, 6]]


async def test_functions_of_one_batcher_take_turns() -> None:
    """They share one device: never at once, and neither waits for more than one batch of the other."""
    model, batcher = GatedModel(), Batcher(BatchLimits(max_items=1))
    calls = [start(batcher, model, [1])]
    await model.wait_until_busy()
    calls += [start(batcher, model, [2, 3]), start(batcher, model.other, [4])]
    await asyncio.sleep(0)

    model.may_run.set()
    await asyncio.gather(*calls)

    assert model.batches == [[1], [2], [4], [3]]


async def test_what_a_gone_caller_had_queued_is_dropped() -> None:
    """It never reaches the model, and the others do."""
    model, batcher = GatedModel(), Batcher(BatchLimits())
    running = start(batcher, model, [1])
    await model.wait_until_busy()
    gone, waiting = start(batcher, model, [2, 3]), start(batcher, model, [4])
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)

    model.may_run.set()
    rows = await asyncio.gather(running, waiting)

    assert [each.tolist() for each in rows] == [[2.0], [8.0]]
    assert model.batches == [[1], [4]]


async def test_a_caller_that_leaves_half_done_is_dropped_for_the_rest() -> None:
    """Its request was cut into several batches; those that have not begun are not run."""
    model, batcher = GatedModel(), Batcher(BatchLimits(max_items=1))
    gone = start(batcher, model, [1, 2, 3])
    await model.wait_until_busy()
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    last = start(batcher, model, [4])

    model.may_run.set()
    rows = await last

    assert rows.tolist() == [8.0]
    assert model.batches == [[1], [4]]


async def test_what_is_too_late_is_not_begun() -> None:
    """Its deadline has passed while it waited, or before it came: its caller reads no answer."""
    model, batcher = GatedModel(), Batcher(BatchLimits())
    running = start(batcher, model, [1])
    await model.wait_until_busy()
    now = asyncio.get_running_loop().time()
    for deadline in (now + 0.01, now - 1):
        CALLER_DEADLINE.set(deadline)
        with pytest.raises(DeadlineExceeded):
            await batcher.run(model, [2], weigh)

    model.may_run.set()
    await running

    assert model.batches == [[1]]


async def test_too_much_at_once_is_refused() -> None:
    """At once, while there still is time to ask elsewhere; those who wait are served."""
    model, batcher = GatedModel(), Batcher(BatchLimits(waiting_tokens=20))
    accepted = [start(batcher, model, [1])]
    await model.wait_until_busy()
    accepted.append(start(batcher, model, [2, 3]))
    await asyncio.sleep(0)

    with pytest.raises(NotReady):
        await batcher.run(model, [4], weigh)

    model.may_run.set()
    rows = await asyncio.gather(*accepted)

    assert [each.tolist() for each in rows] == [[2.0], [4.0, 6.0]]


async def test_company_can_be_waited_for() -> None:
    """Two callers within the wait are one batch, although the model was free for the first."""
    reports: list[BatchReport] = []
    batcher = Batcher(BatchLimits(wait_s=0.02), reports.append)

    await asyncio.gather(batcher.run(double, [1], weigh), batcher.run(double, [2], weigh))

    assert [report.items for report in reports] == [2]


async def test_batches_are_reported() -> None:
    """With their size in items and in tokens, padding counted."""
    reports: list[BatchReport] = []
    await Batcher(BatchLimits(), reports.append).run(double, [4, 5, 5], lambda item: 10 * item)

    assert [(report.function, report.items, report.tokens) for report in reports] == [("double", 3, 150)]
    assert reports[0].waited_s >= 0


def test_estimates_grow_with_what_the_model_reads() -> None:
    """In bytes: Vietnamese has fewer characters to a token than English, and Chinese fewer still."""
    passage = "Nhân viên full-time có 12 ngày nghỉ phép năm."

    assert estimate_text("") > 0
    assert estimate_text("人工智能" * 10) > estimate_text("a" * 40)
    assert estimate_entailment(Entailment(premise=passage, hypothesis=passage)) == 2 * estimate_text(passage)
