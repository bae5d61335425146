"""Rerank with stored token vectors: the front compares those of the index with those of the question.

The model that embeds the question has made them all, so the Embedder returns the question's vector and its token
vectors from one forward pass, and no long text crosses a process boundary. Passages are scored elsewhere only if the
index has no token vectors.
"""

from collections.abc import Sequence
from typing import Final, Protocol

from rag.engines.max_sim import score_windows
from rag.limits import Deadline
from rag.ports import PassageScorer, Vectors
from rag.types import EncodedQuestion, TokenVectors, Window


class QuestionEncoder(Protocol):
    """Encodes questions with the model that made the vectors of the index."""

    async def encode_question(self, question: str, *, timeout_s: float, trace_id: str) -> EncodedQuestion:
        """Return the vector and the token vectors of one question.

        Raises: DeadlineExceeded; NotReady: the service is down; UpstreamError: it failed.
        """
        ...


class QuestionReader(Protocol):
    """Provides the token vectors of questions; raises as a `QuestionEncoder` does."""

    async def read_question(self, question: str, *, timeout_s: float, trace_id: str) -> TokenVectors: ...


# If retrieval finds nothing, a question's token vectors are never asked for, so only the latest are kept.
READINGS_KEPT: Final = 256


class SharedPass:
    """A `rag.ports.TextEmbedder` that keeps the token vectors of what it embeds, for reranking.

    It is also the `QuestionReader` that returns them, any number of times; other questions it encodes anew.
    """

    def __init__(self, encoder: QuestionEncoder) -> None:
        self._encoder = encoder
        self._read: dict[tuple[str, str], TokenVectors] = {}  # by trace id and question, the oldest first

    async def embed_query(self, text: str, *, timeout_s: float, trace_id: str) -> Vectors:
        encoded = await self._encoder.encode_question(text, timeout_s=timeout_s, trace_id=trace_id)
        self._read.pop((trace_id, text), None)
        self._read[trace_id, text] = encoded.tokens
        if len(self._read) > READINGS_KEPT:
            del self._read[next(iter(self._read))]
        return encoded.vector

    async def read_question(self, question: str, *, timeout_s: float, trace_id: str) -> TokenVectors:
        known = self._read.get((trace_id, question))
        if known is not None:
            return known
        return (await self._encoder.encode_question(question, timeout_s=timeout_s, trace_id=trace_id)).tokens


class StoredInteraction:
    """A `rag.ports.PassageScorer` over stored token vectors; `otherwise` scores windows that have none."""

    def __init__(self, reader: QuestionReader, otherwise: PassageScorer) -> None:
        self._reader = reader
        self._otherwise = otherwise

    async def score(self, question: str, windows: Sequence[Window], *, timeout_s: float, trace_id: str) -> list[float]:
        deadline = Deadline.after(timeout_s)
        relevances: dict[int, float] = {}
        stored: dict[int, list[int]] = {}  # by the identity of `tokens`, one object per passage
        for number, window in enumerate(windows):
            if window.tokens is not None:
                stored.setdefault(id(window.tokens), []).append(number)
        if stored:
            asked = await self._reader.read_question(question, timeout_s=deadline.left_s(), trace_id=trace_id)
            for numbers in stored.values():
                relevances.update(zip(numbers, _compare(asked, [windows[number] for number in numbers]), strict=True))
        missing = [number for number in range(len(windows)) if number not in relevances]
        if missing:
            scored = await self._otherwise.score(
                question, [windows[number] for number in missing], timeout_s=deadline.left_s(), trace_id=trace_id
            )
            relevances.update(zip(missing, scored, strict=True))
        return [relevances[number] for number in range(len(windows))]


def _compare(asked: TokenVectors, windows: Sequence[Window]) -> list[float]:
    """Return the relevance of windows that are all parts of one passage."""
    tokens = windows[0].tokens
    assert tokens is not None
    return score_windows(asked, tokens, [(window.start, window.end, window.head) for window in windows])
