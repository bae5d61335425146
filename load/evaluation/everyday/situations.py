"""Turn the everyday questions into situations: on all documents, without their own, and without the answering passages.

Unanswerable questions are asked of all documents only; chat is left out, as it is recognised separately.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from load.evaluation.everyday.grading import grade, holds_fact
from load.evaluation.everyday.questions import EverydayPart, EverydayQuestion
from load.evaluation.selection import Selection
from load.evaluation.situations import WHOLE, Observatory, Situation, Worth
from rag.ports import ChunkIndex
from rag.types import Chunk
from rag.verification.sources import Quotable

EVERYDAY: Final = "everyday"
NO_DOCUMENT: Final = "without its document"
NO_PASSAGE: Final = "without its passages"

_WORTH: Final = {"right": 2, "partly": 1}


async def observe_everyday(
    observatory: Observatory,
    part: EverydayPart,
    questions: Iterable[EverydayQuestion],
    index: ChunkIndex,
    chunks: Sequence[Chunk],
) -> list[Situation]:
    """Observe these questions of the part on each of their collections; `index` holds the documents of the part."""
    ids = {source.path.name: source.document_id for source in part.sources}
    seen = []
    for question in questions:
        if question.kind == "chat":
            continue
        document_id = ids.get(question.document or "")
        worth = _worth_in(question, document_id)
        for name, kept in _collections(question, document_id, chunks):
            sight = await observatory.look(question.text, Selection(index, chunks, kept), worth)
            is_answerable = question.is_answerable and name == WHOLE
            seen.append(Situation(EVERYDAY, question.question_id, name, is_answerable, sight))
    return seen


def _collections(
    question: EverydayQuestion, document_id: str | None, chunks: Sequence[Chunk]
) -> Iterable[tuple[str, set[str]]]:
    """Yield the name and the chunk ids of each collection."""
    yield WHOLE, {each.chunk_id for each in chunks}
    if question.is_answerable:
        facts = [fact for group in question.facts for fact in group]
        yield NO_DOCUMENT, {each.chunk_id for each in chunks if each.document_id != document_id}
        yield NO_PASSAGE, {each.chunk_id for each in chunks if not any(holds_fact(each.text, fact) for fact in facts)}


def _worth_in(question: EverydayQuestion, document_id: str | None) -> Worth:
    """Return the worth of a quotation: all facts count more than some; in another document they are there by chance."""

    def worth(quotable: Quotable, sent: str) -> int:
        if quotable.source.passage.chunk.document_id != document_id or not question.is_answerable:
            return 0
        return _WORTH.get(grade(question, sent, "stop").verdict, 0)

    return worth
