"""Search by meaning: the vectors of a version and their nearest neighbours. Only this file imports faiss."""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import faiss
import numpy as np
from numpy.typing import NDArray

from rag.index.manifest import BrokenIndexError, DenseInfo
from rag.index.ranking import take_best
from rag.ports import Vectors

# Up to here every vector is compared: 50 000 x 384 takes about 5 ms on one core. The contract sets the number.
EXACT_MAX_CHUNKS: Final = 50_000
# The contract's bound on the recall of the approximate index, measured against exact search.
RECALL_MIN: Final = 0.98
RECALL_AT: Final = 10
_SAMPLE_SIZE: Final = 256
# Limits the similarities to the centres to 130 MB, for a million vectors.
_BLOCK_ROWS: Final = 8_192
# faiss advises 4 to 16 lists per square root of n, and warns below 39 training points per list.
# Source: faiss wiki, "Guidelines to choose an index"; faiss/Clustering.h.
_LISTS_PER_SQRT: Final = 4
_POINTS_PER_LIST: Final = 39
_TRAINING_POINTS_PER_LIST: Final = 64
_TRAINING_ROUNDS: Final = 10
# An old set of lists is kept if their number is off by no more than this factor: search is as fast, and a growing
# collection is not trained again each time.
_LISTS_TOLERANCE: Final = 1.5
# Equal vectors may differ in the last bits of float32, depending on their place in a block of the dot product: such a
# difference is no rank.
_SIMILARITY_DECIMALS: Final = 6


class DenseIndex:
    """Vectors by ordinal, in a file that stays mapped: processes on one machine share its memory."""

    def __init__(self, index: faiss.Index) -> None:
        self._index = index

    @classmethod
    def load(cls, path: Path) -> "DenseIndex":
        """Open an index file; it stays mapped.

        Raises: BrokenIndexError: the file is no index.
        """
        try:
            return cls(faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC))
        except RuntimeError as error:
            raise BrokenIndexError(f"{path.name} cannot be loaded") from error

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

    def search(self, vector: Vectors, k: int, subset: "DenseSubset | None" = None) -> list[tuple[int, float]]:
        """Return the k nearest as (ordinal, cosine), best first; ties by ordinal, at the cut too.

        `subset`, made by this index, restricts the search; None: all vectors.
        """
        query = np.ascontiguousarray(vector, dtype=np.float32).reshape(1, -1)
        total, options = (len(self), None) if subset is None else (subset.size, subset.options)
        k = min(k, total)
        if k <= 0:
            return []
        fetched = min(k + 1, total)
        while True:
            similarities, ordinals = (row[0] for row in self._index.search(query, fetched, params=options))
            found = ordinals >= 0  # faiss gives -1 if the probed lists hold no more
            similarities, ordinals = similarities[found].round(_SIMILARITY_DECIMALS), ordinals[found]
            if subset is not None and len(ordinals) < k and options is not subset.exhaustive:
                options = subset.exhaustive
                continue
            # Of equal similarities faiss keeps the last ones, so all of them are fetched.
            if fetched == total or len(ordinals) < fetched or similarities[-1] < similarities[k - 1]:
                return take_best(ordinals, similarities, k)
            fetched = min(fetched * 2, total)

    def subset(self, ordinals: NDArray[np.integer], *, exact_max_chunks: int = 0) -> "DenseSubset":
        """Prepare a search that is restricted to these ordinals, to be used many times.

        In an approximate index the lists nearest to a question need not hold any of them. So only lists that hold some
        are probed, and enough of them to compare as many vectors as an unrestricted search does; all of them if there
        are at most `exact_max_chunks` ordinals, or if the others do not hold k.

        Raises: BrokenIndexError: the lists hold ordinals that the index does not have.
        """
        selector = _select(ordinals, len(self))
        if not isinstance(self._index, faiss.IndexIVF):
            exact = faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]
            return DenseSubset(len(ordinals), exact, exact)
        holding = np.unique(self._lists[ordinals])
        lists = faiss.SearchParameters(sel=_select(holding, self._index.nlist))  # type: ignore[call-arg]

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

    @cached_property
    def _lists(self) -> NDArray[np.int32]:
        """The list that holds each ordinal, (n,); only of an approximate index."""
        assert isinstance(self._index, faiss.IndexIVF)
        return _read_lists(self._index)

    def vectors(self, first: int, count: int) -> Vectors:
        """Return `count` vectors from ordinal `first` on, float32, (count, dim)."""
        if isinstance(self._index, faiss.IndexIVF) and self._index.direct_map.no():
            self._index.make_direct_map()
        # `reconstruct_n` walks through all lists each time: 10 ms per document in an index of a million vectors.
        rows: Vectors = self._index.reconstruct_batch(np.arange(first, first + count))
        return rows


@dataclass(frozen=True, slots=True)
class DenseSubset:
    """The size of a subset, and the faiss parameters that restrict a search to it; `exhaustive` misses none of it."""

    size: int
    options: faiss.SearchParameters
    exhaustive: faiss.SearchParameters


def _select(numbers: NDArray[np.integer], total: int) -> faiss.IDSelector:
    bits = np.zeros(total, dtype=bool)
    bits[numbers] = True
    # faiss's stubs have the signatures of C++, not those of its Python wrappers.
    return faiss.IDSelectorBitmap(np.packbits(bits, bitorder="little"))  # type: ignore[call-arg, arg-type]


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


