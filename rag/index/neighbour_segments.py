"""Search the vectors of two segments as those of one index."""

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.index.neighbours import DenseSubset, Found, Neighbours, take_nearest
from rag.index.places import Places
from rag.ports import Vectors


class SegmentedVectors:
    """A `rag.index.neighbours.Neighbours` over two others; the options of a search are those of both, None: not one."""

    def __init__(self, delta: Neighbours, main: Neighbours, places: Places) -> None:
        self._delta = delta
        self.main = main
        self.places = places

    def __len__(self) -> int:
        return len(self.places)

    @property
    def dimension(self) -> int:
        return self.main.dimension

    @cached_property
    def everything(self) -> DenseSubset:
        left = self.main.subset(self.places.live) if self.places.has_gone else self.main.everything
        return self._join(self._delta.everything, left)

    def subset(self, ordinals: NDArray[np.integer], *, exact_max_chunks: int = 0) -> DenseSubset:
        delta, main = self.places.in_delta(ordinals), self.places.in_main(ordinals)
        exact = max(len(delta), len(main)) if len(ordinals) <= exact_max_chunks else 0
        return self._join(
            self._delta.subset(delta, exact_max_chunks=exact), self.main.subset(main, exact_max_chunks=exact)
        )

    def find(self, query: Vectors, k: int, options: Any) -> Found:  # Any: see `DenseSubset`
        of_delta, of_main = options
        found: list[Found] = []
        if of_delta:
            found.append(self._delta.find(query, min(k, self.places.delta), of_delta[0]))
        if of_main:
            similarities, places = self.main.find(query, min(k, self.places.main), of_main[0])
            found.append((similarities, self.places.of_main(places).astype(np.int64)))
        return take_nearest(found, k)

    def vectors(self, first: int, count: int) -> Vectors:
        ordinals = np.arange(first, first + count)
        rows = [self._delta.vectors(place, 1) for place in self.places.in_delta(ordinals).tolist()]
        places = self.places.in_main(ordinals)
        if len(places) and places[-1] - places[0] == len(places) - 1:  # as those of one document are
            rows.append(self.main.vectors(int(places[0]), len(places)))
        else:
            rows += [self.main.vectors(place, 1) for place in places.tolist()]
        return np.concatenate(rows)

    def _join(self, delta: DenseSubset, main: DenseSubset) -> DenseSubset:
        # Each in a tuple, as None are options too; an empty subset is not searched.
        used = [subset.size > 0 for subset in (delta, main)]
        options = tuple((subset.options,) if use else () for subset, use in zip((delta, main), used, strict=True))
        exact = tuple((subset.exhaustive,) if use else () for subset, use in zip((delta, main), used, strict=True))
        return DenseSubset(delta.size + main.size, options, exact)
