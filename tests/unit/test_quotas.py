"""Local and shared quotas follow the same rules, and the local window is exact."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.errors import BadRequest, RateLimited
from rag.ports import RateLimiter
from rag.quotas import LocalLimiter, Quotas
from rag.types import Reservation
from tests.unit.quota_fakes import SLACK_S, WINDOW_S, MakeShared, about, refusal
from tests.valkey import age


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


@pytest.fixture(params=["local", "shared"])
def bench(request: pytest.FixtureRequest, valkey_url: str, shared: MakeShared) -> Bench:
    if request.param == "shared":
        return Bench(lambda quotas: shared(valkey_url, quotas), lambda seconds: age(valkey_url, seconds))
    clock = HandClock()
    return Bench(lambda quotas: LocalLimiter(quotas, clock_us=clock), clock.advance)


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


async def test_a_request_without_tokens_fits_into_what_is_spent(bench: Bench) -> None:
    """What asks no model counts as a request alone: the tokens stay as they are."""
    limiter = bench.limiter(requests=2, tokens=100)
    await limiter.reserve("p", "demo", 100)
    reservation = await limiter.reserve("p", "demo", 0)
    await limiter.settle(reservation, 0)

    assert await refusal(limiter, 0) == about(600)
    assert await refusal(limiter, 1) == about(600)


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
    """Every way out of a request may settle; together they do it once."""
    limiter = bench.limiter(tokens=100)
    used, unused = await limiter.reserve("p", "demo", 50), await limiter.reserve("p", "demo", 50)
    await limiter.settle(used, 30)
    await limiter.settle(used, 0)
    await limiter.settle(unused, 0)
    await limiter.settle(unused, 50)

    await limiter.reserve("p", "demo", 70)

    assert await refusal(limiter, 1) == about(600)


async def test_a_request_that_used_no_tokens_still_counts_as_one(bench: Bench) -> None:
    """Tokens that were not used return; the request was made."""
    limiter = bench.limiter(requests=1, tokens=100)
    await limiter.settle(await limiter.reserve("p", "demo", 100), 0)

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
            await limiter.settle(outcome, 0)
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
