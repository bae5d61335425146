"""A closed loop of callers: each sends its next request when its last answer has come."""

import asyncio
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

import aiohttp
import numpy as np

PROBE_EVERY_S: Final = 0.01


@dataclass(slots=True)
class Round:
    """The times of one round in seconds, each with its status, and how long the round took.

    `kept` are the first answers under the numbers of their bodies, as many as were asked for.
    """

    latencies_s: list[float] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    kept: dict[int, bytes] = field(default_factory=dict)
    wall_s: float = 0.0

    @property
    def answered_s(self) -> Sequence[float]:
        """The times of those that were answered with 200."""
        return [each for each, status in zip(self.latencies_s, self.statuses, strict=True) if status == HTTPStatus.OK]

    @property
    def per_second(self) -> float:
        """The requests per second."""
        return len(self.latencies_s) / self.wall_s

    def percentile_ms(self, percent: float) -> float:
        """Return a percentile of the latencies, 0 to 100, in milliseconds."""
        return float(np.percentile(self.latencies_s, percent)) * 1000


async def drive(
    url: str,
    bodies: Iterable[bytes],
    *,
    callers: int,
    patience_s: float | None = None,
    allowed: Collection[int] = (),
    keep: int = 0,
) -> Round:
    """Sends the bodies in their order; `patience_s` is what a model service is told of the caller's.

    Raises: aiohttp.ClientError: one of them was answered neither well nor with a status that is allowed.
    """
    told, left = Round(), enumerate(bodies)
    headers = {"content-type": "application/json"}
    if patience_s is not None:
        headers["x-timeout-ms"] = str(int(patience_s * 1000))

    async def run(session: aiohttp.ClientSession) -> None:
        for number, body in left:
            sent_at = time.perf_counter()
            async with session.post(url, data=body, headers=headers) as response:
                answer = await response.read()
            told.latencies_s.append(time.perf_counter() - sent_at)
            told.statuses.append(response.status)
            if response.status not in allowed:
                response.raise_for_status()
                if number < keep:
                    told.kept[number] = answer

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=callers)) as session:
        began = time.perf_counter()
        await asyncio.gather(*(run(session) for _ in range(callers)))
        told.wall_s = time.perf_counter() - began
    return told


async def probe(url: str, *, requests: int) -> Round:
    """The same for one caller that reads a page, with time to breathe between two of its requests."""
    told, began = Round(), time.perf_counter()
    async with aiohttp.ClientSession() as session:
        for _ in range(requests):
            sent_at = time.perf_counter()
            async with session.get(url, raise_for_status=True) as response:
                await response.read()
            told.latencies_s.append(time.perf_counter() - sent_at)
            told.statuses.append(response.status)
            await asyncio.sleep(PROBE_EVERY_S)
    told.wall_s = time.perf_counter() - began
    return told


def verdict(is_met: bool) -> str:
    """How a goal is shown."""
    return "met" if is_met else "missed"
