"""Late interaction over the token vectors that the index holds: the front compares them with those of the question.

The Reranker is asked for the vectors of the question alone, one short forward pass, and nothing that is long crosses a
process. Passages of an index without token vectors are scored by the Reranker, as ever.
"""

from collections.abc import Sequence
from typing import Protocol

from rag.backends.max_sim import score_windows
from rag.limits import Deadline
from rag.ports import PassageScorer
from rag.types import TokenVectors, Window


class QuestionReader(Protocol):
    """Makes the token vectors of questions, by the model that made those of the index."""

    async def read_question(self, question: str, *, timeout_s: float, trace_id: str) -> TokenVectors:
        """Raises: DeadlineExceeded, NotReady (nothing listens there), UpstreamError."""
        ...


class StoredInteraction:
    """A `rag.ports.PassageScorer` over stored token vectors."""

    def __init__(self, reader: QuestionReader, otherwise: PassageScorer) -> None:
        self._reader = reader
        self._otherwise = otherwise

    async def score(self, question: str, windows: Sequence[Window], *, timeout_s: float, trace_id: str) -> list[float]:
        deadline = Deadline.after(timeout_s)
        relevances: dict[int, float] = {}
        stored: dict[int, list[int]] = {}  # by passage: its tokens are one object
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
    """The relevance of parts of one passage."""
    tokens = windows[0].tokens
    assert tokens is not None
    return score_windows(asked, tokens, [(window.start, window.end) for window in windows])
