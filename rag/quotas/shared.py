"""Share quotas among all processes and replicas, and decide what happens if their server is lost."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

from rag.background import start
from rag.errors import NotReady, RateLimited
from rag.quotas.local import LocalLimiter
from rag.quotas.quota import Quotas
from rag.quotas.server import PAUSE_S, QuotaServer, ServerLostError
from rag.types import Reservation
from schemas.response import DependencyState

# Longer than any operation takes.
_CLOSE_TIMEOUT_S: Final = 1.0
# A stalled server still executes the commands in its socket when it resumes, possibly after newer ones; so an unknown
# reservation is settled this often before it is given up.
_LATE_ANSWERS: Final = 3
_DEBTS_MAX: Final = 10_000


@dataclass(slots=True)
class _Debt:
    """A settlement that the server has not accepted yet; at `until` the reservation has left the window."""

    reservation: Reservation
    used_tokens: int
    until: float
    answers_left: int


class SharedLimiter:
    """A RateLimiter over a shared server; if that is lost, `local` decides, or NotReady is raised if `local` is None.

    Operations run in separate tasks, so that a client that disconnects during one does not leave its tokens reserved.
    """

    def __init__(
        self, server: QuotaServer, quotas: Quotas, *, local: LocalLimiter | None, on_local: Callable[[], None]
    ) -> None:
        """Create the limiter; `on_local` is called for each request that `local` decides."""
        self._server = server
        self._quotas = quotas
        self._local = local
        self._on_local = on_local
        self._running: set[asyncio.Task[Any]] = set()  # Any: results of every kind
        self._debts: deque[_Debt] = deque(maxlen=_DEBTS_MAX)
        self._paying: asyncio.Task[None] | None = None

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
        reservation = Reservation(uuid4().hex, tenant_id, tokens, is_shared=True)
        reserving = self._start(self._server.reserve(reservation, principal_id, quotas))
        try:
            requests_us, tokens_us = await asyncio.shield(reserving)
        except ServerLostError as error:
            self._owe(reservation, 0, answers=_LATE_ANSWERS)
            if self._local is None:
                raise NotReady(retry_after_s=PAUSE_S) from error
        except asyncio.CancelledError:
            self._start(self._give_back(reserving, reservation))
            raise
        else:
            if wait_us := max(requests_us, tokens_us):
                raise RateLimited("requests" if wait_us == requests_us else "tokens", retry_after_s=wait_us / 1_000_000)
            return reservation
        self._on_local()
        return await self._local.reserve(
            principal_id, tenant_id, tokens, requests_per_window=quotas.requests, tokens_per_window=quotas.tokens
        )

    async def settle(self, reservation: Reservation, used_tokens: int) -> None:
        if reservation.is_shared:
            await asyncio.shield(self._start(self._settle(reservation, used_tokens)))
        elif self._local is not None:
            await self._local.settle(reservation, used_tokens)

    async def state(self) -> DependencyState:
        try:
            await self._server.probe()
        except ServerLostError:
            return "unreachable" if self._local is None else "local"
        return "ok"

    async def aclose(self) -> None:
        """Let the running operations finish, for at most 1 s, then close the connections."""
        if self._paying is not None:
            self._paying.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=_CLOSE_TIMEOUT_S)
        await self._server.aclose()

    async def _settle(self, reservation: Reservation, used_tokens: int) -> None:
        try:
            await self._server.settle(reservation, used_tokens)
        except ServerLostError:
            self._owe(reservation, used_tokens, answers=1)

    async def _give_back(self, reserving: asyncio.Task[tuple[int, int]], reservation: Reservation) -> None:
        try:
            await reserving
            await self._server.settle(reservation, 0)
        except ServerLostError:
            self._owe(reservation, 0, answers=_LATE_ANSWERS)

    def _owe(self, reservation: Reservation, used_tokens: int, *, answers: int) -> None:
        """Settle when the server is back; after `answers` replies it counts as settled, even if it was never found."""
        self._debts.append(_Debt(reservation, used_tokens, time.monotonic() + self._quotas.window_s, answers))
        if self._paying is None or self._paying.done():
            self._paying = start("debts", self._pay())

    async def _pay(self) -> None:
        while self._debts:
            await asyncio.sleep(PAUSE_S)
            for _ in range(len(self._debts)):
                debt = self._debts.popleft()
                if not await self._is_paid(debt):
                    self._debts.append(debt)

    async def _is_paid(self, debt: _Debt) -> bool:
        if time.monotonic() > debt.until:
            return True
        try:
            is_found = await self._server.settle(debt.reservation, debt.used_tokens)
        except ServerLostError:
            return False
        debt.answers_left -= 1
        return is_found or not debt.answers_left

    def _start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task
