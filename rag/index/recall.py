"""Measure how much of what exact search finds an approximate index finds, on a sample of its own vectors."""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rag.index.faiss_files import BLOCK_ROWS
from rag.ports import Vectors

# The contract's bound on the recall of the approximate index, measured against exact search.
RECALL_MIN: Final = 0.98
RECALL_AT: Final = 10
# Equal vectors may differ in the last bits of float32, depending on their place in a block of the dot product: such a
# difference is no rank.
SIMILARITY_DECIMALS: Final = 6
_SAMPLE_SIZE: Final = 256
# The share of its passage in a question's vector: measured on XQuAD, see `load.growth.vectors.Geometry`.
_QUESTION_SHARE: Final = 0.47

# Takes queries and k; returns similarities and ordinals, (queries, k), as faiss does.
BatchSearch = Callable[[Vectors, int], tuple[Vectors, NDArray[np.int64]]]


class RecallSample:
    """Some of the vectors as questions, and how near the tenth neighbour of each is."""

    def __init__(
        self,
        vectors: Vectors,
        rows: NDArray[np.integer] | None,
        random: np.random.Generator,
        *,
        mixed: bool = False,
    ) -> None:
        """Find the neighbours by comparing all vectors, or all those in these rows.

        `mixed`: the questions are not passages but mixtures of two, about as far from all as questions are.
        """
        among = np.arange(len(vectors)) if rows is None else rows
        self._sample = np.sort(random.choice(among, min(len(among), _SAMPLE_SIZE), replace=False))
        queries: Vectors = np.ascontiguousarray(vectors[self._sample])
        if mixed:
            queries, self._sample = _mix(queries, random), np.full(len(queries), -1)
        self._queries = queries
        self._floor = _find_floor(vectors, rows, queries, RECALL_AT if mixed else RECALL_AT + 1)

    def measure(self, search: BatchSearch) -> float:
        """Return recall@10; results as near as the tenth exact neighbour count, so ties are no misses."""
        similarities, ordinals = search(self._queries, RECALL_AT + 1)
        near = similarities >= self._floor[:, None] - 10.0**-SIMILARITY_DECIMALS
        near &= (ordinals != self._sample[:, None]) & (ordinals >= 0)
        return float(np.minimum(near.sum(axis=1), RECALL_AT).mean() / RECALL_AT)


def _mix(passages: Vectors, random: np.random.Generator) -> Vectors:
    """Return for each passage a mixture with another one that is as far from the mean of all as both."""
    mean = passages.mean(axis=0)
    others = passages[random.permutation(len(passages))]
    mixed = mean + _QUESTION_SHARE * (passages - mean) + np.sqrt(1 - _QUESTION_SHARE**2) * (others - mean)
    unit: Vectors = (mixed / np.linalg.norm(mixed, axis=1, keepdims=True)).astype(np.float32)
    return unit


def _find_floor(vectors: Vectors, rows: NDArray[np.integer] | None, queries: Vectors, rank: int) -> Vectors:
    """Return the exact similarity of the neighbour of this rank of each query, (queries,)."""
    total = len(vectors) if rows is None else len(rows)
    best: Vectors = np.full((len(queries), rank), -np.inf, dtype=np.float32)
    for first in range(0, total, BLOCK_ROWS):
        part = slice(first, first + BLOCK_ROWS)
        block = vectors[part] if rows is None else vectors[rows[part]]
        similarities = np.hstack([best, queries @ block.T])
        best = np.partition(similarities, -rank, axis=1)[:, -rank:]
    floor: Vectors = best.min(axis=1)
    return floor
