"""`/mcp`: the Model Context Protocol over streamable HTTP, under the same rules as queries and searches."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from openapi_schema_validator import OAS31Validator

from rag.api import routes
from rag.api.openapi import describe_api
from rag.identity import open_authenticator
from rag.limits import Gate, Places
from rag.quotas import LocalLimiter, Quotas
from schemas.request import BODY_MAX_BYTES, QUESTION_MAX_CHARS, SEARCH_TOP_K_MAX, TOP_K_MAX
from tests.asgi import Connection
from tests.contract.asking import write_identities
from tests.contract.conftest import LogLines
from tests.described import Description
from tests.fakes import (
    ANNUAL_LEAVE,
    HANG,
    QUESTION,
    FailingEmbedder,
    HangingScorer,
    ScriptedGenerator,
    make_app,
    make_client,
    make_pipeline,
)

BOTH: Final = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
DESCRIPTION: Final = Description(describe_api(is_open=True))


def message(method: str, params: Mapping[str, Any] | None = None, message_id: Any = 1) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": message_id, "method": method, "params": params or {}}


def call_of(tool: str, arguments: Mapping[str, Any], **params: Any) -> dict[str, Any]:
    return message("tools/call", {"name": tool, "arguments": arguments, **params})


async def post(body: Any, *, app: Any = None, **headers: str) -> httpx.Response:
    async with make_client(app or make_app()) as client:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        response = await client.post("/mcp", json=body, headers={**BOTH, **named})
    if response.status_code != 202:  # which has no body
        DESCRIPTION.check_response(response)
    return response


async def call(tool: str, app: Any = None, **arguments: Any) -> dict[str, Any]:
    """The result of one call."""
    response = await post(call_of(tool, arguments), app=app)
    assert response.status_code == 200, response.text
    result: dict[str, Any] = response.json()["result"]
    return result


def read_error(result: Mapping[str, Any]) -> dict[str, Any]:
    """The contract's error in the text of a failed call, which has no structured content."""
    assert result["isError"] is True
    assert "structuredContent" not in result
    (content,) = result["content"]
    error: dict[str, Any] = json.loads(content["text"])["error"]
    return error


def read_events(text: str) -> list[dict[str, Any]]:
    blocks = [block.split("\n") for block in text.removesuffix("\n\n").split("\n\n")]
    assert all(lines[0] == "event: message" for lines in blocks)
    return [json.loads(line.removeprefix("data: ")) for _, line in blocks]


# --- the protocol


@pytest.mark.parametrize(
    ("asked", "answered"),
    [("2025-03-26", "2025-03-26"), ("2025-06-18", "2025-06-18"), ("2025-11-25", "2025-11-25"), ("1999", "2025-11-25")],
)
async def test_a_version_that_is_known_is_taken(asked: str, answered: str) -> None:
    """For another one the newest is offered, which the client may refuse."""
    response = await post(message("initialize", {"protocolVersion": asked, "capabilities": {}, "clientInfo": {}}))
    result = response.json()["result"]

    assert (result["protocolVersion"], result["capabilities"]) == (answered, {"tools": {}})
    assert result["serverInfo"]["name"] == "rag"
    assert response.headers["mcp-session-id"]


async def test_the_tools_are_listed_with_the_bounds_of_the_contract() -> None:
    """Their schemas are valid, and say the same as the endpoints."""
    tools = {tool["name"]: tool for tool in (await post(message("tools/list"))).json()["result"]["tools"]}

    assert tools.keys() == {"search", "ask", "get_source"}
    for tool in tools.values():
        for schema in (tool["inputSchema"], tool["outputSchema"]):
            OAS31Validator.check_schema(schema)
            assert schema["type"] == "object"
    asked, searched = (tools[name]["inputSchema"]["properties"] for name in ("ask", "search"))
    assert asked["question"]["maxLength"] == QUESTION_MAX_CHARS
    assert (asked["top_k"]["maximum"], searched["top_k"]["maximum"]) == (TOP_K_MAX, SEARCH_TOP_K_MAX)


async def test_a_ping_is_answered_and_a_notification_is_taken() -> None:
    """The one with an empty result under its own id, the other with 202 and nothing."""
    ping = await post(message("ping", message_id="seven"))
    notice = await post({"jsonrpc": "2.0", "method": "notifications/initialized"})
    response = await post({"jsonrpc": "2.0", "id": 5, "result": {}})

    assert ping.json() == {"jsonrpc": "2.0", "id": "seven", "result": {}}
    assert [(each.status_code, each.content) for each in (notice, response)] == [(202, b"")] * 2


