"""`POST /search`: the passages that an answer would be made of, under the same rules as a query."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NoReturn

import httpx
import pytest
from prometheus_client import REGISTRY

from rag.api.openapi import describe_api
from rag.errors import NotReady, RagError, RateLimited, Unauthorized, UpstreamError
from rag.identity import open_authenticator
from rag.limits import Gate, Places
from rag.pipeline import Pipeline
from tests.asgi import Connection
from tests.contract.asking import write_identities
from tests.contract.conftest import LogLines
from tests.contract.test_rules_limits import Account
from tests.described import Description
from tests.fakes import (
    ANNUAL_LEAVE,
    MODEL_VERSION,
    PARKING,
    QUESTION,
    SICK_LEAVE,
    FailingEmbedder,
    FailingScorer,
    FakeIndex,
    FakeIndexes,
    HangingEmbedder,
    HangingScorer,
    RefusingGenerator,
    make_app,
    make_client,
    make_pipeline,
)

JSON: Final = {"content-type": "application/json"}
BODY: Final = f'{{"question": "{QUESTION}"}}'.encode()
DESCRIPTION: Final = Description(describe_api(is_open=True))


async def search(question: str = QUESTION, *, app: Any = None, **fields: Any) -> httpx.Response:
    async with make_client(app or make_app()) as client:
        response = await client.post("/search", json={"question": question, **fields})
    DESCRIPTION.check_response(response)
    return response


def never() -> NoReturn:
    raise NotReady("A model is still loading.", retry_after_s=5)


def no_generator() -> Pipeline:
    return make_pipeline(generator=RefusingGenerator(AssertionError("it was asked")))


# --- what is found


async def test_the_response_has_exactly_the_fields_of_the_contract() -> None:
    """Results with everything that is known of them, trace id, times and model version."""
    body = (await search()).json()

    assert body.keys() == {"results", "trace_id", "latency_ms", "model_version"}
    assert body["results"][0].keys() == {
        "chunk_id", "document_id", "title", "heading", "page_start", "page_end", "text",
        "similarity", "bm25_score", "rrf_score", "relevance",
    }  # fmt: skip
    assert body["model_version"] == MODEL_VERSION
    assert body["latency_ms"].keys() == {"retrieval", "rerank", "generation", "verification", "total"}
    assert body["latency_ms"]["total"] == max(body["latency_ms"].values())


async def test_a_result_is_the_chunk_itself() -> None:
    """Its whole text, its pages, and the heading over it."""
    index = FakeIndex(ANNUAL_LEAVE, heading="Leave")
    (result,) = (await search(app=make_app(indexes=FakeIndexes(demo=index)))).json()["results"]

    assert result["chunk_id"] == "demo:handbook:v1:00001"
    assert (result["text"], result["heading"], result["title"]) == (ANNUAL_LEAVE, "Leave", "Staff Handbook")
    assert (result["page_start"], result["page_end"]) == (1, 1)


async def test_a_printed_page_stands_beside_the_number() -> None:
    """Only where the two differ; citations have the fields of the contract and no more."""
    index = FakeIndexes(demo=FakeIndex(ANNUAL_LEAVE, page_label="iv"))
    async with make_client(make_app(indexes=index)) as client:
        (result,) = (await client.post("/search", json={"question": QUESTION})).json()["results"]
        (citation,) = (await client.post("/query", json={"question": QUESTION})).json()["citations"]

    assert (result["page_start"], result["page_end"], result["page_label"]) == (1, 1, "iv")
    assert "page_label" not in citation


async def test_a_search_finds_what_a_query_reranks() -> None:
    """The same candidates with the same scores in the same order as in the trace of an answer."""
    async with make_client(make_app()) as client:
        found = (await client.post("/search", json={"question": QUESTION})).json()["results"]
        answer = (await client.post("/query", json={"question": QUESTION, "include_trace": True})).json()

    candidates = answer["trace"]["candidates"]
    assert [{name: each[name] for name in candidates[0]} for each in found] == candidates
    assert [each["relevance"] for each in found] == sorted((each["relevance"] for each in found), reverse=True)


async def test_every_part_of_a_question_is_searched() -> None:
    """Each part's best passage is among the first, not only the whole question's."""
    question = "How many days of annual leave are there, and where do visitors park?"
    results = (await search(question, top_k=2)).json()["results"]

    assert {each["text"] for each in results} == {ANNUAL_LEAVE, PARKING}


async def test_at_most_top_k_are_sent_and_no_more_than_there_are() -> None:
    """The best ones; fewer documents make fewer results."""
    everything = (await search(top_k=50)).json()["results"]
    one = (await search(top_k=1)).json()["results"]

    assert {each["text"] for each in everything} == {ANNUAL_LEAVE, SICK_LEAVE, PARKING}
    assert one == everything[:1]


async def test_ten_are_sent_by_default() -> None:
    """`top_k` is 10 where it is left out."""
    index = FakeIndex(*(f"Rule {number} of annual leave days." for number in range(1, 13)))
    pipeline = make_pipeline(indexes=FakeIndexes(demo=index), rerank_k=12)

    assert len((await search(app=make_app(pipeline=pipeline))).json()["results"]) == 10


async def test_a_tenant_without_an_index_has_no_results() -> None:
    """200: it may be searched, there is only nothing to be found."""
    response = await search(app=make_app(indexes=FakeIndexes()))

    assert (response.status_code, response.json()["results"]) == (200, [])


async def test_small_talk_is_searched_like_anything_else() -> None:
    """Whoever searches for a greeting may mean the document about greetings."""
    index = FakeIndex("Thank you letters are sent in May.")
    (result,) = (await search("thank you", app=make_app(indexes=FakeIndexes(demo=index)))).json()["results"]

    assert result["text"] == "Thank you letters are sent in May."


# --- without a generator


async def test_no_generator_is_asked() -> None:
    """One that fails when it is asked, and none at all, make no difference."""
    for pipeline in (no_generator(), make_pipeline(drafts=False)):
        assert (await search(app=make_app(pipeline=pipeline))).status_code == 200


async def test_a_generator_that_is_down_stops_queries_alone() -> None:
    """Queries are NOT_READY, searches are answered."""
    app = make_app(pipeline=never, search_pipeline=no_generator)
    async with make_client(app) as client:
        asked = await client.post("/query", content=BODY, headers=JSON)
        found = await client.post("/search", content=BODY, headers=JSON)

    assert (asked.status_code, asked.json()["error"]["code"]) == (503, "NOT_READY")
    assert found.status_code == 200


async def test_a_search_waits_for_the_models_that_it_needs() -> None:
    """503 NOT_READY with `Retry-After` while they load."""
    response = await search(app=make_app(search_pipeline=never))

    assert (response.status_code, response.headers["retry-after"]) == (503, "5")


# --- the request


@pytest.mark.parametrize(
    "fields",
    [
        {"top_k": 0},
        {"top_k": 51},
        {"top_k": "10"},
        {"top_k": True},
        {"top_k": None},
        {"question": " \n"},
        {"question": "x" * 2001},
        {"question": 7},
        {"tenant_id": "a/b"},
        {"max_output_tokens": 100},
        {"include_trace": True},
        {"filters": None},
    ],
)
async def test_what_breaks_the_schema_is_refused(fields: dict[str, Any]) -> None:
    """422 with the field and without its value; what is no field of a search is one that breaks it."""
    response = await search(**fields)

    (field,) = fields
    assert response.status_code == 422
    assert [each["path"] for each in response.json()["error"]["fields"]] == [field]


@pytest.mark.parametrize("top_k", [b"10.0", b"1e1"])
async def test_a_whole_float_is_no_integer(top_k: bytes) -> None:
    """As everywhere in the contract."""
    async with make_client(make_app()) as client:
        response = await client.post("/search", content=b'{"question": "x", "top_k": ' + top_k + b"}", headers=JSON)

    assert response.status_code == 422


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b'{"question":"a","question":"b"}', "application/json", 400),
        (b"[]", "application/json", 422),
        (b'{"question":"\xff"}', "application/json", 400),
        (b" " * 70_000, "application/json", 413),
        (BODY, "text/plain", 415),
    ],
)
async def test_a_body_that_is_none_is_refused(body: bytes, content_type: str, status: int) -> None:
    """Each with its own code; nothing is taken from a quota."""
    account = Account()
    async with make_client(make_app(limiter=account)) as client:
        response = await client.post("/search", content=body, headers={"content-type": content_type})

    DESCRIPTION.check_response(response)
    assert (response.status_code, account.reserved) == (status, [])


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
async def test_a_search_is_posted(method: str) -> None:
    """405 with `Allow`: a question in a URL would be in every log on the way."""
    async with make_client(make_app()) as client:
        response = await client.request(method, "/search")

    assert (response.status_code, response.headers["allow"]) == (405, "POST")


# --- who, and how much


class Refusing:
    """An `Authenticator` that knows nobody."""

    async def authenticate(self, headers: Any) -> NoReturn:
        raise Unauthorized


async def test_a_search_needs_credentials_where_callers_are_known() -> None:
    """401 UNAUTHORIZED before the body is read."""
    response = await search(app=make_app(authenticator=Refusing()))

    assert response.status_code == 401


async def test_each_tenant_finds_its_own(tmp_path: Path) -> None:
    """403 for another's tenant, the same whether it exists; its own documents for its own."""
    path = write_identities(tmp_path, {"reader": ["demo"], "acme-reader": ["acme"]})
    indexes = FakeIndexes(demo=FakeIndex(ANNUAL_LEAVE), acme=FakeIndex(SICK_LEAVE, tenant_id="acme"))
    app = make_app(indexes=indexes, authenticator=open_authenticator(identities_file=path))

    async with make_client(app) as client:

        async def ask(key: str, tenant_id: str) -> httpx.Response:
            headers = {"x-api-key": key}
            return await client.post("/search", json={"question": QUESTION, "tenant_id": tenant_id}, headers=headers)

        own = [await ask("reader", "demo"), await ask("acme-reader", "acme")]
        others = [await ask("reader", "acme"), await ask("reader", "never-heard-of")]

    assert [response.json()["results"][0]["text"] for response in own] == [ANNUAL_LEAVE, SICK_LEAVE]
    assert [response.status_code for response in others] == [403, 403]
    first, second = ({**response.json()["error"], "trace_id": ""} for response in others)
    assert first == second


