"""The failure of a background task does not go unnoticed, and lasting tasks are restarted."""

import asyncio
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from rag.background import kept_running, start
from rag.index.provider import ServedIndexes
from rag.index.store import IndexStore
from tests.unit.index_fakes import EMBEDDER, change

NAME = "indexes"


def failures() -> float:
    return REGISTRY.get_sample_value("rag_background_failures_total", {"task": NAME}) or 0.0


class Work:
    """Fails as often as it is told, then runs until it is cancelled."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.runs = 0
        self.is_running = asyncio.Event()

    async def __call__(self) -> None:
        self.runs += 1
        if self.runs <= self.failures:
            raise ValueError("Invalid isoformat string")
        self.is_running.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.is_running.clear()


async def test_work_that_fails_is_told_counted_and_begun_anew(caplog: pytest.LogCaptureFixture) -> None:
    """As often as it fails, whatever it raises; at the end of the block it is ended."""
    work, before = Work(failures=3), failures()

    async with kept_running(NAME, work, restart_after_s=0):
        await asyncio.wait_for(work.is_running.wait(), 5)

    assert work.runs == 4
    assert not work.is_running.is_set()
    assert failures() - before == 3
    assert [record.msg for record in caplog.records] == ["background_task_failed"] * 3
    assert caplog.records[0].exc_info is not None


async def test_work_that_returns_is_done(caplog: pytest.LogCaptureFixture) -> None:
    """The opening of the service happens once."""
    runs = []

    async def work() -> None:
        runs.append(1)

    async with kept_running("start", work, restart_after_s=0):
        for _ in range(5):
            await asyncio.sleep(0)

    assert (runs, caplog.records) == ([1], [])


async def test_a_lone_task_tells_its_failure_though_nobody_waits(caplog: pytest.LogCaptureFixture) -> None:
    """At once, and not when it is collected; a cancelled one has not failed."""

    async def fail() -> None:
        raise ValueError("x")

    before = failures()
    task, cancelled = start(NAME, fail()), start(NAME, Work(failures=0)())
    cancelled.cancel()
    await asyncio.wait({task, cancelled})
    await asyncio.sleep(0)

    assert failures() - before == 1
    assert [record.msg for record in caplog.records] == ["background_task_failed"]


async def test_the_watcher_of_the_indexes_outlives_a_failure(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A ValueError in what is told of a refresh ended it for ever: new versions were not taken up until a restart."""
    store, told = IndexStore(tmp_path), []

    def tell(versions: object) -> None:
        told.append(versions)
        if len(told) == 1:
            raise ValueError("Invalid isoformat string")
        told_again.set()

    told_again = asyncio.Event()
    change(store, {"hr": ["twelve days of leave"]})
    served = ServedIndexes(tmp_path, EMBEDDER, tell)

    async with kept_running(NAME, served.watch, restart_after_s=0):
        await asyncio.wait_for(told_again.wait(), 5)

    assert len(caplog.records) == 1
