"""Fuse several rankings, whose scores cannot be compared, into one: reciprocal rank fusion.

Source: Cormack, Clarke, Buettcher, "Reciprocal Rank Fusion outperforms Condorcet and individual rank learning methods",
SIGIR 2009.
"""

from collections.abc import Hashable, Sequence
from typing import Final, TypeVar

RANK_CONSTANT: Final = 60  # from the paper; results hardly change between 20 and 100

Item = TypeVar("Item", bound=Hashable)


def fuse(rankings: Sequence[Sequence[Item]]) -> list[tuple[Item, float]]:
    """Return every item with its fused score, best first; ties in the order of first appearance, rank by rank."""
    scores: dict[Item, float] = {}
    for rank in range(max(map(len, rankings), default=0)):
        for ranking in rankings:
            if rank < len(ranking):
                item = ranking[rank]
                scores[item] = scores.get(item, 0.0) + 1.0 / (RANK_CONSTANT + rank + 1)
    return sorted(scores.items(), key=lambda pair: -pair[1])
