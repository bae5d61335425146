"""Compare the front, on fake models that answer at once, with a bare FastAPI route with the same pydantic models.

Three servers take turns: the bare route; the contract only (a tenant without documents: everything but the pipeline);
and the whole pipeline. Each is one process on one core; the clients are another process.
"""

import asyncio
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Final

from load.bench.driving import Round, drive, probe, verdict
from load.driver.own_server import ingest_examples
from load.processes import find_free_port, running, wait_until_ready
from load.server import FAKE_MODELS, UNLIMITED, running_server

CLIENTS: Final = (1, 8, 32)
ROUNDS: Final = 3
REQUESTS: Final = 400
WARM_UP: Final = 150
HEALTH_PROBES: Final = 300
# Goals: added milliseconds up to eight clients, and the ratio to the bare route's requests per second.
GOAL_P50_MS: Final = 4.0
GOAL_P95_MS: Final = 8.0
GOAL_THROUGHPUT: Final = 0.5
GOAL_HEALTH_MS: Final = 5.0
BODY: Final = json.dumps({"question": "How many days of annual leave do full-time staff have?"}).encode()


@dataclass(frozen=True, slots=True)
class Cost:
    """The medians over the rounds of one server with one number of clients."""

    p50_ms: float
    p95_ms: float
    per_second: float

    @classmethod
    def of(cls, rounds: list[Round]) -> "Cost":
        """Compute the medians of these rounds."""
        return cls(
            statistics.median(each.percentile_ms(50) for each in rounds),
            statistics.median(each.percentile_ms(95) for each in rounds),
            statistics.median(each.per_second for each in rounds),
        )


def print_front() -> None:
    """Measure and print the table."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        environment = _ingest(Path(folder))
        costs = asyncio.run(_measure(_start(Path(folder), environment, stack)))
        health = asyncio.run(_measure_health(_start_default(Path(folder), environment, stack)))
    print("front: added to a bare FastAPI route, milliseconds; and its requests per second over the bare route's")
    print(f"(goals: +{GOAL_P50_MS:.0f} and +{GOAL_P95_MS:.0f} ms up to 8 clients, ratio {GOAL_THROUGHPUT})")
    for (name, clients), cost in costs.items():
        told = (
            f"p50 {cost.p50_ms:.1f}  p95 {cost.p95_ms:.1f}  {cost.per_second:.0f}/s"
            if name == "bare"
            else _compare(cost, costs["bare", clients], clients)
        )
        print(f"  {name:9} {clients:3} clients: {told}")
    p50_ms, p99_ms = health.percentile_ms(50), health.percentile_ms(99)
    print(
        f"/health beside {CLIENTS[-1]} clients that keep all places taken: p50 {p50_ms:.1f} ms, p99 {p99_ms:.1f} ms"
        f" (goal {GOAL_HEALTH_MS:.0f} ms: {verdict(p50_ms < GOAL_HEALTH_MS)})"
    )


def _compare(cost: Cost, bare: Cost, clients: int) -> str:
    p50_ms, p95_ms, ratio = cost.p50_ms - bare.p50_ms, cost.p95_ms - bare.p95_ms, cost.per_second / bare.per_second
    line = f"p50 +{p50_ms:.1f}  p95 +{p95_ms:.1f}"
    if clients <= 8:
        line += f" ({verdict(p50_ms <= GOAL_P50_MS and p95_ms <= GOAL_P95_MS)})"
    return f"{line}  {cost.per_second:.0f}/s  ratio {ratio:.2f} ({verdict(ratio >= GOAL_THROUGHPUT)})"


def _ingest(folder: Path) -> dict[str, str]:
    """Ingest the example documents, and return the environment of servers that use them."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAG_")}
    environment = {**inherited, **FAKE_MODELS, **UNLIMITED, "RAG_INDEX_DIR": str(folder / "index")}
    ingest_examples("demo", environment)
    return environment


def _start(folder: Path, environment: Mapping[str, str], stack: ExitStack) -> Mapping[str, str]:
    """Start the servers that take turns, with places for all clients, and return their addresses."""
    roomy = {**environment, "RAG_MAX_CONCURRENT_REQUESTS": "64"}
    empty = {**roomy, "RAG_INDEX_DIR": str(folder / "empty")}
    return {
        "bare": stack.enter_context(_running_bare(folder)),
        "contract": stack.enter_context(running_server(folder / "contract", empty)).url,
        "pipeline": stack.enter_context(running_server(folder / "pipeline", roomy)).url,
    }


def _start_default(folder: Path, environment: Mapping[str, str], stack: ExitStack) -> str:
    """Start a server with the default number of places, and return its address."""
    return stack.enter_context(running_server(folder / "default", environment)).url


async def _measure(urls: Mapping[str, str]) -> dict[tuple[str, int], Cost]:
    for url in urls.values():
        await drive(f"{url}/query", repeat(BODY, WARM_UP), callers=8)
    costs: dict[tuple[str, int], Cost] = {}
    for clients in CLIENTS:
        rounds: dict[str, list[Round]] = {name: [] for name in urls}
        for _ in range(ROUNDS):  # in turns, so that a busy phase of the machine hits all servers
            for name, url in urls.items():
                rounds[name].append(await drive(f"{url}/query", repeat(BODY, REQUESTS), callers=clients))
        costs |= {(name, clients): Cost.of(each) for name, each in rounds.items()}
    return costs


async def _measure_health(url: str) -> Round:
    """Probe `/health` one request after another, while other clients send queries in a closed loop."""
    load = asyncio.create_task(drive(f"{url}/query", repeat(BODY), callers=CLIENTS[-1], allowed=(429, 503)))
    try:
        return await probe(f"{url}/health", requests=HEALTH_PROBES)
    finally:
        load.cancel()
        await asyncio.gather(load, return_exceptions=True)


@contextmanager
def _running_bare(folder: Path) -> Iterator[str]:
    port, log_path = find_free_port(), folder / "bare.log"
    command = ["-m", "uvicorn", "load.bench.bare:app", "--port", str(port), "--no-access-log", "--log-level", "warning"]
    with running([sys.executable, *command], environment=os.environ, log_path=log_path) as process:
        wait_until_ready(f"http://127.0.0.1:{port}/openapi.json", process, log_path)
        yield f"http://127.0.0.1:{port}"
