"""`POST /query`, as the contract describes it: the request's rules and the response's promises."""

import json
import re
from typing import Any

import pytest

from rag.types import TokenUsage
from tests.fakes import (
    ANNUAL_LEAVE,
    MODEL_VERSION,
    PARKING,
    QUESTION,
    SICK_LEAVE,
    FakeIndex,
    FakeIndexes,
    ScriptedGenerator,
    make_app,
    make_client,
    make_pipeline,
)

JSON = {"content-type": "application/json"}
TWO_SENTENCES = f"{SICK_LEAVE} [S2] {ANNUAL_LEAVE} [S1]"


async def ask(body: dict[str, Any], **app: Any) -> Any:
    async with make_client(make_app(**app)) as client:
        response = await client.post("/query", json=body)
    assert response.status_code == 200, response.text
    return response.json()


async def test_the_response_has_exactly_the_fields_of_the_contract() -> None:
    """answer, citations, trace_id, latency_ms, model_version, finish_reason, and no trace unless asked."""
    body = await ask({"question": QUESTION})

    assert body.keys() == {"answer", "citations", "trace_id", "latency_ms", "model_version", "finish_reason"}
    assert body["model_version"] == MODEL_VERSION
    assert body["finish_reason"] == "stop"
    assert body["citations"][0].keys() == {
        "source_id", "document_id", "chunk_id", "title", "page_start", "page_end",
        "quote", "quote_start", "quote_end", "url",
    }  # fmt: skip


async def test_the_marker_stands_in_the_answer_and_the_quote_in_the_chunk() -> None:
    """A citation's quote is verbatim text of the chunk that its marker names."""
    body = await ask({"question": QUESTION})

    assert body["answer"] == "Full-time staff have 12 days of annual leave per year [S1]."
    assert body["citations"][0]["chunk_id"] == "demo:handbook:v1:00001"
    assert body["citations"][0]["quote"] in ANNUAL_LEAVE


async def test_sources_are_numbered_in_the_order_of_their_first_marker() -> None:
    """S1…Sn without gaps, whatever numbers the passages had in the prompt."""
    generator = ScriptedGenerator(TWO_SENTENCES)
    body = await ask({"question": "sick leave and annual leave days"}, pipeline=make_pipeline(generator=generator))

    markers = re.findall(r"\[S(\d+)\]", body["answer"])
    assert markers == ["1", "2"]
    assert [citation["source_id"] for citation in body["citations"]] == ["S1", "S2"]


async def test_every_marker_has_one_citation_and_every_citation_a_marker() -> None:
    """A source that is cited twice is listed once."""
    generator = ScriptedGenerator(f"{ANNUAL_LEAVE} [S1] {ANNUAL_LEAVE} [S1]")
    body = await ask({"question": QUESTION}, pipeline=make_pipeline(generator=generator))

    markers = set(re.findall(r"\[(S\d+)\]", body["answer"]))
    assert [citation["source_id"] for citation in body["citations"]] == sorted(markers)


async def test_latency_is_in_whole_milliseconds_and_the_total_is_the_largest() -> None:
    """`total` is at least each of the others."""
    latency = (await ask({"question": QUESTION}))["latency_ms"]

    assert latency.keys() == {"retrieval", "rerank", "generation", "verification", "total"}
    assert all(isinstance(value, int) for value in latency.values())
    assert latency["total"] == max(latency.values())


async def test_a_draft_cut_by_its_bound_finishes_with_length() -> None:
    """`length`: cut at `max_output_tokens`."""
    generator = ScriptedGenerator(f"{ANNUAL_LEAVE} [S1]", finish_reason="length")
    body = await ask({"question": QUESTION}, pipeline=make_pipeline(generator=generator))

    assert body["finish_reason"] == "length"


@pytest.mark.parametrize(
    ("question", "words"),
    [("What colour is the moon over Hanoi?", "documents"), ("Mặt trăng ở Hà Nội có màu gì?", "Tài liệu")],
)
async def test_nothing_relevant_is_no_answer_in_the_language_of_the_question(question: str, words: str) -> None:
    """`no_answer` says so in the question's language, cites nothing, and never asks the generator."""
    generator = ScriptedGenerator("The moon is green. [S1]")
    pipeline = make_pipeline(generator=generator, abstain_relevance=0.9)
    body = await ask({"question": question}, pipeline=pipeline)

    assert body["finish_reason"] == "no_answer"
    assert body["citations"] == []
    assert words in body["answer"]
    assert generator.calls == []


async def test_a_tenant_without_documents_is_no_answer() -> None:
    """Not an error: it may be asked, it only knows nothing."""
    body = await ask({"question": QUESTION}, pipeline=make_pipeline(indexes=FakeIndexes()))

    assert body["finish_reason"] == "no_answer"
    assert body["citations"] == []


async def test_the_trace_shows_candidates_passages_usage_and_sentences() -> None:
    """With `include_trace`, and never the prompt."""
    generator = ScriptedGenerator(f"{ANNUAL_LEAVE} [S1]", usage=TokenUsage(81, 12))
    body = await ask({"question": QUESTION, "include_trace": True}, pipeline=make_pipeline(generator=generator))

    trace = body["trace"]
    assert trace.keys() == {"candidates", "passages", "usage", "sentences", "standalone_question"}
    assert trace["candidates"][0].keys() == {
        "chunk_id", "document_id", "similarity", "bm25_score", "rrf_score", "relevance",
    }  # fmt: skip
    relevances = [candidate["relevance"] for candidate in trace["candidates"]]
    assert relevances == sorted(relevances, reverse=True)
    assert trace["passages"][0] == {"chunk_id": "demo:handbook:v1:00001"}
    assert trace["usage"] == {"prompt_tokens": 81, "completion_tokens": 12}
    assert trace["sentences"][0]["verdict"] == "kept"
    assert trace["sentences"][0].keys() == {"draft", "sent", "verdict", "reason", "support"}


