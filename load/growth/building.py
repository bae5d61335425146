"""Build an index of one size; each step runs in a separate process, so that its memory can be measured."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np

from load.growth.documents import CHUNKS_PER_DOCUMENT, EMBEDDER, DrawnEncoder, DrawnSources, StageClock
from load.growth.memory import watched_peak
from rag.index.chunks import LINES_NAME, OFFSETS_NAME
from rag.index.dense import DensePlan, build_dense
from rag.index.files import FileEngine
from rag.index.lexical import build_lexical
from rag.index.manifest import DenseInfo
from rag.index.segments import DENSE_NAME, LEXICAL_NAME
from rag.index.store import IndexStore
from rag.index.version import TenantIndex
from rag.ingestion.ingest import Ingestion
from rag.ports import Vectors
from rag.text.language import words

TENANT: Final = "growth"
SEED: Final = 20261123
_BLOCK_ROWS: Final = 10_000

DenseKind = Literal["exact", "approximate"]


@dataclass(frozen=True, slots=True)
class Ingested:
    """One `add` and its two stages, without the time for drawing texts and vectors; no model runs in it."""

    documents: int
    chunks: int
    seconds: float
    read_s: float
    publish_s: float
    own_peak_bytes: int
    resident_peak_bytes: int


@dataclass(frozen=True, slots=True)
class Built:
    """One part of a version, built alone; `dense` is set if the part is a dense index."""

    seconds: float
    own_peak_bytes: int
    size_bytes: int
    dense: DenseInfo | None = None


def ingest(folder: Path, chunks: int) -> Ingested:
    """Make the first version as the ingestion command does, with `chunks` chunks, give or take a few per cent."""
    return _add(folder, max(1, round(chunks / CHUNKS_PER_DOCUMENT)), seed=SEED, prefix="d")


def add_one(folder: Path) -> Ingested:
    """Add one document to the version that `ingest` made."""
    return _add(folder, 1, seed=SEED + 1, prefix="new")


def copy_vectors(folder: Path) -> None:
    """Copy the vectors of the serving version to the file that `build_vectors` reads."""
    index = open_index(folder).dense
    shape = (len(index), index.dimension)
    vectors: Vectors = np.lib.format.open_memmap(  # type: ignore[no-untyped-call]  # numpy left it out
        _vectors_path(folder), mode="w+", dtype=np.float32, shape=shape
    )
    for first in range(0, len(index), _BLOCK_ROWS):
        count = min(_BLOCK_ROWS, len(index) - first)
        vectors[first : first + count] = index.vectors(first, count)


def build_vectors(folder: Path, kind: DenseKind) -> Built:
    """Build the dense part beside the version; `dense.kind` is the kind that was actually built."""
    vectors = np.load(_vectors_path(folder), mmap_mode="r")
    path = dense_path(folder, kind)
    with watched_peak() as peak:
        started = time.perf_counter()
        info = build_dense(vectors, path, DensePlan(exact_max_chunks=len(vectors) if kind == "exact" else 0))
        seconds = time.perf_counter() - started
    return Built(seconds, peak.own_bytes, _measure_size(path), info)


def build_words(folder: Path) -> Built:
    """Build the lexical part beside the version."""
    chunk_file, path = open_index(folder).chunk_file, folder / LEXICAL_NAME
    with watched_peak() as peak:
        started = time.perf_counter()
        build_lexical((words(chunk.text) for chunk in chunk_file), path)
        seconds = time.perf_counter() - started
    return Built(seconds, peak.own_bytes, _measure_size(path))


def measure_parts(folder: Path) -> dict[str, int]:
    """Return the bytes on disk of each part of the serving version."""
    stored = IndexStore(folder).current(TENANT)
    assert stored is not None
    names = {"dense": (DENSE_NAME,), "lexical": (LEXICAL_NAME,), "chunks": (LINES_NAME, OFFSETS_NAME)}
    parts = {part: sum(_measure_size(stored.folder / each) for each in names[part]) for part in names}
    return parts | {"other": _measure_size(stored.folder) - sum(parts.values())}


def open_index(folder: Path) -> TenantIndex:
    """Open the serving version."""
    index = IndexStore(folder).read(TENANT, TenantIndex)
    assert index is not None, "it was ingested before"
    return index


def dense_path(folder: Path, kind: DenseKind) -> Path:
    """Return the path of a dense part that is built beside the version."""
    return folder / f"{kind}.faiss"


def _add(folder: Path, documents: int, *, seed: int, prefix: str) -> Ingested:
    sources, encoder, clock = DrawnSources(folder, documents, seed, prefix), DrawnEncoder(seed), StageClock()
    ingestion = Ingestion(FileEngine(IndexStore(folder)), clock, lambda: EMBEDDER, lambda: encoder)
    with watched_peak() as peak:
        report = ingestion.add(TENANT, sources)
    return Ingested(
        documents=report.documents,
        chunks=report.chunks,
        seconds=report.seconds - sources.spent_s - encoder.spent_s,
        read_s=clock.seconds["reading"] - sources.spent_s,
        publish_s=clock.seconds["embedding"] - encoder.spent_s,
        own_peak_bytes=peak.own_bytes,
        resident_peak_bytes=peak.resident_bytes,
    )


def _vectors_path(folder: Path) -> Path:
    return folder / "vectors.npy"


def _measure_size(path: Path) -> int:
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sum(each.stat().st_size for each in files)
