"""Search by meaning in graphs of neighbours (HNSW), one for each language, which also serve searches of that language.

A search of all languages walks each graph and merges what they find. One graph for all was rejected: walks for the few
chunks of one language that hide among others find too little, and a second set of graphs would double memory and
building. Source: Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using Hierarchical
Navigable Small World graphs", TPAMI 2020.
"""

import math
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import faiss
import numpy as np
from numpy.typing import NDArray

from rag.index.faiss_files import fill, read_copy, read_mapped, select, write_index
from rag.index.manifest import BrokenIndexError, DenseInfo
from rag.index.neighbours import DenseSubset, Found, take_nearest
from rag.index.recall import RECALL_MIN, RecallSample
from rag.ports import Vectors

# Neighbours of a node, and nodes compared to find them. At 50 000 passages, 16 neighbours need half as many steps again
# for the same recall and save 7 % of the file; 40 nodes compared need a third more.
_NEIGHBOURS: Final = 32
_BUILDING_WIDTH: Final = 80
# Nodes that a walk keeps in sight, tried in this order.
_WIDTHS: Final = (32, 48, 64, 96, 128, 192, 256, 384)
# A graph with a larger share of removed nodes is built anew: they cost steps and memory.
_DEAD_MAX_SHARE: Final = 0.2
# A walk for a subset sees as many of it as one for all sees nodes, so it is longer; up to so many times.
_WIDER_AT_MOST: Final = 8
_NODES_SUFFIX: Final = ".i32"
_INDEX_SUFFIX: Final = ".faiss"


class _Graph:
    """The vectors of one group by node, in the order in which they came; few of them have no graph, only vectors."""

    def __init__(self, index: faiss.Index, ordinals: NDArray[np.int32], number: int, path: Path | None = None) -> None:
        """`ordinals` are those of the nodes; -1: removed. `path` is the file that the index was opened from."""
        self.index: Any = index  # Any: faiss's stubs know no graphs
        self.path: Final = path
        self.ordinals: Final = ordinals
        self.number: Final = number
        self.live: Final = np.flatnonzero(ordinals >= 0)
        self.has_edges: Final = isinstance(self.index, faiss.IndexHNSW)
        self.storage: Any = faiss.downcast_index(index.storage if self.has_edges else index)  # type: ignore[attr-defined]
        self._selector = select(self.live, len(ordinals)) if len(self.live) < len(ordinals) else None

    @property
    def width(self) -> int:
        return int(self.index.hnsw.efSearch)

    def walk(self) -> "_Probe":
        """Return how to search all nodes."""
        return self._walk(self.width, self._selector) if self.has_edges else self.compare()

    def compare(self) -> "_Probe":
        """Return how to compare all nodes."""
        return self._compare(self._selector)

    def walk_among(self, nodes: NDArray[np.integer]) -> "_Probe":
        """Return how to search some nodes."""
        wider = len(self.ordinals) / len(nodes)
        selector = select(nodes, len(self.ordinals))
        if not self.has_edges or wider > _WIDER_AT_MOST:
            return self._compare(selector)
        return self._walk(math.ceil(self.width * wider), selector)

    def compare_among(self, nodes: NDArray[np.integer]) -> "_Probe":
        """Return how to compare some nodes."""
        return self._compare(select(nodes, len(self.ordinals)))

    def find(self, queries: Vectors, k: int, probe: "_Probe") -> tuple[Vectors, NDArray[np.int64]]:
        """Return similarities and ordinals, (queries, k); -1 where there are no more."""
        target = self.storage if probe.is_exact else self.index
        similarities, nodes = target.search(queries, min(k, len(self.ordinals)), params=probe.options)
        return similarities, np.where(nodes >= 0, self.ordinals[nodes], -1)

    def _compare(self, selector: faiss.IDSelector | None) -> "_Probe":
        options = faiss.SearchParameters(sel=selector) if selector is not None else None  # type: ignore[call-arg]
        return _Probe(self, options, is_exact=True)

    def _walk(self, width: int, selector: faiss.IDSelector | None) -> "_Probe":
        within = {} if selector is None else {"sel": selector}
        options = faiss.SearchParametersHNSW(efSearch=width, **within)  # type: ignore[attr-defined]
        return _Probe(self, options, is_exact=False)