async def test_a_search_counts_as_a_request_and_costs_no_tokens() -> None:
    """Reserved is what the question has, settled is nothing."""
    account = Account()
    await search(app=make_app(limiter=account))

    assert account.reserved == [len(QUESTION.split())]
    assert account.settled == [("1", 0)]


async def test_a_spent_quota_asks_no_model() -> None:
    """429 RATE_LIMITED with `Retry-After`."""
    app = make_app(
        limiter=Account(RateLimited("requests", retry_after_s=6.01)),
        pipeline=make_pipeline(embedder=FailingEmbedder(AssertionError("it was asked"))),
    )
    response = await search(app=app)

    assert (response.status_code, response.headers["retry-after"]) == (429, "7")


async def test_who_finds_no_place_gives_the_tokens_back() -> None:
    """503 CONCURRENCY_LIMIT; a search runs in the same places as a query."""
    account, places = Account(), Places(1, queue_timeout_s=0.001)
    async with places.hold():
        response = await search(app=make_app(limiter=account, places=places))

    assert (response.status_code, response.json()["error"]["code"]) == (503, "CONCURRENCY_LIMIT")
    assert account.settled == [("1", 0)]


async def test_a_service_that_stops_takes_no_search() -> None:
    """503 NOT_READY once the gate is closed."""
    gate = Gate()
    gate.close()

    assert (await search(app=make_app(gate=gate))).status_code == 503


