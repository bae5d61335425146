"""Read an answer from either route, and check it against the rules of the contract; no I/O.

The names of broken rules contain no words of the answer, because they are counted and shown to the operator.
"""

from collections.abc import Sequence
from typing import Final

from pydantic import ValidationError

from load.evaluation.citations import MARKER
from load.evaluation.judging import find_fault
from rag.types import Chunk
from schemas.events import DoneEvent, MetaEvent, TokenEvent
from schemas.response import Citation, QueryResponse

Event = tuple[str, str]  # its name, and its data as JSON

# An answer with at least so many words arrives in at least two events.
STREAMED_FROM_WORDS: Final = 6


class ContractError(Exception):
    """An answer cannot be read; the message names the broken rule."""


def read_whole(body: bytes) -> QueryResponse:
    """Read a body of `POST /query`; raise ContractError if it has another form."""
    try:
        return QueryResponse.model_validate_json(body)
    except ValidationError as error:
        raise ContractError("a body in another form") from error


def read_stream(events: Sequence[Event]) -> QueryResponse:
    """Read a stream as the answer that `POST /query` would have given.

    Raises: ContractError: the events break a rule.
    """
    names = [name for name, _ in events]
    if names[:1] != ["meta"] or names[-1:] != ["done"] or not set(names[1:-1]) <= {"token", "citation"}:
        raise ContractError("events out of order")
    try:
        meta, done = MetaEvent.model_validate_json(events[0][1]), DoneEvent.model_validate_json(events[-1][1])
        answer, citations = _collect(events[1:-1])
    except ValidationError as error:
        raise ContractError("events in another form") from error
    if meta.trace_id != done.trace_id:
        raise ContractError("two trace ids in one stream")
    return QueryResponse(
        answer=answer,
        citations=citations,
        trace_id=done.trace_id,
        latency_ms=done.latency_ms,
        model_version=meta.model_version,
        finish_reason=done.finish_reason,
    )


def find_broken_rule(response: QueryResponse, trace_id: str) -> str | None:
    """Return the first rule that an answer breaks, of those that can be checked without the index; None if none."""
    latency = response.latency_ms
    if response.trace_id != trace_id:
        return "another trace id"
    if not response.answer.strip():
        return "an answer without text"
    if latency.total < max(latency.retrieval, latency.rerank, latency.generation, latency.verification):
        return "a total time below that of a stage"
    if not all(citation.quote.strip() for citation in response.citations):
        return "an empty quote"
    # We do not have the chunks, so each quote stands for its chunk; the trace could be checked only with the real ones.
    chunks = {citation.chunk_id: _stand_in(citation) for citation in response.citations}
    return find_fault(response.model_copy(update={"trace": None}), chunks)


def _collect(events: Sequence[Event]) -> tuple[str, list[Citation]]:
    """Return the text and the citations of the events between the first and the last."""
    pieces: list[str] = []
    citations: list[Citation] = []
    for name, data in events:
        if name == "citation":
            citations.append(Citation.model_validate_json(data))
            continue
        pieces.append(TokenEvent.model_validate_json(data).text)
        if not {citation.source_id for citation in citations}.issuperset(MARKER.findall(pieces[-1])):
            raise ContractError("a marker before its citation")
    answer = "".join(pieces)
    if sum(len(MARKER.findall(piece)) for piece in pieces) != len(MARKER.findall(answer)):
        raise ContractError("a marker split over two events")
    if len(pieces) < 2 and len(MARKER.sub(" ", answer).split()) >= STREAMED_FROM_WORDS:
        raise ContractError("a long answer in one event")
    return answer, citations


def _stand_in(citation: Citation) -> Chunk:
    return Chunk(
        chunk_id=citation.chunk_id,
        document_id=citation.document_id,
        title=citation.title,
        text=citation.quote,
        start=0,
        end=len(citation.quote),
        page_start=citation.page_start,
        page_end=citation.page_end,
        heading=None,
    )
