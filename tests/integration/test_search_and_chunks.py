"""`POST /search`, `GET /chunks/{chunk_id}` and the addresses in citations, on a real server and by BentoML's client."""

import re
from html import unescape
from typing import Any

import httpx
import pytest

from load.server import Server
from schemas.errors import ErrorCode
from schemas.response import ChunkText, Citation, SearchResponse
from tests.asgi import parse_events
from tests.integration.asking import (
    Rag,
    assert_error,
    bentoml_client,
    make_trace_id,
    read_answer,
    read_stream,
    wait_for,
)

pytestmark = pytest.mark.integration

QUESTION = "How many days of annual leave do full-time staff have?"
READER = {"x-api-key": "reader"}
ACME = {"x-api-key": "acme"}


def search(rag: Rag, headers: dict[str, str], **fields: Any) -> httpx.Response:
    return rag.http.post("/search", json={"question": QUESTION, **fields}, headers=headers)


def read_citations(rag: Rag) -> list[Citation]:
    return read_answer(rag.ask(QUESTION, key="reader")).citations


def test_a_search_gives_the_passages_of_its_tenant(guarded: Rag) -> None:
    """The best one first, and a line in the log under the search's own route."""
    trace_id = make_trace_id()
    response = search(guarded, {**READER, "x-trace-id": trace_id})
    found = SearchResponse.model_validate_json(response.content)
    line = guarded.log_line(trace_id)

    assert "12 days" in found.results[0].text
    assert {each.chunk_id.split(":")[0] for each in found.results} == {"demo"}
    assert (line["event"], line["route"], line["principal_id"]) == ("query_ok", "/search", "key:reader")
    assert (found.trace_id, line["finish_reason"]) == (trace_id, None)


def test_a_search_is_refused_like_a_query(guarded: Rag) -> None:
    """Without credentials, of another's tenant, and with a field that a search has not."""
    assert_error(search(guarded, {}), ErrorCode.UNAUTHORIZED)
    assert_error(search(guarded, READER, tenant_id="acme"), ErrorCode.FORBIDDEN)
    assert_error(search(guarded, READER, history=[]), ErrorCode.VALIDATION_ERROR)


def test_every_result_can_be_read(guarded: Rag) -> None:
    """Its chunk has the same text."""
    for result in SearchResponse.model_validate_json(search(guarded, READER).content).results:
        chunk = ChunkText.model_validate_json(guarded.http.get(f"/chunks/{result.chunk_id}", headers=READER).content)
        assert (chunk.chunk_id, chunk.text) == (result.chunk_id, result.text)


@pytest.mark.parametrize("route", ["/query", "/v1/query", "/query/stream"])
def test_a_citation_leads_to_its_quotation(guarded: Rag, guarded_server: Server, route: str) -> None:
    """The address is the server's own as the client wrote it; the offsets and the page show what was quoted."""
    response = guarded.http.post(route, json={"question": QUESTION}, headers=READER)
    if route == "/query/stream":
        _, citations = read_stream(parse_events(response.text))
    else:
        citations = read_answer(response).citations

    assert citations
    for citation in citations:
        assert citation.url.startswith(f"{guarded_server.url}/chunks/")
        chunk = guarded.http.get(citation.url, headers=READER).json()
        page = guarded.http.get(citation.url, headers={**READER, "accept": "text/html"})
        assert chunk["text"][citation.quote_start : citation.quote_end] == citation.quote
        assert [unescape(each) for each in re.findall("<mark>(.*?)</mark>", page.text, re.DOTALL)] == [citation.quote]


def test_bentomls_client_gets_the_addresses_too(scripted_server: Server) -> None:
    """`/v1/query` is the same answer, whoever calls it."""
    with bentoml_client(scripted_server) as client:
        answer = client.query(question=QUESTION)

    for citation in answer["citations"]:
        assert citation["url"].startswith(f"{scripted_server.url}/chunks/")
        assert citation["quote_end"] - citation["quote_start"] == len(citation["quote"])
    assert answer["citations"]


def test_a_chunk_is_there_for_its_tenant_alone(guarded: Rag) -> None:
    """404 with one body for another's, for an unknown one and for what is no id."""
    (citation, *_) = read_citations(guarded)
    ids = [
        citation.chunk_id.replace("demo:", "acme:"),
        citation.chunk_id.replace(":v1:", ":v9:"),
        "x",
        "%00",
        "a" * 10_000,
    ]
    refused = [guarded.http.get(f"/chunks/{each}", headers={**READER, "x-trace-id": "t"}) for each in ids]
    others = guarded.http.get(f"/chunks/{citation.chunk_id}", headers={**ACME, "x-trace-id": "t"})

    for response in (*refused, others):
        assert_error(response, ErrorCode.NOT_FOUND)
    assert len({response.content for response in (*refused, others)}) == 1
    assert_error(guarded.http.get(f"/chunks/{citation.chunk_id}"), ErrorCode.UNAUTHORIZED)


@pytest.mark.parametrize("path", ["..%2f..", "..%2F..%2Fetc%2Fpasswd", "%2e%2e", "%ff", "a%2fb", ""])
def test_no_path_leads_out_of_the_chunks(guarded: Rag, path: str) -> None:
    """Nothing is there, whatever the server makes of the encoding."""
    request = guarded.http.build_request("GET", "/chunks/x", headers=READER)
    request.url = request.url.copy_with(raw_path=f"/chunks/{path}".encode())

    assert_error(guarded.http.send(request), ErrorCode.NOT_FOUND)


def test_the_metrics_know_the_routes_and_no_chunk(guarded: Rag) -> None:
    """The label is the pattern."""
    (citation, *_) = read_citations(guarded)
    guarded.http.get(f"/chunks/{citation.chunk_id}", headers=READER)

    def counted() -> str | None:
        text = guarded.http.get("/metrics").text
        series = 'rag_queries_total{code="",outcome="query_ok",reason="",route="/chunks/{chunk_id}"}'
        return text if series in text else None

    assert citation.document_id not in wait_for(counted, within_s=10)
