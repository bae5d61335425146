"""Search by meaning: the vectors of a version and the nearest of them. The only home of faiss."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import faiss
import numpy as np

from rag.index.manifest import BrokenIndexError, DenseInfo
from rag.index.ranking import take_best
from rag.ports import Vectors

# Up to here every vector is compared: 50 000 x 384 takes about 5 ms on one core. The number is the contract's.
EXACT_MAX_CHUNKS: Final = 50_000
# The contract's bound for what the approximate index finds of what exact search finds.
RECALL_MIN: Final = 0.98
RECALL_AT: Final = 10
_SAMPLE_SIZE: Final = 256
_BLOCK_ROWS: Final = 16_384
# faiss advises 4 to 16 lists per square root of n, and warns below 39 training points per list.
# Source: faiss wiki, "Guidelines to choose an index"; faiss/Clustering.h.
_LISTS_PER_SQRT: Final = 4
_POINTS_PER_LIST: Final = 39
_TRAINING_POINTS_PER_LIST: Final = 64
# Equal vectors may differ in the last bits of float32, by their place in a block of the dot product: not a rank.
_SIMILARITY_DECIMALS: Final = 6


class DenseIndex:
    """Vectors by ordinal, in a file that stays mapped: processes on one machine share its memory."""

    def __init__(self, index: faiss.Index) -> None:
        self._index = index

    @classmethod
    def load(cls, path: Path) -> "DenseIndex":
        """Raises: BrokenIndexError: the file is no index."""
        try:
            return cls(faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC))
        except RuntimeError as error:
            raise BrokenIndexError(f"{path.name} cannot be loaded") from error

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def dimension(self) -> int:
        return int(self._index.d)

    def search(self, vector: Vectors, k: int) -> list[tuple[int, float]]:
        """The k nearest as (ordinal, cosine), best first; ties by ordinal, at the cut too."""
        query = np.ascontiguousarray(vector, dtype=np.float32).reshape(1, -1)
        total = len(self)
        k = min(k, total)
        if k <= 0:
            return []
        fetched = min(k + 1, total)
        while True:
            similarities, ordinals = (row[0] for row in self._index.search(query, fetched))
            similarities = similarities.round(_SIMILARITY_DECIMALS)
            # Of those that tie faiss keeps the last, so all are fetched; -1 stands where its lists held no more.
            if fetched == total or ordinals[-1] < 0 or similarities[-1] < similarities[k - 1]:
                break
            fetched = min(fetched * 2, total)
        found = ordinals >= 0
        return take_best(ordinals[found], similarities[found], k)

    def vectors(self, first: int, count: int) -> Vectors:
        """The vectors with the ordinals from `first` on, float32, (count, dim)."""
        if isinstance(self._index, faiss.IndexIVF) and self._index.direct_map.no():
            self._index.make_direct_map()
        rows: Vectors = self._index.reconstruct_n(first, count)
        return rows


def build_dense(vectors: Vectors, path: Path, *, exact_max_chunks: int = EXACT_MAX_CHUNKS) -> DenseInfo:
    """Writes the index of these unit-length vectors, (n, dim); approximate above the limit where that finds enough.

    Raises: OSError: the disk is full or failed.
    """
    index, info = None, None
    if len(vectors) > exact_max_chunks:
        index, info = _build_approximate(vectors)
    if index is None or info is None:
        index, info = faiss.IndexFlatIP(vectors.shape[1]), DenseInfo("flat", lists=1, probes=1, recall_at_10=1.0)
        _fill(index, vectors)
    # Not by name: faiss closes the file without looking, so a full disk would leave a short file and no error.
    with path.open("wb") as file:
        faiss.write_index(index, faiss.PyCallbackIOWriter(file.write))  # type: ignore[attr-defined]  # made by SWIG
    return info


def _fill(index: faiss.Index, vectors: Vectors) -> None:
    for first in range(0, len(vectors), _BLOCK_ROWS):
        index.add(np.ascontiguousarray(vectors[first : first + _BLOCK_ROWS]))


def _build_approximate(vectors: Vectors) -> tuple[faiss.Index | None, DenseInfo | None]:
    """Inverted lists, with as few probes as the wanted recall needs; nothing where a quarter of the lists is too few.

    Not HNSW: at a million vectors its graph takes an hour on two cores, where lists take minutes, and its recall has a
    ceiling that is set before it can be measured.
    """
    total, dimension = vectors.shape
    lists = min(int(_LISTS_PER_SQRT * math.sqrt(total)), max(1, total // _POINTS_PER_LIST))
    random = np.random.default_rng(0)
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dimension), dimension, lists, faiss.METRIC_INNER_PRODUCT)
    training = random.choice(total, min(total, lists * _TRAINING_POINTS_PER_LIST), replace=False)
    index.train(np.ascontiguousarray(vectors[np.sort(training)]))
    _fill(index, vectors)
    sample = np.sort(random.choice(total, min(total, _SAMPLE_SIZE), replace=False))
    floor = _find_floor(vectors, sample)
    probes = 1
    while probes <= lists // 4:
        index.nprobe = probes
        if _measure_recall(index, vectors[sample], sample, floor) >= RECALL_MIN:
            # Questions lie farther from passages than passages from each other, so twice what the sample needs.
            index.nprobe = probes * 2
            recall = _measure_recall(index, vectors[sample], sample, floor)
            return index, DenseInfo("ivf", lists, probes * 2, round(recall, 4))
        probes *= 2
    return None, None


def _find_floor(vectors: Vectors, sample: Sequence[int] | np.ndarray) -> Vectors:
    """The exact similarity of the tenth neighbour of each sampled vector, itself left out, (len(sample),)."""
    similarities, _ = faiss.knn(
        np.ascontiguousarray(vectors[sample]), np.asarray(vectors), RECALL_AT + 1, metric=faiss.METRIC_INNER_PRODUCT
    )
    floor: Vectors = similarities[:, -1]
    return floor


def _measure_recall(index: faiss.Index, queries: Vectors, sample: np.ndarray, floor: Vectors) -> float:
    """Recall@10 over the sample; whatever is as near as the tenth exact neighbour counts, so ties are no misses."""
    similarities, ordinals = index.search(np.ascontiguousarray(queries), RECALL_AT + 1)
    near = (
        (similarities >= floor[:, None] - 10.0**-_SIMILARITY_DECIMALS) & (ordinals != sample[:, None]) & (ordinals >= 0)
    )
    return float(np.minimum(near.sum(axis=1), RECALL_AT).mean() / RECALL_AT)
