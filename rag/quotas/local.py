"""Count the quotas of one process: exact windows in memory, for a single replica or if the shared server is lost.

Nothing here awaits between check and update, so two requests cannot be admitted for the same remaining quota.
"""

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import uuid4

from rag.errors import RateLimited
from rag.quotas.quota import Quotas
from rag.types import Reservation
from schemas.response import DependencyState

K = TypeVar("K", bound=Hashable)


def monotonic_us() -> int:
    """Return the monotonic time in whole microseconds; with floats, a retry at the exact time could be too early."""
    return time.monotonic_ns() // 1000


@dataclass(slots=True)
class _Entry:
    id: str
    at_us: int
    amount: int


@dataclass(slots=True)
class _Window:
    """The entries admitted less than `length_us` ago, oldest first; `open` are those not yet settled, by id."""

    length_us: int
    total: int = 0
    entries: deque[_Entry] = field(default_factory=deque)
    open: dict[str, _Entry] = field(default_factory=dict)

    def forget_until(self, now_us: int) -> None:
        while self.entries and self.entries[0].at_us + self.length_us <= now_us:
            gone = self.entries.popleft()
            self.total -= gone.amount
            self.open.pop(gone.id, None)

    def wait_us(self, now_us: int, amount: int, limit: int) -> int:
        """Return the time until enough of the oldest entries have expired for `amount` to fit; 0 if it fits now."""
        excess = self.total + amount - limit
        wait_us = 0
        for entry in self.entries:
            if excess <= 0:
                break
            excess -= entry.amount
            wait_us = entry.at_us + self.length_us - now_us
        return wait_us

    def add(self, entry: _Entry) -> None:
        self.entries.append(entry)
        self.open[entry.id] = entry
        self.total += entry.amount

    def settle(self, entry_id: str, amount: int) -> None:
        entry = self.open.pop(entry_id, None)
        if entry is not None:
            self.total += amount - entry.amount
            entry.amount = amount


class LocalLimiter:
    """A RateLimiter for this process only."""

    def __init__(self, quotas: Quotas, *, clock_us: Callable[[], int] = monotonic_us) -> None:
        self._quotas = quotas
        self._clock_us = clock_us
        # Ordered by the last admission, so that expired windows are removed from the front.
        self._requests: OrderedDict[tuple[str, str], _Window] = OrderedDict()
        self._tokens: OrderedDict[str, _Window] = OrderedDict()

    async def reserve(
        self,
        principal_id: str,
        tenant_id: str,
        tokens: int,
        *,
        requests_per_window: int | None = None,
        tokens_per_window: int | None = None,
    ) -> Reservation:
        quotas = self._quotas.override(requests_per_window, tokens_per_window)
        quotas.require_possible(tokens)
        now_us = self._clock_us()
        requests = self._current(self._requests, (principal_id, tenant_id), now_us)
        spent = self._current(self._tokens, tenant_id, now_us)
        requests_us, tokens_us = (
            requests.wait_us(now_us, 1, quotas.requests),
            spent.wait_us(now_us, tokens, quotas.tokens),
        )
        if wait_us := max(requests_us, tokens_us):
            raise RateLimited("requests" if wait_us == requests_us else "tokens", retry_after_s=wait_us / 1_000_000)
        reservation = Reservation(uuid4().hex, tenant_id, tokens, is_shared=False)
        requests.add(_Entry(reservation.id, now_us, 1))
        spent.add(_Entry(reservation.id, now_us, tokens))
        self._keep(self._requests, (principal_id, tenant_id), requests)
        self._keep(self._tokens, tenant_id, spent)
        return reservation

    async def settle(self, reservation: Reservation, used_tokens: int) -> None:
        spent = self._tokens.get(reservation.tenant_id)
        if spent is not None:
            spent.settle(reservation.id, used_tokens)

    async def state(self) -> DependencyState:
        return "ok"

    async def aclose(self) -> None:
        """Do nothing: this limiter holds no connections."""

    def _current(self, windows: OrderedDict[K, _Window], key: K, now_us: int) -> _Window:
        """Return the window of this key without expired entries; `_keep` stores it once something is admitted."""
        while windows and (oldest := next(iter(windows.values()))).entries[-1].at_us + oldest.length_us <= now_us:
            windows.popitem(last=False)
        window = windows.get(key) or _Window(self._quotas.window_us)
        window.forget_until(now_us)
        return window

    def _keep(self, windows: OrderedDict[K, _Window], key: K, window: _Window) -> None:
        windows[key] = window
        windows.move_to_end(key)
