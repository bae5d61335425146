"""Compare the local encoder under OpenVINO and torch, and reranking with stored token vectors or by encoding passages.

The two runtimes take turns on the same texts, with half of the cores, as in the services.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from load.bench.driving import verdict
from load.bench.mixed_texts import draw_pairs, draw_texts
from rag.engines.device import share_cores
from rag.engines.forward import EncoderModel
from rag.engines.max_sim import score_windows
from rag.engines.openvino_model import OpenVinoModel
from rag.engines.sentence_transformer import SentenceEncoder
from rag.engines.torch_model import TorchModel
from rag.models import describe, locate
from rag.ports import Vectors

Item = TypeVar("Item")

# The local profile's model, whatever the environment names, because only this one has a graph.
MODEL: Final = "bento:multilingual-e5-small:q4"
ROUNDS: Final = 3
TEXTS: Final = 48
LONE_QUESTIONS: Final = 12
CANDIDATES: Final = 20
GOAL_RERANK_MS: Final = 60.0


@dataclass(slots=True)
class Times:
    """The seconds of each round for all texts together, and for single questions."""

    all_s: list[float] = field(default_factory=list)
    lone_s: list[float] = field(default_factory=list)


def print_encoder() -> None:
    """Measure and print both comparisons."""
    share_cores()
    folder, info = locate(MODEL), describe(MODEL)
    encoder = SentenceEncoder(folder, info)
    texts = draw_texts(TEXTS)
    runtimes: dict[str, EncoderModel] = {"openvino": OpenVinoModel(folder), "torch": TorchModel(folder)}
    times, vectors = _compare_runtimes(encoder, runtimes, texts)
    cosine = float((vectors["openvino"] * vectors["torch"]).sum(axis=1).min())
    for name, each in times.items():
        all_s, lone_s = statistics.median(each.all_s), statistics.median(each.lone_s)
        print(f"encoder, {name}: {len(texts) / all_s:.1f} mixed texts/s, a question alone {lone_s * 1000:.1f} ms")
    ours, theirs = times["openvino"], times["torch"]
    faster = statistics.median(theirs.all_s) / statistics.median(ours.all_s)
    sooner = statistics.median(theirs.lone_s) / statistics.median(ours.lone_s)
    print(
        f"openvino over torch: {faster:.2f} texts per second, {sooner:.2f} for one question; least cosine {cosine:.5f}"
    )
    encoder.model = runtimes["openvino"]
    _print_ranking(encoder)


def _compare_runtimes(
    encoder: SentenceEncoder, runtimes: dict[str, EncoderModel], texts: Sequence[str]
) -> tuple[dict[str, Times], dict[str, Vectors]]:
    times, vectors = {name: Times() for name in runtimes}, {}
    questions = sorted(texts, key=len)[:LONE_QUESTIONS]
    for _ in range(ROUNDS + 1):
        for name, model in runtimes.items():
            encoder.model = model
            started = time.perf_counter()
            vectors[name] = encoder.encode_passages(texts)
            times[name].all_s.append(time.perf_counter() - started)
            times[name].lone_s.append(_time_median(lambda text: encoder.encode_queries([text]), questions))
    for each in times.values():  # the first round warms up
        del each.all_s[0], each.lone_s[0]
    return times, vectors


def _print_ranking(encoder: SentenceEncoder) -> None:
    """Compare reranking one question, without HTTP calls: with stored token vectors, and by encoding the passages."""
    pairs = draw_pairs(LONE_QUESTIONS, CANDIDATES, seed=0)
    stored = encoder.read_passages([pair.passage for pair in pairs]).tokens
    numbers = [range(start, start + CANDIDATES) for start in range(0, len(pairs), CANDIDATES)]

    def compare(of_one: Sequence[int]) -> None:
        asked = encoder.read_queries([pairs[of_one[0]].question])[0].tokens
        for number in of_one:
            score_windows(asked, stored[number], [(0, None, 0)])

    def read(of_one: Sequence[int]) -> None:
        encoder.read_passages([pairs[number].passage for number in of_one])
        compare(of_one)

    compared_ms, read_ms = _time_median(compare, numbers) * 1000, _time_median(read, numbers[:3]) * 1000
    size_kib = statistics.fmean(each.size_bytes for each in stored) / 1024
    print(
        f"{CANDIDATES} candidates ranked by stored token vectors {compared_ms:.0f} ms (goal {GOAL_RERANK_MS:.0f} ms: "
        f"{verdict(compared_ms <= GOAL_RERANK_MS)}), by reading them {read_ms:.0f} ms, "
        f"ratio {read_ms / compared_ms:.0f}; {size_kib:.0f} KiB a passage"
    )


def _time_median(work: Callable[[Item], object], items: Sequence[Item]) -> float:
    """Return the median seconds of the work on one item."""
    times = []
    for item in items:
        started = time.perf_counter()
        work(item)
        times.append(time.perf_counter() - started)
    return statistics.median(times)
