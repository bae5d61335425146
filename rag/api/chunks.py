"""`GET /chunks/{chunk_id}`: exactly the text that was cited, as JSON for programs or as a small page for people.

A chunk that does not exist, a malformed id, and a tenant or a document that the caller may not see are answered alike,
so that nobody learns which documents others have. No model is asked.
"""

from collections.abc import Sequence
from typing import Final
from urllib.parse import parse_qsl

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from rag.api.accept import prefers_html
from rag.api.chunk_page import PAGE_HEADERS, render_page
from rag.api.exchange import End, Endpoint, QueryDesk, send_body, send_json, unless_gone
from rag.chunk_id import ChunkId
from rag.errors import BadRequest, InvalidRequest, NotFound
from rag.identity import Principal
from rag.limits import Deadline
from rag.observability.telemetry import QueryRecord
from rag.types import PlacedChunk
from schemas.errors import FieldError
from schemas.response import ChunkText

# Kept by nobody but the client itself, and asked for again each time: a document may be removed, a right withdrawn.
HEADERS: Final = (
    (b"cache-control", b"private, no-cache"),
    (b"vary", b"accept"),
    (b"x-content-type-options", b"nosniff"),
)


class ChunkEndpoint(Endpoint):
    """Answers one request for a chunk per call."""

    def __init__(self, desk: QueryDesk, *, model_version: str) -> None:
        super().__init__(desk, timeout_s=desk.request_timeout_s)
        self._model_version = model_version

    async def _serve(self, scope: Scope, receive: Receive, send: Send, record: QueryRecord, deadline: Deadline) -> End:
        headers = Headers(scope=scope)
        principal = await self._identify(headers, record)
        record.model_version = self._model_version
        quote = _parse_quote(scope["query_string"])
        chunk_id = ChunkId.parse(scope["path_params"]["chunk_id"])
        if chunk_id is None:
            raise NotFound
        record.tenant_id = chunk_id.tenant_id
        if not principal.may_use(chunk_id.tenant_id):
            raise NotFound
        as_page = prefers_html(",".join(headers.getlist("accept")))
        work = self._show(principal, chunk_id, quote if as_page else None, send=send, record=record, deadline=deadline)
        return await unless_gone(receive, work, deadline)

    async def _show(
        self,
        principal: Principal,
        chunk_id: ChunkId,
        quote: str | None,
        *,
        send: Send,
        record: QueryRecord,
        deadline: Deadline,
    ) -> End:
        """Send the chunk: as a page that highlights `quote` (which may be empty), or as JSON if `quote` is None."""
        async with self._admitted(principal, chunk_id.tenant_id, 0, record) as settle:
            async with deadline.enforced():
                index = await self._desk.indexes.current(chunk_id.tenant_id, principal.scope)
                found = await index.find_chunk(chunk_id) if index else None
            await settle()
            if found is None:
                raise NotFound
            if quote is None:
                await send_json(send, _describe(found), headers=HEADERS)
            else:
                page = render_page(found, quote).encode("utf-8", "replace")
                await send_body(send, page, b"text/html; charset=utf-8", headers=[*HEADERS, *PAGE_HEADERS])
        return "unasked"


def _parse_quote(query_string: bytes) -> str:
    """Return the parameter `quote`, the only one there is; empty if it is not given.

    Raises: BadRequest: the query string is not percent-encoded UTF-8. InvalidRequest: another parameter, or two.
    """
    try:
        pairs = parse_qsl(query_string.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError as error:
        raise BadRequest("The query string is not percent-encoded UTF-8.") from error
    problems = _find_problems([name for name, _ in pairs])
    if problems:
        raise InvalidRequest(problems)
    return pairs[0][1] if pairs else ""


def _find_problems(names: Sequence[str]) -> list[FieldError]:
    unknown = dict.fromkeys(name[:100] for name in names if name != "quote")
    found = [FieldError(path=name, reason="is not a parameter of this path") for name in list(unknown)[:20]]
    if names.count("quote") > 1:
        found.append(FieldError(path="quote", reason="is given more than once"))
    return found


def _describe(found: PlacedChunk) -> ChunkText:
    chunk = found.chunk
    return ChunkText(
        chunk_id=chunk.chunk_id,
        document_id=chunk.document_id,
        title=chunk.title,
        heading=chunk.heading,
        page_start=chunk.page_start,
        page_end=chunk.page_end,
        page_label=chunk.page_label,
        text=chunk.text,
        previous=found.previous,
        next=found.next,
    )
