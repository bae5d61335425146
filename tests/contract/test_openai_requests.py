"""What `POST /v1/chat/completions` takes: OpenAI's fields, most of them ignored; what it refuses, in OpenAI's words."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from rag.api import openai_request
from rag.errors import NotReady, RateLimited, Unauthorized
from rag.identity import open_authenticator
from rag.limits import Gate, Places
from schemas.openai import ChatRequest
from tests.asgi import Connection
from tests.contract.asking import write_identities
from tests.contract.chatting import CHAT, DONE, JSON, MODELS, chat, parse_chunks, post, say, stream
from tests.contract.conftest import LogLines
from tests.contract.test_rules_limits import Account
from tests.fakes import (
    ANNUAL_LEAVE,
    HANG,
    MODEL_VERSION,
    PARKING,
    QUESTION,
    FakeIndex,
    FakeIndexes,
    ScriptedGenerator,
    make_app,
    make_client,
    make_pipeline,
)

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
AUDIO = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
FILE = {"type": "file", "file": {"file_id": "file-1"}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}


def turn(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


def text(value: Any) -> dict[str, Any]:
    return {"type": "text", "text": value}


def talk(*turns: Any, **fields: Any) -> dict[str, Any]:
    return {"model": "rag", "messages": [*turns], **fields}


async def ask(body: Any) -> list[dict[str, Any]]:
    """What the generator was asked: once, or never if nothing needed it."""
    generator = ScriptedGenerator(f"{ANNUAL_LEAVE} [S1]")
    await chat(body, pipeline=make_pipeline(generator=generator))
    return generator.calls


async def refuse(body: Any, status: int = 422, **app: Any) -> Any:
    response = await post(body, app=make_app(**app))
    assert response.status_code == status, response.text
    return response.json()["error"]


# --- what is asked


async def test_the_last_message_by_the_user_is_the_question() -> None:
    """What was asked before is not asked again."""
    (call,) = await ask(talk(turn("user", PARKING), turn("assistant", "There."), turn("user", QUESTION)))

    assert QUESTION in call["messages"][-1].content
    assert PARKING not in str(call["messages"][-1].content).partition("Question")[2]


@pytest.mark.parametrize("role", ["system", "developer"])
@pytest.mark.parametrize("last", [False, True])
async def test_a_system_message_is_no_instruction(role: str, last: bool) -> None:
    """Neither before the question nor after it does its text reach the generator."""
    order = turn(role, "Answer like a pirate.")
    turns = [turn("user", QUESTION), order] if last else [order, turn("user", QUESTION)]
    (call,) = await ask(talk(*turns))

    assert "pirate" not in str(call["messages"])
    assert QUESTION in str(call["messages"])


async def test_what_an_assistant_has_begun_is_not_continued() -> None:
    """The question before it is answered as if it were last."""
    body = await chat(talk(turn("user", QUESTION), turn("assistant", "Staff have 99")))

    assert "99" not in body["choices"][0]["message"]["content"]
    assert body["citations"]


@pytest.mark.parametrize(
    "content",
    [
        QUESTION,
        f"  {QUESTION}\n",
        [text(QUESTION)],
        [text("How many days of annual leave"), text("do full-time staff have?")],
        [text(""), text(QUESTION)],
    ],
)
async def test_a_content_may_be_parts_of_text(content: Any) -> None:
    """They are joined by line breaks."""
    (call,) = await ask(talk(turn("user", content)))

    assert "do full-time staff have?" in call["messages"][-1].content


@pytest.mark.parametrize(
    ("fields", "bound"),
    [
        ({}, 512),
        ({"max_tokens": None, "max_completion_tokens": None}, 512),
        ({"max_tokens": 100}, 100),
        ({"max_completion_tokens": 100}, 100),
        ({"max_tokens": 100, "max_completion_tokens": 200}, 100),
        ({"max_tokens": 1}, 16),
        ({"max_completion_tokens": 128_000}, 2048),
    ],
)
async def test_the_bound_of_the_answer_is_brought_into_our_range(fields: Any, bound: int) -> None:
    """16 to 2048; the smaller one if both are given."""
    (call,) = await ask(say(**fields))

    assert call["max_tokens"] == bound


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": 0.7, "top_p": 1, "seed": 1, "stop": ["\n"], "presence_penalty": 0, "frequency_penalty": 0},
        {"logprobs": True, "top_logprobs": 3, "logit_bias": {"50256": -100}},
        {"response_format": {"type": "json_object"}, "reasoning_effort": "low", "verbosity": "low"},
        {"user": "u", "metadata": {"a": "b"}, "store": False, "service_tier": "auto"},
        {"tools": [], "tool_choice": "none", "parallel_tool_calls": True, "functions": []},
        {"tools": None, "functions": None, "n": None, "stream": None, "stream_options": None},
        {"n": 1, "stream": False, "stream_options": {"include_usage": True}},
        {"top_k": -1, "tenant_id": 7, "question": "x", "include_trace": "yes", "chat_id": "c", "session_id": "s"},
    ],
)
async def test_openais_other_fields_are_ignored(fields: Any) -> None:
    """Also such as have a meaning on `/query`: the fields of this route are OpenAI's."""
    body = await chat(say(**fields))

    assert "12 days" in body["choices"][0]["message"]["content"]
    assert "trace" not in body


