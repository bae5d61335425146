"""Compare small, medium and large batches of the Embedder, the Reranker and the Generator.

The defaults of `RAG_BATCH_TOKENS`, `RAG_BATCH_WAIT_MS`, `RAG_GENERATOR_MAX_RUNNING` and `RAG_GENERATOR_BATCH_TOKENS`,
and those of the profile `offline`, are chosen from this table. Each row has its own server; those of the Embedder and
of the Reranker take turns.
"""

import asyncio
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Final

from load.bench.driving import drive
from load.bench.engine import running_engine
from load.bench.generation import record
from load.bench.mixed_texts import draw_pairs, draw_texts
from load.bench.services import running_services
from load.driver.client import open_client
from load.driver.memory import MemoryProbe, sampling
from load.driver.metrics import Distribution, Objective, summarize
from load.driver.planning import plan_bodies
from load.driver.progress import Progress
from load.driver.run import run_closed
from load.driver.targets import OpenAITarget
from rag.config.environment import environment_name, load_settings
from rag.engines.batching import estimate_text

ROUNDS: Final = 2
CALLERS: Final = 16
TEXTS: Final = 96
QUESTIONS: Final = 24
PASSAGES: Final = 3
STREAMS: Final = 8
DRAFTS: Final = 16
# The deadlines of the stages that call the services.
RETRIEVAL_S: Final = 2.0
RERANK_S: Final = 5.0
GENERATION_S: Final = 60.0
TIMED_OUT: Final = 504

BATCHES: Final[Mapping[str, Mapping[str, str]]] = {
    "small, no wait": {"batch_tokens": "128", "batch_wait_ms": "0"},
    "medium, no wait": {"batch_tokens": "512", "batch_wait_ms": "0"},
    "medium, 10 ms": {"batch_tokens": "512", "batch_wait_ms": "10"},
    "large, 50 ms": {"batch_tokens": "4096", "batch_wait_ms": "50"},
}
STEPS: Final[Mapping[str, Mapping[str, str]]] = {
    "small: 2 at once, 256 tokens a step": {"generator_max_running": "2", "generator_batch_tokens": "256"},
    "medium: 8 at once, 1024 tokens": {"generator_max_running": "8", "generator_batch_tokens": "1024"},
    "large: 32 at once, 4096 tokens": {"generator_max_running": "32", "generator_batch_tokens": "4096"},
}


@dataclass(slots=True)
class Row:
    """The results of one batch size over all rounds."""

    latencies_s: list[float] = field(default_factory=list)
    ttft_s: list[float] = field(default_factory=list)
    timeouts: int = 0
    requests: int = 0
    tokens: int = 0
    wall_s: float = 0.0
    rss_bytes: int = 0

    def describe(self) -> str:
        """Return the cells of the row in Markdown."""
        latency, ttft = Distribution.of(self.latencies_s), Distribution.of(self.ttft_s)
        cells = [
            f"{len(self.latencies_s) / self.wall_s:.1f}",
            f"{self.tokens / self.wall_s:.0f}",
            *(f"{value * 1000:.0f}" for value in ((latency.p50, latency.p95, latency.p99) if latency else ())),
            *([] if latency else ["", "", ""]),
            f"{ttft.p50 * 1000:.0f}" if ttft else "",
            f"{self.timeouts / self.requests:.2f}",
            f"{self.rss_bytes / 2**20:.0f}",
        ]
        return " | ".join(cells)


