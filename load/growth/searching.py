"""Search an index of one size: measure the time to open it and to answer, and its recall."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from load.growth.building import SEED, dense_path, open_index
from load.growth.memory import Memory, read_memory
from load.growth.texts import TextStream
from load.growth.vectors import VectorStream
from rag.config.settings import Settings
from rag.index.dense import DenseIndex
from rag.index.embedded import EmbeddedIndex
from rag.index.version import TenantIndex
from rag.limits import Deadline
from rag.ports import Vectors
from rag.retrieval.search import retrieve
from rag.text.language import detect_language, words

QUESTIONS: Final = 200
ROUNDS: Final = 3
# The service's defaults; and the K of the contract's bound.
RETRIEVE_K: Final = Settings().retrieve_k
RERANK_K: Final = Settings().rerank_k
RECALL_AT: Final = 10
_DEADLINE_S: Final = 600.0
# Float32 cosines differ by up to this much, depending on the order of summation.
_SIMILARITY_ERROR: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Latency:
    """Percentiles of the time of one search."""

    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Opened:
    """The time to open a version; memory before and after that, and after each question was asked once."""

    seconds: float
    before: Memory
    loaded: Memory
    searched: Memory


@dataclass(frozen=True, slots=True)
class Searched:
    """The results of searching one size.

    `retrieval` is the product's own: lexical search while the question is embedded (which takes no time here), then
    vector search among all chunks and among those in the other language, then fusion.
    """

    opened: Opened
    lexical: Latency
    exact: Latency
    approximate: Latency | None
    retrieval: Latency
    recall_at_10: float | None


class DrawnEmbedder:
    """A `rag.ports.TextEmbedder` that looks up the vectors of known questions."""

    def __init__(self, vectors: Mapping[str, Vectors]) -> None:
        self._vectors = vectors

    async def embed_query(self, text: str, *, timeout_s: float, trace_id: str) -> Vectors:
        return self._vectors[text]


def draw_questions(folder: Path) -> None:
    """Write questions that chunks of the serving version answer, for `search`."""
    index = open_index(folder)
    ordinals = np.random.default_rng(SEED).integers(0, index.version.chunks, QUESTIONS).tolist()
    texts = TextStream(SEED)
    questions = [texts.draw_question(words(chunk.text)) for chunk in index.chunks(ordinals)]
    passages = np.concatenate([index.dense.vectors(ordinal, 1) for ordinal in ordinals])
    np.save(_vectors_path(folder), VectorStream(SEED).draw_questions(passages))
    _texts_path(folder).write_text(json.dumps(questions), "utf-8")


def search(folder: Path, *, with_approximate: bool) -> Searched:
    """Open the serving version and search it; both kinds of dense index get the same questions."""
    questions: list[str] = json.loads(_texts_path(folder).read_text("utf-8"))
    vectors: Vectors = np.load(_vectors_path(folder))
    index, opened = _open_watched(folder, questions, vectors)
    exact = DenseIndex.load(dense_path(folder, "exact"))
    approximate = DenseIndex.load(dense_path(folder, "approximate")) if with_approximate else None
    return Searched(
        opened=opened,
        lexical=_time(lambda number: index.search_lexical(questions[number], RETRIEVE_K)),
        exact=_time(lambda number: exact.search(vectors[number], RETRIEVE_K)),
        approximate=_time(lambda number: approximate.search(vectors[number], RETRIEVE_K)) if approximate else None,
        retrieval=asyncio.run(_time_retrieval(index, questions, vectors)),
        recall_at_10=measure_recall(exact, approximate, vectors) if approximate else None,
    )


def measure_recall(exact: DenseIndex, approximate: DenseIndex, vectors: Vectors) -> float:
    """Return recall@10 over these questions; a hit as near as the tenth counts, whichever chunk it is."""
    shares = []
    for vector in vectors:
        floor = exact.search(vector, RECALL_AT)[-1][1] - _SIMILARITY_ERROR
        near = sum(similarity >= floor for _, similarity in approximate.search(vector, RECALL_AT))
        shares.append(near / RECALL_AT)
    return float(np.mean(shares))


def _open_watched(folder: Path, questions: Sequence[str], vectors: Vectors) -> tuple[TenantIndex, Opened]:
    before = read_memory()
    started = time.perf_counter()
    index = open_index(folder)
    seconds = time.perf_counter() - started
    loaded = read_memory()
    for question, vector in zip(questions, vectors, strict=True):
        index.search_lexical(question, RETRIEVE_K)
        index.chunks([ordinal for ordinal, _ in index.search_dense(vector, RETRIEVE_K)])
    return index, Opened(seconds, before, loaded, read_memory())


async def _time_retrieval(index: TenantIndex, questions: Sequence[str], vectors: Vectors) -> Latency:
    embedder, seconds = DrawnEmbedder(dict(zip(questions, vectors, strict=True))), []
    languages = {question: detect_language(question) for question in questions}
    served = EmbeddedIndex(index)
    for question in [*questions] * ROUNDS:
        started = time.perf_counter()
        await retrieve(
            question,
            asked_in=languages[question],
            index=served,
            embedder=embedder,
            k=RETRIEVE_K,
            limit=RERANK_K,
            deadline=Deadline.after(_DEADLINE_S),
            trace_id="growth",
        )
        seconds.append(time.perf_counter() - started)
    return _describe(seconds)


def _time(ask: Callable[[int], object]) -> Latency:
    """Ask every question once without timing it, so that pages are in memory, then time them in rounds."""
    seconds = []
    for number in [*range(QUESTIONS)] * (1 + ROUNDS):
        started = time.perf_counter()
        ask(number)
        seconds.append(time.perf_counter() - started)
    return _describe(seconds[QUESTIONS:])


def _describe(seconds: Sequence[float]) -> Latency:
    return Latency(*(float(np.percentile(seconds, percent)) * 1000 for percent in (50, 99)))


def _vectors_path(folder: Path) -> Path:
    return folder / "questions.npy"


def _texts_path(folder: Path) -> Path:
    return folder / "questions.json"
