"""Which of the items that wait form the next batch; plain data, without a clock and without tasks of its own.

A batch is a rectangle: every item is padded to the longest, so it costs the model n x longest tokens, and that has to
stay within a budget. The rules:

- Items of one lane (one function of the model) share a batch; lanes that have items take turns.
- A batch holds the oldest item of its lane, so nothing waits for more than what came before it.
- Around that one stand its neighbours in length: of all such runs within the budget, the one that does most for its
  cost. Much shorter ones stay out where their padding would cost more than a pass of their own, and so do longer ones.
- It is due once its oldest item has waited as long as it should for company, or once there is enough for a whole one.
"""

from bisect import bisect_left, insort
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import numpy as np

Item = TypeVar("Item")
Lane = Hashable

# What an item is worth beside its tokens, as a share of the cost of a pass: without it batches are too small where
# lengths are mixed and passes are dear. Of 0, 1/8 and 1/4 the best in a simulation of 32 callers, by a hundredth.
_COMPANY: Final = 1 / 8


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How large a batch may be, how long it waits for company, and how much may wait.

    `budget_tokens`: padding counted; one item that is longer runs alone. `wait_s`: 0 is to start as soon as the model
    is free. `pass_tokens`: what a forward pass costs before its first token, in tokens: 5 ms of 0.33 ms each with the
    local embedder on one core; a GPU's are many more. `waiting_tokens`: a bound on memory; what comes to an empty queue
    is taken whatever its size.
    """

    budget_tokens: int = 512
    max_items: int = 256
    wait_s: float = 0.0
    pass_tokens: int = 16
    waiting_tokens: int = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Waiting(Generic[Item]):
    """One item in the queue; `number` is its place in the order of arrival."""

    number: int
    tokens: int
    arrived_at: float
    lane: Lane
    item: Item


class BatchQueue(Generic[Item]):
    """Items until they are taken in a batch or discarded; times are points on any one clock, in seconds."""

    def __init__(self, limits: BatchLimits) -> None:
        self._limits = limits
        self._arrived = 0
        self._lanes: dict[Lane, _Lane[Item]] = {}  # the one whose turn it is comes first

    @property
    def tokens(self) -> int:
        """What waits, padding not counted."""
        return sum(lane.tokens for lane in self._lanes.values())

    def put(self, lane: Lane, items: Sequence[tuple[Item, int]], now: float) -> list[Waiting[Item]] | None:
        """Queues items with their tokens, at least 1 each; all of them, or none and None where they are too many."""
        if self._lanes and self.tokens + sum(tokens for _, tokens in items) > self._limits.waiting_tokens:
            return None
        put = [Waiting(number, tokens, now, lane, item) for number, (item, tokens) in enumerate(items, self._arrived)]
        self._arrived += len(put)
        for each in put:
            self._lanes.setdefault(lane, _Lane(self._limits)).add(each)
        return put

    def discard(self, items: Sequence[Waiting[Item]]) -> int:
        """Takes out those of them that still wait, and says how many they were."""
        discarded = 0
        for each in items:
            lane = self._lanes.get(each.lane)
            if lane is not None:
                discarded += lane.discard(each)
                if not lane.tokens:
                    del self._lanes[each.lane]
        return discarded

    def due_at(self) -> float | None:
        """When the next batch may start, which may be long past; None while nothing waits."""
        return min((lane.due_at() for lane in self._lanes.values()), default=None)

    def take(self, now: float) -> list[Waiting[Item]]:
        """The next batch, shortest first; empty if none is due. Its lane has its next turn after all others."""
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
    """What waits for one function, by age and by length."""

    def __init__(self, limits: BatchLimits) -> None:
        self._limits = limits
        self.tokens = 0
        self._by_number: dict[int, Waiting[Item]] = {}  # dicts keep their order: the oldest comes first
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
    """Of ascending lengths the run `[start, end)` around a place that does most for its cost, within the limits.

    It does what its items are worth, and costs a pass and its rectangle.
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