def build_dense(
    vectors: Vectors, path: Path, *, exact_max_chunks: int = EXACT_MAX_CHUNKS, centres: Vectors | None = None
) -> DenseInfo:
    """Write the index of these unit-length vectors, (n, dim); above the limit it is approximate if its recall suffices.

    `centres` are those of an index that held most of these vectors: computing new ones is most of the work.

    Raises: OSError: the disk is full or failed.
    """
    index: faiss.Index | None = None
    info: DenseInfo | None = None
    if len(vectors) > exact_max_chunks:
        index, info = _build_approximate(vectors, centres)
    if index is None or info is None:
        index, info = faiss.IndexFlatIP(vectors.shape[1]), DenseInfo("flat", lists=1, probes=1, recall_at_10=1.0)
        _fill(index, vectors)
    # Not by file name: faiss ignores errors on closing, so a full disk would leave a truncated file without an error.
    with path.open("wb") as file:
        faiss.write_index(index, faiss.PyCallbackIOWriter(file.write))  # type: ignore[attr-defined]  # made by SWIG
    return info


def _fill(index: faiss.Index, vectors: Vectors) -> None:
    for first in range(0, len(vectors), _BLOCK_ROWS):
        index.add(np.ascontiguousarray(vectors[first : first + _BLOCK_ROWS]))


def _build_approximate(
    vectors: Vectors, old_centres: Vectors | None
) -> tuple[faiss.IndexIVFFlat | None, DenseInfo | None]:
    """Build inverted lists with as few probes as the recall needs; None if a quarter of the lists does not suffice.

    HNSW was rejected: for a million vectors its graph takes an hour on two cores, lists take minutes, and the limit of
    its recall is fixed before it can be measured.
    """
    total = len(vectors)
    lists = min(int(_LISTS_PER_SQRT * math.sqrt(total)), max(1, total // _POINTS_PER_LIST))
    random = np.random.default_rng(0)
    sample = np.sort(random.choice(total, min(total, _SAMPLE_SIZE), replace=False))
    floor = _find_floor(vectors, sample)
    if old_centres is not None and lists / _LISTS_TOLERANCE <= len(old_centres) <= lists * _LISTS_TOLERANCE:
        index = _fill_lists(old_centres, vectors)
        info = _set_probes(index, vectors[sample], sample, floor)
        if info is not None:
            return index, info
    training = random.choice(total, min(total, lists * _TRAINING_POINTS_PER_LIST), replace=False)
    index = _fill_lists(_find_centres(vectors[np.sort(training)], lists, random), vectors)
    info = _set_probes(index, vectors[sample], sample, floor)
    return (index, info) if info is not None else (None, None)


def _set_probes(
    index: faiss.IndexIVFFlat, queries: Vectors, sample: NDArray[np.int64], floor: Vectors
) -> DenseInfo | None:
    # Some lists are longer than others and are probed more often: if one list holds everything, one probe finds
    # everything.
    assert index.invlists is not None
    probes, imbalance = 1, index.invlists.imbalance_factor()
    while probes * imbalance <= index.nlist / 4:
        index.nprobe = probes
        if _measure_recall(index, queries, sample, floor) >= RECALL_MIN:
            # Questions are farther from passages than passages from each other, so use twice the probes that the sample
            # needs.
            index.nprobe = probes * 2
            recall = _measure_recall(index, queries, sample, floor)
            return DenseInfo("ivf", index.nlist, probes * 2, round(recall, 4))
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
        for first in range(0, len(vectors), _BLOCK_ROWS):
            block = vectors[first : first + _BLOCK_ROWS]
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
    for first in range(0, len(vectors), _BLOCK_ROWS):
        block = np.ascontiguousarray(vectors[first : first + _BLOCK_ROWS])
        nearest = _find_nearest(block, centres)
        index.add_core(len(block), faiss.swig_ptr(block), None, faiss.swig_ptr(nearest))
    return index


def _find_floor(vectors: Vectors, sample: NDArray[np.int64]) -> Vectors:
    """Return the exact similarity of the tenth neighbour of each sampled vector, without itself, (len(sample),)."""
    queries = vectors[sample]
    best: Vectors = np.full((len(sample), RECALL_AT + 1), -np.inf, dtype=np.float32)
    for first in range(0, len(vectors), _BLOCK_ROWS):
        similarities = np.hstack([best, queries @ vectors[first : first + _BLOCK_ROWS].T])
        best = np.partition(similarities, -RECALL_AT - 1, axis=1)[:, -RECALL_AT - 1 :]
    floor: Vectors = best.min(axis=1)
    return floor


def _measure_recall(index: faiss.Index, queries: Vectors, sample: np.ndarray, floor: Vectors) -> float:
    """Return recall@10 over the sample; results as near as the tenth exact neighbour count, so ties are no misses."""
    similarities, ordinals = index.search(np.ascontiguousarray(queries), RECALL_AT + 1)
    near = (
        (similarities >= floor[:, None] - 10.0**-_SIMILARITY_DECIMALS) & (ordinals != sample[:, None]) & (ordinals >= 0)
    )
    return float(np.minimum(near.sum(axis=1), RECALL_AT).mean() / RECALL_AT)
