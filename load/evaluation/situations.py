"""Observe questions on collections that answer them and on collections that do not, as seen by the answer models.

The models of `rag.verification.answering` are fitted and tested on these situations. A question of a question set is
made unanswerable by removing its paragraph from the index. The other paragraphs of the article stay: they share its
subject and most of its words.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from load.evaluation.metrics import holds_answer
from load.evaluation.retrieval import NO_HURRY_S, TRACE_ID, RetrievalStages
from load.evaluation.selection import Selection
from load.evaluation.xquad import Question, QuestionSet
from rag.limits import Deadline
from rag.ports import ChunkIndex
from rag.question.reading import Reading, read_question
from rag.retrieval.context import choose_passages
from rag.retrieval.finding import READ_K
from rag.retrieval.reranking import score_windows
from rag.text.language import words
from rag.types import Candidate, Chunk
from rag.verification import AnswerModel, PassageSigns, SentenceSigns, WordWeights, asked_words
from rag.verification.answering import read_passages, read_sentences, sentence_probabilities
from rag.verification.asking import Asked, read_asked
from rag.verification.ranking import LIKELIEST
from rag.verification.sources import Quotable, quotables, read_source, windows_of

# Tenants have few documents or many, on related subjects: half of a small collection is of one article.
SMALL_COLLECTIONS: Final = (8,)
WHOLE: Final = "all documents"
_SEED: Final = 20261123

# Return the worth of a quotation for a statement as an answer; 0: none.
Worth = Callable[[Quotable, str], int]


@dataclass(frozen=True, slots=True)
class QuotableSentence:
    """The signs of a sentence, whether its quotation is worth most of all, and the number of its words.

    No words: the quotation is too long to be sent.
    """

    signs: SentenceSigns
    is_right: bool
    words: int


@dataclass(frozen=True, slots=True)
class Sight:
    """The signs that the models see of a question; `passages` is None if nothing relevant was found."""

    passages: PassageSigns | None = None
    sentences: tuple[QuotableSentence, ...] = ()


@dataclass(frozen=True, slots=True)
class Situation:
    """One question asked of one collection.

    `questions` names its set, `collection` the part of the documents that is present. Situations with the same
    `article` must be in the same fold.
    """

    questions: str
    article: str
    collection: str
    is_answerable: bool
    sight: Sight


class Observatory:
    """Runs questions through the stages of the pipeline, up to the choice of sentences.

    `answers` chooses the likeliest sentences, which show whether what is asked for is present at all. Questions are not
    split here, and no edition of a document supersedes another.
    """

    def __init__(self, stages: RetrievalStages, answers: AnswerModel) -> None:
        self._stages = stages
        self._answers = answers

    async def observe(
        self, asked: QuestionSet, questions: Iterable[Question], index: ChunkIndex, chunks: Sequence[Chunk]
    ) -> list[Situation]:
        """Observe these questions on the whole collection and on small ones, with their paragraph and without it."""
        draw = random.Random(_SEED)  # noqa: S311 - a sample, not a secret
        articles = {paragraph.document_id: paragraph.title for paragraph in asked.paragraphs}
        seen = []
        for question in questions:
            for documents, name in [(sorted(articles), WHOLE), *_draw_small(draw, question, articles)]:
                for is_answerable in (True, False):
                    kept = frozenset(documents) - (frozenset() if is_answerable else {question.document_id})
                    selection = Selection(
                        index, chunks, {chunk.chunk_id for chunk in chunks if chunk.document_id in kept}
                    )
                    sight = await self.look(question.text, selection, _worth_to(question))
                    article = articles[question.document_id]
                    seen.append(Situation(asked.language, article, name, is_answerable, sight))
        return seen

    async def look(self, question: str, index: ChunkIndex, worth: Worth) -> Sight:
        """Return what the models see of the question, asked of this index."""
        reading = await read_question(question, index)
        if reading.is_small_talk:
            return Sight()
        candidates = await self._stages.find(reading, index)
        weights = WordWeights(index.idf)
        await weights.learn(asked_words(reading.text))
        return await self._read(reading, read_asked(reading.text, weights), candidates, worth)

    async def _read(self, reading: Reading, asked: Asked, candidates: Sequence[Candidate], worth: Worth) -> Sight:
        scores = [each.relevance or 0.0 for each in candidates]
        relevant = [each for each, score in zip(candidates, scores, strict=True) if score >= self._stages.scale.floor]
        sources = [read_source(passage) for passage in choose_passages(relevant, top_k=READ_K)]
        found = quotables(sources)
        if not found:
            return Sight()
        relevances = await self._score(reading, found)
        of_chunks = {each.chunk.chunk_id: score for each, score in zip(candidates, scores, strict=True)}
        of_passages = {each.passage.number: of_chunks[each.passage.chunk.chunk_id] for each in sources}
        signs = read_sentences(asked, found, relevances, of_passages)
        likely = sentence_probabilities(signs, self._answers)
        order = sorted(range(len(found)), key=lambda at: -likely[at])
        passages = read_passages(
            asked,
            sources,
            found=[each.chunk for each in candidates],
            relevances=scores,
            likeliest=[(found[at], relevances[at], likely[at]) for at in order[:LIKELIEST]],
            asked_in=reading.language,
        )
        return Sight(passages, tuple(_judge(asked, found, signs, worth)))

    async def _score(self, reading: Reading, found: Sequence[Quotable]) -> list[float]:
        scores = await score_windows(
            reading.text,
            windows_of(found),
            scorer=self._stages.scorer,
            deadline=Deadline.after(NO_HURRY_S),
            trace_id=TRACE_ID,
        )
        scale = self._stages.scale
        return [
            scale.calibrate(score, reading.language, each.language) for each, score in zip(found, scores, strict=True)
        ]


def _judge(
    asked: Asked, found: Sequence[Quotable], signs: Sequence[SentenceSigns], worth: Worth
) -> Iterator[QuotableSentence]:
    shown = [each.quote(asked.claim, seeks_list=asked.seeks_list) for each in found]
    sent = [quoted[1].sent if quoted else "" for quoted in shown]
    worths = [worth(each, text) if text else 0 for each, text in zip(found, sent, strict=True)]
    for each, value, text in zip(signs, worths, sent, strict=True):
        yield QuotableSentence(each, is_right=value == max(worths) > 0, words=len(words(text)))


def _worth_to(question: Question) -> Worth:
    return lambda _, sent: int(holds_answer(sent, question.answers))


def _draw_small(draw: random.Random, question: Question, articles: dict[str, str]) -> Iterable[tuple[list[str], str]]:
    own = articles[question.document_id]
    for size in SMALL_COLLECTIONS:
        near = [each for each, title in articles.items() if title == own and each != question.document_id]
        far = [each for each, title in articles.items() if title != own]
        drawn = draw.sample(near, min(len(near), size // 2))
        documents = [*drawn, *draw.sample(far, min(len(far), size - len(drawn))), question.document_id]
        yield documents, f"{size} documents"
