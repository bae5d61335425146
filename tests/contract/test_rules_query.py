"""Promises about a whole answer that no other file tests: what ids resolve to, one version everywhere, valid JSON."""

import re
from typing import Any

import pytest

from rag.index.store import folder_name
from tests.asgi import parse_events
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
CHUNK_ID = re.compile(r"demo:handbook:v1:\d{5}")
LABELLED = re.compile(r"\[S(\d+)\] (.*)")
PASSAGES = [ANNUAL_LEAVE, SICK_LEAVE, PARKING]


async def post(path: str, content: bytes, content_type: str = "application/json") -> Any:
    async with make_client(make_app()) as client:
        return await client.post(path, content=content, headers={"content-type": content_type})


async def test_a_chunk_id_resolves_to_exactly_what_the_generator_saw() -> None:
    """`<tenant>:<document_id>:<version>:<5 digits>`; label by label, the prompt holds the chunks' own texts."""
    generator = ScriptedGenerator(f"{ANNUAL_LEAVE} [S1]")
    pipeline = make_pipeline(generator=generator, abstain_relevance=0.0)
    async with make_client(make_app(pipeline=pipeline)) as client:
        body = (await client.post("/query", json={"question": QUESTION, "include_trace": True})).json()

    chunk_ids = [passage["chunk_id"] for passage in body["trace"]["passages"]]
    seen = LABELLED.findall(generator.calls[0]["messages"][-1].content)
    assert [number for number, _ in seen] == [str(number) for number in range(1, len(chunk_ids) + 1)]
    assert [text for _, text in seen] == [PASSAGES[int(chunk_id[-5:]) - 1] for chunk_id in chunk_ids]
    assert all(CHUNK_ID.fullmatch(citation["chunk_id"]) for citation in body["citations"])
    assert {citation["chunk_id"] for citation in body["citations"]} <= set(chunk_ids)


async def test_the_passages_are_among_the_candidates() -> None:
    """`candidates` are all that were reranked; the generator saw none that was not."""
    async with make_client(make_app()) as client:
        body = (await client.post("/query", json={"question": QUESTION, "include_trace": True})).json()

    candidates = [candidate["chunk_id"] for candidate in body["trace"]["candidates"]]
    assert {passage["chunk_id"] for passage in body["trace"]["passages"]} <= set(candidates)
    assert len(candidates) == len(set(candidates))


async def test_the_trace_never_holds_the_prompt() -> None:
    """Neither its instructions nor the passages' texts."""
    async with make_client(make_app()) as client:
        body = (await client.post("/query", json={"question": QUESTION, "include_trace": True})).json()

    assert PARKING not in str(body["trace"])
    assert "Answer the question" not in str(body["trace"])
    assert body["trace"].keys() == {"candidates", "passages", "usage", "sentences", "standalone_question"}


async def test_one_version_answers_everywhere() -> None:
    """`model_version` is the same in the answer, in `meta`, in readiness and among the models."""
    async with make_client(make_app()) as client:
        whole = (await client.post("/query", json={"question": QUESTION})).json()["model_version"]
        events = parse_events((await client.post("/query/stream", json={"question": QUESTION})).text)
        ready = (await client.get("/ready")).json()["model_version"]
        current = (await client.get("/models/current")).json()["model_version"]

    assert {whole, events[0].data["model_version"], ready, current} == {MODEL_VERSION}


@pytest.mark.parametrize("mode", ["repair", "drop"])
@pytest.mark.parametrize("draft", ["", "[S1]", "Nothing is known. [S99]", f"{ANNUAL_LEAVE} [S7]", "...", "S99 S98."])
async def test_an_answer_that_stops_has_a_citation(mode: Any, draft: str) -> None:
    """Only mode `mark` may end with `stop` and no citations."""
    pipeline = make_pipeline(generator=ScriptedGenerator(draft), mode=mode)
    async with make_client(make_app(pipeline=pipeline)) as client:
        body = (await client.post("/query", json={"question": QUESTION})).json()

    assert (body["finish_reason"] == "no_answer") == (body["citations"] == [])
    assert body["answer"]


@pytest.mark.parametrize("tenant_id", [".", "..", "...", "-", "CON", "a" * 64])
async def test_any_tenant_id_of_the_schema_is_only_a_name(tenant_id: str) -> None:
    """`..` is a tenant without documents like any other: no part of a path."""
    indexes = FakeIndexes(demo=FakeIndex(ANNUAL_LEAVE))

    assert await indexes.current(tenant_id) is None
    assert folder_name(tenant_id).startswith("tenant-")
    assert "/" not in folder_name(tenant_id)


@pytest.mark.parametrize(
    "content",
    [
        b' \r\n\t{"question": "x"} \n',
        b'{"question": "\\ud83d\\ude00"}',
        '{"question": "ngh\u1ec9 ph\u00e9p"}'.encode(),
        b'{"question": "a\\u0000b"}',
        b'{"question": "x", "top_k": 6}',
    ],
)
async def test_json_may_be_written_as_json_may(content: bytes) -> None:
    """White space around it, escapes and pairs of surrogates are JSON."""
    assert (await post("/query", content)).status_code == 200


@pytest.mark.parametrize(
    "content",
    [
        b'{"question": "x", "top_k": 1e1}',
        b'{"question": "x", "top_k": 1e999}',
        b'{"question": "x", "top_k": -0}',
        b'{"question": "x", "top_k": ' + b"9" * 400 + b"}",
        b'{"question": "x", "__proto__": {}}',
        b'{"question": "\\ud800"}',
        b'{"question": "x", "' + b"k" * 50_000 + b'": 1}',
        b'{"question": "x",' + b",".join(b'"k%d": 1' % number for number in range(3000)) + b"}",
    ],
)
async def test_strange_numbers_and_fields_violate_the_schema(content: bytes) -> None:
    """422, with as much of the names as a reader can use."""
    response = await post("/query", content)

    assert response.status_code == 422
    assert len(response.content) < 10_000


@pytest.mark.parametrize("value", [b"9" * 5000, b"[" * 250 + b"]" * 250])
async def test_json_that_no_reader_of_ours_can_hold_is_json(value: bytes) -> None:
    """422 is for any JSON that violates the schema; 400 for what is no JSON at all."""
    response = await post("/query", b'{"question": "x", "top_k": ' + value + b"}")

    assert response.json()["error"]["code"] == "VALIDATION_ERROR"


@pytest.mark.parametrize("parameters", ["; profile=x", "; charset=utf-8; version=1", '; odata="verbose"'])
async def test_json_may_have_parameters(parameters: str) -> None:
    """415 is for a body that is not `application/json`; a parameter does not make it another type."""
    response = await post("/query", b'{"question": "x"}', f"application/json{parameters}")

    assert response.status_code == 200


async def test_the_query_string_of_a_post_is_not_its_body() -> None:
    """`POST` takes its fields from JSON alone."""
    response = await post("/query?question=y&top_k=99", b'{"question": "x"}')

    assert response.status_code == 200
