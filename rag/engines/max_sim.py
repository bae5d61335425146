"""Compute MaxSim: the relevance of parts of texts to a question, from the vectors of their tokens.

relevance = mean over the question's tokens of the largest cosine with any token of the window.
Source: ColBERT (Khattab and Zaharia 2020), MaxSim, here averaged over the question.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rag.ports import Vectors
from rag.types import TokenVectors

# The relevance of a window without tokens, such as one beyond the model's limit: no cosine is lower.
NO_TOKENS: Final = -1.0
# Passages are multiplied together up to this many tokens: with 384 dimensions 3 MB.
TOKENS_AT_ONCE: Final = 2048

# A part of a passage: its characters from start to end (None: the end of the passage), and those of title and headings
# before it all, which always count as well: they give the subject of the whole passage.
Part = tuple[int, int | None, int]
WHOLE: Final[Part] = (0, None, 0)


def score_windows(question: TokenVectors, passage: TokenVectors, parts: Sequence[Part]) -> list[float]:
    """Return the relevance of several parts of one passage, in order."""
    return score_parts(compare_tokens(question, [passage])[0], passage.spans, parts)


def compare_tokens(question: TokenVectors, passages: Sequence[TokenVectors]) -> list[Vectors]:
    """Return for each passage the cosine of each question token with each of its tokens.

    float32, (question tokens, passage tokens).
    """
    compared: list[Vectors] = []
    asked = question.values.astype(np.float32)
    for group in _groups(passages):
        # Sums of products of two 8-bit numbers are exact in float32, so a passage's cosines do not depend on its group.
        cosines: Vectors = asked @ np.concatenate([each.values for each in group]).astype(np.float32).T
        cosines *= question.scales[:, None]
        cosines *= np.concatenate([each.scales for each in group])
        compared += np.split(cosines, np.cumsum([len(each.scales) for each in group[:-1]]), axis=1)
    return compared


def _groups(passages: Sequence[TokenVectors]) -> Iterator[Sequence[TokenVectors]]:
    """Yield runs of passages with at most `TOKENS_AT_ONCE` tokens together, or of one passage."""
    start = tokens = 0
    for at, passage in enumerate(passages):
        if at > start and tokens + len(passage.scales) > TOKENS_AT_ONCE:
            yield passages[start:at]
            start, tokens = at, 0
        tokens += len(passage.scales)
    if passages:
        yield passages[start:]


def score_wholes(compared: Sequence[Vectors], passages: Sequence[TokenVectors]) -> list[float]:
    """Return the relevance of whole passages, in order, from what `compare_tokens` returned for them."""
    relevances = [NO_TOKENS] * len(passages)
    told: list[int] = []
    best: list[Vectors] = []
    for number, (similarities, passage) in enumerate(zip(compared, passages, strict=True)):
        if all(similarities.shape) and np.logical_and.reduce(passage.spans[:, 1]):
            told.append(number)
            best.append(np.maximum.reduce(similarities, axis=1))
        else:  # tokens without characters belong to no part
            relevances[number] = score_parts(similarities, passage.spans, [WHOLE])[0]
    if told:
        for number, relevance in zip(told, np.stack(best).mean(axis=1).tolist(), strict=True):
            relevances[number] = relevance
    return relevances


def score_parts(similarities: Vectors, spans: NDArray[np.int32], parts: Sequence[Part]) -> list[float]:
    """Return the relevance of parts of one passage, in order, from what `compare_tokens` returned for it."""
    if not all(similarities.shape):
        return [NO_TOKENS] * len(parts)
    starts, ends = spans[:, 0], spans[:, 1]
    if len(parts) == 1 and parts[0] == WHOLE and ends.all():
        return [float(similarities.max(axis=1).mean())]
    if (starts[1:] < starts[:-1]).any() or (ends[1:] < ends[:-1]).any():
        return [_score_part(similarities, starts, ends, part) for part in parts]
    firsts = np.searchsorted(ends, [start for start, _, _ in parts], side="right")
    lasts = np.searchsorted(starts, [_beyond(end) for _, end, _ in parts], side="left")
    heads = np.searchsorted(ends, [head for _, _, head in parts], side="right")
    heads[[not head for _, _, head in parts]] = 0
    told = np.flatnonzero(firsts < lasts)
    # The largest cosine from each first token to before the last, and from each last on to the next first, which is not
    # used; a column for those that end with the passage.
    bounds = np.stack((firsts[told], lasts[told]), axis=1).ravel()
    padded = np.concatenate((similarities, similarities[:, -1:]), axis=1)
    best = np.maximum.reduceat(padded, bounds, axis=1)[:, ::2] if len(told) else padded[:, :0]
    for head in np.unique(heads[told]):
        if head:
            of_head = heads[told] == head
            best[:, of_head] = np.maximum(best[:, of_head], similarities[:, :head].max(axis=1)[:, None])
    relevances = np.full(len(parts), NO_TOKENS)
    relevances[told] = np.ascontiguousarray(best.T).mean(axis=1)
    return [float(each) for each in relevances]


def _beyond(end: int | None) -> int:
    return np.iinfo(np.int32).max if end is None else end


def _score_part(similarities: Vectors, starts: NDArray[np.int32], ends: NDArray[np.int32], part: Part) -> float:
    """Return the relevance of one part of a passage whose tokens do not come in the order of its characters."""
    start, end, head = part
    inside = (ends > start) & (starts < _beyond(end))
    if not inside.any():
        return NO_TOKENS
    if head:
        inside |= ends <= head
    return float(similarities[:, inside].max(axis=1).mean())
