"""Batchable APIs give every caller its own rows, whatever the others sent."""

from collections.abc import Sequence

import numpy as np

from rag.backends.batching import BatchRunner


def double(items: Sequence[int]) -> list[float]:
    if 13 in items:
        raise ValueError("bad item")
    return [2.0 * item for item in items]


async def test_rows_keep_the_order_of_items() -> None:
    """n items, n rows, in order."""
    rows = await BatchRunner(()).run(double, [3, 1, 2])

    assert rows.tolist() == [6.0, 2.0, 4.0]


async def test_a_bad_item_harms_nobody_else() -> None:
    """Its own row is NaN; all others are as if it had not been there."""
    rows = await BatchRunner(()).run(double, [3, 13, 2])

    assert rows[[0, 2]].tolist() == [6.0, 4.0]
    assert np.isnan(rows[1])


async def test_missing_rows_are_never_shifted() -> None:
    """A model that gives fewer rows than it got items fails; BentoML would hand out wrong rows silently."""
    rows = await BatchRunner(()).run(lambda items: [1.0] * (len(items) - 1), [1, 2])

    assert np.isnan(rows).all()
