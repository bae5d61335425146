"""Search by meaning in one file: every vector is compared, or those in the lists whose centres are nearest."""

import math
from functools import cached_property
from typing import Any, Final

import faiss
import numpy as np
from numpy.typing import NDArray

from rag.index.faiss_files import BLOCK_ROWS, fill, select
from rag.index.manifest import BrokenIndexError, DenseInfo
from rag.index.neighbours import DenseSubset, Found
from rag.index.recall import RECALL_MIN, RecallSample
from rag.ports import Vectors

# faiss advises 4 to 16 lists per square root of n, and warns below 39 training points per list.
# Source: faiss wiki, "Guidelines to choose an index"; faiss/Clustering.h.
_LISTS_PER_SQRT: Final = 4
_POINTS_PER_LIST: Final = 39
_TRAINING_POINTS_PER_LIST: Final = 64
_TRAINING_ROUNDS: Final = 10
# An old set of lists is kept if their number is off by no more than this factor: search is as fast, and a growing
# collection is not trained again each time.
_LISTS_TOLERANCE: Final = 1.5


class ListedVectors:
    """A `rag.index.neighbours.Neighbours` over one faiss index, flat or of inverted lists."""

    def __init__(self, index: faiss.Index) -> None:
        self._index = index

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def dimension(self) -> int:
        return int(self._index.d)

    @property
    def centres(self) -> Vectors | None:
        """The centres of its lists, float32, (lists, dim); None if the index is exact."""
        if not isinstance(self._index, faiss.IndexIVF):
            return None
        centres: Vectors = self._index.quantizer.reconstruct_n(0, self._index.nlist)
        return centres

    @cached_property
    def everything(self) -> DenseSubset:
        if not isinstance(self._index, faiss.IndexIVF):
            return DenseSubset(len(self), None, None)
        every_list = faiss.SearchParametersIVF(nprobe=self._index.nlist)  # type: ignore[call-arg]
        return DenseSubset(len(self), None, every_list)

    def subset(self, ordinals: NDArray[np.integer], *, exact_max_chunks: int = 0) -> DenseSubset:
        """Prepare a search restricted to these ordinals.

        In an approximate index the lists nearest to a question need not hold any of them. So only lists that hold some
        are probed, and enough of them to compare as many vectors as an unrestricted search does; all of them if there
        are at most `exact_max_chunks` ordinals, or if the others do not hold k.

        Raises: BrokenIndexError: the lists hold ordinals that the index does not have.
        """
        selector = select(ordinals, len(self))
        if not isinstance(self._index, faiss.IndexIVF):
            exact = faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]
            return DenseSubset(len(ordinals), exact, exact)
        holding = np.unique(self._lists[ordinals])
        lists = faiss.SearchParameters(sel=select(holding, self._index.nlist))  # type: ignore[call-arg]

        def probe(count: int) -> faiss.SearchParameters:
            return faiss.SearchParametersIVF(  # type: ignore[call-arg]
                sel=selector, nprobe=max(1, count), quantizer_params=lists
            )

        exhaustive = probe(len(holding))
        if len(ordinals) <= exact_max_chunks:
            return DenseSubset(len(ordinals), exhaustive, exhaustive)
        wanted = self._index.nprobe * len(self) / self._index.nlist
        probes = min(len(holding), math.ceil(wanted * len(holding) / max(1, len(ordinals))))
        return DenseSubset(len(ordinals), probe(probes), exhaustive)

    def find(self, query: Vectors, k: int, options: Any) -> Found:  # Any: see `DenseSubset`
        similarities, ordinals = (row[0] for row in self._index.search(query, k, params=options))
        found = ordinals >= 0  # faiss gives -1 if the probed lists hold no more
        return similarities[found], ordinals[found]

    def vectors(self, first: int, count: int) -> Vectors:
        if isinstance(self._index, faiss.IndexIVF) and self._index.direct_map.no():
            self._index.make_direct_map()
        # `reconstruct_n` walks through all lists each time: 10 ms per document in an index of a million vectors.
        rows: Vectors = self._index.reconstruct_batch(np.arange(first, first + count))
        return rows

    @cached_property
    def _lists(self) -> NDArray[np.int32]:
        """The list that holds each ordinal, (n,); only of an approximate index."""
        assert isinstance(self._index, faiss.IndexIVF)
        return _read_lists(self._index)


