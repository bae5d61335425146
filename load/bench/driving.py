"""Drive a closed loop of clients, each of which sends its next request when its last one has been answered."""

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
    """The latencies of one round, and how long the whole round took, in seconds."""

    latencies_s: Sequence[float]
    wall_s: float

    @property
    def per_second(self) -> float:
        """The requests per second."""
        return len(self.latencies_s) / self.wall_s

    def percentile_ms(self, percent: float) -> float:
        """Return a percentile of the latencies, 0 to 100, in milliseconds."""
        return float(np.percentile(self.latencies_s, percent)) * 1000


async def drive(url: str, body: bytes, *, clients: int, requests: int, may_be_refused: bool = False) -> Round:
    """Send `requests` requests in total, from `clients` clients.

    Raises: aiohttp.ClientError: a request failed (an error status counts only if `may_be_refused` is false).
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
    """Get a page `requests` times with one client that pauses between its requests."""
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
