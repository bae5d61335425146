"""Judge a reply: whether it holds the answer, and whether its citations obey the contract."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from load.evaluation.citations import MARKER, CitationCounts, count_citations
from load.evaluation.metrics import holds_answer
from load.evaluation.quotations import count_verbatim, find_misquotation, sent_sentences
from load.evaluation.xquad import Question
from rag.text.language import words
from rag.types import Chunk
from schemas.response import Citation, QueryResponse


@dataclass(frozen=True, slots=True)
class Judgement:
    """The judgement of one response; `fault` says how its citations break the contract, or a repair is no quotation.

    `sent` counts the sentences sent; `verbatim` counts those that stand so in a chunk that they cite.
    """

    answered: bool
    cited: bool
    in_context: bool
    words: int
    citing: CitationCounts
    sent: int
    verbatim: int
    fault: str | None


def judge(response: QueryResponse, question: Question, chunks: Mapping[str, Chunk]) -> Judgement:
    """Judge a response; `chunks` is the whole index, by chunk id."""
    text = MARKER.sub(" ", response.answer)
    seen = response.trace.passages if response.trace else []
    answers = question.answers
    return Judgement(
        answered=holds_answer(text, answers),
        cited=_any_holds([citation.chunk_id for citation in response.citations], answers, chunks),
        in_context=_any_holds([passage.chunk_id for passage in seen], answers, chunks),
        words=len(words(text)),
        citing=count_citations(response, question, chunks),
        sent=len(sent_sentences(response)),
        verbatim=count_verbatim(response, chunks),
        fault=find_fault(response, chunks),
    )


def find_fault(response: QueryResponse, chunks: Mapping[str, Chunk]) -> str | None:
    """Return the first rule that a response breaks, on citations by contract, then on quotation; None if all hold."""
    markers = list(dict.fromkeys(MARKER.findall(response.answer)))
    if markers != [f"S{number}" for number in range(1, len(markers) + 1)]:
        return "markers are not numbered in their order"
    if sorted(markers) != sorted(citation.source_id for citation in response.citations):
        return "markers and citations differ"
    if (response.finish_reason == "no_answer") != (not markers):
        return "an answer without citations, or citations without an answer"
    return _find_unresolved(response.citations, chunks) or find_misquotation(response, chunks)


def _find_unresolved(citations: Sequence[Citation], chunks: Mapping[str, Chunk]) -> str | None:
    for citation in citations:
        chunk = chunks.get(citation.chunk_id)
        if chunk is None:
            return "a chunk that does not exist"
        if not citation.quote or citation.quote not in chunk.text:
            return "a quote that is not in its chunk"
    return None


def _any_holds(chunk_ids: Sequence[str], answers: Sequence[str], chunks: Mapping[str, Chunk]) -> bool:
    found = (chunks[chunk_id] for chunk_id in chunk_ids if chunk_id in chunks)
    return any(holds_answer(chunk.text, answers) for chunk in found)