def print_limits() -> None:
    """Measure and print the table in Markdown."""
    print("| service | batches | requests/s | tokens/s | p50, ms | p95 | p99 | TTFT p50 | timed out | memory, MiB |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for kind, measure in (("Embedder", _measure_embedder), ("Reranker", _measure_reranker)):
            for name, row in asyncio.run(measure(Path(folder))).items():
                print(f"| {kind} | {name} | {row.describe()} |", flush=True)
        for name, row in asyncio.run(_measure_generator(Path(folder))).items():
            print(f"| Generator | {name} | {row.describe()} |", flush=True)


async def _measure_embedder(folder: Path) -> dict[str, Row]:
    texts = draw_texts(TEXTS)
    bodies = [json.dumps({"texts": [text]}).encode() for text in texts]
    tokens = sum(map(estimate_text, texts))
    rows = {name: Row() for name in BATCHES}
    with _running("embedder", folder) as servers:
        for _ in range(ROUNDS):
            for name, (url, probe) in servers.items():
                await _call(f"{url}/embed", bodies, rows[name], probe, tokens=tokens, patience_s=RETRIEVAL_S)
    return rows


async def _measure_reranker(folder: Path) -> dict[str, Row]:
    """Rerank new passages in each round, because cached ones cost almost nothing with any batch size."""
    rows = {name: Row() for name in BATCHES}
    with _running("reranker", folder) as servers:
        for number in range(ROUNDS):
            pairs = [pair.model_dump() for pair in draw_pairs(QUESTIONS, PASSAGES, seed=number)]
            parts = [pairs[start : start + PASSAGES] for start in range(0, len(pairs), PASSAGES)]
            bodies = [json.dumps({"pairs": part}).encode() for part in parts]
            tokens = sum(estimate_text(pair["passage"]) for pair in pairs)
            for name, (url, probe) in servers.items():
                await _call(f"{url}/rerank", bodies, rows[name], probe, tokens=tokens, patience_s=RERANK_S)
    return rows


@contextmanager
def _running(kind: str, folder: Path) -> Iterator[dict[str, tuple[str, MemoryProbe]]]:
    """Run a server of each batch size; yield their addresses and memory probes once all are ready."""
    environments = {name: _as_environment(limits) for name, limits in BATCHES.items()}
    with running_services(folder / kind, dict.fromkeys(BATCHES, f"{kind}_budget"), environments) as servers:
        yield {name: (each.url, MemoryProbe(each.process.pid)) for name, each in servers.items()}


async def _call(
    url: str, bodies: Sequence[bytes], row: Row, probe: MemoryProbe, *, tokens: int, patience_s: float
) -> None:
    """Send the bodies in a closed loop of callers; `tokens` are those of all bodies together."""
    async with sampling(probe, perf_counter) as memory:
        told = await drive(url, bodies, callers=CALLERS, patience_s=patience_s, allowed=(TIMED_OUT,))
    row.requests += len(told.statuses)
    row.timeouts += told.statuses.count(TIMED_OUT)
    row.latencies_s += told.answered_s
    row.wall_s += told.wall_s
    row.tokens += tokens
    row.rss_bytes = max([row.rss_bytes, *(sample.rss_bytes for sample in memory)])


async def _measure_generator(folder: Path) -> dict[str, Row]:
    recorded = await record(folder, requests=DRAFTS)
    rows = {}
    for number, (name, limits) in enumerate(STEPS.items()):
        settings = load_settings({**os.environ, **_as_environment(limits)})
        with running_engine(folder / f"engine{number}", settings) as engine:
            asks = plan_bodies(recorded.bodies, [0.0] * DRAFTS, f"limits-{number}")
            async with open_client(engine.url, OpenAITarget(engine.model), timeout_s=GENERATION_S) as client:
                result = await run_closed(
                    client,
                    asks,
                    Progress(name, DRAFTS),
                    scenario="limits",
                    streams=STREAMS,
                    probe=MemoryProbe(engine.process.pid),
                )
        summary = summarize(result, Objective())
        answered = [outcome for outcome in result.outcomes if outcome.completion_tokens]
        rows[name] = Row(
            latencies_s=[outcome.e2e_s for outcome in answered],
            ttft_s=[outcome.ttft_s for outcome in answered if outcome.ttft_s is not None],
            timeouts=summary.requests - len(answered),
            requests=summary.requests,
            tokens=sum(outcome.completion_tokens or 0 for outcome in answered),
            wall_s=result.wall_s,
            rss_bytes=summary.rss_peak_bytes or 0,
        )
    return rows


def _as_environment(limits: Mapping[str, str]) -> dict[str, str]:
    return {environment_name(field): value for field, value in limits.items()}
