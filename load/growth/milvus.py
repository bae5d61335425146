"""Measure Milvus beside the embedded engine: the same chunks, vectors and questions, asked in turn in one run.

`python -m load.growth.milvus --sizes 1000,10000 [--url milvus+http://…]`; without a URL a Milvus Lite is started, which
is no cluster: its numbers are those of a program for tests, written in Python.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import psutil

from load.growth.building import SEED, TENANT, add_one, ingest, open_index
from load.growth.documents import EMBEDDER, DrawnEncoder, DrawnSources, StageClock
from load.growth.searching import RECALL_AT, RERANK_K, RETRIEVE_K, DrawnEmbedder, Latency, draw_questions
from load.machine import describe_machine, installed_versions
from load.processes import ROOT
from rag.index.embedded import EmbeddedIndex
from rag.index.milvus.address import MilvusAddress
from rag.index.milvus.driver import MilvusReader
from rag.index.milvus.engine import MilvusEngine
from rag.index.milvus.server import MilvusServer
from rag.ingestion.ingest import Ingestion
from rag.limits import Deadline
from rag.ports import ChunkIndex, Vectors
from rag.retrieval.search import retrieve
from rag.text.language import detect_language

QUESTIONS: Final = 30
_PORT: Final = 19_531
_LITE: Final = "from milvus_lite.cmdline import main; main()"
_DEADLINE_S: Final = 600.0
_SIMILARITY_ERROR: Final = 1e-5


@dataclass(frozen=True, slots=True)
class Asked:
    """The times of one engine; `recall_at_10` against the embedded engine's exact search."""

    lexical: Latency
    dense: Latency
    retrieval: Latency
    fetch: Latency
    recall_at_10: float
    same_words_at_10: float


@dataclass(frozen=True, slots=True)
class Loaded:
    """One load of an engine, without the time for drawing texts and vectors, and one more document after it."""

    seconds: float
    add_one_s: float
    server_bytes: int


@dataclass(frozen=True, slots=True)
class Compared:
    """One size."""

    chunks: int
    embedded: Asked
    milvus: Asked
    embedded_loaded: Loaded
    milvus_loaded: Loaded


