"""Questions put to collections that answer them and to collections that do not, as far as the models of
`rag.verification.answering` see: the set that those are fitted and judged on.

An unanswerable question is one whose paragraph was taken out of the index. The paragraphs around it, of the same
article, stay in: they share its subject and most of its words.
"""

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from load.evaluation.metrics import holds_answer
from load.evaluation.retrieval import NO_HURRY_S, TRACE_ID, RetrievalStages
from load.evaluation.xquad import Language, Question, QuestionSet
from rag.context import build_context
from rag.language import word_set, words
from rag.limits import Deadline
from rag.ports import ChunkIndex, TokenCounter, Vectors
from rag.reranking import score_windows
from rag.types import Chunk, IndexVersion, TokenVectors
from rag.verification import PassageSigns, SentenceSigns
from rag.verification.answering import read_passages, read_question, read_sentences
from rag.verification.sources import quotables, read_source

# A tenant has few documents or many, and they are about its own things: half of a small collection is of one article.
SMALL_COLLECTIONS: Final = (8,)
_SEED: Final = 20261123


@dataclass(frozen=True, slots=True)
class QuotableSentence:
    """What speaks for a sentence, whether it holds the gold answer, and how long it is."""

    signs: SentenceSigns
    is_right: bool
    words: int


@dataclass(frozen=True, slots=True)
class Situation:
    """One question before one collection; `documents` None is the whole one."""

    language: Language
    article: str
    documents: int | None
    is_answerable: bool
    passages: PassageSigns | None  # None: nothing relevant was found
    sentences: tuple[QuotableSentence, ...]


class Selection:
    """A `ChunkIndex` of some documents of another one, with word weights of its own."""

    def __init__(self, index: ChunkIndex, chunks: Sequence[Chunk], documents: frozenset[str]) -> None:
        self._index = index
        self._total = len(chunks)
        self._kept = {at for at, chunk in enumerate(chunks) if chunk.document_id in documents}
        self._word_sets = [word_set(chunks[at].text) for at in sorted(self._kept)]

    @property
    def version(self) -> IndexVersion:
        return self._index.version

    def search_dense(self, vector: Vectors, k: int) -> list[tuple[int, float]]:
        return [hit for hit in self._index.search_dense(vector, self._total) if hit[0] in self._kept][:k]

    def search_lexical(self, text: str, k: int) -> list[tuple[int, float]]:
        return [hit for hit in self._index.search_lexical(text, self._total) if hit[0] in self._kept][:k]

    def chunks(self, ordinals: Sequence[int]) -> list[Chunk]:
        return self._index.chunks(ordinals)

    def token_vectors(self, ordinals: Sequence[int]) -> Sequence[TokenVectors | None]:
        return self._index.token_vectors(ordinals)

    def idf(self, words: Sequence[str]) -> list[float]:
        total = len(self._word_sets)
        found = [sum(word in chunk for chunk in self._word_sets) for word in words]
        return [math.log(1 + (total - count + 0.5) / (count + 0.5)) for count in found]


class Observatory:
    """Looks at questions through the stages of the pipeline, up to where a draft would begin."""

    def __init__(
        self, stages: RetrievalStages, counter: TokenCounter, *, relevance_floor: float, context_tokens: int, top_k: int
    ) -> None:
        self._stages = stages
        self._counter = counter
        self._relevance_floor = relevance_floor
        self._context_tokens = context_tokens
        self._top_k = top_k

    async def observe(
        self, asked: QuestionSet, questions: Iterable[Question], index: ChunkIndex, chunks: Sequence[Chunk]
    ) -> list[Situation]:
        """Each of these questions before the whole collection and before small ones, with its paragraph and without."""
        draw = random.Random(_SEED)  # noqa: S311 - a sample, not a secret
        articles = {paragraph.document_id: paragraph.title for paragraph in asked.paragraphs}
        seen = []
        for question in questions:
            for documents, size in [(sorted(articles), None), *(_draw_small(draw, question, articles))]:
                for is_answerable in (True, False):
                    kept = frozenset(documents) - (frozenset() if is_answerable else {question.document_id})
                    found = await self._look(question, Selection(index, chunks, kept))
                    article = articles[question.document_id]
                    seen.append(Situation(asked.language, article, size, is_answerable, *found))
        return seen

    async def _look(
        self, question: Question, index: ChunkIndex
    ) -> tuple[PassageSigns | None, tuple[QuotableSentence, ...]]:
        candidates = await self._stages.find(question.text, index)
        relevant = [each for each in candidates if (each.relevance or 0.0) >= self._relevance_floor]
        passages = build_context(relevant, top_k=self._top_k, budget_tokens=self._context_tokens, counter=self._counter)
        sources = [read_source(passage) for passage in passages]
        if not any(source.evidence.sentences for source in sources):
            return None, ()
        asked = read_question(question.text, index.idf)
        found = quotables(sources)
        scores = await score_windows(
            question.text,
            [each.window for each in found],
            scorer=self._stages.scorer,
            deadline=Deadline.after(NO_HURRY_S),
            trace_id=TRACE_ID,
        )
        of_chunks = {each.chunk.chunk_id: each.relevance or 0.0 for each in candidates}
        of_passages = {passage.number: of_chunks[passage.chunk.chunk_id] for passage in passages}
        sentences = tuple(
            QuotableSentence(signs, holds_answer(each.quote.text, question.answers), len(words(each.quote.text)))
            for each, signs in zip(found, read_sentences(asked, found, scores, of_passages), strict=True)
        )
        return read_passages(asked, sources, [each.relevance or 0.0 for each in candidates]), sentences


def _draw_small(draw: random.Random, question: Question, articles: dict[str, str]) -> Iterable[tuple[list[str], int]]:
    own = articles[question.document_id]
    for size in SMALL_COLLECTIONS:
        near = [each for each, title in articles.items() if title == own and each != question.document_id]
        far = [each for each, title in articles.items() if title != own]
        drawn = draw.sample(near, min(len(near), size // 2))
        yield [*drawn, *draw.sample(far, min(len(far), size - len(drawn))), question.document_id], size