# --- failures, the log and the metrics


def failing(stage: str, error: Exception) -> Callable[[], Pipeline]:
    broken = {"embedder": FailingEmbedder(error)} if stage == "retrieval" else {"scorer": FailingScorer(error)}
    pipeline = make_pipeline(**broken)
    return lambda: pipeline


@pytest.mark.parametrize("stage", ["retrieval", "rerank"])
@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (UpstreamError(), 502, "UPSTREAM_ERROR"),
        (NotReady(), 503, "NOT_READY"),
        (RuntimeError("confidential"), 500, "INTERNAL_ERROR"),
    ],
)
async def test_a_failure_has_its_status_and_its_line(
    stage: str, error: Exception, status: int, code: str, log_lines: LogLines
) -> None:
    """The catalogue of the queries; one line with the code."""
    response = await search(app=make_app(search_pipeline=failing(stage, error)))

    (line,) = log_lines()
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert (line["event"], line["route"], line["error_code"]) == ("query_failed", "/search", code)
    assert "confidential" not in response.text


@pytest.mark.parametrize("stage", [{"embedder": HangingEmbedder()}, {"scorer": HangingScorer()}])
@pytest.mark.parametrize("limits", [{"stage": 0.01, "request": 10.0}, {"stage": 10.0, "request": 0.05}])
async def test_a_search_has_deadlines(stage: dict[str, Any], limits: dict[str, float], log_lines: LogLines) -> None:
    """504 MODEL_TIMEOUT, by the stage's or by the whole request's."""
    pipeline = make_pipeline(stage_timeout_s=limits["stage"], **stage)
    response = await search(app=make_app(pipeline=pipeline, request_timeout_s=limits["request"]))

    assert (response.status_code, response.json()["error"]["code"]) == (504, "MODEL_TIMEOUT")
    assert [line["finish_reason"] for line in log_lines()] == ["timeout"]


