"""Compute MaxSim: the relevance of a part of a text to a question, from the vectors of their tokens.

relevance = mean over the question's tokens of the largest cosine with any token of the window.
Source: ColBERT (Khattab and Zaharia 2020), MaxSim, here averaged over the question.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rag.ports import Vectors
from rag.types import TokenVectors

# The relevance of a window without tokens, such as one beyond the model's limit: no cosine is lower.
NO_TOKENS: Final = -1.0


def compare_tokens(question: TokenVectors, passage: TokenVectors) -> Vectors:
    """Return the cosine of each question token with each passage token: float32, (question tokens, passage tokens)."""
    asked = question.values.astype(np.float32)
    similarities: Vectors = asked @ passage.values.astype(np.float32).T
    similarities *= question.scales[:, None]
    similarities *= passage.scales
    return similarities


def max_sim(similarities: Vectors, spans: NDArray[np.int32], start: int, end: int | None, head: int = 0) -> float:
    """Return the relevance of the passage's characters from `start` to `end` (None: the end of the passage).

    `similarities` is the result of `compare_tokens`, `spans` are those of the passage's tokens. The first `head`
    characters, title and headings, always count as well: they give the subject of the whole passage.
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
    """Return the relevance of several parts of one passage, each given as (start, end, head), in order."""
    similarities = compare_tokens(question, passage)
    return [max_sim(similarities, passage.spans, start, end, head) for start, end, head in parts]
