"""Measure an engine beside the embedded one: the same chunks, vectors and questions, asked in turn in one run.

`python -m load.growth.engines --sizes 1000,10000 [--url postgresql://…]`; without a URL a PostgreSQL is started for it.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import psycopg

from load.growth.building import SEED, TENANT, Ingested, add_one, ingest, measure_parts, open_index
from load.growth.documents import EMBEDDER
from load.growth.isolation import run_alone
from load.growth.searching import (
    RECALL_AT,
    RERANK_K,
    RETRIEVE_K,
    DrawnEmbedder,
    Latency,
    draw_questions,
)
from load.growth.vectors import VectorStream
from load.machine import describe_machine, installed_versions
from load.processes import ROOT
from rag.index.engine import IndexEngine
from rag.index.postgres.engine import PostgresEngine
from rag.index.provider import ServedIndexes
from rag.limits import Deadline
from rag.ports import ChunkIndex, Vectors
from rag.retrieval.search import retrieve
from rag.text.language import detect_language
from rag.types import Chunk, EncodedTexts, Scope, Span

ROUNDS: Final = 1
ASKED: Final = 100  # of the questions that `load.growth.searching` draws
_SIMILARITY_ERROR: Final = 2e-6


@dataclass(frozen=True, slots=True)
class Asked:
    """The times of one engine, and the processor's for each question, which others on the machine do not stretch."""

    lexical: Latency
    dense: Latency
    retrieval: Latency
    lexical_cpu_ms: float
    dense_cpu_ms: float
    retrieval_cpu_ms: float
    recall_at_10: float
    same_words_at_10: float


@dataclass(frozen=True, slots=True)
class Loaded:
    """The time until all serves, with the building of the graph, and that of one more document."""

    seconds: float
    add_one_s: float


@dataclass(frozen=True, slots=True)
class Compared:
    """One size; bytes on disk by part."""

    chunks: int
    embedded: Asked
    other: Asked
    embedded_load: Ingested
    embedded_add: Ingested
    other_load: Loaded
    embedded_bytes: dict[str, int]
    other_bytes: dict[str, int]


def main(argv: Sequence[str]) -> int:
    """Measure all sizes and print them as JSON."""
    parser = argparse.ArgumentParser(prog="python -m load.growth.engines", description=__doc__)
    parser.add_argument("--sizes", default="1000,10000,100000")
    parser.add_argument("--url", help="an empty database, whose owner this is")
    parser.add_argument("--out", type=Path, default=ROOT / ".data" / "growth" / "engines.json")
    arguments = parser.parse_args(argv)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    sizes = []
    for chunks in map(int, arguments.sizes.split(",")):
        with tempfile.TemporaryDirectory() as folder, _database(arguments.url) as url:
            sizes.append(asdict(compare(Path(folder), url, chunks)))
        report = {
            "date": datetime.now(UTC).strftime("%Y-%m-%d"), "machine": describe_machine(),
            "versions": installed_versions(), "sizes": sizes,
        }  # fmt: skip
        arguments.out.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    print(json.dumps(sizes, indent=1))
    return 0


@contextmanager
def _database(url: str | None) -> Iterator[str]:
    if url:
        yield url
        return
    from tests.postgres import running_postgres  # noqa: PLC0415 - who has a database of their own needs no other

    settings = {"fsync": "on", "shared_buffers": "2GB", "max_wal_size": "4GB", "maintenance_work_mem": "1GB"}
    with running_postgres(**settings) as server:
        yield server.make_database("growth")


def compare(folder: Path, url: str, chunks: int) -> Compared:
    """Fill both engines with the same chunks and ask both."""
    embedded_load = run_alone(ingest, folder, chunks)
    run_alone(draw_questions, folder)
    engine = PostgresEngine(url)
    other_load = _load(engine, folder)
    _tell("loaded", other_load)
    embedded, other = asyncio.run(_ask_both(engine, folder, url))
    _tell("asked", (embedded, other))
    return Compared(
        chunks=embedded_load.chunks,
        embedded=embedded,
        other=other,
        embedded_load=embedded_load,
        embedded_bytes=run_alone(measure_parts, folder),
        embedded_add=run_alone(add_one, folder),
        other_load=other_load,
        other_bytes=_measure_tables(url),
    )


def _tell(what: str, value: object) -> None:
    print(f"{what}: {value}", file=sys.stderr, flush=True)


def _load(engine: IndexEngine, folder: Path) -> Loaded:
    """Copy the embedded version's chunks with their vectors; texts are cut and embedded already."""
    index = open_index(folder)
    place = {chunk.chunk_id: ordinal for ordinal, chunk in enumerate(index.chunk_file)}

    def encode(chunks: Sequence[Chunk]) -> EncodedTexts:
        return EncodedTexts(np.concatenate([index.dense.vectors(place[each.chunk_id], 1) for each in chunks]), ())

    documents: dict[str, list[Chunk]] = {}
    for chunk in index.chunk_file:
        documents.setdefault(chunk.document_id, []).append(chunk)
    started = time.perf_counter()
    with engine.update(TENANT, lambda: None, EMBEDDER, chunker_version="growth") as change:
        for document_id, chunks in documents.items():
            change.put(document_id, chunks[0].title, [_span(chunk) for chunk in chunks], document_id)
        change.publish(encode)
    seconds = time.perf_counter() - started
    some = next(iter(documents.values()))
    added = time.perf_counter()
    vectors = VectorStream(SEED + 1).draw_passages(len(some))
    with engine.update(TENANT, lambda: None, EMBEDDER, chunker_version="growth") as change:
        change.put("one-more", "One more", [_span(chunk) for chunk in some], "one-more")
        change.publish(lambda _: EncodedTexts(vectors, ()))
    add_one_s = time.perf_counter() - added
    with engine.update(TENANT, lambda: None, EMBEDDER, chunker_version="growth") as change:
        change.drop("one-more")
        change.publish(lambda _: EncodedTexts(vectors, ()))
    return Loaded(seconds, add_one_s)


