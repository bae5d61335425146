"""Say where the chunks of a version of two segments are: first the small one, then what is left of the main one."""

from typing import Final

import numpy as np
from numpy.typing import NDArray


class Places:
    """The ordinals of a version, and the places of the same chunks in its segments."""

    def __init__(self, delta: int, live: NDArray[np.bool_]) -> None:
        """`delta` is the size of the small segment; `live` tells which chunks of the main one are left, (main,)."""
        self.delta: Final = delta
        # The places in the main segment of what is left of it, ascending.
        self.live: Final = np.flatnonzero(live)
        self.main: Final = len(live)
        self._ordinals = np.where(live, np.cumsum(live) - 1 + delta, -1).astype(np.int32)

    def __len__(self) -> int:
        return self.delta + len(self.live)

    @property
    def has_gone(self) -> bool:
        """Whether chunks of the main segment are gone."""
        return len(self.live) < self.main

    def find(self, ordinal: int) -> tuple[int, int]:
        """Return the segment of a chunk, 0 for the small one and 1 for the main one, and its place there."""
        return (0, ordinal) if ordinal < self.delta else (1, int(self.live[ordinal - self.delta]))

    def in_main(self, ordinals: NDArray[np.integer]) -> NDArray[np.int64]:
        """Return the places in the main segment of those of the ordinals that are there."""
        places: NDArray[np.int64] = self.live[ordinals[ordinals >= self.delta] - self.delta]
        return places

    def in_delta(self, ordinals: NDArray[np.integer]) -> NDArray[np.integer]:
        """Return the places in the small segment of those of the ordinals that are there."""
        return ordinals[ordinals < self.delta]

    def of_main(self, places: NDArray[np.integer]) -> NDArray[np.int32]:
        """Return the ordinals of chunks of the main segment; -1: gone."""
        ordinals: NDArray[np.int32] = self._ordinals[places]
        return ordinals
