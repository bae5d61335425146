"""Find what may answer a question: its parts, their candidates, and the passages that an answer may rest on."""

from collections.abc import Sequence
from itertools import takewhile, zip_longest
from typing import Final

from rag.limits import Deadline, gather
from rag.observability.telemetry import QueryRecord
from rag.ports import ChunkIndex, PassageScorer, TextEmbedder
from rag.question.parts import split_question
from rag.question.reading import Reading
from rag.retrieval.context import choose_passages
from rag.retrieval.reranking import rerank, score_windows
from rag.retrieval.search import retrieve
from rag.types import Candidate, Passage, RelevanceScale, Window
from rag.verification import Part

# An answer by quotation reads this many passages, more than a generator gets. A client that asks for fewer than the
# default gets only those.
READ_K: Final = 12
FEWER_ASKED_FOR: Final = 6


class Finder:
    """Searches and ranks for questions; holds no state of any of them."""

    def __init__(
        self,
        *,
        embedder: TextEmbedder,
        scorer: PassageScorer,
        scale: RelevanceScale,
        retrieve_k: int,
        rerank_k: int,
        retrieval_timeout_s: float,
        rerank_timeout_s: float,
    ) -> None:
        self._embedder = embedder
        self._scorer = scorer
        self._scale = scale
        self._retrieve_k = retrieve_k
        self._rerank_k = rerank_k
        self._retrieval_timeout_s = retrieval_timeout_s
        self._rerank_timeout_s = rerank_timeout_s

    async def find(self, reading: Reading, index: ChunkIndex, *, record: QueryRecord, deadline: Deadline) -> list[Part]:
        """Return the parts of the question with their candidates; each part also gets those of the whole question.

        Raises: DeadlineExceeded, and what the embedder and the scorer raise.
        """
        asked = split_question(reading.text, reading.searched_in)
        texts = list(dict.fromkeys((reading.text, *asked)))
        found = await gather([self._search(text, reading, index, record, deadline) for text in texts])
        if len(asked) == 1:
            return [Part(asked[0], found[0])]
        return [Part(text, best_of_each([found[0], own])) for text, own in zip(asked, found[1:], strict=True)]

    def choose(self, parts: Sequence[Part], *, top_k: int) -> list[Passage]:
        """Return the passages that the answer may rest on: the best of each part in turn, down to the floor."""
        floor = self._scale.floor
        relevant = [
            list(takewhile(lambda each: each.relevance is not None and each.relevance >= floor, part.candidates))
            for part in parts
        ]
        in_turn = [each for row in zip_longest(*relevant) for each in row if each is not None]
        return choose_passages(in_turn, top_k=top_k if top_k < FEWER_ASKED_FOR else max(top_k, READ_K))

    async def score(
        self, parts: Sequence[Part], windows: Sequence[Window], *, record: QueryRecord, deadline: Deadline
    ) -> list[list[float]]:
        """Return for each part the relevance of these windows, as the scorer gives it.

        Raises: DeadlineExceeded, and what the scorer raises.
        """
        with record.stage("rerank"):
            until = deadline.sooner(self._rerank_timeout_s)
            return await gather(
                [
                    score_windows(part.question, windows, scorer=self._scorer, deadline=until, trace_id=record.trace_id)
                    for part in parts
                ]
            )

    async def _search(
        self, text: str, reading: Reading, index: ChunkIndex, record: QueryRecord, deadline: Deadline
    ) -> list[Candidate]:
        with record.stage("retrieval"):
            found = await retrieve(
                text,
                asked_in=reading.searched_in,
                index=index,
                embedder=self._embedder,
                k=self._retrieve_k,
                limit=self._rerank_k,
                deadline=deadline.sooner(self._retrieval_timeout_s),
                trace_id=record.trace_id,
            )
        with record.stage("rerank"):
            return await rerank(
                text,
                found,
                asked_in=reading.searched_in,
                scale=self._scale,
                scorer=self._scorer,
                deadline=deadline.sooner(self._rerank_timeout_s),
                trace_id=record.trace_id,
            )


def best_of_each(found: Sequence[Sequence[Candidate]]) -> list[Candidate]:
    """Merge the candidates of several searches, each with its highest relevance, best first."""
    best: dict[str, Candidate] = {}
    for candidate in (each for candidates in found for each in candidates):
        known = best.get(candidate.chunk.chunk_id)
        if known is None or (candidate.relevance or 0.0) > (known.relevance or 0.0):
            best[candidate.chunk.chunk_id] = candidate
    return sorted(best.values(), key=lambda each: -(each.relevance or 0.0))
