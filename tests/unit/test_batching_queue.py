"""The choice of the items that form the next batch."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.engines.batch_queue import BatchLimits, BatchQueue, Waiting, find_best_run

LIMITS = BatchLimits(budget_tokens=1000, max_items=8)
TOKENS = st.integers(1, 600)
ITEMS = st.lists(st.tuples(st.sampled_from("ab"), TOKENS), min_size=1, max_size=40)
ANY_LIMITS = st.builds(
    BatchLimits, budget_tokens=st.integers(1, 3000), max_items=st.integers(1, 12), pass_tokens=st.integers(1, 2000)
)


def fill(limits: BatchLimits, items: Sequence[tuple[str, int]]) -> tuple[BatchQueue[int], list[Waiting[int]]]:
    """A queue with these (lane, tokens), each item its own number."""
    queue: BatchQueue[int] = BatchQueue(limits)
    waiting = []
    for number, (lane, tokens) in enumerate(items):
        waiting += queue.put(lane, [(number, tokens)], now=0.0) or []
    return queue, waiting


def drain(queue: BatchQueue[int]) -> list[list[Waiting[int]]]:
    batches = []
    while batch := queue.take(math.inf):
        batches.append(batch)
    return batches


def lengths(batch: Sequence[Waiting[int]]) -> list[int]:
    return [each.tokens for each in batch]


@given(ANY_LIMITS, ITEMS)
def test_every_item_is_taken_once(limits: BatchLimits, items: list[tuple[str, int]]) -> None:
    """None is lost, none is computed twice."""
    queue, waiting = fill(limits, items)

    taken = [each.item for batch in drain(queue) for each in batch]

    assert sorted(taken) == [each.item for each in waiting] == list(range(len(items)))
    assert queue.tokens == 0
    assert queue.due_at() is None


@given(ANY_LIMITS, ITEMS)
def test_batches_keep_their_limits(limits: BatchLimits, items: list[tuple[str, int]]) -> None:
    """Padding counted, n x longest is within the budget, or the item is alone; and one lane, and so many items."""
    queue, _ = fill(limits, items)

    for batch in drain(queue):
        assert len(batch) == 1 or len(batch) * max(lengths(batch)) <= limits.budget_tokens
        assert len(batch) <= limits.max_items
        assert len({each.lane for each in batch}) == 1


@given(ANY_LIMITS, ITEMS)
def test_nothing_starves(limits: BatchLimits, items: list[tuple[str, int]]) -> None:
    """Each batch holds the oldest item of its lane, and no lane has two in a row while another waits."""
    queue, waiting = fill(limits, items)

    left, last = set(waiting), None
    while batch := queue.take(math.inf):
        lane = batch[0].lane
        assert min((each for each in left if each.lane == lane), key=lambda each: each.number) in batch
        assert lane != last or {each.lane for each in left} == {lane}
        left, last = left - set(batch), lane


@given(ANY_LIMITS, st.lists(st.tuples(st.just("a"), TOKENS), min_size=1, max_size=40))
def test_similar_lengths_are_together(limits: BatchLimits, items: list[tuple[str, int]]) -> None:
    """Nothing is left behind that is longer than a batch's shortest and shorter than its longest."""
    queue, waiting = fill(limits, items)

    left = set(waiting)
    while batch := queue.take(math.inf):
        left -= set(batch)
        assert not [each for each in left if min(lengths(batch)) < each.tokens < max(lengths(batch))]
        assert lengths(batch) == sorted(lengths(batch))