async def test_an_index_that_cannot_be_loaded_is_not_ready() -> None:
    """503 NOT_READY, of this tenant alone."""
    error: RagError = NotReady()
    pipeline = make_pipeline(indexes=FakeIndexes(demo=error))

    assert (await search(app=make_app(pipeline=pipeline))).status_code == 503


async def test_a_search_leaves_one_line(log_lines: LogLines) -> None:
    """`query_ok` without a finish reason: there was no answer to finish. Never the question or a passage."""
    async with make_client(make_app()) as client:
        response = await client.post("/search", content=BODY, headers={**JSON, "x-trace-id": "tr-one"})

    (line,) = log_lines()
    assert response.headers["x-trace-id"] == response.json()["trace_id"] == line["trace_id"] == "tr-one"
    assert (line["event"], line["route"], line["finish_reason"]) == ("query_ok", "/search", None)
    assert (line["tenant_id"], line["principal_id"], line["input_chars"]) == ("demo", "anonymous", len(QUESTION))
    assert (line["model_version"], line["prompt_tokens"], line["completion_tokens"]) == (MODEL_VERSION, 0, 0)
    assert "annual" not in str(line)


async def test_a_client_that_left_frees_everything(log_lines: LogLines) -> None:
    """The wait for the embedder ends, the place and the tokens return, and the line says so."""
    embedder, account, places = HangingEmbedder(), Account(), Places(1, queue_timeout_s=10)
    app = make_app(pipeline=make_pipeline(embedder=embedder), limiter=account, places=places)
    async with Connection(app, "POST", "/search", body=[BODY], headers=JSON) as connection:
        await embedder.reached.wait()
        await connection.disconnect()

    assert (embedder.waiting, places.taken, account.settled) == (0, 0, [("1", 0)])
    assert [(line["event"], line["finish_reason"]) for line in log_lines()] == [
        ("query_cancelled", "client_disconnected")
    ]


async def test_searches_are_counted_under_their_route() -> None:
    """In the metrics of queries, without a reason."""
    labels = {"route": "/search", "outcome": "query_ok", "reason": "", "code": ""}
    before = REGISTRY.get_sample_value("rag_queries_total", labels) or 0
    await search()

    assert REGISTRY.get_sample_value("rag_queries_total", labels) == before + 1
