"""Serve a bare FastAPI route with the same pydantic models and nothing else: the minimum that a front can cost."""

from typing import Final

from fastapi import FastAPI

from schemas.request import QueryRequest
from schemas.response import Citation, Latency, QueryResponse

_QUOTE: Final = "Full-time staff have 12 days of annual leave per year."
app = FastAPI()


@app.post("/query")
async def query(request: QueryRequest) -> QueryResponse:
    """Return an answer of typical size, built anew for each request."""
    citation = Citation(
        source_id="S1",
        document_id="staff_handbook",
        chunk_id=f"{request.tenant_id}:staff_handbook:v1:00003",
        title="Staff Handbook",
        page_start=3,
        page_end=3,
        quote=_QUOTE,
        quote_start=0,
        quote_end=len(_QUOTE),
        url="",
    )
    return QueryResponse(
        answer=f"{_QUOTE} [S1]",
        citations=[citation],
        trace_id="tr_0",
        latency_ms=Latency(total=1),
        model_version="bare",
        finish_reason="stop",
    )
