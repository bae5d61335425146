"""`python -m load.growth.adding [--sizes 10000,100000]`: what one more document costs, and what a small segment costs.

Each size is written once, then one document is added beside it, one more by writing all anew, and then so many that the
small segment holds 1 % and 10 % of the chunks; each version gets the same questions. Texts are cut by paragraphs, not
read from files, as reading does not depend on the index. Times are of the processor, with the time on the clock beside.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import faiss
import numpy as np

from load.growth.building import SEED, TENANT, open_index
from load.growth.documents import EMBEDDER, DrawnEncoder
from load.growth.isolation import run_alone
from load.growth.searching import QUESTIONS, RETRIEVE_K, ROUNDS
from load.growth.texts import TextStream
from load.growth.vectors import VectorStream
from rag.index.delta import DeltaLimits
from rag.index.manifest import StoredVersion
from rag.index.plan import Makers
from rag.index.store import IndexStore
from rag.index.update import update_index
from rag.text.language import words
from rag.types import Span

SIZES: Final = (10_000, 100_000)
SHARES: Final = (0.01, 0.1)
_ANEW: Final = DeltaLimits(from_chunks=10**9)
_BESIDE: Final = DeltaLimits(from_chunks=1, max_chunks=10**9, max_share=1.0)


@dataclass(frozen=True, slots=True)
class Added:
    """One update without reading files; drawing vectors, instead of embedding, and checking the old seals are in it."""

    chunks: int
    delta_chunks: int
    clock_s: float
    cpu_s: float
    written_mb: float


@dataclass(frozen=True, slots=True)
class Asked:
    """The medians of the processor's time of 200 questions, asked three times."""

    lexical_ms: float
    dense_ms: float


def main(argv: Sequence[str]) -> int:
    """Measure all sizes, print what was measured, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m load.growth.adding", description="What does a document more cost?")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), metavar="N,N", help="numbers of chunks")
    for chunks in (int(each) for each in parser.parse_args(argv).sizes.split(",")):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            print("first", run_alone(add, folder, chunks, "d", _ANEW), flush=True)
            print("beside", run_alone(add, folder, 1, "beside", _BESIDE), flush=True)
            print("anew", run_alone(add, folder, 1, "anew", _ANEW), run_alone(ask, folder), flush=True)
            for share in SHARES:
                added = run_alone(add, folder, round(chunks * share), f"share{share}-", _BESIDE)
                print(f"{share:.0%} beside", added, run_alone(ask, folder), flush=True)
    return 0


def add(folder: Path, chunks: int, prefix: str, limits: DeltaLimits) -> Added:
    """Add documents of this many chunks, or a few more, in one update."""
    texts, encoder, drawing_s, count = TextStream(SEED + len(prefix)), DrawnEncoder(SEED + len(prefix)), 0.0, 0
    started, started_cpu = time.perf_counter(), time.process_time()
    with update_index(IndexStore(folder), TENANT, lambda: None, Makers(EMBEDDER, "drawn")) as update:
        number = 0
        while count < chunks:
            drawn = time.process_time()
            spans = [Span(each, 0, len(each), None, None, None) for each in texts.draw_document().split("\n\n")]
            drawing_s += time.process_time() - drawn
            update.put(f"{prefix}{number:06d}", "", spans, "")
            count, number = count + len(spans), number + 1
        stored = update.publish(
            lambda batch: encoder.read_passages([chunk.text for chunk in batch]), delta_limits=limits
        )
    assert stored is not None
    cpu_s = time.process_time() - started_cpu - drawing_s
    delta = stored.manifest.delta.chunks if stored.manifest.delta else 0
    return Added(stored.manifest.chunks, delta, time.perf_counter() - started, cpu_s, _written_bytes(stored) / 1e6)


def ask(folder: Path) -> Asked:
    """Ask the serving version, with one thread."""
    faiss.omp_set_num_threads(1)
    index, texts = open_index(folder), TextStream(SEED)
    ordinals = np.random.default_rng(SEED).integers(0, index.version.chunks, QUESTIONS).tolist()
    questions = [texts.draw_question(words(chunk.text)) for chunk in index.chunks(ordinals)]
    passages = np.concatenate([index.dense.vectors(ordinal, 1) for ordinal in ordinals])
    vectors = VectorStream(SEED).draw_questions(passages)
    return Asked(
        _time(lambda at: index.search_lexical(questions[at], RETRIEVE_K)),
        _time(lambda at: index.search_dense(vectors[at], RETRIEVE_K)),
    )


def _time(search: Callable[[int], object]) -> float:
    seconds = []
    for at in [*range(QUESTIONS)] * (1 + ROUNDS):
        started = time.thread_time()
        search(at)
        seconds.append(time.thread_time() - started)
    return float(np.median(seconds[QUESTIONS:])) * 1000


def _written_bytes(stored: StoredVersion) -> int:
    """Return the size of the files that the version does not share with the one before."""
    files = [path for path in stored.folder.rglob("*") if path.is_file()]
    return sum(path.stat().st_size for path in files if path.stat().st_nlink == 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
