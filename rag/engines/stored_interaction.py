"""Rerank with stored token vectors: the front compares those of the index with those of the question.

The model that embeds the question has made them all, so the Embedder returns the question's vector and its token
vectors from one forward pass, and no long text crosses a process boundary. Passages are scored elsewhere only if the
index has no token vectors.
"""

from collections.abc import Sequence
from typing import Final, Protocol

from rag.engines.max_sim import WHOLE, compare_tokens, score_parts, score_wholes
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
# The cosines of a question of 20 tokens with 30 passages of 150 take 360 KB; those of more or longer questions
# are computed a second time.
QUESTIONS_KEPT: Final = 16
KEPT_BYTES: Final = 1 << 20


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
    """A `rag.ports.PassageScorer` over stored token vectors; `otherwise` scores windows that have none.

    Passages are scored first, then windows of them: what was compared for the latest questions is kept until then.
    """

    def __init__(self, reader: QuestionReader, otherwise: PassageScorer) -> None:
        self._reader = reader
        self._otherwise = otherwise
        self._compared: dict[int, _Compared] = {}  # by the identity of the question's tokens, the oldest first

    async def score(self, question: str, windows: Sequence[Window], *, timeout_s: float, trace_id: str) -> list[float]:
        deadline = Deadline.after(timeout_s)
        relevances: dict[int, float] = {}
        stored: dict[int, list[int]] = {}  # by the identity of `tokens`, one object per passage
        for number, window in enumerate(windows):
            if window.tokens is not None:
                stored.setdefault(id(window.tokens), []).append(number)
        if stored:
            asked = await self._reader.read_question(question, timeout_s=deadline.left_s(), trace_id=trace_id)
            passages = [tokens for first, *_ in stored.values() if (tokens := windows[first].tokens) is not None]
            compared = self._compare(asked, passages)
            relevances = _score_stored(windows, list(stored.values()), passages, compared)
        missing = [number for number in range(len(windows)) if number not in relevances]
        if missing:
            scored = await self._otherwise.score(
                question, [windows[number] for number in missing], timeout_s=deadline.left_s(), trace_id=trace_id
            )
            relevances.update(zip(missing, scored, strict=True))
        return [relevances[number] for number in range(len(windows))]

    def _compare(self, asked: TokenVectors, passages: Sequence[TokenVectors]) -> list[Vectors]:
        kept = self._compared.pop(id(asked), None) or _Compared(asked)
        compared = kept.compare(passages)
        if kept.size_bytes <= KEPT_BYTES:
            self._compared[id(asked)] = kept
        if len(self._compared) > QUESTIONS_KEPT:
            del self._compared[next(iter(self._compared))]
        return compared


def _score_stored(
    windows: Sequence[Window],
    of_passages: Sequence[Sequence[int]],
    passages: Sequence[TokenVectors],
    compared: Sequence[Vectors],
) -> dict[int, float]:
    """Return the relevance of each window by its number; `of_passages` are the numbers of each passage's windows."""
    parts = [[(windows[at].start, windows[at].end, windows[at].head) for at in numbers] for numbers in of_passages]
    if all(each == [WHOLE] for each in parts):  # as when candidates are ranked
        wholes = score_wholes(compared, passages)
        return {number: relevance for (number,), relevance in zip(of_passages, wholes, strict=True)}
    relevances: dict[int, float] = {}
    for numbers, passage, cosines, of_one in zip(of_passages, passages, compared, parts, strict=True):
        relevances.update(zip(numbers, score_parts(cosines, passage.spans, of_one), strict=True))
    return relevances


class _Compared:
    """The cosines of one question's tokens with those of passages.

    It holds the tokens themselves, so that no other object gets their identity.
    """

    def __init__(self, asked: TokenVectors) -> None:
        self._asked = asked
        self._cosines: dict[int, tuple[TokenVectors, Vectors]] = {}

    @property
    def size_bytes(self) -> int:
        return sum(cosines.nbytes for _, cosines in self._cosines.values())

    def compare(self, passages: Sequence[TokenVectors]) -> list[Vectors]:
        """Return the cosines for each passage; those of the next call are computed only if they are not known."""
        new = [each for each in passages if id(each) not in self._cosines]
        for passage, cosines in zip(new, compare_tokens(self._asked, new), strict=True):
            self._cosines[id(passage)] = passage, cosines
        return [self._cosines[id(each)][1] for each in passages]