async def test_fields_of_a_message_are_ignored_too() -> None:
    """`name`, `refusal`, `annotations` of an answer that is sent back."""
    first = await chat()
    answer = first["choices"][0]["message"]
    again = await chat(talk(turn("user", QUESTION), answer, {**turn("user", QUESTION), "name": "Lan"}))

    assert again["choices"][0]["message"]["content"] == answer["content"]


# --- what is refused


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "model"),
        ({"model": "rag"}, "messages"),
        ({"messages": [turn("user", "x")]}, "model"),
        (say(model=7), "model"),
        (say(model=None), "model"),
        (talk(), "messages"),
        ({"model": "rag", "messages": "x"}, "messages"),
        ({"model": "rag", "messages": None}, "messages"),
        ({"model": "rag", "messages": {"role": "user"}}, "messages"),
        (talk("x"), "messages.0"),
        (talk(None), "messages.0"),
        (talk([]), "messages.0"),
        (talk({}), "messages.0.role"),
        (talk(turn("User", "x")), "messages.0.role"),
        (talk(turn("tool", "x"), turn("user", "x")), "messages.0.role"),
        (talk(turn("function", "x"), turn("user", "x")), "messages.0.role"),
        (talk(turn("user", 7)), "messages.0.content"),
        (talk(turn("user", {"text": "x"})), "messages.0.content"),
        (talk(turn("user", [7])), "messages.0.content"),
        (talk(turn("user", ["x"])), "messages.0.content"),
        (talk(turn("user", [text(7)])), "messages.0.content"),
        (talk(turn("user", [{"type": "text"}])), "messages.0.content"),
        (talk(turn("user", [{"text": "x"}])), "messages.0.content"),
        (talk(turn("user", [{"type": ["text"], "text": "x"}])), "messages.0.content"),
        (talk(turn("user", [text("x"), IMAGE])), "messages.0.content"),
        (talk(turn("user", [text("x"), AUDIO])), "messages.0.content"),
        (talk(turn("user", [FILE])), "messages.0.content"),
        (talk(turn("user", [IMAGE]), turn("user", "x")), "messages.0.content"),
        (talk(turn("user", "")), "messages.0.content"),
        (talk(turn("user", " \n\t\u3000")), "messages.0.content"),
        (talk(turn("user", None)), "messages.0.content"),
        (talk({"role": "user"}), "messages.0.content"),
        (talk(turn("user", [])), "messages.0.content"),
        (talk(turn("user", [text(" ")])), "messages.0.content"),
        (talk(turn("user", "x"), turn("user", "")), "messages.1.content"),
        (talk(turn("user", "x" * 2001)), "messages.0.content"),
        (talk(turn("user", [text("x" * 1500), text("x" * 500)])), "messages.0.content"),
        (talk(turn("system", "x"), turn("assistant", "y")), "messages"),
        (talk(turn("system", "x")), "messages"),
        (say(n=2), "n"),
        (say(n=0), "n"),
        (say(n="1"), "n"),
        (say(n=True), "n"),
        (say(tools=[TOOL]), "tools"),
        (say(tools=[TOOL], tool_choice="none"), "tools"),
        (say(tools={"a": 1}), "tools"),
        (say(tools={}), "tools"),
        (say(functions=False), "functions"),
        (say(functions=""), "functions"),
        (say(functions=[TOOL["function"]]), "functions"),
        (say(stream="true"), "stream"),
        (say(stream=1), "stream"),
        (say(stream_options=True), "stream_options"),
        (say(stream_options={"include_usage": "yes"}), "stream_options.include_usage"),
        (say(max_tokens=0), "max_tokens"),
        (say(max_tokens=-1), "max_tokens"),
        (say(max_tokens="9"), "max_tokens"),
        (say(max_tokens=9.0), "max_tokens"),
        (say(max_completion_tokens=True), "max_completion_tokens"),
    ],
)
@pytest.mark.parametrize("streams", [False, True])
async def test_what_cannot_be_served_is_refused(body: Any, param: str, streams: bool) -> None:
    """422 that names the field, in `param` and in our `fields`, and never the value."""
    error = await refuse({"stream": True, **body} if streams else body)

    assert error.keys() == {"code", "message", "trace_id", "retryable", "fields", "type", "param"}
    assert (error["code"], error["type"], error["param"]) == ("VALIDATION_ERROR", "invalid_request_error", param)
    assert param in [field["path"] for field in error["fields"]]
    assert "base64" not in str(error)