@dataclass(frozen=True, slots=True)
class _Probe:
    """One graph in a search, and faiss's options for it."""

    graph: _Graph
    options: faiss.SearchParameters | None
    is_exact: bool


class GraphVectors:
    """A `rag.index.neighbours.Neighbours` over one graph for each group of vectors."""

    def __init__(self, graphs: Sequence[_Graph]) -> None:
        """Join the graphs.

        Raises: BrokenIndexError: they do not hold each ordinal once.
        """
        self._graphs: Final = list(graphs)
        ordinals = np.concatenate([graph.ordinals[graph.live] for graph in graphs])
        if not np.array_equal(np.sort(ordinals), np.arange(len(ordinals))):
            raise BrokenIndexError("graphs do not hold each vector once")
        self._graph_of = np.empty(len(ordinals), dtype=np.int8)
        self._node_of = np.empty(len(ordinals), dtype=np.int32)
        for at, graph in enumerate(graphs):
            self._graph_of[graph.ordinals[graph.live]] = at
            self._node_of[graph.ordinals[graph.live]] = graph.live

    @classmethod
    def load(cls, folder: Path) -> "GraphVectors":
        """Open what `build_graphs` wrote; it stays mapped.

        Raises: BrokenIndexError: a file is no index, or its nodes are not those of its vectors.
        """
        return cls(list(_load(folder)))

    def __len__(self) -> int:
        return len(self._node_of)

    @property
    def dimension(self) -> int:
        return int(self._graphs[0].index.d)

    @property
    def parts(self) -> Sequence[_Graph]:
        return self._graphs

    @cached_property
    def everything(self) -> DenseSubset:
        walks = tuple(graph.walk() for graph in self._graphs)
        return DenseSubset(len(self), walks, tuple(graph.compare() for graph in self._graphs))

    def subset(self, ordinals: NDArray[np.integer], *, exact_max_chunks: int = 0) -> DenseSubset:
        """Prepare a search restricted to these ordinals.

        If they are all of a group, as those of a language are, it walks that group's graph. If they are only some, it
        compares them if they are at most `exact_max_chunks` or a small share, and else walks the further the fewer.
        """
        compares, walks = [], []
        graph_of, node_of = self._graph_of[ordinals], self._node_of[ordinals]
        for at, graph in enumerate(self._graphs):
            nodes = node_of[graph_of == at]
            if not len(nodes):
                continue
            if len(nodes) == len(graph.live):
                compares.append(graph.compare())
                walks.append(graph.walk())
            else:
                compares.append(graph.compare_among(nodes))
                walks.append(graph.walk_among(nodes))
        exact = tuple(compares)
        return DenseSubset(len(ordinals), exact if len(ordinals) <= exact_max_chunks else tuple(walks), exact)

    def find(self, query: Vectors, k: int, options: Any) -> Found:  # Any: see `DenseSubset`
        rows = [probe.graph.find(query, k, probe) for probe in options]
        return take_nearest([(similarities[0], ordinals[0].astype(np.int64)) for similarities, ordinals in rows], k)

    def vectors(self, first: int, count: int) -> Vectors:
        graph_of, node_of = self._graph_of[first : first + count], self._node_of[first : first + count]
        rows: Vectors = np.empty((count, self.dimension), dtype=np.float32)
        for at in np.unique(graph_of):
            mine = graph_of == at
            rows[mine] = self._graphs[at].storage.reconstruct_batch(node_of[mine].astype(np.int64))
        return rows