async def test_a_score_is_null_where_a_stage_did_not_see_the_chunk() -> None:
    """A chunk without any word of the question was found by meaning alone."""
    indexes = FakeIndexes(demo=FakeIndex(ANNUAL_LEAVE, "Xin chào."))
    body = await ask({"question": QUESTION, "include_trace": True}, pipeline=make_pipeline(indexes=indexes))

    by_chunk = {candidate["chunk_id"]: candidate for candidate in body["trace"]["candidates"]}
    assert by_chunk["demo:handbook:v1:00002"]["bm25_score"] is None


async def test_top_k_bounds_the_passages() -> None:
    """`top_k` passages are given to the generator, no more."""
    body = await ask({"question": f"{QUESTION} {SICK_LEAVE} {PARKING}", "top_k": 2, "include_trace": True})

    assert len(body["trace"]["passages"]) == 2


async def test_max_output_tokens_reaches_the_generator() -> None:
    """The bound is the generator's `max_tokens`; the trace id goes with it."""
    generator = ScriptedGenerator(f"{ANNUAL_LEAVE} [S1]")
    async with make_client(make_app(pipeline=make_pipeline(generator=generator))) as client:
        await client.post(
            "/query", json={"question": QUESTION, "max_output_tokens": 33}, headers={"x-trace-id": "my-id"}
        )

    assert generator.calls[0]["max_tokens"] == 33
    assert generator.calls[0]["trace_id"] == "my-id"


async def test_the_native_route_answers_like_the_other() -> None:
    """`POST /v1/query` takes the same flat JSON and gives the same answer."""
    async with make_client(make_app()) as client:
        native = (await client.post("/v1/query", json={"question": QUESTION})).json()
        plain = (await client.post("/query", json={"question": QUESTION})).json()

    assert native["answer"] == plain["answer"]
    assert native["citations"] == plain["citations"]


@pytest.mark.parametrize(
    "body",
    [
        {"question": "x"},
        {"question": "x" * 2000},
        {"question": "  " + "x" * 2000 + "\n"},
        {"question": "x", "tenant_id": "demo"},
        {"question": "x", "top_k": 1},
        {"question": "x", "top_k": 20},
        {"question": "x", "max_output_tokens": 16},
        {"question": "x", "max_output_tokens": 2048},
        {"question": "x", "include_trace": True},
    ],
)
async def test_the_bounds_themselves_are_allowed(body: dict[str, Any]) -> None:
    """1–2000 characters after trimming, 1–20, 16–2048."""
    async with make_client(make_app()) as client:
        response = await client.post("/query", json=body)

    assert response.status_code == 200


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "question"),
        ({"question": ""}, "question"),
        ({"question": " \n\t\u3000"}, "question"),
        ({"question": "x" * 2001}, "question"),
        ({"question": 7}, "question"),
        ({"question": None}, "question"),
        ({"question": "x", "tenant_id": ""}, "tenant_id"),
        ({"question": "x", "tenant_id": "a b"}, "tenant_id"),
        ({"question": "x", "tenant_id": "../x"}, "tenant_id"),
        ({"question": "x", "tenant_id": "demo\n"}, "tenant_id"),
        ({"question": "x", "tenant_id": "a" * 65}, "tenant_id"),
        ({"question": "x", "top_k": 0}, "top_k"),
        ({"question": "x", "top_k": 21}, "top_k"),
        ({"question": "x", "top_k": "6"}, "top_k"),
        ({"question": "x", "top_k": 6.0}, "top_k"),
        ({"question": "x", "top_k": True}, "top_k"),
        ({"question": "x", "top_k": None}, "top_k"),
        ({"question": "x", "max_output_tokens": 15}, "max_output_tokens"),
        ({"question": "x", "max_output_tokens": 2049}, "max_output_tokens"),
        ({"question": "x", "include_trace": "yes"}, "include_trace"),
        ({"question": "x", "include_trace": 1}, "include_trace"),
        ({"question": "x", "temperature": 1}, "temperature"),
        ([], ""),
        ("question", ""),
        (None, ""),
        (7, ""),
    ],
)
@pytest.mark.parametrize("path_of_route", ["/query", "/v1/query", "/query/stream"])
async def test_json_that_violates_the_schema_is_refused_field_by_field(
    body: Any, path: str, path_of_route: str
) -> None:
    """422 VALIDATION_ERROR; `error.fields` names the field, `""` the body, and never shows the value."""
    async with make_client(make_app()) as client:
        response = await client.post(path_of_route, content=json.dumps(body), headers=JSON)

    assert response.status_code == 422
    error = response.json()["error"]
    assert error["code"] == "VALIDATION_ERROR"
    assert [field["path"] for field in error["fields"]] == [path]
    assert all(field.keys() == {"path", "reason"} for field in error["fields"])


async def test_the_refused_value_is_not_sent_back() -> None:
    """A question may be confidential even where it is too long."""
    secret = "s3cr3t" * 400
    async with make_client(make_app()) as client:
        response = await client.post("/query", json={"question": secret, "tenant_id": "s3cr3t s3cr3t"})

    assert "s3cr3t" not in response.text
