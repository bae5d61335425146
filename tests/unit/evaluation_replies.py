"""Replies of a server as the evaluation gets them, small enough to check by hand."""

from collections.abc import Sequence
from typing import Final

from load.evaluation.xquad import Question
from rag.types import Chunk
from schemas.response import (
    Citation,
    FinishReason,
    Latency,
    QueryResponse,
    Trace,
    TracePassage,
    TraceSentence,
    Usage,
    VerdictName,
)


def make_chunk(text: str, document_id: str = "p0001", number: int = 1) -> Chunk:
    chunk_id = f"demo:{document_id}:v1:{number:05d}"
    return Chunk(chunk_id, document_id, "Leave", text, 0, len(text), None, None, None)


CHUNK: Final = make_chunk("Staff have 12 days of leave. It rains.")
CHUNKS: Final = {CHUNK.chunk_id: CHUNK}
QUESTION: Final = Question("q1", "How many days?", "p0001", ("12 days",))


def cite(source_id: str = "S1", chunk_id: str = CHUNK.chunk_id, quote: str = "12 days of leave") -> Citation:
    return Citation(
        source_id=source_id,
        document_id="p0001",
        chunk_id=chunk_id,
        title="Leave",
        page_start=None,
        page_end=None,
        quote=quote,
        quote_start=0,
        quote_end=len(quote),
        url=f"/chunks/{chunk_id}",
    )


def respond(
    answer: str = "It is 12 days [S1].",
    citations: Sequence[Citation] = (cite(),),
    finish_reason: FinishReason = "stop",
    trace: Trace | None = None,
    total_ms: int = 10,
) -> QueryResponse:
    return QueryResponse(
        answer=answer,
        citations=list(citations),
        trace_id="t",
        latency_ms=Latency(total=total_ms),
        model_version="v",
        finish_reason=finish_reason,
        trace=trace,
    )


NO_ANSWER: Final = respond("The documents do not say.", (), "no_answer", total_ms=30)


def trace_of(*sentences: TraceSentence) -> Trace:
    passages = [TracePassage(chunk_id=CHUNK.chunk_id)]
    return Trace(standalone_question=None, candidates=[], passages=passages, usage=Usage(), sentences=list(sentences))


def judged(
    verdict: VerdictName, sent: str = "", reason: str | None = None, support: float | None = None
) -> TraceSentence:
    return TraceSentence(draft="d", sent=sent, verdict=verdict, reason=reason, support=support)
