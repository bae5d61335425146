"""The API's description is complete: OpenAPI that names every path, error, event and bound of the contract."""

from typing import Final

import pytest
from openapi_spec_validator import validate

from rag.api.openapi import describe_api
from rag.api.routes import METHODS
from schemas.errors import ERROR_TABLE, ErrorCode
from schemas.events import CitationEvent, DoneEvent, ErrorEvent, MetaEvent, TokenEvent
from schemas.request import QueryRequest
from tests.described import Description, codes_of, references
from tests.fakes import make_app, make_client

DESCRIPTION: Final = Description(describe_api(is_open=True))
PAGE: Final = "/"  # for people


@pytest.mark.parametrize("is_open", [True, False])
def test_the_document_is_openapi(is_open: bool) -> None:
    """Valid by the specification, in either state of the service."""
    validate(describe_api(is_open=is_open))


def test_no_reference_dangles() -> None:
    """Also where no validator looks: in the schemas of the events' data."""
    found = set(references(DESCRIPTION.document))

    assert "#/components/schemas/DoneEvent" in found
    for reference in found:
        assert DESCRIPTION.resolve({"$ref": reference})


@pytest.mark.parametrize("path", ["/openapi.json", "/docs.json"])
async def test_both_paths_serve_the_document(path: str) -> None:
    """BentoML's path too: its own document knows neither our errors nor our events."""
    async with make_client(make_app()) as client:
        response = await client.get(path)

    assert response.json() == DESCRIPTION.document


async def test_bentomls_path_takes_head_as_it_did() -> None:
    """A HEAD on `/docs.json` is answered without a body."""
    async with make_client(make_app()) as client:
        response = await client.head("/docs.json")

    assert (response.status_code, response.content) == (200, b"")


def test_a_document_belongs_to_its_reader() -> None:
    """What is changed in one is not changed in the next."""
    describe_api(is_open=True)["components"]["headers"].clear()

    assert describe_api(is_open=True) == DESCRIPTION.document


def test_every_path_is_described_with_its_methods() -> None:
    """What the edge lets through and what the document names are the same; HEAD is GET without a body."""
    described = {path: {method.upper() for method in item} for path, item in DESCRIPTION.paths.items()}

    assert described == {path: set(methods) - {"HEAD"} for path, methods in METHODS.items() if path != PAGE}


def test_every_code_is_described_under_its_status() -> None:
    """The catalogue is closed, and no code is left out: not those of no operation, not that of the stream alone."""
    responses = [
        (int(status), each)
        for *_, operation in DESCRIPTION.operations()
        for status, each in operation["responses"].items()
    ]
    responses += [(404, DESCRIPTION.document["components"]["responses"]["NotFound"])]
    responses += [(405, DESCRIPTION.document["components"]["responses"]["MethodNotAllowed"])]
    responses += [(431, DESCRIPTION.document["components"]["responses"]["HeadersTooLarge"])]
    described = [(status, code) for status, each in responses if status >= 400 for code in codes_of(each)]
    in_events = DESCRIPTION.document["components"]["schemas"]["ErrorEvent"]["properties"]["code"]["enum"]

    assert all(ERROR_TABLE[code].status == status for status, code in described)
    assert {code for _, code in described} | set(in_events) == set(ErrorCode)
    assert ErrorCode.STREAM_TIMEOUT not in {code for _, code in described}


def test_every_operation_takes_and_gives_a_trace_id() -> None:
    """`x-trace-id` goes in where the client has one, and comes out of every response."""
    for *_, operation in DESCRIPTION.operations():
        assert {"$ref": "#/components/parameters/x-trace-id"} in operation["parameters"]
        assert all("x-trace-id" in each["headers"] for each in operation["responses"].values())


@pytest.mark.parametrize(
    ("is_open", "callers"),
    [(False, [{"ApiKey": []}, {"BearerToken": []}]), (True, [{}, {"ApiKey": []}, {"BearerToken": []}])],
)
def test_credentials_are_asked_for_where_callers_are_known(is_open: bool, callers: list[object]) -> None:
    """A key or a token for questions and the models' card; nobody's where none are configured."""
    sources = {"/search", "/chunks/{chunk_id}", "/mcp"}
    chat = {"/v1/chat/completions", "/v1/models"}
    documents = {"/documents", "/documents/{document_id}", "/jobs/{job_id}"}
    guarded = {"/query", "/v1/query", "/query/stream", "/models/current", *sources, *chat, *documents}

    for _, path, operation in Description(describe_api(is_open=is_open)).operations():
        assert operation["security"] == (callers if path in guarded else [])


def test_the_url_takes_what_the_body_takes() -> None:
    """The same fields with the same bounds, of which history and filters are missing: a URL has no form for objects."""
    body = DESCRIPTION.document["components"]["schemas"]["QueryRequest"]
    parameters = [each for each in DESCRIPTION.paths["/query/stream"]["get"]["parameters"] if "$ref" not in each]

    plain = {name: schema for name, schema in body["properties"].items() if name not in ("history", "filters")}
    assert {each["name"]: each["schema"] for each in parameters} == plain
    assert [each["name"] for each in parameters if each["required"]] == body["required"] == ["question"]
    assert body["properties"].keys() == QueryRequest.model_fields.keys()


@pytest.mark.parametrize(
    ("question", "is_described"),
    [("x", True), ("x" * 2000, True), ("", False), (" \n\u3000", False), ("\x1c\x85", False), ("x" * 2001, False)],
)
def test_the_questions_described_are_those_taken(question: str, is_described: bool) -> None:
    """White space alone is no question, whatever kind of white space."""
    described = DESCRIPTION.document["components"]["schemas"]["QueryRequest"]

    assert (DESCRIPTION.problems(described, {"question": question}) == []) is is_described


@pytest.mark.parametrize("path", ["/query", "/search", "/v1/chat/completions"])
def test_examples_are_as_described(path: str) -> None:
    """What a reader copies from the document works."""
    operation = DESCRIPTION.paths[path]["post"]
    contents = [
        operation["requestBody"]["content"]["application/json"],
        operation["responses"]["200"]["content"]["application/json"],
    ]

    for content in contents:
        assert DESCRIPTION.problems(content["schema"], content["example"]) == []


def test_every_event_is_described() -> None:
    """The five of the contract, by their names on the wire."""
    events = (MetaEvent, TokenEvent, CitationEvent, DoneEvent, ErrorEvent)

    assert [each["properties"]["event"]["const"] for each in DESCRIPTION.events()] == [
        each.model_fields["event"].default for each in events
    ]
