"""Compare generation through the front with vLLM's own server: the same engine, prompts and driver, in turns.

One measure is tokens per second with eight streams, for prompts that the front itself wrote. The other is the time that
the front, without retrieval, reranking and verification, adds to the first text of an upstream with a known delay.

The cores of one machine are not enough for two engines, so all processes of the inactive one are suspended.
"""

import asyncio
import os
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from load.bench.driving import verdict
from load.bench.engine import running_engine
from load.bench.upstream import running_upstream
from load.driver.client import open_client
from load.driver.metrics import Objective, summarize
from load.driver.own_server import KEY, TENANTS, running_own_server
from load.driver.planning import Ask, make_generator, plan, plan_bodies
from load.driver.progress import Progress
from load.driver.questions import Deck, read_pool
from load.driver.run import RunResult, run_closed
from load.driver.scenarios import SCENARIOS
from load.driver.targets import OpenAITarget, RagTarget, Target
from load.processes import paused, wait_until_ready
from rag.config.environment import load_settings
from rag.config.settings import LOCAL_GENERATOR

STREAMS: Final = 8
REQUESTS: Final = 16
WARM_UP: Final = 8
GOAL_SHARE: Final = 0.95
GOAL_ADDED_MS: Final = 10.0
CLIENT_TIMEOUT_S: Final = 300.0
# What the front does beside generation is not what is compared.
STAGES: Final = ("retrieval", "rerank", "verification")

# Long deadlines, because a cut answer would be missing from the tokens of one of the two.
PATIENT: Final = {
    "RAG_REQUEST_TIMEOUT_S": "300",
    "RAG_STREAM_TIMEOUT_S": "300",
    "RAG_RETRIEVAL_TIMEOUT_S": "60",
    "RAG_RERANK_TIMEOUT_S": "60",
    "RAG_GENERATION_TIMEOUT_S": "300",
}

# The generator unless the environment sets another one.
DRAFTING: Final = {"RAG_GENERATOR_MODEL": LOCAL_GENERATOR}

Body = Mapping[str, Any]  # Any: JSON


@dataclass(frozen=True, slots=True)
class Recorded:
    """The questions of one plan, the prompts that the front wrote for them, and the time that it added."""

    asks: Sequence[Ask]
    bodies: Sequence[Body]
    added_ms: Sequence[float]


def print_generation(rounds: int) -> None:
    """Measure and print; the first line names the generator's model."""
    print(f"generation: {load_settings({**DRAFTING, **os.environ}).generator_model}")
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_measure(Path(folder), rounds))


async def _measure(folder: Path, rounds: int) -> None:
    recorded = await record(folder, requests=WARM_UP + rounds * REQUESTS)
    added_ms = statistics.median(recorded.added_ms)
    print(f"generation: beside retrieval, reranking and verification the front adds {added_ms:.1f} ms (p50) to the")
    print(f"  first text at {STREAMS} streams (goal {GOAL_ADDED_MS:.0f}: {verdict(added_ms <= GOAL_ADDED_MS)})")
    speeds = await _compare(folder, recorded, rounds)
    share = statistics.median(front / bare for front, bare in speeds)
    told = ", ".join(f"{front:.1f} and {bare:.1f}" for front, bare in speeds)
    print(f"  tokens a second through the front and from vLLM's own server, by round: {told};")
    print(f"  share {share:.2f} (goal {GOAL_SHARE}: {verdict(share >= GOAL_SHARE)})")


async def record(folder: Path, *, requests: int) -> Recorded:
    """Ask a real front, with an upstream that records its requests."""
    local = load_settings(DRAFTING)
    environment = {
        **os.environ,
        "RAG_CONTEXT_TOKENS": str(local.passage_tokens),
        "RAG_DRAFT_TOKENS": str(local.draft_limit_tokens),
    }
    deck = Deck(read_pool(None), make_generator("generation"))
    asks = plan(
        SCENARIOS["batch"], deck, TENANTS[:1], [0.0] * requests, rng=make_generator("asks"), prefix="generation"
    )
    streamed = [Ask(ask.at_s, ask.trace_id, "stream", ask.body) for ask in asks]
    with ExitStack() as stack:
        async with running_upstream() as upstream:
            environment["RAG_GENERATOR_URL"] = upstream.url
            # In a thread: a server is ready only when the upstream, which runs here, has answered it.
            server = await asyncio.to_thread(stack.enter_context, running_own_server(folder, environment))
            through = await _drive(server.url, RagTarget(KEY), streamed)
            bodies = list(upstream.bodies)
            direct = await _drive(upstream.url, OpenAITarget("any"), plan_bodies(bodies, [0.0] * len(bodies), "direct"))
    direct_ms = statistics.median(_late_ms(direct, upstream.waits_s))
    # Leave out the first ones: they arrive all at once, at a server that has not answered anything yet.
    added_ms = [each - direct_ms for each in _late_ms(through, upstream.waits_s)[STREAMS:]]
    return Recorded(streamed, bodies, added_ms)


async def _compare(folder: Path, recorded: Recorded, rounds: int) -> list[tuple[float, float]]:
    """Return the tokens per second through the front and from vLLM's own server, for each round."""
    speeds = []
    settings = load_settings({**DRAFTING, **os.environ})
    with ExitStack() as stack:
        # One after the other: two that load at once take longer than two that load in turn.
        server = stack.enter_context(running_own_server(folder, {**DRAFTING, **os.environ, **PATIENT}))
        engine = stack.enter_context(running_engine(folder / "engine", settings))
        model = OpenAITarget(engine.model)
        for number in range(-1, rounds):
            asks, bodies = (list(_cut(each, number)) for each in (recorded.asks, recorded.bodies))
            with paused(engine.process):
                # It sees for itself that its services, which were stopped with it, answer again.
                wait_until_ready(f"{server.url}/ready", server.process, server.log_path)
                front = await _drive(server.url, RagTarget(KEY), asks)
            with paused(server.process):
                bare = await _drive(engine.url, model, plan_bodies(bodies, [0.0] * len(bodies), f"bare-{number}"))
            if number >= 0:
                speeds.append((_tokens_per_s(front), _tokens_per_s(bare)))
    return speeds


def _cut(requests: Sequence[Any], number: int) -> Sequence[Any]:
    """Return the requests of a round; -1 is the warm-up. No prompt is repeated, because the engines would cache it."""
    start = WARM_UP + number * REQUESTS
    return requests[start : start + REQUESTS] if number >= 0 else requests[:WARM_UP]


async def _drive(url: str, target: Target, asks: Sequence[Ask]) -> RunResult:
    async with open_client(url, target, timeout_s=CLIENT_TIMEOUT_S) as client:
        watcher = Progress("generation", len(asks))
        return await run_closed(client, asks, watcher, scenario="generation", streams=STREAMS)


def _late_ms(result: RunResult, waits_s: Mapping[str, float]) -> list[float]:
    """Return the delays of first texts beyond the upstream's own, without the front's other stages."""
    return [
        (outcome.ttft_s - waits_s[outcome.trace_id]) * 1000 - sum(outcome.stages_ms.get(each, 0.0) for each in STAGES)
        for outcome in result.outcomes
        if outcome.ttft_s is not None
    ]


def _tokens_per_s(result: RunResult) -> float:
    summary = summarize(result, Objective())
    assert summary.output_tokens_per_s is not None, f"nothing was answered: {summary.codes}"
    return summary.output_tokens_per_s
