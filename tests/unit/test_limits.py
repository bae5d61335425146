"""Every wait uses the seconds left until one deadline; places are released on every exit."""

import asyncio

import pytest

from rag.errors import ConcurrencyLimited, DeadlineExceeded
from rag.limits import Deadline, Places
from tests.fakes import hang


def test_a_stage_never_gets_more_than_is_left_of_the_whole() -> None:
    """min(stage timeout, rest of the request)."""
    whole = Deadline.after(1)

    assert whole.sooner(100) == whole
    assert whole.sooner(0.5).at < whole.at


def test_a_passed_deadline_has_nothing_left() -> None:
    """Seconds left are never negative: ports take them as a timeout."""
    assert Deadline.after(-1).left_s() == 0


async def test_a_wait_beyond_the_deadline_is_cut_off() -> None:
    """What hangs is cancelled, and the failure has the contract's code."""
    with pytest.raises(DeadlineExceeded):
        async with Deadline.after(0.001).enforced():
            await hang()


async def test_nothing_starts_after_the_deadline() -> None:
    """Work that nobody waits for any more is not begun."""
    begun = False

    with pytest.raises(DeadlineExceeded):
        async with Deadline.after(0).enforced():
            begun = True

    assert not begun


async def test_cancellation_is_not_taken_for_a_deadline() -> None:
    """A client that leaves must not look like a slow model."""

    async def wait() -> None:
        async with Deadline.after(10).enforced():
            await hang()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_one_more_than_the_places_is_refused_after_the_queue_timeout() -> None:
    """CONCURRENCY_LIMIT with a time to come back."""
    places = Places(1, queue_timeout_s=0.001)

    async with places.hold():
        with pytest.raises(ConcurrencyLimited) as caught:
            async with places.hold():
                pass

    assert caught.value.retry_after_s == 1


async def test_who_waits_gets_the_place_that_becomes_free() -> None:
    """The queue timeout is there to be waited in."""
    places = Places(1, queue_timeout_s=10)
    released = asyncio.Event()

    async def first() -> None:
        async with places.hold():
            await released.wait()

    async def second() -> int:
        async with places.hold():
            return places.taken

    holder = asyncio.create_task(first())
    waiter = asyncio.create_task(second())
    await asyncio.sleep(0)
    released.set()

    assert await waiter == 1
    await holder


@pytest.mark.parametrize("error", [ValueError(), asyncio.CancelledError()])
async def test_a_place_returns_however_the_block_ends(error: BaseException) -> None:
    """Failure and cancellation give the place back like success does."""
    places = Places(1, queue_timeout_s=0.001)

    with pytest.raises(type(error)):
        async with places.hold():
            raise error

    assert places.taken == 0
    async with places.hold():
        assert places.taken == 1


async def test_who_leaves_the_queue_takes_no_place() -> None:
    """A client that is gone while it is queued leaves nothing behind."""
    places = Places(1, queue_timeout_s=10)

    async def queue() -> None:
        async with places.hold():
            pass

    async with places.hold():
        waiter = asyncio.create_task(queue())
        await asyncio.sleep(0)
        waiter.cancel()
        await asyncio.gather(waiter, return_exceptions=True)

    assert places.taken == 0
    async with places.hold():
        assert places.taken == 1
