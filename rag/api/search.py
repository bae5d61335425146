"""`POST /search`: what retrieval and reranking find for a question, without an answer and without a generator."""

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from rag.api.exchange import End, Endpoint, QueryDesk, send_json, unless_gone
from rag.api.requests import read_body
from rag.identity import Principal
from rag.limits import Deadline
from rag.observability.telemetry import QueryRecord
from rag.types import Candidate
from schemas.request import SearchRequest
from schemas.response import SearchResponse, SearchResult


class SearchEndpoint(Endpoint):
    """Answers one search per call."""

    def __init__(self, desk: QueryDesk) -> None:
        super().__init__(desk, timeout_s=desk.request_timeout_s)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, record: QueryRecord, deadline: Deadline) -> End:
        headers = Headers(scope=scope)
        principal = await self._identify(headers, record)
        async with deadline.enforced():
            search = await read_body(SearchRequest, headers, receive)
        self._note_question(search.question, search.tenant_id, record)
        principal.require(search.tenant_id)
        return await unless_gone(receive, self._search(principal, search, send, record, deadline), deadline)

    async def _search(
        self, principal: Principal, search: SearchRequest, send: Send, record: QueryRecord, deadline: Deadline
    ) -> End:
        pipeline = self._desk.search_pipeline()
        record.model_version = pipeline.model_version
        tokens = pipeline.count_tokens(search.question)
        async with self._admitted(principal, search.tenant_id, tokens, record) as settle:
            found = await pipeline.search(search, groups=principal.groups, record=record, deadline=deadline)
            await settle()
            response = SearchResponse(
                results=[_describe(candidate) for candidate in found],
                trace_id=record.trace_id,
                latency_ms=record.latency(),
                model_version=pipeline.model_version,
            )
            await send_json(send, response)
        return "unasked"


def _describe(candidate: Candidate) -> SearchResult:
    chunk = candidate.chunk
    return SearchResult(
        chunk_id=chunk.chunk_id,
        document_id=chunk.document_id,
        title=chunk.title,
        heading=chunk.heading,
        page_start=chunk.page_start,
        page_end=chunk.page_end,
        page_label=chunk.page_label,
        text=chunk.text,
        similarity=candidate.similarity,
        bm25_score=candidate.bm25_score,
        rrf_score=candidate.rrf_score,
        relevance=candidate.relevance,
    )