@given(ANY_LIMITS, st.lists(TOKENS, min_size=1, max_size=20).map(sorted), st.data())
def test_the_best_run_is_the_best_of_all(limits: BatchLimits, ascending: list[int], data: st.DataObject) -> None:
    """Of all runs within the limits none does more for what it costs."""
    place = data.draw(st.integers(0, len(ascending) - 1))

    def gain(start: int, end: int) -> float:
        worth = sum(tokens + limits.pass_tokens / 8 for tokens in ascending[start:end])
        return worth / (limits.pass_tokens + (end - start) * ascending[end - 1])

    runs = [(start, end) for start in range(place + 1) for end in range(place + 1, len(ascending) + 1)]
    fitting = [
        (start, end)
        for start, end in runs
        if end - start == 1
        or ((end - start) * ascending[end - 1] <= limits.budget_tokens and end - start <= limits.max_items)
    ]

    start, end = find_best_run(ascending, place, limits)

    assert (start, end) in fitting
    assert gain(start, end) == pytest.approx(max(gain(*run) for run in fitting))


@given(ITEMS, st.sets(st.integers(0, 39)), st.integers(0, 3))
def test_what_is_discarded_is_never_taken(items: list[tuple[str, int]], gone: set[int], taken_first: int) -> None:
    """Callers leave at any time, also when some of their items have run."""
    queue, waiting = fill(LIMITS, items)
    first = [each for _ in range(taken_first) for each in queue.take(math.inf)]

    queue.discard([each for each in waiting if each.item in gone])
    rest = [each for batch in drain(queue) for each in batch]

    assert {each.item for each in first} | {each.item for each in rest} | gone >= set(range(len(items)))
    assert not {each.item for each in rest} & (gone | {each.item for each in first})


def test_a_long_item_runs_without_short_ones() -> None:
    """Padding nine questions to the length of a passage costs more than a second pass."""
    queue, _ = fill(BatchLimits(), [("a", 16)] * 5 + [("a", 200)] + [("a", 16)] * 4)

    assert [lengths(batch) for batch in drain(queue)] == [[16] * 9, [200]]


def test_what_is_longer_than_a_batch_runs_alone() -> None:
    """The budget bounds company; it refuses nobody."""
    queue, _ = fill(LIMITS, [("a", 5000), ("a", 5000)])

    assert [lengths(batch) for batch in drain(queue)] == [[5000], [5000]]


def test_too_much_is_refused_whole() -> None:
    """A part of a request is of no use to anyone; what comes to an empty queue is always taken."""
    queue: BatchQueue[int] = BatchQueue(replace(LIMITS, waiting_tokens=100))

    assert queue.put("a", [(0, 150)], now=0.0) is not None
    assert queue.put("b", [(1, 1), (2, 1)], now=0.0) is None
    assert [[each.item for each in batch] for batch in drain(queue)] == [[0]]
    assert queue.put("b", [(1, 60)], now=0.0) is not None
    assert queue.put("b", [(2, 40)], now=0.0) is not None


def test_a_batch_is_due_at_once_by_default() -> None:
    """Nobody is held back for company that may never come."""
    queue: BatchQueue[int] = BatchQueue(LIMITS)
    queue.put("a", [(0, 10)], now=5.0)

    assert queue.due_at() == 5.0
    assert len(queue.take(5.0)) == 1


def test_company_is_waited_for_as_long_as_asked() -> None:
    """From the arrival of the oldest; not any longer because others come."""
    queue: BatchQueue[int] = BatchQueue(replace(LIMITS, wait_s=2.0))
    queue.put("a", [(0, 10)], now=5.0)
    queue.put("a", [(1, 10)], now=6.5)

    assert queue.due_at() == 7.0
    assert queue.take(6.9) == []
    assert [each.item for each in queue.take(7.0)] == [0, 1]


@pytest.mark.parametrize("items", [[(0, 500), (1, 500)], [(number, 1) for number in range(8)]])
def test_a_whole_batch_waits_for_nobody(items: list[tuple[int, int]]) -> None:
    """Enough tokens or enough items: more company could not join it."""
    queue: BatchQueue[int] = BatchQueue(replace(LIMITS, wait_s=2.0))
    queue.put("a", items, now=5.0)

    assert len(queue.take(5.0)) == len(items)