def _span(chunk: Chunk) -> Span:
    return Span(chunk.text, chunk.start, chunk.end, chunk.page_start, chunk.page_end, chunk.heading, "")


async def _ask_both(engine: IndexEngine, folder: Path, url: str) -> tuple[Asked, Asked]:
    questions: list[str] = json.loads((folder / "questions.json").read_text("utf-8"))
    vectors: Vectors = np.load(folder / "questions.npy")
    embedded, other = ServedIndexes(folder, EMBEDDER), engine.serve(EMBEDDER, lambda _: None)
    for provider in (embedded, other):
        await provider.open_all()
    indexes = [await embedded.current(TENANT), await other.current(TENANT, Scope())]
    first, second = (each for each in indexes if each is not None)
    kinds: dict[str, Callable[[ChunkIndex, int], Awaitable[Any]]] = {
        "lexical": lambda index, at: index.search_lexical(questions[at], RETRIEVE_K),
        "dense": lambda index, at: index.search_dense(vectors[at], RETRIEVE_K),
        "retrieval": lambda index, at: _retrieve(index, questions[at], vectors[at]),
    }
    times, cpu = {}, {}
    for kind, ask in kinds.items():
        times[kind], cpu[kind] = await _time((first, second), ask, url)
    floors = _find_floors(folder, vectors)
    words = [await _find_words(index, questions) for index in (first, second)]
    shared = float(np.mean([len(set(a) & set(b)) / max(1, len(a)) for a, b in zip(*words, strict=True)]))
    results = []
    for at, index in enumerate((first, second)):
        recall = await _measure_recall(index, vectors, floors)
        asked = Asked(
            lexical=times["lexical"][at],
            dense=times["dense"][at],
            retrieval=times["retrieval"][at],
            lexical_cpu_ms=cpu["lexical"][at],
            dense_cpu_ms=cpu["dense"][at],
            retrieval_cpu_ms=cpu["retrieval"][at],
            recall_at_10=recall,
            same_words_at_10=shared,
        )
        results.append(asked)
    await other.aclose()
    return results[0], results[1]


async def _retrieve(index: ChunkIndex, question: str, vector: Vectors) -> object:
    return await retrieve(
        question,
        asked_in=detect_language(question),
        index=index,
        embedder=DrawnEmbedder({question: vector}),
        k=RETRIEVE_K,
        limit=RERANK_K,
        deadline=Deadline.after(600.0),
        trace_id="growth",
    )


async def _time(
    indexes: Sequence[ChunkIndex], ask: Callable[[ChunkIndex, int], Awaitable[object]], url: str
) -> tuple[list[Latency], list[float]]:
    """Ask the engines in turn, question by question; the first round is not timed.

    Returns also the processor's time for a question, in milliseconds: this process's, and for the second engine that of
    the database's processes, which are on this machine.
    """
    seconds: list[list[float]] = [[] for _ in indexes]
    cpu = [0.0 for _ in indexes]
    before = 0.0
    for turn, number in enumerate([*range(ASKED)] * (1 + ROUNDS)):
        if turn == ASKED:
            cpu, before = [0.0 for _ in indexes], _read_backends(url)
        for at, index in enumerate(indexes):
            started, used = time.perf_counter(), time.process_time()
            await ask(index, number)
            seconds[at].append(time.perf_counter() - started)
            cpu[at] += time.process_time() - used
    cpu[1] += _read_backends(url) - before
    latencies = [
        Latency(*(float(np.percentile(each[ASKED:], percent)) * 1000 for percent in (50, 99))) for each in seconds
    ]
    return latencies, [each / (ASKED * ROUNDS) * 1000 for each in cpu]


def _read_backends(url: str) -> float:
    """Return the seconds of processor that the fronts' processes in the database have used."""
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT pid FROM pg_stat_activity WHERE application_name = 'rag-front'").fetchall()
    ticks = 0
    for (process,) in found:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _find_floors(folder: Path, vectors: Vectors) -> list[float]:
    """Return the similarity of the tenth nearest of all, for each question."""
    dense = open_index(folder).dense
    best = np.full((len(vectors), RECALL_AT), -np.inf, dtype=np.float32)
    for first in range(0, len(dense), 10_000):
        block = dense.vectors(first, min(10_000, len(dense) - first))
        joined = np.hstack([best, vectors @ block.T])
        best = np.partition(joined, -RECALL_AT, axis=1)[:, -RECALL_AT:]
    return [float(each) for each in best.min(axis=1)]


async def _measure_recall(index: ChunkIndex, vectors: Vectors, floors: Sequence[float]) -> float:
    shares = []
    for vector, floor in zip(vectors, floors, strict=True):
        found = await index.search_dense(vector, RECALL_AT)
        shares.append(sum(similarity >= floor - _SIMILARITY_ERROR for _, similarity in found) / RECALL_AT)
    return float(np.mean(shares))


async def _find_words(index: ChunkIndex, questions: Sequence[str]) -> list[list[str]]:
    return [[chunk_id for chunk_id, _ in await index.search_lexical(each, RECALL_AT)] for each in questions]


def _measure_tables(url: str) -> dict[str, int]:
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "SELECT relname, pg_table_size(oid), pg_indexes_size(oid) FROM pg_class"
            " WHERE relkind = 'r' AND relnamespace = 'rag'::regnamespace"
        ).fetchall()
    return {name: table for name, table, _ in tables} | {f"{name} indexes": index for name, _, index in tables}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
