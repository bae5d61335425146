"""Say what every kind of dense index can do, whether it compares all vectors, lists of them, or walks a graph."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rag.ports import Vectors

Found = tuple[Vectors, NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class DenseSubset:
    """The size of a subset, and what restricts a search to it; `exhaustive` misses none of it."""

    size: int
    # Any: each kind has its own options, which no other reads.
    options: Any
    exhaustive: Any


class Neighbours(Protocol):
    """Vectors by ordinal and their nearest neighbours; safe to search from several threads."""

    def __len__(self) -> int: ...

    @property
    def dimension(self) -> int: ...

    @property
    def everything(self) -> DenseSubset:
        """All vectors."""
        ...

    def subset(self, ordinals: NDArray[np.integer], *, exact_max_chunks: int = 0) -> DenseSubset:
        """Prepare a search restricted to these ordinals; it is exact if there are at most `exact_max_chunks`."""
        ...

    def find(self, query: Vectors, k: int, options: Any) -> Found:  # Any: see `DenseSubset`
        """Return the similarities and ordinals of at most k of the nearest, best first; ties in any order.

        `query` has the shape (1, dim).
        """
        ...

    def vectors(self, first: int, count: int) -> Vectors:
        """Return `count` vectors from ordinal `first` on, float32, (count, dim)."""
        ...


def take_nearest(found: Sequence[Found], k: int) -> Found:
    """Return the k nearest of what several searches found, best first; ordinals below 0 are no hits."""
    similarities: Vectors = np.concatenate([each[0] for each in found])
    ordinals = np.concatenate([each[1] for each in found])
    hits = np.flatnonzero(ordinals >= 0)
    best = hits[np.argsort(-similarities[hits], kind="stable")[:k]]
    return similarities[best], ordinals[best]
