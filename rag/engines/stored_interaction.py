"""Rerank with stored token vectors: the front compares those of the index with those of the question.

The Reranker computes only the question's token vectors, in one short forward pass that starts together with the
Embedder's, so no long text crosses a process boundary. It scores passages only if the index has no token vectors.
"""

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

from rag.engines.max_sim import score_windows
from rag.errors import DeadlineExceeded
from rag.limits import Deadline
from rag.ports import PassageScorer, TextEmbedder, Vectors
from rag.types import TokenVectors, Window


class QuestionReader(Protocol):
    """Computes the token vectors of questions, with the model that made those of the index."""

    async def read_question(self, question: str, *, timeout_s: float, trace_id: str) -> TokenVectors:
        """Return the token vectors of one question.

        Raises: DeadlineExceeded; NotReady: the service is down; UpstreamError: it failed.
        """
        ...


# If retrieval finds nothing, a question's reading is never asked for, so only the latest readings are kept.
READINGS_KEPT: Final = 256


class EarlyReader:
    """A `rag.ports.TextEmbedder` that starts reading the question's tokens at the same time, for reranking.

    It is also the `QuestionReader` that returns them, any number of times; other questions it passes to its reader.
    """

    def __init__(self, embedder: TextEmbedder, reader: QuestionReader) -> None:
        self._embedder = embedder
        self._reader = reader
        self._readings: dict[tuple[str, str], asyncio.Task[TokenVectors]] = {}  # by trace id and question

    async def embed_query(self, text: str, *, timeout_s: float, trace_id: str) -> Vectors:
        key = trace_id, text
        self._discard(key)
        reading = asyncio.create_task(self._reader.read_question(text, timeout_s=timeout_s, trace_id=trace_id))
        reading.add_done_callback(_take_note)
        self._readings[key] = reading
        if len(self._readings) > READINGS_KEPT:
            self._discard(next(iter(self._readings)))
        try:
            return await self._embedder.embed_query(text, timeout_s=timeout_s, trace_id=trace_id)
        except BaseException:
            if self._readings.get(key) is reading:
                self._discard(key)
            raise

    async def read_question(self, question: str, *, timeout_s: float, trace_id: str) -> TokenVectors:
        key = trace_id, question
        reading = self._readings.pop(key, None)
        if reading is None:
            return await self._reader.read_question(question, timeout_s=timeout_s, trace_id=trace_id)
        try:
            async with asyncio.timeout(timeout_s):
                tokens = await reading  # not shielded: it is cancelled together with this caller
        except TimeoutError:
            raise DeadlineExceeded from None
        self._readings[key] = reading  # the ranking of quotations needs them too
        return tokens

    def _discard(self, key: tuple[str, str]) -> None:
        reading = self._readings.pop(key, None)
        if reading is not None:
            reading.cancel()


def _take_note(reading: asyncio.Task[TokenVectors]) -> None:
    """Retrieve the exception, so that asyncio does not log a reading that nobody awaits."""
    if not reading.cancelled():
        reading.exception()


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