@dataclass(frozen=True, slots=True)
class Carried:
    """Graphs of an older version; `old_ordinals` gives the ordinal there of each new one, or -1, (n,)."""

    old: GraphVectors
    old_ordinals: NDArray[np.int64]

    def places(self, graph: _Graph, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the new ordinal of each node of an old graph, or -1 if it is not one of these rows, (nodes,)."""
        new_of_old = np.full(len(self.old), -1, dtype=np.int64)
        mine = rows[self.old_ordinals[rows] >= 0]
        new_of_old[self.old_ordinals[mine]] = mine
        return np.where(graph.ordinals >= 0, new_of_old[graph.ordinals], -1)


def build_graphs(
    vectors: Vectors, folder: Path, parts: NDArray[np.int8], carried: Carried | None, *, min_nodes: int
) -> DenseInfo | None:
    """Write a graph of each group of vectors, or only the vectors of a small one; None if the recall is too low.

    `parts` numbers the group of each vector, (n,).

    Raises: OSError: the disk is full or failed.
    """
    folder.mkdir()
    widths, recalls = [], []
    for number in np.unique(parts).tolist():
        rows = np.flatnonzero(parts == number)
        if len(rows) <= min_nodes:
            index: faiss.Index = faiss.IndexFlatIP(vectors.shape[1])
            fill(index, vectors, rows)
            graph = _Graph(index, rows.astype(np.int32), number)
        else:
            built = _build_graph(vectors, rows, carried, number)
            if built is None:
                shutil.rmtree(folder)
                return None
            graph, recall = built
            widths.append(graph.width)
            recalls.append(recall)
        write_index(graph.index, folder / f"{number}{_INDEX_SUFFIX}")
        # `tofile` has no words for a full disk.
        (folder / f"{number}{_NODES_SUFFIX}").write_bytes(graph.ordinals.tobytes())
    return DenseInfo("hnsw", len(widths), max(widths), round(min(recalls), 4))


def _build_graph(
    vectors: Vectors, rows: NDArray[np.int64], carried: Carried | None, number: int
) -> tuple[_Graph, float] | None:
    sample = RecallSample(vectors, None if len(rows) == len(vectors) else rows, np.random.default_rng(0), mixed=True)
    if carried is not None:
        for old in carried.old.parts:
            places = carried.places(old, rows)
            if old.number != number or not old.has_edges or (places < 0).mean() > _DEAD_MAX_SHARE:
                continue
            grown = _grow(old, places, vectors, rows)
            recall = _set_width(grown, sample)
            if recall is not None:
                return grown, recall
    index: Any = faiss.IndexHNSWFlat(vectors.shape[1], _NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = _BUILDING_WIDTH
    fill(index, vectors, rows)
    graph = _Graph(index, rows.astype(np.int32), number)
    recall = _set_width(graph, sample)
    return None if recall is None else (graph, recall)


def _grow(old: _Graph, places: NDArray[np.int64], vectors: Vectors, rows: NDArray[np.int64]) -> _Graph:
    """Return a copy of an old graph with the rows that it does not hold."""
    assert old.path is not None
    index = read_copy(old.path)
    missing = np.setdiff1d(rows, places)
    fill(index, vectors, missing)
    return _Graph(index, np.concatenate([places, missing]).astype(np.int32), old.number)


def _set_width(graph: _Graph, sample: RecallSample) -> float | None:
    """Give the graph the width that the recall needs, and half as much again, and return the recall; None if none does.

    The sample is of mixed passages: of passages themselves a walk finds all at a width that finds 97 % of a question's.
    """
    for width in _WIDTHS:
        if _measure(graph, width, sample) >= RECALL_MIN:
            return _measure(graph, width * 3 // 2, sample)
    return None


def _measure(graph: _Graph, width: int, sample: RecallSample) -> float:
    graph.index.hnsw.efSearch = width
    probe = graph.walk()
    return sample.measure(lambda queries, k: graph.find(queries, k, probe))


def _load(folder: Path) -> Iterator[_Graph]:
    for path in sorted(folder.glob(f"*{_INDEX_SUFFIX}")):
        index = read_mapped(path)
        try:
            ordinals = np.fromfile(path.with_suffix(_NODES_SUFFIX), dtype=np.int32)
        except OSError as error:
            raise BrokenIndexError(f"{path.name} has no nodes") from error
        if len(ordinals) != index.ntotal:
            raise BrokenIndexError(f"the nodes of {path.name} are those of another index")
        yield _Graph(index, ordinals, int(path.stem), path)
