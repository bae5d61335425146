"""Quotas of all processes and replicas, and the policy for when the server that holds them is lost."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final
from uuid import uuid4

from rag.errors import NotReady, RateLimited
from rag.quotas.local import LocalLimiter
from rag.quotas.quota import Quotas
from rag.quotas.server import PAUSE_S, QuotaServer, ServerLostError
from rag.types import Reservation
from schemas.response import DependencyState

# Longer than any operation takes.
_CLOSE_TIMEOUT_S: Final = 1.0


class SharedLimiter:
    """A RateLimiter over a server; without it, `local` decides, or nobody where it is None.

    Operations run in tasks of their own: a client that leaves in the middle of one must not leave its tokens behind.
    """

    def __init__(
        self, server: QuotaServer, quotas: Quotas, *, local: LocalLimiter | None, on_local: Callable[[], None]
    ) -> None:
        """`on_local` is called for each request that `local` decides."""
        self._server = server
        self._quotas = quotas
        self._local = local
        self._on_local = on_local
        self._running: set[asyncio.Task[Any]] = set()  # Any: results of every kind

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
            wait_us = await asyncio.shield(reserving)
        except ServerLostError as error:
            if self._local is None:
                raise NotReady(retry_after_s=PAUSE_S) from error
        except asyncio.CancelledError:
            self._start(self._give_back(reserving, reservation))
            raise
        else:
            if wait_us:
                raise RateLimited(retry_after_s=wait_us / 1_000_000)
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

    async def release(self, reservation: Reservation) -> None:
        await self.settle(reservation, 0)

    async def state(self) -> DependencyState:
        try:
            await self._server.probe()
        except ServerLostError:
            return "unreachable" if self._local is None else "local"
        return "ok"

    async def aclose(self) -> None:
        """Lets what is running come to its end, then closes the connections."""
        if self._running:
            await asyncio.wait(self._running, timeout=_CLOSE_TIMEOUT_S)
        await self._server.aclose()

    async def _settle(self, reservation: Reservation, used_tokens: int) -> None:
        # Lost with the server, a reservation counts in full until it leaves the window.
        with suppress(ServerLostError):
            await self._server.settle(reservation, used_tokens)

    async def _give_back(self, reserving: asyncio.Task[int], reservation: Reservation) -> None:
        with suppress(ServerLostError):
            await reserving
            await self._server.settle(reservation, 0)

    def _start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task
