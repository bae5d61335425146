"""Compare batching by token budget with BentoML's batching, over HTTP, with the real encoder.

Three servers of the same model take turns: BentoML's default batching, the same tuned, and ours. The fourth contestant
is the optimum without serving: the same texts in process, all known in advance, sorted by length, in batches of the
best of a few sizes. Each server and this loop have half of the cores for the model.
"""

import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from load.bench.driving import Round, drive, verdict
from load.bench.mixed_texts import draw_pairs, draw_texts
from load.bench.services import running_services
from rag.config.environment import load_settings
from rag.config.settings import Settings
from rag.engines.device import share_cores
from rag.engines.late_interaction import LateInteractionScorer
from rag.engines.sentence_transformer import SentenceEncoder
from rag.models import describe, locate
from rag.ports import Vectors
from schemas.services import Pair

VARIANTS: Final = ("adaptive", "tuned", "budget")
# Number of callers → number of requests, of one text each, that they send together.
LOADS: Final = {1: 8, 4: 24, 16: 64, 32: 128}
MOST_CALLERS: Final = max(LOADS)
LONE_REQUESTS: Final = 20
STATIC_SIZES: Final = (1, 4, 8, 16)
STATIC_TRIAL: Final = 48
RERANK_CALLERS: Final = 16
RERANK_CALLS: Final = 16
RERANK_PASSAGES: Final = 3
COMPARED_VECTORS: Final = 16
GOAL_SHARE: Final = 0.9
GOAL_AFTER_BURST_MS: Final = 2.0
GOAL_COSINE: Final = 0.9999
# The patience of a caller that is in no hurry.
PATIENCE_S: Final = 60.0
REFUSED: Final = 503


@dataclass(slots=True)
class Measured:
    """The results of one server over all rounds; a share is the time of the static batches divided by its own."""

    rounds: dict[int, list[Round]] = field(default_factory=dict)
    shares: dict[int, list[float]] = field(default_factory=dict)
    lone_before_s: list[float] = field(default_factory=list)
    lone_after_s: list[float] = field(default_factory=list)
    refused: int = 0
    vectors: dict[int, Vectors] = field(default_factory=dict)

    def note(self, callers: int, told: Round, static_s: float) -> None:
        """Add one round, with the seconds of the static batches over the same texts."""
        self.rounds.setdefault(callers, []).append(told)
        self.shares.setdefault(callers, []).append(static_s / told.wall_s)
        self.refused += told.statuses.count(REFUSED)
        vectors = {number: json.loads(body)[0] for number, body in told.kept.items()}
        self.vectors |= {number: np.asarray(vector, dtype=np.float32) for number, vector in vectors.items()}

    def percentile_ms(self, callers: int, percent: float) -> float:
        """Return the median over the rounds of a latency percentile."""
        return statistics.median(each.percentile_ms(percent) for each in self.rounds[callers])

    @property
    def slower_after_ms(self) -> float:
        """The median latency of lone requests after the load minus that before it, in milliseconds."""
        return (statistics.median(self.lone_after_s) - statistics.median(self.lone_before_s)) * 1000


