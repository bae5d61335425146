"""A closed loop of clients: each sends its next request when its last answer has come."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import aiohttp
import numpy as np

PROBE_EVERY_S: Final = 0.01


@dataclass(frozen=True, slots=True)
class Round:
    """The times of one round, in seconds, and how long the round took."""

    latencies_s: Sequence[float]
    wall_s: float

    @property
    def per_second(self) -> float:
        return len(self.latencies_s) / self.wall_s

    def percentile_ms(self, percent: float) -> float:
        return float(np.percentile(self.latencies_s, percent)) * 1000


async def drive(url: str, body: bytes, *, clients: int, requests: int, may_be_refused: bool = False) -> Round:
    """Sends so many requests in all.

    Raises: aiohttp.ClientError: one of them was not answered with 200, and `may_be_refused` is false.
    """
    latencies_s: list[float] = []
    headers = {"content-type": "application/json"}
    left = iter(range(requests))

    async def run(session: aiohttp.ClientSession) -> None:
        for _ in left:
            began = time.perf_counter()
            async with session.post(url, data=body, headers=headers, raise_for_status=not may_be_refused) as response:
                await response.read()
            latencies_s.append(time.perf_counter() - began)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=clients)) as session:
        began = time.perf_counter()
        await asyncio.gather(*(run(session) for _ in range(clients)))
        return Round(latencies_s, time.perf_counter() - began)


async def probe(url: str, *, requests: int) -> Round:
    """The same for one client that reads a page, with time to breathe between two of its requests."""
    latencies_s: list[float] = []
    began = time.perf_counter()
    async with aiohttp.ClientSession() as session:
        for _ in range(requests):
            sent_at = time.perf_counter()
            async with session.get(url, raise_for_status=True) as response:
                await response.read()
            latencies_s.append(time.perf_counter() - sent_at)
            await asyncio.sleep(PROBE_EVERY_S)
    return Round(latencies_s, time.perf_counter() - began)