@pytest.mark.parametrize("method", ["resources/list", "prompts/list", "server/discover", ""])
async def test_an_unknown_method_is_an_error_of_the_protocol(method: str) -> None:
    """JSON-RPC's, with the request's id: clients try what a server has."""
    response = await post(message(method))

    assert (response.status_code, response.json()["id"]) == (200, 1)
    assert response.json()["error"]["code"] == -32601


@pytest.mark.parametrize(
    "params", [{"name": "drop"}, {}, {"name": ["ask"]}, {"name": "ask", "arguments": [1]}, {"name": 1}]
)
async def test_a_call_of_no_tool_is_an_error_of_the_protocol(params: dict[str, Any], log_lines: LogLines) -> None:
    """Not echoed, and logged under the path alone."""
    response = await post(message("tools/call", params))
    (line,) = log_lines()

    assert response.json()["error"]["code"] == -32602
    assert (line["route"], line["error_code"]) == ("/mcp", "VALIDATION_ERROR")


@pytest.mark.parametrize(
    "body",
    [
        {"id": 1, "method": "ping"},
        {"jsonrpc": "1.0", "id": 1, "method": "ping"},
        {"jsonrpc": "2.0", "id": None, "method": "ping"},
        {"jsonrpc": "2.0", "id": True, "method": "ping"},
        {"jsonrpc": "2.0", "id": 1.5, "method": "ping"},
        {"jsonrpc": "2.0", "id": 1, "method": 7},
        {"jsonrpc": "2.0", "id": 1, "method": "ping", "params": []},
        [{"jsonrpc": "2.0", "id": 1, "method": "ping"}],
        "ping",
    ],
)
async def test_what_is_no_message_is_refused(body: Any) -> None:
    """By the catalogue; batches too, which the protocol has given up."""
    response = await post(body)

    assert (response.status_code, response.json()["error"]["code"]) == (422, "VALIDATION_ERROR")


@pytest.mark.parametrize(
    ("content", "media_type", "code"),
    [
        (b"{", "application/json", "BAD_REQUEST"),
        (b'{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}', "application/json", "BAD_REQUEST"),
        (b"{}", "text/plain", "UNSUPPORTED_MEDIA_TYPE"),
        (b" " * (BODY_MAX_BYTES + 1), "application/json", "PAYLOAD_TOO_LARGE"),
    ],
)
async def test_bodies_are_bounded_as_elsewhere(content: bytes, media_type: str, code: str) -> None:
    """Size, media type and JSON."""
    async with make_client(make_app()) as client:
        response = await client.post("/mcp", content=content, headers={**BOTH, "content-type": media_type})

    assert response.json()["error"]["code"] == code


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "HEAD"])
async def test_there_is_no_stream_of_the_server_and_no_session_to_end(method: str) -> None:
    """Nothing is kept between requests."""
    async with make_client(make_app()) as client:
        response = await client.request(method, "/mcp", headers=BOTH)

    assert (response.status_code, response.headers["allow"]) == (405, "POST")


async def test_a_request_in_another_version_is_refused() -> None:
    """400, with the versions that are spoken; without the header the oldest is meant."""
    refused = await post(message("ping"), mcp_protocol_version="2031-01-01")
    taken = await post(message("ping"), mcp_protocol_version="2025-06-18")

    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "BAD_REQUEST")
    assert "2025-11-25" in refused.json()["error"]["message"]
    assert taken.status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://rag"])
async def test_a_page_of_an_unknown_origin_is_refused(origin: str) -> None:
    """Also one with the name of this very host: that is what DNS rebinding looks like."""
    refused = await post(message("ping"), app=make_app(origins=["https://good.example"]), origin=origin)
    taken = await post(message("ping"), app=make_app(origins=["https://good.example"]), origin="https://good.example")

    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "FORBIDDEN")
    assert (taken.status_code, taken.headers["access-control-allow-origin"]) == (200, "https://good.example")


# --- the tools


