"""Call the Redis or Valkey server that all processes share, which can never delay a request for long."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final, TypeVar
from uuid import uuid4

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from rag.quotas.breaker import Breaker
from rag.quotas.quota import Quotas
from rag.quotas.scripts import RESERVE, SETTLE
from rag.types import Reservation

# A healthy server in the same network answers in about a millisecond; a busy front may read the answer late.
ANSWER_TIMEOUT_S: Final = 0.5
# After a busy phase the event loop sees the timeout before the answer in its socket, so we look once more.
SECOND_LOOK_S: Final = 0.05
PAUSE_S: Final = 1.0
_CONNECTIONS: Final = 16

_PREFIX: Final = "rag:quota:"
# No tenant can have this name, so readiness can write without side effects, and detects a read-only server.
_PROBE_TENANT: Final = "~ready"
_PROBE_QUOTAS: Final = Quotas(window_s=1.0, requests=1_000_000, tokens=1_000_000)

Answer = TypeVar("Answer")

logger = logging.getLogger(__name__)


class ServerLostError(Exception):
    """The server did not carry out a command: it is unreachable, slow, full or read-only, or it denies access."""


class QuotaServer:
    """Runs one script per operation; after any failure it does not contact the server for a second."""

    def __init__(self, url: str) -> None:
        # One retry in case a pooled connection is stale; the script recognises a reservation that it has admitted.
        # Protocol 2: with push messages (protocol 3) redis-py does not notice that an idle connection was closed.
        retry = Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,))
        self._client = Redis.from_url(url, retry=retry, protocol=2)
        self._reserve = self._client.register_script(RESERVE)
        self._settle = self._client.register_script(SETTLE)
        self._breaker = Breaker(pause_s=PAUSE_S)
        self._slots = asyncio.Semaphore(_CONNECTIONS)

    async def reserve(self, reservation: Reservation, principal_id: str, quotas: Quotas) -> tuple[int, int]:
        """Reserve; return the microseconds to wait for the request quota and for the token quota, both 0 if admitted.

        Raises: ServerLostError: the server failed, or failed less than a second ago.
        """
        requests_us, tokens_us = await self._ask_in_turn(lambda: self._run_reserve(reservation, principal_id, quotas))
        return requests_us, tokens_us

    async def settle(self, reservation: Reservation, used_tokens: int) -> bool:
        """Replace the reserved tokens with the used ones; return False if the server has no such open reservation.

        Raises: ServerLostError: the server failed, or failed less than a second ago.
        """
        member = f"{reservation.id}:{reservation.tokens}"
        settled = f"{reservation.id}:{used_tokens}:settled" if used_tokens else ""
        arguments: list[str | int] = [member, settled, used_tokens - reservation.tokens]
        return bool(await self._ask_in_turn(lambda: self._settle(_keys(reservation.tenant_id), arguments)))

    async def probe(self) -> None:
        """Make a reservation like a request's, even during the pause after a failure.

        Raises: ServerLostError: the server failed.
        """
        reservation = Reservation(uuid4().hex, _PROBE_TENANT, 1, is_shared=True)
        await self._ask(lambda: self._run_reserve(reservation, "", _PROBE_QUOTAS))

    async def aclose(self) -> None:
        """Close the connections to the server."""
        await self._client.aclose()

    async def _forget_connections(self) -> None:
        """After a failover the address leads to another server, but connections that are kept still lead to the old."""
        with suppress(RedisError, OSError):
            async with asyncio.timeout(SECOND_LOOK_S):
                await self._client.connection_pool.disconnect(inuse_connections=False)

    def _run_reserve(self, reservation: Reservation, principal_id: str, quotas: Quotas) -> Awaitable[list[int]]:
        keys = [f"{_prefix(reservation.tenant_id)}requests:{principal_id}", *_keys(reservation.tenant_id)]
        arguments: list[str | int] = [
            reservation.id,
            reservation.tokens,
            quotas.requests,
            quotas.tokens,
            quotas.window_us,
        ]
        return self._reserve(keys, arguments)

    async def _ask_in_turn(self, command: Callable[[], Awaitable[Answer]]) -> Answer:
        async with self._slots:
            if not self._breaker.try_pass():
                raise ServerLostError
            return await self._ask(command)

    async def _ask(self, command: Callable[[], Awaitable[Answer]]) -> Answer:
        try:
            answer = await _within_time(command())
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            if self._breaker.report_failure():
                logger.warning("limiter_lost", extra={"fields": {"reason": type(error).__name__}})
            await self._forget_connections()
            raise ServerLostError from error
        if self._breaker.report_success():
            logger.warning("limiter_back")
        return answer


def _prefix(tenant_id: str) -> str:
    return f"{_PREFIX}{{{tenant_id}}}:"


def _keys(tenant_id: str) -> Sequence[str]:
    return [f"{_prefix(tenant_id)}tokens", f"{_prefix(tenant_id)}spent"]


async def _within_time(command: Awaitable[Answer]) -> Answer:
    """Await the command for a limited time; raise TimeoutError, or what the command raises."""
    answering = asyncio.ensure_future(command)
    try:
        for timeout_s in (ANSWER_TIMEOUT_S, SECOND_LOOK_S):
            await asyncio.wait({answering}, timeout=timeout_s)
            if answering.done():
                return answering.result()
        raise TimeoutError
    finally:
        answering.cancel()
