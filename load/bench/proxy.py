"""Compare the whole service with a bare proxy: the same embedder and index, and a generator that answers at once.

The two servers take turns; their clients and the generator are processes of this machine too. Beside the requests per
second, the CPU time of each process of the service is told: on two cores it decides.
"""

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Final

import aiohttp
import psutil

from load.bench.bare_proxy import EMBEDDER, GENERATOR, INDEX_DIR
from load.bench.driving import Round, drive, probe, verdict
from load.bench.services import running_services
from load.driver.built_in import QUESTIONS
from load.driver.own_server import ingest_examples
from load.driver.planning import make_generator
from load.driver.questions import LANGUAGES, Deck
from load.processes import find_family, find_free_port, running, wait_until_ready
from load.server import SERVING, UNLIMITED, Server, running_server

CLIENTS: Final = 8
REQUESTS: Final = 240
WARM_UP: Final = 80
LONE: Final = 60
HEALTH_CLIENTS: Final = 32
HEALTH_PROBES: Final = 200
GOAL_RATIO: Final = 0.9
GOAL_ADDED_MS: Final = 20.0
GOAL_HEALTH_MS: Final = 8.0
# What a process of `bentoml serve` has in its command line.
_PROCESSES: Final = ("Embedder", "Reranker", "RagService")
# In what a client reads of the first text of each.
_FIRST_TEXT: Final = {"service": b"event: token", "proxy": b'"content"'}
_PATH: Final = "/query/stream"


@dataclass(slots=True)
class Measured:
    """The rounds of one server: with eight clients, and the seconds to the first text of one client."""

    rounds: list[Round] = field(default_factory=list)
    first_s: list[float] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        """The median over the rounds."""
        return statistics.median(each.per_second for each in self.rounds)

    @property
    def first_ms(self) -> float:
        """The median time to the first text."""
        return statistics.median(self.first_s) * 1000