async def test_an_answer_is_that_of_a_query() -> None:
    """The same JSON, structured and as text, with the addresses of its citations."""
    app = make_app(public_url="https://rag.example")
    result = await call("ask", app, question=QUESTION)
    async with make_client(app) as client:
        answer = (await client.post("/query", json={"question": QUESTION})).json()
    structured = result["structuredContent"]
    changing = {"trace_id", "latency_ms"}

    assert {name: value for name, value in structured.items() if name not in changing} == {
        name: value for name, value in answer.items() if name not in changing
    }
    assert structured["citations"][0]["url"].startswith("https://rag.example/chunks/")
    assert json.loads(result["content"][0]["text"]) == structured
    assert result["isError"] is False


async def test_results_fit_the_schemas_that_are_listed() -> None:
    """Clients check them."""
    tools = {tool["name"]: tool for tool in (await post(message("tools/list"))).json()["result"]["tools"]}
    calls: dict[str, dict[str, Any]] = {
        "search": {"question": QUESTION, "top_k": 2},
        "ask": {"question": QUESTION, "include_trace": True},
        "get_source": {"chunk_id": "demo:handbook:v1:00001"},
    }

    for name, arguments in calls.items():
        OAS31Validator(tools[name]["inputSchema"]).validate(arguments)
        OAS31Validator(tools[name]["outputSchema"]).validate((await call(name, **arguments))["structuredContent"])


async def test_a_source_is_exactly_the_chunk() -> None:
    """By the id of a citation."""
    citation = (await call("ask", question=QUESTION))["structuredContent"]["citations"][0]
    source = (await call("get_source", chunk_id=citation["chunk_id"]))["structuredContent"]

    assert (source["chunk_id"], source["text"]) == (citation["chunk_id"], ANNUAL_LEAVE)


@pytest.mark.parametrize("chunk_id", ["demo:handbook:v1:00099", "acme:handbook:v1:00001", "x", "../..", "\n"])
async def test_no_other_source_is_there(chunk_id: str) -> None:
    """One answer for what is unknown, malformed and somebody else's."""
    error = read_error(await call("get_source", chunk_id=chunk_id))

    assert (error["code"], error["message"]) == ("NOT_FOUND", "No chunk has this id.")


@pytest.mark.parametrize(
    ("tool", "arguments", "path"),
    [
        ("ask", {}, "question"),
        ("ask", {"question": " "}, "question"),
        ("ask", {"question": "x", "top_k": 6.0}, "top_k"),
        ("ask", {"question": "x", "top_k": 10**30}, ""),
        ("search", {"question": "x", "top_k": TOP_K_MAX * 10}, "top_k"),
        ("search", {"question": "x", "max_output_tokens": 16}, "max_output_tokens"),
        ("get_source", {"chunk_id": 7}, "chunk_id"),
        ("get_source", {"chunk_id": "x", "tenant_id": "demo"}, "tenant_id"),
    ],
)
async def test_arguments_have_the_bounds_of_the_endpoints(tool: str, arguments: dict[str, Any], path: str) -> None:
    """The error names the field, for the model to mend it."""
    error = read_error(await call(tool, **arguments))

    assert (error["code"], error["retryable"]) == ("VALIDATION_ERROR", False)
    assert [field["path"] for field in error["fields"]] == [path]


async def test_half_a_surrogate_pair_is_no_question() -> None:
    """JSON can hold it, UTF-8 cannot."""
    content = json.dumps(call_of("ask", {"question": "\ud800"}))
    async with make_client(make_app()) as client:
        response = await client.post("/mcp", content=content, headers=BOTH)

    assert read_error(response.json()["result"])["code"] == "VALIDATION_ERROR"


# --- identity, limits, failures


async def test_nobody_gets_in_without_credentials(tmp_path: Path, log_lines: LogLines) -> None:
    """Not even to `initialize`: 401 with the scheme, as a status."""
    identities = write_identities(tmp_path, {"reader": ["demo"]})
    app = make_app(authenticator=open_authenticator(identities_file=identities))
    refused = [await post(each, app=app) for each in (message("initialize"), call_of("ask", {"question": QUESTION}))]
    taken = await post(call_of("ask", {"question": QUESTION}), app=app, authorization="Bearer reader")

    for response in refused:
        assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
    assert taken.json()["result"]["isError"] is False
    assert [(line["route"], line["principal_id"]) for line in log_lines()] == [
        ("/mcp", None),
        ("/mcp", None),
        ("/mcp/ask", "key:reader"),
    ]


