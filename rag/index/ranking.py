"""Best first, ties by ordinal: the one order in which both indexes answer."""

import numpy as np
from numpy.typing import NDArray


def take_best(ordinals: NDArray[np.int64], scores: NDArray[np.float32], k: int) -> list[tuple[int, float]]:
    """The k best of these pairs; all who tie with the k-th are compared by ordinal, so the cut is theirs too."""
    if len(scores) > k:
        threshold = np.partition(scores, len(scores) - k)[len(scores) - k]
        above = scores >= threshold
        ordinals, scores = ordinals[above], scores[above]
    order = np.lexsort((ordinals, -scores))[:k]
    return list(zip(ordinals[order].tolist(), scores[order].tolist(), strict=True))
