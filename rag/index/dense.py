"""Search by meaning: the vectors of a version and their nearest neighbours, and which kind of index a size gets."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rag.index.faiss_files import read_mapped, write_index
from rag.index.graphs import Carried, GraphVectors, build_graphs
from rag.index.inverted import ListedVectors, build_exact, build_lists
from rag.index.manifest import DenseInfo
from rag.index.neighbour_segments import SegmentedVectors
from rag.index.neighbours import DenseSubset, Neighbours
from rag.index.ranking import take_best
from rag.index.recall import SIMILARITY_DECIMALS
from rag.ports import Vectors

# Up to here every vector is compared: 50 000 x 384 takes about 5 ms on one core. The contract sets the number.
EXACT_MAX_CHUNKS: Final = 50_000
# Up to here graphs are walked, above lists are probed. Graphs answer faster at any size, but take ten times as long to
# build and must fit in memory then: measured in docs/benchmarks.md, "Growth".
GRAPH_MAX_CHUNKS: Final = 300_000


class DenseIndex:
    """Vectors by ordinal, in files that stay mapped: processes on one machine share their memory."""

    def __init__(self, neighbours: Neighbours) -> None:
        self.neighbours: Final = neighbours

    @classmethod
    def load(cls, path: Path) -> "DenseIndex":
        """Open what `build_dense` wrote; it stays mapped.

        Raises: BrokenIndexError: the file is no index, or graphs do not hold each ordinal once.
        """
        folder = _graph_folder(path)
        return cls(GraphVectors.load(folder) if folder.is_dir() else ListedVectors(read_mapped(path)))

    def __len__(self) -> int:
        return len(self.neighbours)

    @property
    def dimension(self) -> int:
        return self.neighbours.dimension

    @property
    def centres(self) -> Vectors | None:
        """The centres of its lists, or of those of its main segment, float32, (lists, dim); None if it has none."""
        return self._main.centres if isinstance(self._main, ListedVectors) else None

    @property
    def graphs(self) -> GraphVectors | None:
        """Its graphs, or those of its main segment; None if it has none."""
        return self._main if isinstance(self._main, GraphVectors) else None

    def carry(self, ordinals: NDArray[np.int64]) -> Carried | None:
        """Return its graphs for an index of which these are the vectors, -1: a new one; None if it has none."""
        if self.graphs is None:
            return None
        if isinstance(self.neighbours, SegmentedVectors):
            places = self.neighbours.places
            in_main = ordinals >= places.delta
            ordinals = np.where(in_main, places.live[np.where(in_main, ordinals - places.delta, 0)], -1)
        return Carried(self.graphs, ordinals)

    @property
    def _main(self) -> Neighbours:
        return self.neighbours.main if isinstance(self.neighbours, SegmentedVectors) else self.neighbours

    def search(self, vector: Vectors, k: int, subset: DenseSubset | None = None) -> list[tuple[int, float]]:
        """Return the k nearest as (ordinal, cosine), best first; ties by ordinal, at the cut too.

        `subset`, made by this index, restricts the search; None: all vectors.
        """
        query = np.ascontiguousarray(vector, dtype=np.float32).reshape(1, -1)
        within = subset or self.neighbours.everything
        total, options = within.size, within.options
        k = min(k, total)
        if k <= 0:
            return []
        fetched = min(k + 1, total)
        while True:
            similarities, ordinals = self.neighbours.find(query, fetched, options)
            similarities = similarities.round(SIMILARITY_DECIMALS)
            if len(ordinals) < k and options is not within.exhaustive:
                options = within.exhaustive
                continue
            # Of equal similarities faiss keeps the last ones, so all of them are fetched.
            if fetched == total or len(ordinals) < fetched or similarities[-1] < similarities[k - 1]:
                return take_best(ordinals, similarities, k)
            fetched = min(fetched * 2, total)

    def subset(self, ordinals: NDArray[np.integer], *, exact_max_chunks: int = 0) -> DenseSubset:
        """Prepare a search that is restricted to these ordinals, to be used many times.

        It is exact if there are at most `exact_max_chunks`.

        Raises: BrokenIndexError: the lists hold ordinals that the index does not have.
        """
        return self.neighbours.subset(ordinals, exact_max_chunks=exact_max_chunks)

    def vectors(self, first: int, count: int) -> Vectors:
        """Return `count` vectors from ordinal `first` on, float32, (count, dim)."""
        return self.neighbours.vectors(first, count)


@dataclass(frozen=True, slots=True)
class DensePlan:
    """What to build of vectors.

    `parts` numbers the group of each vector that is also searched alone, int8, (n,): a graph holds one group. What was
    built of most of the vectors before is kept: `centres` of lists, as finding new ones is most of the work, and
    `graphs`.
    """

    exact_max_chunks: int = EXACT_MAX_CHUNKS
    graph_max_chunks: int = GRAPH_MAX_CHUNKS
    parts: NDArray[np.int8] | None = None
    centres: Vectors | None = None
    graphs: Carried | None = None


DEFAULT_PLAN: Final = DensePlan()


def build_dense(vectors: Vectors, path: Path, plan: DensePlan = DEFAULT_PLAN) -> DenseInfo:
    """Write the index of these unit-length vectors, (n, dim); above the limit it is approximate if its recall suffices.

    Graphs go into a folder beside `path`, anything else into the file itself.

    Raises: OSError: the disk is full or failed.
    """
    if plan.exact_max_chunks < len(vectors) <= plan.graph_max_chunks:
        info = _build_graphs(vectors, _graph_folder(path), plan)
        if info is not None:
            return info
    built = None
    if len(vectors) > plan.exact_max_chunks:
        built = build_lists(vectors, plan.centres)
    index, info = built or build_exact(vectors)
    write_index(index, path)
    return info


def _build_graphs(vectors: Vectors, folder: Path, plan: DensePlan) -> DenseInfo | None:
    parts = plan.parts if plan.parts is not None else np.zeros(len(vectors), dtype=np.int8)
    # A tenth of what is compared without a graph is not worth one.
    return build_graphs(vectors, folder, parts, plan.graphs, min_nodes=plan.exact_max_chunks // 10)


def _graph_folder(path: Path) -> Path:
    return path.with_suffix(".graphs")