async def test_another_tenant_is_forbidden(tmp_path: Path) -> None:
    """`tenant_id` chooses among those that are granted."""
    identities = write_identities(tmp_path, {"reader": ["demo"]})
    app = make_app(authenticator=open_authenticator(identities_file=identities))
    for tool in ("ask", "search"):
        response = await post(call_of(tool, {"question": QUESTION, "tenant_id": "acme"}), app=app, x_api_key="reader")
        assert read_error(response.json()["result"])["code"] == "FORBIDDEN"


async def test_each_call_is_one_request_with_one_line(log_lines: LogLines) -> None:
    """Under the tool's own label, which is one of a closed set; the protocol's messages use no quota."""
    app = make_app(limiter=LocalLimiter(Quotas(window_s=60, requests=3, tokens=1_000_000)))
    for body in (message("initialize", {"protocolVersion": "x"}), message("tools/list"), message("ping")):
        await post(body, app=app)
    await call("search", app, question=QUESTION)
    await call("ask", app, question=QUESTION)
    await call("get_source", app, chunk_id="demo:handbook:v1:00001")
    refused = await call("ask", app, question=QUESTION)
    lines = log_lines()

    assert (read_error(refused)["code"], refused["_meta"].keys()) == ("RATE_LIMITED", {"retry_after_s"})
    assert [(line["route"], line["event"], line["finish_reason"]) for line in lines] == [
        *[("/mcp", "query_ok", None)] * 3,
        ("/mcp/search", "query_ok", None),
        ("/mcp/ask", "query_ok", "stop"),
        ("/mcp/get_source", "query_ok", None),
        ("/mcp/ask", "query_failed", "error"),
    ]
    assert lines[4]["tenant_id"] == "demo"
    assert {line["route"] for line in lines} <= routes.GOOD_ENDS.keys()


async def test_the_trace_id_is_everywhere(log_lines: LogLines) -> None:
    """Header, result, and line."""
    response = await post(call_of("ask", {"question": QUESTION}), x_trace_id="mine")
    (line,) = log_lines()

    assert response.headers["x-trace-id"] == line["trace_id"] == "mine"
    assert response.json()["result"]["structuredContent"]["trace_id"] == "mine"


async def test_no_place_is_an_error_that_can_be_tried_again() -> None:
    """CONCURRENCY_LIMIT, with when."""
    result = await call("ask", make_app(places=Places(0, queue_timeout_s=0.001)), question=QUESTION)

    assert (read_error(result)["code"], read_error(result)["retryable"]) == ("CONCURRENCY_LIMIT", True)
    assert result["_meta"]["retry_after_s"] >= 1


async def test_a_deadline_ends_a_call() -> None:
    """As a result of the tool."""
    app = make_app(pipeline=make_pipeline(scorer=HangingScorer()), request_timeout_s=0.01)

    assert read_error(await call("ask", app, question=QUESTION))["code"] == "MODEL_TIMEOUT"


async def test_a_fault_of_ours_shows_nothing(log_lines: LogLines) -> None:
    """INTERNAL_ERROR in the result and in the line."""
    app = make_app(pipeline=make_pipeline(embedder=FailingEmbedder(RuntimeError("a secret"))))
    error = read_error(await call("ask", app, question=QUESTION))
    (line,) = log_lines()

    assert (error["code"], line["error_code"]) == ("INTERNAL_ERROR", "INTERNAL_ERROR")
    assert "secret" not in error["message"]


async def test_a_closed_gate_lets_no_call_in() -> None:
    """The service stops: 503 for the whole request."""
    gate = Gate()
    gate.close()

    assert (await post(call_of("ask", {"question": QUESTION}), app=make_app(gate=gate))).status_code == 503


# --- events and cancelling


async def test_progress_comes_before_the_result() -> None:
    """Growing, under the client's token, and without a word of the draft; the response is the last event."""
    body = call_of("ask", {"question": QUESTION}, _meta={"progressToken": "p"})
    response = await post(body)
    *progress, last = read_events(response.text)

    assert response.headers["content-type"].startswith("text/event-stream")
    assert [each["params"]["progress"] for each in progress] == list(range(1, len(progress) + 1))
    assert {(each["method"], each["params"]["progressToken"]) for each in progress} == {("notifications/progress", "p")}
    assert progress[-1]["params"]["message"] == "[S1] Staff Handbook"
    assert (last["id"], last["result"]["structuredContent"]["finish_reason"]) == (1, "stop")


