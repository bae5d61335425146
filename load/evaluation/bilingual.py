"""Ask questions of a bilingual index in which only a passage in the other language answers each."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from load.evaluation.asking import draw_sample
from load.evaluation.selection import Selection
from load.evaluation.xquad import Paragraph, Question, QuestionSet
from rag.ports import ChunkIndex
from rag.types import Chunk


class MixedQuestions:
    """The questions of one language, asked of the passages of both; the two sets are parallel.

    Their passages are the same texts in two languages. So while a question is asked, the passage in its own language is
    left out of the index. All others of that language stay, and share its subject.
    """

    def __init__(self, asked: QuestionSet, other: QuestionSet) -> None:
        self._asked = asked
        self._other = other

    @property
    def paragraphs(self) -> list[Paragraph]:
        """The paragraphs of both languages, in an order that does not depend on which language is asked."""
        sets = sorted((self._asked, self._other), key=lambda each: each.language)
        return [
            replace(each, document_id=_name(found, each.document_id)) for found in sets for each in found.paragraphs
        ]

    def sample(self, size: int) -> list[Question]:
        """Return questions in the one language whose document is the passage in the other."""
        drawn = draw_sample(self._asked.questions, size)
        return [replace(each, document_id=_name(self._other, each.document_id)) for each in drawn]

    def put(
        self, questions: Iterable[Question], index: ChunkIndex, chunks: Sequence[Chunk]
    ) -> Iterator[tuple[Question, ChunkIndex]]:
        """Yield each question with its index; `index` holds the paragraphs, as these chunks."""
        own = {question.question_id: _name(self._asked, question.document_id) for question in self._asked.questions}
        for question in questions:
            left_out = own[question.question_id]
            kept = {chunk.chunk_id for chunk in chunks if chunk.document_id != left_out}
            yield question, Selection(index, chunks, kept)


def _name(found: QuestionSet, document_id: str) -> str:
    return f"{found.language}.{document_id}"
