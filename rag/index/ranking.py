"""Define the order in which both indexes answer: best first, ties by ordinal."""

import numpy as np
from numpy.typing import NDArray


def take_best(ordinals: NDArray[np.integer], scores: NDArray[np.float32], k: int) -> list[tuple[int, float]]:
    """Return the k best as (ordinal, score), best first; ties by ordinal, also between those at the cut."""
    if len(scores) > k:
        threshold = np.partition(scores, len(scores) - k)[len(scores) - k]
        above = scores >= threshold
        ordinals, scores = ordinals[above], scores[above]
    order = np.lexsort((ordinals, -scores))[:k]
    return list(zip(ordinals[order].tolist(), scores[order].tolist(), strict=True))