@pytest.mark.parametrize(
    ("accept", "token", "is_stream"),
    [
        ("application/json", True, False),
        ("text/event-stream", False, True),
        ("text/event-stream", True, True),
        ("application/json, text/event-stream", False, False),
        ("*/*", False, False),
        ("text/plain", True, False),
    ],
)
async def test_the_response_has_the_form_that_the_client_takes(accept: str, token: bool, is_stream: bool) -> None:
    """Events for who reads nothing else, or wants to hear of progress and can."""
    meta = {"_meta": {"progressToken": 1}} if token else {}
    response = await post(call_of("ask", {"question": QUESTION}, **meta), accept=accept)
    answer = read_events(response.text)[-1] if is_stream else response.json()

    assert response.headers["content-type"].startswith("text/event-stream") is is_stream
    assert answer["result"]["isError"] is False


async def test_a_failure_after_the_first_event_is_the_last_event() -> None:
    """A stream never ends without its response."""
    pipeline = make_pipeline(generator=ScriptedGenerator(HANG), generation_timeout_s=0.01)
    response = await post(
        call_of("ask", {"question": QUESTION}, _meta={"progressToken": 1}), app=make_app(pipeline=pipeline)
    )
    *progress, last = read_events(response.text)

    assert progress
    assert read_error(last["result"])["code"] == "MODEL_TIMEOUT"


@pytest.mark.parametrize("streams", [True, False])
async def test_a_cancelled_call_gives_everything_back(streams: bool, log_lines: LogLines) -> None:
    """Its stream ends without a response, a plain one says that it was cancelled; the place is free."""
    generator, places = ScriptedGenerator(f"{ANNUAL_LEAVE} [S1]", HANG), Places(1, queue_timeout_s=0.01)
    app = make_app(pipeline=make_pipeline(generator=generator), places=places)
    session = {"mcp-session-id": "s"}
    meta = {"_meta": {"progressToken": 1}} if streams else {}
    body = json.dumps(call_of("ask", {"question": QUESTION}, **meta)).encode()
    notice = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
    async with Connection(app, "POST", "/mcp", body=[body], headers={**BOTH, **session}) as connection:
        await generator.reached.wait()
        await post(notice, app=app)  # of no session
        await post(notice, app=app, mcp_session_id="another")
        assert places.taken == 1
        await post(notice, app=app, mcp_session_id="s")
        await connection.finished()
        status, _ = await connection.head()
        text = await connection.text()

    assert (status, places.taken, generator.open_streams) == (200, 0, 0)
    assert ("result" in text, '"error"' in text) == (False, not streams)
    assert [line["event"] for line in log_lines() if line["route"] == "/mcp/ask"] == ["query_cancelled"]


async def test_a_client_that_leaves_ends_its_call(log_lines: LogLines) -> None:
    """Nobody could fetch the result."""
    generator, places = ScriptedGenerator(HANG), Places(1, queue_timeout_s=0.01)
    app = make_app(pipeline=make_pipeline(generator=generator), places=places)
    body = json.dumps(call_of("ask", {"question": QUESTION}, _meta={"progressToken": 1})).encode()
    async with Connection(app, "POST", "/mcp", body=[body], headers=BOTH) as connection:
        await generator.reached.wait()
        await connection.disconnect()
    (line,) = log_lines()

    assert (places.taken, generator.open_streams) == (0, 0)
    assert (line["event"], line["route"]) == ("query_cancelled", "/mcp/ask")


async def test_nobody_cancels_the_call_of_another(tmp_path: Path) -> None:
    """Knowing session and id is not enough."""
    identities = write_identities(tmp_path, {"one": ["demo"], "other": ["demo"]})
    generator, places = ScriptedGenerator(HANG), Places(1, queue_timeout_s=0.01)
    app = make_app(
        pipeline=make_pipeline(generator=generator),
        places=places,
        authenticator=open_authenticator(identities_file=identities),
    )
    body = json.dumps(call_of("ask", {"question": QUESTION})).encode()
    notice = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
    headers = {**BOTH, "mcp-session-id": "s", "x-api-key": "one"}
    async with Connection(app, "POST", "/mcp", body=[body], headers=headers):
        await generator.reached.wait()
        response = await post(notice, app=app, mcp_session_id="s", x_api_key="other")

        assert (response.status_code, places.taken) == (202, 1)