def print_batching(rounds: int) -> None:
    """Measure and print the tables."""
    share_cores()
    settings = load_settings(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        _print_embedder(Path(folder), settings, rounds)
        _print_reranker(Path(folder), settings, rounds)


def _print_embedder(folder: Path, settings: Settings, rounds: int) -> None:
    texts = draw_texts(max(LOADS.values()))
    encoder = SentenceEncoder(locate(settings.embedder_model), describe(settings.embedder_model))
    size = min(STATIC_SIZES, key=lambda size: _time_static(encoder, texts[:STATIC_TRIAL], size))
    with _running("embedder", folder) as urls:
        measured = asyncio.run(_measure_embedder(urls, encoder, texts, size, rounds))
    alone = [encoder.encode_passages([text])[0] for text in texts[:COMPARED_VECTORS]]
    print(f"batching: throughput as a share of static batches of {size} in process, and milliseconds")
    print(f"(goals at {MOST_CALLERS} callers: share {GOAL_SHARE}; alone after a burst +{GOAL_AFTER_BURST_MS:.0f} ms)")
    for variant, each in measured.items():
        for callers in LOADS:
            share = statistics.median(each.shares[callers])
            goal = f" ({verdict(share >= GOAL_SHARE)})" if callers == MOST_CALLERS else ""
            told = f"p50 {each.percentile_ms(callers, 50):.0f}  p95 {each.percentile_ms(callers, 95):.0f}"
            print(f"  embedder {variant:9} {callers:3} callers: share {share:.2f}{goal}  {told}")
        cosine = min(float(each.vectors[number] @ vector) for number, vector in enumerate(alone))
        print(
            f"  embedder {variant:9} alone after a burst {each.slower_after_ms:+.1f} ms"
            f" ({verdict(each.slower_after_ms <= GOAL_AFTER_BURST_MS)}), {each.refused} refused,"
            f" least cosine {cosine:.5f} ({verdict(cosine >= GOAL_COSINE)})"
        )


async def _measure_embedder(
    urls: Mapping[str, str], encoder: SentenceEncoder, texts: Sequence[str], size: int, rounds: int
) -> dict[str, Measured]:
    measured = {variant: Measured() for variant in urls}
    bodies = [json.dumps({"texts": [text]}).encode() for text in texts]
    for url in urls.values():
        await _drive(f"{url}/embed", bodies[:32], callers=8)
    for number in range(rounds):
        for callers, requests in LOADS.items():
            static_s = _time_static(encoder, texts[:requests], size)
            for variant, url in _rotate(urls, number):
                each = measured[variant]
                if callers == MOST_CALLERS:
                    each.lone_before_s += await _ask_alone(f"{url}/embed", bodies[0])
                told = await _drive(f"{url}/embed", bodies[:requests], callers=callers)
                each.note(callers, told, static_s)
                if callers == MOST_CALLERS:
                    each.lone_after_s += await _ask_alone(f"{url}/embed", bodies[0])
    return measured


def _time_static(encoder: SentenceEncoder, texts: Sequence[str], size: int) -> float:
    """Return the seconds of the static batches."""
    began = time.perf_counter()
    ordered = sorted((f"passage: {text}" for text in texts), key=len, reverse=True)
    for start in range(0, len(ordered), size):
        encoder.model.forward(ordered[start : start + size])
    return time.perf_counter() - began


def _print_reranker(folder: Path, settings: Settings, rounds: int) -> None:
    """Rerank new passages in each round, then the same passages again, whose token vectors are cached by then."""
    tag = settings.reranker_model
    assert tag is not None, "there is one by default"
    refused = dict.fromkeys(VARIANTS, 0)
    shares: dict[tuple[str, str], list[float]] = {}
    with _running("reranker", folder) as urls:
        for number in range(rounds):
            pairs = draw_pairs(RERANK_CALLS, RERANK_PASSAGES, seed=number)
            scorer = LateInteractionScorer(SentenceEncoder(locate(tag), describe(tag)))
            static_s = {kind: _time_score(scorer, pairs) for kind in ("new", "known")}
            for variant, url in _rotate(urls, number):
                for kind, seconds in static_s.items():
                    told = asyncio.run(_rerank(url, pairs))
                    refused[variant] += told.statuses.count(REFUSED)
                    shares.setdefault((variant, kind), []).append(seconds / told.wall_s)
    for (variant, kind), each in sorted(shares.items()):
        line = f"share {statistics.median(each):.2f}, {refused[variant]} refused"
        print(f"  reranker {variant:9} {RERANK_CALLERS:3} callers, {kind:5} passages: {line}")


async def _rerank(url: str, pairs: Sequence[Pair]) -> Round:
    dumped = [pair.model_dump() for pair in pairs]
    starts = range(0, len(dumped), RERANK_PASSAGES)
    bodies = [json.dumps({"pairs": dumped[start : start + RERANK_PASSAGES]}).encode() for start in starts]
    return await _drive(f"{url}/rerank", bodies, callers=RERANK_CALLERS)


def _time_score(scorer: LateInteractionScorer, pairs: Sequence[Pair]) -> float:
    began = time.perf_counter()
    scorer.score(pairs)
    return time.perf_counter() - began


async def _drive(url: str, bodies: Sequence[bytes], *, callers: int) -> Round:
    return await drive(url, bodies, callers=callers, patience_s=PATIENCE_S, allowed=(REFUSED,), keep=COMPARED_VECTORS)


async def _ask_alone(url: str, body: bytes) -> Sequence[float]:
    return (await _drive(url, [body] * LONE_REQUESTS, callers=1)).latencies_s


def _rotate(urls: Mapping[str, str], number: int) -> list[tuple[str, str]]:
    """Start each round with another server, so that slow phases of the machine do not always hit the same one."""
    order = list(urls.items())
    first = number % len(order)
    return order[first:] + order[:first]


@contextmanager
def _running(kind: str, folder: Path) -> Iterator[dict[str, str]]:
    """Run a server of each variant; yield their addresses once all are ready."""
    with running_services(folder / kind, {variant: f"{kind}_{variant}" for variant in VARIANTS}, {}) as servers:
        yield {variant: each.url for variant, each in servers.items()}
