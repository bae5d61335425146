"""`python -m load.growth.nearest [--sizes 51000,100000]`: compare the kinds of dense index at given sizes.

Every kind holds the same vectors, two thirds in one language and one third in another, and gets the same questions, one
kind after the other in each round. Times of searches are of the processor, so that other work on the machine, which
may be slow to let them run, counts little.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import faiss
import numpy as np
from numpy.typing import NDArray

from load.growth.building import SEED
from load.growth.isolation import run_alone
from load.growth.memory import watched_peak
from load.growth.searching import QUESTIONS, RETRIEVE_K, ROUNDS, measure_recall
from load.growth.vectors import VectorStream
from rag.index.dense import DenseIndex, DensePlan, build_dense
from rag.index.graphs import Carried
from rag.ports import Vectors
from rag.retrieval.search import ACROSS_K

SIZES: Final = (51_000, 100_000, 300_000)
_DOCUMENT: Final = 20
_BLOCK: Final = 10_000


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of index: built from nothing, built again with one document more, and searched; times in seconds."""

    kind: str
    probes: int
    recall_at_10: float
    build_s: float
    build_cpu_s: float
    own_peak_mb: float
    size_mb: float
    add_s: float
    add_cpu_s: float
    p50_ms: float = 0.0
    across_p50_ms: float = 0.0
    questions_recall_at_10: float = 0.0


def main(argv: Sequence[str]) -> int:
    """Measure all sizes, print a table, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m load.growth.nearest", description="Which index at which size?")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), metavar="N,N", help="numbers of chunks")
    for chunks in (int(each) for each in parser.parse_args(argv).sizes.split(",")):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            run_alone(draw, folder, chunks)
            built = {each: run_alone(build, folder, each) for each in plans(chunks)}
            for each in run_alone(search, folder, built):
                print(chunks, each, flush=True)
    return 0


def plans(chunks: int) -> dict[str, DensePlan]:
    """Return what is compared at a size."""
    limit = chunks * 2
    return {"flat": DensePlan(limit), "ivf": DensePlan(0, 0), "hnsw": DensePlan(min(50_000, chunks - 1), limit)}


def draw(folder: Path, chunks: int) -> None:
    """Write the vectors, and questions that some of them answer."""
    stream = VectorStream(SEED)
    vectors = np.concatenate([stream.draw_passages(_BLOCK) for _ in range(-(-chunks // _BLOCK))])[:chunks]
    np.save(folder / "vectors.npy", vectors)
    asked = np.random.default_rng(SEED).integers(0, chunks, QUESTIONS)
    np.save(folder / "questions.npy", VectorStream(SEED + 1).draw_questions(vectors[asked]))


def build(folder: Path, kind: str) -> Kind:
    """Build an index without the first document, then again with it."""
    vectors: Vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    plan, parts = plans(len(vectors))[kind], draw_parts(len(vectors))
    before, after = folder / f"before-{kind}", folder / f"after-{kind}"
    with watched_peak() as peak:
        started, started_cpu = time.perf_counter(), time.process_time()
        build_dense(vectors[_DOCUMENT:], before, replace(plan, parts=parts[_DOCUMENT:]))
        build_s, build_cpu_s = time.perf_counter() - started, time.process_time() - started_cpu
    old = DenseIndex.load(before)
    places = np.arange(len(vectors)) - _DOCUMENT
    started, started_cpu = time.perf_counter(), time.process_time()
    graphs = Carried(old.graphs, np.maximum(places, -1)) if old.graphs else None
    info = build_dense(vectors, after, replace(plan, parts=parts, centres=old.centres, graphs=graphs))
    add_s, add_cpu_s = time.perf_counter() - started, time.process_time() - started_cpu
    size = sum(path.stat().st_size for path in folder.rglob(f"{after.name}*/*"))
    size += after.stat().st_size if after.exists() else 0
    return Kind(
        kind=info.kind,
        probes=info.probes,
        recall_at_10=info.recall_at_10,
        build_s=build_s,
        build_cpu_s=build_cpu_s,
        own_peak_mb=peak.own_bytes / 1e6,
        size_mb=size / 1e6,
        add_s=add_s,
        add_cpu_s=add_cpu_s,
    )


def search(folder: Path, built: dict[str, Kind]) -> list[Kind]:
    """Ask every index in turns, each with one thread: a server's other threads are for other requests."""
    faiss.omp_set_num_threads(1)
    questions: Vectors = np.load(folder / "questions.npy")
    opened = {kind: DenseIndex.load(folder / f"after-{kind}") for kind in built}
    parts = draw_parts(len(next(iter(opened.values()))))
    across = {kind: index.subset(np.flatnonzero(parts == 1)) for kind, index in opened.items()}
    searches: dict[tuple[str, str], Callable[[Vectors], object]] = {}
    for kind, index in opened.items():
        searches[kind, "all"] = partial(index.search, k=RETRIEVE_K)
        searches[kind, "across"] = partial(index.search, k=ACROSS_K, subset=across[kind])
    seconds: dict[tuple[str, str], list[float]] = {each: [] for each in searches}
    for at in range(1 + ROUNDS):
        for vector in questions:
            for each, ask in searches.items():
                started = time.thread_time()
                ask(vector)
                if at:
                    seconds[each].append(time.thread_time() - started)
    return [
        replace(
            built[kind],
            p50_ms=float(np.median(seconds[kind, "all"])) * 1000,
            across_p50_ms=float(np.median(seconds[kind, "across"])) * 1000,
            questions_recall_at_10=measure_recall(opened["flat"], opened[kind], questions),
        )
        for kind in built
    ]


def draw_parts(chunks: int) -> NDArray[np.int8]:
    """Return the languages: each third topic is in the second one."""
    parts: NDArray[np.int8] = (np.arange(chunks) // _DOCUMENT % 3 == 2).astype(np.int8)
    return parts


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
