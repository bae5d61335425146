"""Measure the rank of the right document after each stage: by vectors, by words, fused, reranked.

The rankings come from the functions that the pipeline calls. Only their ports are implemented in this process, so that
all questions can be asked without a server.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol, get_args

from load.evaluation.metrics import RankingQuality, find_rank, measure_ranking
from load.evaluation.xquad import Question
from rag.limits import Deadline
from rag.ports import ChunkIndex, Vectors
from rag.question.reading import Reading, read_question
from rag.retrieval.reranking import rerank
from rag.retrieval.search import retrieve
from rag.types import Candidate, RelevanceScale, Window
from schemas.services import Pair

RankingStage = Literal["dense", "BM25", "fused", "reranked"]
RANKING_STAGES: Final[tuple[RankingStage, ...]] = get_args(RankingStage)
RankingQualities = Mapping[RankingStage, RankingQuality]

# Nobody waits for a single question here; one may have to encode a whole batch of new passages.
NO_HURRY_S: Final = 600.0
TRACE_ID: Final = "evaluation"


class PairScorer(Protocol):
    """A reranker, in this process."""

    def score(self, pairs: Sequence[Pair]) -> Iterable[float]: ...


class QuestionEncoder(Protocol):
    """An embedder, in this process."""

    def encode_queries(self, texts: Sequence[str]) -> Vectors: ...


class KnownVectors:
    """A `rag.ports.TextEmbedder` that embeds each question once: `texts` in one batch beforehand, others on demand.

    Questions that are read differently from how they are asked are among the others.
    """

    def __init__(self, encoder: QuestionEncoder, texts: Sequence[str] = ()) -> None:
        self._encoder = encoder
        vectors = encoder.encode_queries(texts) if texts else ()
        self._vectors: dict[str, Vectors] = dict(zip(texts, vectors, strict=True))

    async def embed_query(self, text: str, *, timeout_s: float, trace_id: str) -> Vectors:
        if text not in self._vectors:
            self._vectors[text] = self._encoder.encode_queries([text])[0]
        return self._vectors[text]


class LocalScorer:
    """A `rag.ports.PassageScorer` over a reranker in this process; each window is scored once."""

    def __init__(self, scorer: PairScorer) -> None:
        self._scorer = scorer
        self._known: dict[tuple[str, Window], float] = {}

    async def score(self, question: str, windows: Sequence[Window], *, timeout_s: float, trace_id: str) -> list[float]:
        new = [window for window in windows if (question, window) not in self._known]
        pairs = [
            Pair(question=question, passage=each.passage, start=each.start, end=each.end, head=each.head)
            for each in new
        ]
        for window, relevance in zip(new, self._scorer.score(pairs) if pairs else (), strict=True):
            self._known[question, window] = float(relevance)
        return [self._known[question, window] for window in windows]


@dataclass(frozen=True, slots=True)
class RetrievalStages:
    """The first half of the pipeline: how many chunks each search returns, and how many of them are reranked.

    Questions are not split here; their parts would be searched for in the same way.
    """

    embedder: KnownVectors
    scorer: LocalScorer
    scale: RelevanceScale
    retrieve_k: int
    rerank_k: int

    async def rank(self, question: str, index: ChunkIndex) -> dict[RankingStage, list[str]]:
        """Return the documents of the ranked chunks after each stage, best first, with repeats."""
        asked = await read_question(question, index)
        vector = await self.embedder.embed_query(asked.text, timeout_s=NO_HURRY_S, trace_id=TRACE_ID)
        fused = await self._retrieve(asked, index)
        reranked = await self._rerank(asked, fused)
        return {
            "dense": await _look_up(index, await index.search_dense(vector, self.retrieve_k)),
            "BM25": await _look_up(index, await index.search_lexical(asked.text, self.retrieve_k)),
            "fused": _documents(fused),
            "reranked": _documents(reranked),
        }

    async def find(self, asked: Reading, index: ChunkIndex) -> list[Candidate]:
        """Return the reranked candidates, best first."""
        return await self._rerank(asked, await self._retrieve(asked, index))

    async def _retrieve(self, asked: Reading, index: ChunkIndex) -> list[Candidate]:
        return await retrieve(
            asked.text,
            asked_in=asked.language,
            index=index,
            embedder=self.embedder,
            k=self.retrieve_k,
            limit=self.rerank_k,
            deadline=Deadline.after(NO_HURRY_S),
            trace_id=TRACE_ID,
        )

    async def _rerank(self, asked: Reading, found: Sequence[Candidate]) -> list[Candidate]:
        return await rerank(
            asked.text,
            found,
            asked_in=asked.language,
            scale=self.scale,
            scorer=self.scorer,
            deadline=Deadline.after(NO_HURRY_S),
            trace_id=TRACE_ID,
        )


async def measure_retrieval(asked: Iterable[tuple[Question, ChunkIndex]], stages: RetrievalStages) -> RankingQualities:
    """Measure retrieval; each question is asked of its index, one after the other."""
    ranks: dict[RankingStage, list[int | None]] = {stage: [] for stage in RANKING_STAGES}
    for question, index in asked:
        for stage, document_ids in (await stages.rank(question.text, index)).items():
            ranks[stage].append(find_rank(document_ids, question.document_id))
    return {stage: measure_ranking(found) for stage, found in ranks.items()}


async def _look_up(index: ChunkIndex, hits: Sequence[tuple[str, float]]) -> list[str]:
    return [stored.chunk.document_id for stored in await index.fetch([chunk_id for chunk_id, _ in hits])]


def _documents(candidates: Iterable[Candidate]) -> list[str]:
    return [candidate.chunk.document_id for candidate in candidates]
