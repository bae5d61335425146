"""Choose which waiting items form the next batch; plain data structures, without a clock and without tasks.

A batch is a rectangle: every item is padded to the longest, so the model computes n x longest tokens, which must stay
within a budget. The rules:

- Items of one lane (one function of the model) share a batch; lanes that have items take turns.
- A batch contains the oldest item of its lane, so an item waits only for items that came before it.
- The rest of the batch are neighbours of that item in length: of all such runs within the budget, the one with the best
  ratio of worth to cost. Items of a very different length stay out if padding would cost more than another pass.
- A batch is due once its oldest item has waited `wait_s` for company, or once there are enough items for a full batch.
"""

from bisect import bisect_left, insort
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import numpy as np

Item = TypeVar("Item")
Lane = Hashable

# The worth of an item in addition to its tokens, as a share of the cost of a pass: without it, batches are too small if
# lengths are mixed and passes are expensive. In a simulation of 32 callers 1/8 beat 0 and 1/4 by one per cent.
_COMPANY: Final = 1 / 8


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """The maximum size of a batch, its waiting time for company, and the capacity of the queue.

    `budget_tokens`: includes padding; a longer item runs alone. `wait_s`: 0 means to start as soon as the model is
    free. `pass_tokens`: the fixed cost of a forward pass, in tokens; with the local embedder on one core 5 ms, at 0.33
    ms a token; on a GPU many more. `waiting_tokens`: a limit on memory; an empty queue accepts any amount.
    """

    budget_tokens: int = 512
    max_items: int = 256
    wait_s: float = 0.0
    pass_tokens: int = 16
    waiting_tokens: int = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Waiting(Generic[Item]):
    """One item in the queue; `number` is its position in the order of arrival."""

    number: int
    tokens: int
    arrived_at: float
    lane: Lane
    item: Item


class BatchQueue(Generic[Item]):
    """The queue of items that are not yet in a batch; the caller passes all times, in seconds on one clock."""

    def __init__(self, limits: BatchLimits) -> None:
        self._limits = limits
        self._arrived = 0
        self._lanes: dict[Lane, _Lane[Item]] = {}  # the lane whose turn is next comes first

    @property
    def tokens(self) -> int:
        """The tokens of all waiting items, without padding."""
        return sum(lane.tokens for lane in self._lanes.values())

    def put(self, lane: Lane, items: Sequence[tuple[Item, int]], now: float) -> list[Waiting[Item]] | None:
        """Add items with their token counts, at least 1 each; None, and no item added, if the queue has no room."""
        if self._lanes and self.tokens + sum(tokens for _, tokens in items) > self._limits.waiting_tokens:
            return None
        put = [Waiting(number, tokens, now, lane, item) for number, (item, tokens) in enumerate(items, self._arrived)]
        self._arrived += len(put)
        for each in put:
            self._lanes.setdefault(lane, _Lane(self._limits)).add(each)
        return put

    def discard(self, items: Sequence[Waiting[Item]]) -> int:
        """Remove those of the items that are still waiting, and return how many they were."""
        discarded = 0
        for each in items:
            lane = self._lanes.get(each.lane)
            if lane is not None:
                discarded += lane.discard(each)
                if not lane.tokens:
                    del self._lanes[each.lane]
        return discarded

    def due_at(self) -> float | None:
        """Return when the next batch may start (possibly long ago); None if nothing waits."""
        return min((lane.due_at() for lane in self._lanes.values()), default=None)

    def take(self, now: float) -> list[Waiting[Item]]:
        """Remove and return the next batch, shortest item first; empty if none is due. Its lane becomes the last."""
        due = (key for key, lane in self._lanes.items() if lane.due_at() <= now)
        key = next(due, None)
        if key is None:
            return []
        lane = self._lanes.pop(key)
        batch = lane.take()
        if lane.tokens:
            self._lanes[key] = lane
        return batch


class _Lane(Generic[Item]):
    """The items that wait for one function, by age and by length."""

    def __init__(self, limits: BatchLimits) -> None:
        self._limits = limits
        self.tokens = 0
        self._by_number: dict[int, Waiting[Item]] = {}  # dicts keep insertion order: the oldest comes first
        self._by_length: list[Waiting[Item]] = []

    def add(self, item: Waiting[Item]) -> None:
        self.tokens += item.tokens
        self._by_number[item.number] = item
        insort(self._by_length, item, key=_length)

    def discard(self, item: Waiting[Item]) -> bool:
        is_here = item.number in self._by_number
        if is_here:
            place = self._place(item)
            self._cut(place, place + 1)
        return is_here

    def due_at(self) -> float:
        is_enough = self.tokens >= self._limits.budget_tokens or len(self._by_length) >= self._limits.max_items
        return self._oldest().arrived_at + (0.0 if is_enough else self._limits.wait_s)

    def take(self) -> list[Waiting[Item]]:
        place, reach = self._place(self._oldest()), self._limits.max_items - 1
        low, high = max(0, place - reach), place + 1 + reach
        lengths = [item.tokens for item in self._by_length[low:high]]
        start, end = find_best_run(lengths, place - low, self._limits)
        return self._cut(low + start, low + end)

    def _oldest(self) -> Waiting[Item]:
        return next(iter(self._by_number.values()))

    def _place(self, item: Waiting[Item]) -> int:
        return bisect_left(self._by_length, _length(item), key=_length)

    def _cut(self, start: int, end: int) -> list[Waiting[Item]]:
        cut = self._by_length[start:end]
        del self._by_length[start:end]
        for each in cut:
            del self._by_number[each.number]
            self.tokens -= each.tokens
        return cut


def _length(item: Waiting[Item]) -> tuple[int, int]:
    return item.tokens, item.number


def find_best_run(lengths: Sequence[int], place: int, limits: BatchLimits) -> tuple[int, int]:
    """Return the run `[start, end)` of ascending lengths that contains `place` and has the best ratio of worth to cost.

    Its worth is that of its items, its cost is a pass plus its rectangle; the limits bound it.
    """
    if len(lengths) == 1:
        return 0, 1
    known = np.asarray(lengths)
    worth = np.concatenate([[0.0], np.cumsum(known + _COMPANY * limits.pass_tokens)])
    starts, ends = np.arange(place + 1)[:, None], np.arange(place + 1, len(known) + 1)[None, :]
    sizes, rectangles = ends - starts, (ends - starts) * known[ends - 1]
    gains = (worth[ends] - worth[starts]) / (limits.pass_tokens + rectangles)
    allowed = (sizes <= limits.max_items) & (rectangles <= limits.budget_tokens)
    allowed[place, 0] = True  # alone, however long it is
    start, end = np.unravel_index(np.argmax(np.where(allowed, gains, -1.0)), gains.shape)
    return int(start), int(ends[0, end])
