"""How a batchable API runs its model: one batch at a time, in a thread, and one bad item harms nobody else."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from rag.ports import Vectors

Item = TypeVar("Item")

_log = logging.getLogger(__name__)


class BatchRunner:
    """Runs functions from n items to n rows; those of one runner never run at the same time.

    `row_shape` is the shape of one row: `(dim,)` for vectors, `()` for scores.
    """

    def __init__(self, row_shape: tuple[int, ...]) -> None:
        self._row_shape = row_shape
        self._free = asyncio.Lock()

    async def run(self, function: Callable[[Sequence[Item]], object], items: Sequence[Item]) -> Vectors:
        """float32, (n, *row_shape), in the order of the items; rows of items that failed hold NaN.

        BentoML gives the rows of one batch back to many callers: an exception would fail all of them, and a missing
        row would silently shift the others.
        """
        async with self._free:
            try:
                return await self._run(function, items)
            except Exception:  # noqa: BLE001  # whatever a model raises, the callers get their rows
                _log.exception("batch_failed", extra={"fields": {"items": len(items)}})
            return await self._run_singly(function, items)

    async def _run(self, function: Callable[[Sequence[Item]], object], items: Sequence[Item]) -> Vectors:
        rows = np.asarray(await asyncio.to_thread(function, items), dtype=np.float32)
        expected = (len(items), *self._row_shape)
        if rows.shape != expected:
            raise ValueError(f"a model gave rows of shape {rows.shape} where {expected} was asked for")
        return rows

    async def _run_singly(self, function: Callable[[Sequence[Item]], object], items: Sequence[Item]) -> Vectors:
        rows = np.full((len(items), *self._row_shape), np.nan, dtype=np.float32)
        for number, item in enumerate(items):
            try:
                rows[number] = (await self._run(function, [item]))[0]
            except Exception:  # noqa: BLE001
                _log.exception("item_failed")
        return rows