def compare(url: str, chunks: int, pid: int | None) -> Compared:
    """Load both engines with the same chunks, and ask both every question in turn."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        tenant_id = f"{TENANT}-{chunks}-{time.time_ns() % 10**6}"
        built = ingest(folder, chunks)
        draw_questions(folder)
        loaded = _load(url, folder, tenant_id, built.documents, seed=SEED, prefix="d")
        ours, theirs = asyncio.run(_ask(url, folder, tenant_id))
        added = _load(url, folder, tenant_id, 1, seed=SEED + 1, prefix="new")
        size = psutil.Process(pid).memory_info().rss if pid else 0
        return Compared(
            built.chunks, ours, theirs, Loaded(built.seconds, add_one(folder).seconds, 0), Loaded(loaded, added, size)
        )


def _load(url: str, folder: Path, tenant_id: str, documents: int, *, seed: int, prefix: str) -> float:
    sources, encoder = DrawnSources(folder, documents, seed, prefix), DrawnEncoder(seed)
    engine = MilvusEngine(MilvusAddress.parse(url))
    report = Ingestion(engine, StageClock(), lambda: EMBEDDER, lambda: encoder).add(tenant_id, sources)
    engine.close()
    return report.seconds - sources.spent_s - encoder.spent_s


async def _ask(url: str, folder: Path, tenant_id: str) -> tuple[Asked, Asked]:
    questions: list[str] = json.loads((folder / "questions.json").read_text("utf-8"))[:QUESTIONS]
    vectors: Vectors = np.load(folder / "questions.npy")[:QUESTIONS]
    # Milvus Lite puts words under its index when the first question asks for them, for longer than a server waits.
    server = MilvusServer(MilvusReader(MilvusAddress.parse(url), timeout_s=_DEADLINE_S), EMBEDDER)
    theirs = await server.current(tenant_id)
    assert theirs is not None
    engines: tuple[ChunkIndex, ChunkIndex] = (EmbeddedIndex(open_index(folder)), theirs)
    embedder = DrawnEmbedder(dict(zip(questions, vectors, strict=True)))

    def retrieval(index: ChunkIndex, number: int) -> Awaitable[object]:
        return retrieve(
            questions[number],
            asked_in=detect_language(questions[number]),
            index=index,
            embedder=embedder,
            k=RETRIEVE_K,
            limit=RERANK_K,
            deadline=Deadline.after(_DEADLINE_S),
            trace_id="growth",
        )

    async def fetch(index: ChunkIndex, number: int) -> object:
        return await index.fetch([chunk_id for chunk_id, _ in found[index][number]])

    lexical = await _time(engines, lambda index, number: index.search_lexical(questions[number], RETRIEVE_K))
    dense = await _time(engines, lambda index, number: index.search_dense(vectors[number], RETRIEVE_K))
    found = {index: [await index.search_dense(each, RERANK_K) for each in vectors] for index in engines}
    fetched = await _time(engines, fetch)
    retrieved = await _time(engines, retrieval)
    recall, same = await _compare(engines, questions, vectors)
    await server.aclose()
    return (
        Asked(lexical[0], dense[0], retrieved[0], fetched[0], 1.0, 1.0),
        Asked(lexical[1], dense[1], retrieved[1], fetched[1], recall, same),
    )


async def _time(
    engines: Sequence[ChunkIndex], ask: Callable[[ChunkIndex, int], Awaitable[object]]
) -> tuple[Latency, Latency]:
    """Ask both engines each question in turn; a first round is not timed."""
    seconds: list[list[float]] = [[], []]
    for number in [*range(QUESTIONS)] * 2:
        for engine, spent in zip(engines, seconds, strict=True):
            started = time.perf_counter()
            await ask(engine, number)
            spent.append(time.perf_counter() - started)
    first, second = (
        Latency(*(float(np.percentile(spent[QUESTIONS:], percent)) * 1000 for percent in (50, 99))) for spent in seconds
    )
    return first, second


async def _compare(engines: Sequence[ChunkIndex], questions: Sequence[str], vectors: Vectors) -> tuple[float, float]:
    """Return the share of the ten nearest that the second engine finds, and of the ten best by words."""
    exact, other = engines
    near, same = [], []
    for question, vector in zip(questions, vectors, strict=True):
        floor = (await exact.search_dense(vector, RECALL_AT))[-1][1] - _SIMILARITY_ERROR
        found = await other.search_dense(vector, RECALL_AT)
        near.append(sum(similarity >= floor for _, similarity in found) / RECALL_AT)
        expected = {name.partition(":")[2] for name, _ in await exact.search_lexical(question, RECALL_AT)}
        got = {name.partition(":")[2] for name, _ in await other.search_lexical(question, RECALL_AT)}
        same.append(len(expected & got) / max(1, len(expected)))
    return float(np.mean(near)), float(np.mean(same))


@contextmanager
def _lite() -> Iterator[tuple[str, int]]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", _LITE, "server", "--data-dir", f"{folder}/data", "--host", "127.0.0.1"]
        process = subprocess.Popen(  # noqa: S603 - our own interpreter
            [*command, "--port", str(_PORT)], stdout=subprocess.PIPE, cwd=ROOT
        )
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield f"milvus+http://127.0.0.1:{_PORT}", process.pid
        finally:
            process.terminate()
            process.wait()


def main() -> None:
    """Compare at each size and print the results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="1000,10000")
    parser.add_argument("--url")
    arguments = parser.parse_args()
    sizes = [int(size) for size in arguments.sizes.split(",")]
    print(json.dumps({"machine": describe_machine(), "versions": installed_versions()}, default=str), flush=True)
    for size in sizes:
        if arguments.url:
            print(json.dumps(asdict(compare(arguments.url, size, None))), flush=True)
        else:
            with _lite() as (url, pid):
                print(json.dumps(asdict(compare(url, size, pid))), flush=True)


if __name__ == "__main__":
    main()
