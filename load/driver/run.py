"""Run the two loops: open (requests at scheduled times) and closed (each client asks again after its answer)."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from load.driver.client import Client, Clock
from load.driver.memory import MemoryProbe, MemorySample, sampling
from load.driver.outcome import Outcome
from load.driver.planning import Ask
from load.driver.progress import Watcher


@dataclass(frozen=True, slots=True)
class RunResult:
    """The results of one run; `wall_s` includes the end of the last answer.

    `rate_per_s` and `duration_s` are set for an open loop, `streams` for a closed one; otherwise they are None.
    """

    scenario: str
    loop: Literal["open", "closed"]
    wall_s: float
    outcomes: tuple[Outcome, ...]
    memory: tuple[MemorySample, ...] = ()
    rate_per_s: float | None = None
    duration_s: float | None = None
    streams: int | None = None

    @property
    def title(self) -> str:
        """The scenario and its rate or number of streams."""
        pace = f"{self.rate_per_s:g}/s" if self.rate_per_s is not None else f"{self.streams} streams"
        return f"{self.scenario}, {pace}"


async def run_open(
    client: Client,
    asks: Sequence[Ask],
    watcher: Watcher,
    *,
    scenario: str,
    rate_per_s: float,
    duration_s: float,
    probe: MemoryProbe | None = None,
) -> RunResult:
    """Send each request at its time, independent of earlier ones, and wait for all to end."""
    clock = _start_clock()

    async def ask_one(ask: Ask) -> Outcome:
        watcher.on_sent()
        outcome = await client.ask(ask, ask.at_s, clock)
        watcher.on_ended(outcome)
        return outcome

    async with sampling(probe, clock) as memory, asyncio.TaskGroup() as group:
        tasks = []
        for ask in asks:
            await asyncio.sleep(max(0.0, ask.at_s - clock()))
            tasks.append(group.create_task(ask_one(ask)))
    outcomes = tuple(task.result() for task in tasks)
    return RunResult(
        scenario=scenario,
        loop="open",
        wall_s=max(duration_s, _last_end_s(outcomes)),
        outcomes=outcomes,
        memory=tuple(memory),
        rate_per_s=rate_per_s,
        duration_s=duration_s,
    )


async def run_closed(
    client: Client,
    asks: Sequence[Ask],
    watcher: Watcher,
    *,
    scenario: str,
    streams: int,
    probe: MemoryProbe | None = None,
) -> RunResult:
    """Send the requests in order, `streams` at a time; when one has ended, send the next."""
    clock = _start_clock()
    left = iter(asks)
    outcomes: list[Outcome] = []

    async def run_stream() -> None:
        for ask in left:
            watcher.on_sent()
            outcome = await client.ask(ask, clock(), clock)
            watcher.on_ended(outcome)
            outcomes.append(outcome)

    async with sampling(probe, clock) as memory, asyncio.TaskGroup() as group:
        for _ in range(streams):
            group.create_task(run_stream())
    return RunResult(
        scenario=scenario,
        loop="closed",
        wall_s=_last_end_s(outcomes),
        outcomes=tuple(outcomes),
        memory=tuple(memory),
        streams=streams,
    )


def _last_end_s(outcomes: Sequence[Outcome]) -> float:
    return max((outcome.ended_s for outcome in outcomes), default=0.0)


def _start_clock() -> Clock:
    began = time.perf_counter()
    return lambda: time.perf_counter() - began