def print_proxy(rounds: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        generator = stack.enter_context(running_generator(Path(folder)))
        service, urls = _start(Path(folder), generator, stack)
        measured, cpu_ms = asyncio.run(_measure(urls, service, rounds))
        health = asyncio.run(_measure_health(service.url))
    ratios = [
        ours.per_second / bare.per_second
        for ours, bare in zip(measured["service"].rounds, measured["proxy"].rounds, strict=True)
    ]
    ratio = statistics.median(ratios)
    for name, each in measured.items():
        print(
            f"{name}: {each.per_second:.1f} requests/s at {CLIENTS} clients, first text {each.first_ms:.1f} ms at one"
        )
    print(f"  ratio by round: {', '.join(f'{each:.2f}' for each in ratios)}")
    print(f"  ratio {ratio:.2f} (goal {GOAL_RATIO}: {verdict(ratio >= GOAL_RATIO)})")
    added_ms = measured["service"].first_ms - measured["proxy"].first_ms
    print(
        f"  added to the first text: {added_ms:.1f} ms (goal {GOAL_ADDED_MS:.0f}: {verdict(added_ms <= GOAL_ADDED_MS)})"
    )
    told = ", ".join(f"{name} {each:.1f}" for name, each in cpu_ms.items())
    print(f"  CPU of the service, ms per request: {told}; together {sum(cpu_ms.values()):.1f}")
    p50_ms = health.percentile_ms(50)
    print(f"  /health beside {HEALTH_CLIENTS} clients: p50 {p50_ms:.1f} ms, p99 {health.percentile_ms(99):.1f} ms")
    print(f"  (goal {GOAL_HEALTH_MS:.0f} ms: {verdict(p50_ms <= GOAL_HEALTH_MS)})")


class Bodies:
    """Requests with the built-in questions in both languages; none is repeated, because its vectors would be cached."""

    def __init__(self) -> None:
        self._deck = Deck(QUESTIONS, make_generator("proxy"))

    def deal(self, count: int) -> list[bytes]:
        """Return new requests."""
        return [json.dumps({"question": self._deck.deal("short", LANGUAGES, 0.0)}).encode() for _ in range(count)]


def make_environment(folder: Path, generator: str) -> dict[str, str]:
    """Return the environment of the service, whose index is in the folder."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAG_")}
    ours = {"RAG_GENERATOR_URL": generator, "RAG_INDEX_DIR": str(folder / "index")}
    return {**inherited, **SERVING, **UNLIMITED, **ours}


def _start(folder: Path, generator: str, stack: ExitStack) -> tuple[Server, Mapping[str, str]]:
    environment = make_environment(folder, generator)
    ingest_examples("demo", environment)
    service = stack.enter_context(running_server(folder / "service", environment))
    embedder = stack.enter_context(running_services(folder / "models", {"embedder": "embedder_budget"}, {}))["embedder"]
    bare = {EMBEDDER: embedder.url, GENERATOR: generator, INDEX_DIR: environment["RAG_INDEX_DIR"]}
    proxy = stack.enter_context(running_proxy(folder, {**environment, **bare}))
    return service, {"service": service.url, "proxy": proxy}


@contextmanager
def running_generator(folder: Path) -> Iterator[str]:
    """Yields: the URL, up to /v1, of a generator that answers at once."""
    port, log_path = find_free_port(), folder / "generator.log"
    command = [sys.executable, "-m", "load.bench.instant", str(port)]
    with running(command, environment=os.environ, log_path=log_path) as process:
        wait_until_ready(f"http://127.0.0.1:{port}/v1/models", process, log_path)
        yield f"http://127.0.0.1:{port}/v1"


@contextmanager
def running_proxy(folder: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """Yields: the URL of a bare proxy for the servers that the environment names."""
    port, log_path = find_free_port(), folder / "proxy.log"
    app = ["--factory", "load.bench.bare_proxy:open_app", "--port", str(port)]
    command = [sys.executable, "-m", "uvicorn", *app, "--no-access-log", "--log-level", "warning"]
    with running(command, environment=environment, log_path=log_path) as process:
        wait_until_ready(f"http://127.0.0.1:{port}/docs", process, log_path)
        yield f"http://127.0.0.1:{port}"


async def _measure(
    urls: Mapping[str, str], service: Server, rounds: int
) -> tuple[dict[str, Measured], Mapping[str, float]]:
    measured, bodies = {name: Measured() for name in urls}, Bodies()
    cpu_ms: list[Mapping[str, float]] = []
    for url in urls.values():
        await drive(url + _PATH, bodies.deal(WARM_UP), callers=CLIENTS)
    for _ in range(rounds):  # in turns, so that a busy phase of the machine hits both
        for name, url in urls.items():
            before = read_cpu_s(service)
            measured[name].rounds.append(await drive(url + _PATH, bodies.deal(REQUESTS), callers=CLIENTS))
            if name == "service":
                after = read_cpu_s(service)
                cpu_ms.append({each: (after[each] - before[each]) * 1000 / REQUESTS for each in after})
            measured[name].first_s += await time_first_texts(url + _PATH, bodies.deal(LONE), _FIRST_TEXT[name])
    return measured, {each: statistics.median(told[each] for told in cpu_ms) for each in cpu_ms[0]}


async def _measure_health(url: str) -> Round:
    load = asyncio.create_task(
        drive(url + _PATH, cycle(Bodies().deal(REQUESTS)), callers=HEALTH_CLIENTS, allowed=(503,))
    )
    try:
        return await probe(f"{url}/health", requests=HEALTH_PROBES)
    finally:
        load.cancel()
        await asyncio.gather(load, return_exceptions=True)


async def time_first_texts(url: str, bodies: Sequence[bytes], mark: bytes) -> Sequence[float]:
    """Return the seconds until one client, which asks again and again, has read the mark of a first text."""
    times: list[float] = []
    async with aiohttp.ClientSession() as session:
        for body in bodies:
            sent_at, read = time.perf_counter(), b""
            async with session.post(url, data=body, headers={"content-type": "application/json"}) as response:
                async for piece in response.content.iter_any():
                    if mark not in read and mark in (read := read + piece):
                        times.append(time.perf_counter() - sent_at)
    return times


def read_cpu_s(server: Server) -> dict[str, float]:
    """Return the CPU seconds of each service's processes so far; the supervisor is none of them."""
    used: dict[str, float] = defaultdict(float)
    for process in find_family(server.process)[1:]:
        try:
            words, times = process.cmdline(), process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        name = next((each for each in _PROCESSES if each in words), None)
        if name is not None:
            used[name] += times.user + times.system
    return dict(used)