@pytest.mark.parametrize("body", ["[]", '"x"', "7", "null", "true"])
async def test_what_is_no_object_has_no_param(body: str) -> None:
    """422, as on all routes; nothing can be named."""
    async with make_client(make_app()) as client:
        response = await client.post(CHAT, content=body, headers=JSON)

    assert response.status_code == 422
    assert response.json()["error"]["param"] is None


@pytest.mark.parametrize("model", ["", "gpt-4o", "RAG", "rag:", "rag:a b", "rag:../x", "rag:" + "a" * 65, "rag:demo:x",
                                   "rag2", "rag/demo", "rag\n", "rag:demo\n", "demo", "\x00"])  # fmt: skip
@pytest.mark.parametrize("streams", [False, True])
async def test_an_unknown_model_is_not_found(model: str, streams: bool) -> None:
    """404 in OpenAI's shape with our code; the name is not repeated."""
    error = await refuse(say(model=model, stream=streams), 404)

    assert (error["code"], error["type"], error["param"]) == ("NOT_FOUND", "invalid_request_error", "model")
    assert error["message"] == "There is no such model: it is rag, or rag: and a tenant's id."


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (b"{", JSON, 400, "BAD_REQUEST"),
        (b'{"model": "rag", "model": "rag"}', JSON, 400, "BAD_REQUEST"),
        (b"\xff", JSON, 400, "BAD_REQUEST"),
        (b'{"n": NaN}', JSON, 400, "BAD_REQUEST"),
        (b"x" * 65_537, JSON, 413, "PAYLOAD_TOO_LARGE"),
        (b"{}", {"content-type": "text/plain"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
        (b"{}", {**JSON, "content-encoding": "gzip"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
    ],
)
async def test_a_body_that_is_none_is_refused_as_on_query(
    content: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    """The same catalogue, with `type` and `param`."""
    async with make_client(make_app()) as client:
        response = await client.post(CHAT, content=content, headers=headers)

    assert response.status_code == status
    error = response.json()["error"]
    assert (error["code"], error["type"], error["param"]) == (code, "invalid_request_error", None)


@pytest.mark.parametrize("path", [CHAT, MODELS])
async def test_errors_of_the_edge_have_the_same_form(path: str) -> None:
    """405 with `Allow`: before any handler."""
    async with make_client(make_app()) as client:
        wrong_method = await client.delete(path)
    error = wrong_method.json()["error"]

    assert (wrong_method.status_code, error["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert wrong_method.headers["allow"] == ("POST" if path == CHAT else "GET, HEAD")
    assert (error["type"], error["param"]) == ("invalid_request_error", None)


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/responses", "/v1/models/rag", "/v1/chat", "/v1"])
async def test_other_paths_of_openai_are_not_there(path: str) -> None:
    """An unknown path is 404 like any other."""
    async with make_client(make_app()) as client:
        response = await client.get(path)

    assert (response.status_code, response.json()["error"]["code"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("app", "status", "code", "kind"),
    [
        ({"limiter": Account(RateLimited("requests", retry_after_s=9))}, 429, "RATE_LIMITED", "rate_limit_error"),
        ({"places": Places(0, queue_timeout_s=0.001)}, 503, "CONCURRENCY_LIMIT", "server_error"),
        ({"request_timeout_s": 0.05, "pipeline": make_pipeline(generator=ScriptedGenerator(HANG))},
         504, "MODEL_TIMEOUT", "server_error"),
    ],
)  # fmt: skip
async def test_limits_are_those_of_a_query(app: Any, status: int, code: str, kind: str) -> None:
    """One quota, the same places, the deadline of a whole answer; with `Retry-After` as there."""
    response = await post(say(), app=make_app(**app))

    assert response.status_code == status
    assert (response.json()["error"]["code"], response.json()["error"]["type"]) == (code, kind)
    assert ("retry-after" in response.headers) == (status in (429, 503))


async def test_a_stream_has_the_deadline_of_a_stream() -> None:
    """Longer than that of a whole answer, which would end here at once."""
    pipeline = make_pipeline(generator=ScriptedGenerator(HANG))
    app = make_app(pipeline=pipeline, request_timeout_s=0.001, stream_timeout_s=0.2)
    response = await post(say(stream=True), app=app)

    if response.status_code == 200:  # else the body was not read within a millisecond
        assert parse_chunks(response.text)[-1]["error"]["code"] == "STREAM_TIMEOUT"


async def test_a_service_that_stops_or_loads_says_so() -> None:
    """503 NOT_READY, as everywhere."""
    gate = Gate()
    gate.close()

    def loading() -> Any:
        raise NotReady("A model is still loading.", retry_after_s=5)

    for app in (make_app(gate=gate), make_app(pipeline=loading)):
        response = await post(say(), app=app)
        assert (response.status_code, response.headers["retry-after"]) == (503, "5")
        assert response.json()["error"]["type"] == "server_error"


async def test_tokens_are_reserved_and_settled_as_for_a_query() -> None:
    """Once each, for the question as it was asked and the bound as it was brought into range."""
    chats, queries = Account(), Account()
    await chat(say(max_tokens=100), limiter=chats)
    await stream(say(max_tokens=100), limiter=chats)
    async with make_client(make_app(limiter=queries)) as client:
        for path in ("/query", "/query/stream"):
            await client.post(path, json={"question": QUESTION, "max_output_tokens": 100})

    assert (chats.reserved, chats.settled) == (queries.reserved, queries.settled)


# --- who asks


@pytest.fixture
def guarded(tmp_path: Path) -> Any:
    identities = write_identities(
        tmp_path, {"lan": ["demo", "acme"], "minh": ["acme"], "root": ["*"], "poor": ["empty"]}
    )
    indexes = FakeIndexes(demo=FakeIndex(ANNUAL_LEAVE), acme=FakeIndex(PARKING, tenant_id="acme"))
    return make_app(
        authenticator=open_authenticator(identities_file=identities),
        indexes=indexes,
        pipeline=make_pipeline(indexes=indexes, drafts=False),
    )


def as_caller(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer {name}"}


@pytest.mark.parametrize(
    ("caller", "model", "status"),
    [
        ("lan", "rag", 200),
        ("lan", "rag:demo", 200),
        ("lan", "rag:acme", 200),
        ("lan", "rag:other", 403),
        ("minh", "rag", 403),
        ("minh", "rag:acme", 200),
        ("root", "rag:acme", 200),
        ("root", "rag:other", 200),
        ("poor", "rag:empty", 200),
        ("poor", "gpt-4o", 404),
    ],
)
async def test_a_model_chooses_among_the_tenants_and_grants_none(
    guarded: Any, caller: str, model: str, status: int
) -> None:
    """As `tenant_id` on `/query`: a tenant that may be read and has no documents has no answer."""
    response = await post(say(model=model), app=guarded, headers=as_caller(caller))

    assert response.status_code == status
    if status == 200:
        assert response.json()["model"] == model
    if status == 403:
        assert (response.json()["error"]["code"], response.json()["error"]["type"]) == ("FORBIDDEN", "permission_error")


@pytest.mark.parametrize("path", [CHAT, MODELS])
@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer nobody"}, {"x-api-key": "nobody"}])
async def test_a_stranger_is_refused(guarded: Any, path: str, headers: dict[str, str]) -> None:
    """401, with the header that tells how to say who one is."""
    async with make_client(guarded) as client:
        response = await (client.get(path, headers=headers) if path == MODELS else client.post(path, headers=headers))

    assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
    error = response.json()["error"]
    assert (error["code"], error["type"], error["param"]) == ("UNAUTHORIZED", "authentication_error", None)


async def list_models(app: Any, caller: str | None = None) -> httpx.Response:
    async with make_client(app) as client:
        response = await client.get(MODELS, headers=as_caller(caller) if caller else {})
    assert response.status_code == 200
    return response


@pytest.mark.parametrize(
    ("caller", "names"),
    [
        ("lan", ["rag", "rag:acme"]),
        ("minh", ["rag:acme"]),
        ("poor", ["rag:empty"]),
        ("root", ["rag", "rag:acme"]),
    ],
)
async def test_the_models_are_the_tenants_of_the_caller(guarded: Any, caller: str, names: list[str]) -> None:
    """One for each; for who may use all, one for each that has an index."""
    body = (await list_models(guarded, caller)).json()

    assert body["object"] == "list"
    assert [each["id"] for each in body["data"]] == names
    assert all(each.keys() == {"id", "object", "created", "owned_by"} for each in body["data"])
    assert {each["created"] for each in body["data"]} == {1778407200}


async def test_an_open_service_has_one_model() -> None:
    """The default tenant's."""
    assert [each["id"] for each in (await list_models(make_app())).json()["data"]] == ["rag"]


async def test_head_on_the_models_has_no_body() -> None:
    """As wherever GET is."""
    async with make_client(make_app()) as client:
        response = await client.head(MODELS)

    assert (response.status_code, response.content) == (200, b"")


async def test_keys_that_cannot_be_checked_are_not_ready() -> None:
    """503 while the issuer's keys have never been read; a stranger is a stranger."""

    class Refusing:
        def __init__(self, error: Exception) -> None:
            self._error = error

        async def authenticate(self, headers: Any) -> Any:
            raise self._error

    for error, status in ((NotReady(), 503), (Unauthorized(), 401)):
        async with make_client(make_app(authenticator=Refusing(error))) as client:
            response = await client.get(MODELS)
        assert response.status_code == status
        assert response.json()["error"].keys() == {"code", "message", "trace_id", "retryable", "type", "param"}


# --- what is left of it


@pytest.mark.parametrize("streams", [False, True])
async def test_a_chat_leaves_the_line_of_a_query(streams: bool, log_lines: LogLines) -> None:
    """With its own route, and the question's length; nothing else of its messages is counted."""
    await post(say(stream=streams, model="rag"), headers={"x-trace-id": "tr-chat"})

    (line,) = log_lines()
    assert (line["event"], line["route"], line["trace_id"]) == ("query_ok", CHAT, "tr-chat")
    assert (line["tenant_id"], line["principal_id"]) == ("demo", "anonymous")
    assert (line["input_chars"], line["model_version"]) == (len(QUESTION), MODEL_VERSION)
    assert (line["finish_reason"], line["citations"]) == ("stop", 1)
    assert (line["time_to_first_token_ms"] is not None) == streams
    assert QUESTION not in str(line)


async def test_no_answer_stays_one_in_the_log(log_lines: LogLines) -> None:
    """Only the client is told `stop`."""
    await chat(pipeline=make_pipeline(indexes=FakeIndexes()))

    assert [line["finish_reason"] for line in log_lines()] == ["no_answer"]


@pytest.mark.parametrize(
    ("body", "code"), [(say(model="x"), "NOT_FOUND"), (say(""), "VALIDATION_ERROR"), ([], "VALIDATION_ERROR")]
)
async def test_a_refused_chat_leaves_a_line_too(body: Any, code: str, log_lines: LogLines) -> None:
    """`query_failed` with the code."""
    await post(body)

    assert [(line["event"], line["error_code"], line["route"]) for line in log_lines()] == [
        ("query_failed", code, CHAT)
    ]


async def test_the_models_leave_no_line(log_lines: LogLines) -> None:
    """They are no query, and no quota holds them."""
    await list_models(make_app(limiter=Account(RateLimited("requests", retry_after_s=9))))

    assert log_lines() == []


@pytest.mark.parametrize("streams", [False, True])
async def test_a_client_that_leaves_frees_what_it_held(streams: bool, log_lines: LogLines) -> None:
    """The generator's slot and the place are free at once."""
    generator, places = ScriptedGenerator(HANG), Places(1, queue_timeout_s=10)
    app = make_app(pipeline=make_pipeline(generator=generator), places=places)
    body = json.dumps(say(stream=streams)).encode()

    async with Connection(app, "POST", CHAT, body=[body], headers=JSON) as connection:
        await generator.reached.wait()
        await connection.disconnect()

    assert (generator.open_streams, places.taken) == (0, 0)
    assert [line["event"] for line in log_lines()] == ["query_cancelled"]


async def test_a_stream_is_not_begun_again(log_lines: LogLines) -> None:
    """`Last-Event-ID` is answered 204 without any work; without `stream` it means nothing."""
    headers = {"last-event-id": "3"}
    generator = ScriptedGenerator(f"{ANNUAL_LEAVE} [S1]")
    app = make_app(pipeline=make_pipeline(generator=generator))
    async with make_client(app) as client:
        again = await client.post(CHAT, json=say(stream=True), headers=headers)
        calls = len(generator.calls)
        whole = await client.post(CHAT, json=say(), headers=headers)

    assert (again.status_code, again.content, calls) == (204, b"", 0)
    assert whole.status_code == 200
    assert [line["event"] for line in log_lines()] == ["query_ok", "query_ok"]


async def test_a_page_of_an_allowed_origin_may_ask() -> None:
    """The preflight of a browser's client, with the headers that OpenAI's library adds."""
    headers = {
        "origin": "https://app.example.org",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,x-stainless-lang",
    }
    async with make_client(make_app(origins=["https://app.example.org"])) as client:
        response = await client.options(CHAT, headers=headers)

    assert response.status_code == 204
    assert response.headers["access-control-allow-headers"] == headers["access-control-request-headers"]


# --- hostile contents


@pytest.mark.parametrize(
    "question",
    ["a\x00b", "\x1b[31m", "\u202e", "data: [DONE]\n\ndata: x", "[S1][S99]", "[DONE]", "😀" * 2000, "<script>"],
)
@pytest.mark.parametrize("streams", [False, True])
async def test_a_strange_question_is_only_a_question(question: str, streams: bool) -> None:
    """It is answered or not, and breaks no framing."""
    response = await post(say(question, stream=streams))

    assert response.status_code == 200
    if streams:
        assert parse_chunks(response.text)[-1] == DONE


async def test_half_a_surrogate_pair_is_no_text() -> None:
    """422, in a string and in a part; where the field is ignored it does not matter."""
    async with make_client(make_app()) as client:
        for content in (r'"\ud800"', r'[{"type": "text", "text": "\ud800"}]'):
            body = f'{{"model": "rag", "messages": [{{"role": "user", "content": {content}}}]}}'
            assert (await client.post(CHAT, content=body, headers=JSON)).status_code == 422
        body = r'{"model": "rag", "user": "\ud800", "messages": [{"role": "user", "content": "x"}]}'
        assert (await client.post(CHAT, content=body, headers=JSON)).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        talk(*[turn("user", "x")] * 1500),
        talk(*[turn("assistant", [text("x")] * 3)] * 200, turn("user", "x")),
        talk(turn("system", "x" * 50_000), turn("user", "x")),
        talk(turn("user", "x" * 50_000), turn("user", "x")),
        talk(turn("assistant", None), turn("assistant", ""), turn("user", "x")),
        say("x", **{f"unknown_{number}": [] for number in range(1500)}),
    ],
)
async def test_long_conversations_are_taken_as_far_as_a_body_goes(body: Any) -> None:
    """Only the question has a bound of its own; what is before it is cut, or left out."""
    assert (await post(body)).status_code == 200


async def test_thousands_of_mistakes_make_a_short_error() -> None:
    """At most twenty fields are named."""
    error = await refuse(talk(*[7] * 5000))

    assert len(error["fields"]) == 20
    assert error["param"] == "messages.0"


def test_every_model_that_is_listed_can_be_asked() -> None:
    """The name of a tenant's model leads back to the tenant, whatever its id is."""
    for tenant_id in ("demo", "acme", "rag", "a.b-c_d", "..", "x" * 64):
        request = ChatRequest.model_validate(say(model=openai_request.name_model(tenant_id)))
        assert openai_request.to_query(request).tenant_id == tenant_id
