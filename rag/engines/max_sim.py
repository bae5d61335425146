"""MaxSim: how well a part of a text answers a question, by the vectors of their tokens.

relevance = mean over the question's tokens of the largest cosine with any token of the window.
Source: ColBERT (Khattab and Zaharia 2020), MaxSim, here averaged over the question.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rag.ports import Vectors
from rag.types import TokenVectors

# The relevance of a window that holds no token, such as one behind the model's limit: below any cosine.
NO_TOKENS: Final = -1.0


def compare_tokens(question: TokenVectors, passage: TokenVectors) -> Vectors:
    """Cosines of each token of the question with each of the passage, float32, (asked, held)."""
    asked = question.values.astype(np.float32)
    similarities: Vectors = asked @ passage.values.astype(np.float32).T
    similarities *= question.scales[:, None]
    similarities *= passage.scales
    return similarities


def max_sim(similarities: Vectors, spans: NDArray[np.int32], start: int, end: int | None, head: int = 0) -> float:
    """The relevance of the passage's characters from `start` to `end`; `spans` are those of its tokens.

    The first `head` characters, its title and headings, count as well: they say what all of it is about.
    """
    inside = spans[:, 1] > start
    if end is not None:
        inside &= spans[:, 0] < end
    if head and inside.any():
        inside |= spans[:, 1] <= head
    if not similarities.shape[0] or not inside.any():
        return NO_TOKENS
    return float(similarities[:, inside].max(axis=1).mean())


def score_windows(
    question: TokenVectors, passage: TokenVectors, parts: Sequence[tuple[int, int | None, int]]
) -> list[float]:
    """The relevance of several parts of one passage, each as (start, end, head), in their order."""
    similarities = compare_tokens(question, passage)
    return [max_sim(similarities, passage.spans, start, end, head) for start, end, head in parts]