def _read_lists(index: faiss.IndexIVF) -> NDArray[np.int32]:
    """Return the list that holds each ordinal, (n,)."""
    lists = index.invlists
    assert lists is not None
    list_of = np.zeros(index.ntotal, dtype=np.int32)
    try:
        for number in range(index.nlist):
            list_of[faiss.rev_swig_ptr(lists.get_ids(number), lists.list_size(number))] = number
    except IndexError as error:
        raise BrokenIndexError("its lists hold what it does not have") from error
    return list_of


def build_exact(vectors: Vectors) -> tuple[faiss.Index, DenseInfo]:
    """Build an index that compares every vector."""
    index = faiss.IndexFlatIP(vectors.shape[1])
    fill(index, vectors)
    return index, DenseInfo("flat", lists=1, probes=1, recall_at_10=1.0)


def build_lists(vectors: Vectors, old_centres: Vectors | None) -> tuple[faiss.Index, DenseInfo] | None:
    """Build inverted lists with as few probes as the recall needs; None if a quarter of the lists does not suffice.

    `old_centres` are those of an index that held most of these vectors: computing new ones is most of the work.
    """
    total = len(vectors)
    lists = min(int(_LISTS_PER_SQRT * math.sqrt(total)), max(1, total // _POINTS_PER_LIST))
    random = np.random.default_rng(0)
    sample = RecallSample(vectors, None, random)
    if old_centres is not None and lists / _LISTS_TOLERANCE <= len(old_centres) <= lists * _LISTS_TOLERANCE:
        index = _fill_lists(old_centres, vectors)
        info = _set_probes(index, sample)
        if info is not None:
            return index, info
    training = random.choice(total, min(total, lists * _TRAINING_POINTS_PER_LIST), replace=False)
    index = _fill_lists(_find_centres(vectors[np.sort(training)], lists, random), vectors)
    info = _set_probes(index, sample)
    return (index, info) if info is not None else None


def _set_probes(index: faiss.IndexIVFFlat, sample: RecallSample) -> DenseInfo | None:
    # Some lists are longer than others and are probed more often: if one list holds everything, one probe finds
    # everything.
    assert index.invlists is not None
    probes, imbalance = 1, index.invlists.imbalance_factor()
    while probes * imbalance <= index.nlist / 4:
        index.nprobe = probes
        if sample.measure(index.search) >= RECALL_MIN:
            # Questions are farther from passages than passages from each other, so use twice the probes that the sample
            # needs.
            index.nprobe = probes * 2
            return DenseInfo("ivf", index.nlist, probes * 2, round(sample.measure(index.search), 4))
        probes += max(1, probes // 4)
    return None


def _find_centres(vectors: Vectors, lists: int, random: np.random.Generator) -> Vectors:
    """Return the centres of this many clusters, of unit length, (lists, dim), by spherical k-means.

    faiss's k-means was rejected: its matrix product takes newer processors for ones without AVX, and runs at an eighth
    of numpy's speed.
    """
    centres: Vectors = vectors[random.choice(len(vectors), lists, replace=False)]
    for _ in range(_TRAINING_ROUNDS):
        sums, counts = np.zeros_like(centres), np.zeros(lists, dtype=np.int64)
        for first in range(0, len(vectors), BLOCK_ROWS):
            block = vectors[first : first + BLOCK_ROWS]
            nearest = _find_nearest(block, centres)
            order = np.argsort(nearest, kind="stable")
            distinct, starts, sizes = np.unique(nearest[order], return_index=True, return_counts=True)
            sums[distinct] += np.add.reduceat(block[order], starts)
            counts[distinct] += sizes
        # A cluster without members starts again at a random vector.
        sums[counts == 0] = vectors[random.choice(len(vectors), int((counts == 0).sum()), replace=False)]
        centres = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    return centres


def _find_nearest(vectors: Vectors, centres: Vectors) -> NDArray[np.int64]:
    nearest: NDArray[np.int64] = np.argmax(vectors @ centres.T, axis=1)
    return nearest


def _fill_lists(centres: Vectors, vectors: Vectors) -> faiss.IndexIVFFlat:
    lists, dimension = centres.shape
    quantizer = faiss.IndexFlatIP(dimension)
    quantizer.add(centres)
    index = faiss.IndexIVFFlat(quantizer, dimension, lists, faiss.METRIC_INNER_PRODUCT)
    quantizer.this.disown()  # type: ignore[attr-defined]  # made by SWIG; faiss frees it with the index
    index.own_fields = True
    for first in range(0, len(vectors), BLOCK_ROWS):
        block = np.ascontiguousarray(vectors[first : first + BLOCK_ROWS])
        nearest = _find_nearest(block, centres)
        index.add_core(len(block), faiss.swig_ptr(block), None, faiss.swig_ptr(nearest))
    return index
