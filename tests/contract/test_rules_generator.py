"""The requests to the generator, and the handling of its replies, over a real connection to a misbehaving server."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp

from rag.api.probes import ServiceProbe
from rag.clients.bento_client import open_http_client
from rag.clients.openai_client import OpenAIGenerator
from rag.quotas import LocalLimiter, Quotas
from tests.fakes import ANNUAL_LEAVE, END, HANG, QUESTION, ScriptedGenerator, make_app, make_client, make_pipeline

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
DONE = b"data: [DONE]\n\n"
ANSWER = "Full-time staff have 12 days of annual leave per year [S1]."


def event(chunk: object) -> bytes:
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def delta(content: object, **more: object) -> bytes:
    return event({"choices": [{"index": 0, "delta": {"content": content, **more}}]})


def end(reason: object = "stop", **more: object) -> bytes:
    return event({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}], **more})


WHOLE = delta("Full-time staff have 12 days of ") + delta("annual leave per year [S1].") + end() + DONE


def status(line: str, *headers: str, body: bytes = b"sk-secret in /srv/app.py") -> bytes:
    head = [f"HTTP/1.1 {line}", f"content-length: {len(body)}", "connection: close", *headers]
    return "\r\n".join([*head, "", ""]).encode() + body


class RawServer:
    """Sends the same bytes to every request, closes the connection, and keeps what it was sent."""

    def __init__(self, reply: bytes) -> None:
        self._reply = reply
        self.requests: list[tuple[str, dict[str, str], Any]] = []  # request line, headers, JSON of any kind

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii").rstrip()
            line, *lines = head.split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in lines)}
            body = await reader.readexactly(int(headers["content-length"]))
            self.requests.append((line, headers, json.loads(body)))
            writer.write(self._reply)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def generating(reply: bytes, **app: Any) -> AsyncIterator[tuple[ASGIApp, RawServer]]:
    """The front on fakes, with somebody's server as its generator."""
    raw = RawServer(reply)
    server = await asyncio.start_server(raw.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, open_http_client(f"http://127.0.0.1:{port}/v1") as client:
        generator = OpenAIGenerator(client, model_name="tiny")
        yield make_app(pipeline=make_pipeline(generator=generator), **app), raw


async def ask(reply: bytes) -> tuple[httpx.Response, RawServer]:
    async with generating(reply) as (app, raw), make_client(app) as client:
        return await client.post("/query", json={"question": QUESTION}, headers={"x-trace-id": "tr-1"}), raw


async def test_the_request_has_everything_the_contract_names() -> None:
    """Path, stream, usage, bound, temperature, trace id; labels before passages, the question in the last message."""
    _, raw = await ask(HEAD + WHOLE)

    ((line, headers, body),) = raw.requests
    assert line == "POST /v1/chat/completions HTTP/1.1"
    assert headers["x-trace-id"] == "tr-1"
    assert "authorization" not in headers
    assert (body["stream"], body["stream_options"]) == (True, {"include_usage": True})
    assert (body["max_tokens"], body["temperature"]) == (512, 0)
    assert f"[S1] {ANNUAL_LEAVE}" in body["messages"][-1]["content"]
    assert body["messages"][-1]["role"] == "user"
    assert QUESTION in body["messages"][-1]["content"]


@pytest.mark.parametrize(
    "body",
    [
        WHOLE,
        WHOLE.replace(b"\n", b"\r\n"),
        WHOLE.replace(b"\n", b"\r"),
        WHOLE.replace(b"data: ", b"data:"),
        WHOLE.replace(b"data: ", b": comment\nevent: message\nid: 7\nretry: 10\ndata: "),
        WHOLE.replace(b'{"choices"', b'{\ndata: "choices"'),
        WHOLE.removesuffix(DONE),
        WHOLE.replace(end(), b""),
        WHOLE + delta(" Nobody asked for this. [S1]") + b"data: {broken\n\n",
        event({"choices": []}) + event({"choices": None}) + event({"choices": [{"delta": None}]}) + WHOLE,
        b"".join(delta(content) for content in (None, "", 7, ["x"], {"text": "x"}, True)) + WHOLE,
        delta(None, role="assistant", tool_calls=[{"function": {"arguments": "S99"}}]) + WHOLE,
        delta(None, reasoning_content="The sources [S99] say so.") + WHOLE,
        WHOLE.replace(end(), end(7)),
    ],
)
async def test_a_whole_answer_is_one_however_it_is_framed(body: bytes) -> None:
    """Line ends, comments, fields, empty and foreign deltas and a missing end mark change nothing of the answer."""
    response, _ = await ask(HEAD + body)

    assert response.json()["answer"] == ANSWER
    assert response.json()["finish_reason"] == "stop"


async def test_thoughts_are_no_part_of_the_answer() -> None:
    """Neither checked nor sent, and no `no_answer` for their sake."""
    response, _ = await ask(HEAD + delta("<think>They have 99 days, or") + delta(" not.</th") + delta("ink>") + WHOLE)

    assert response.json()["answer"] == ANSWER


@pytest.mark.parametrize("reason", ["length", "max_tokens", "MAX_TOKENS", "model_length"])
async def test_a_draft_that_was_cut_does_not_end_with_stop(reason: str) -> None:
    """In whatever word the server says it."""
    response, _ = await ask(HEAD + WHOLE.replace(end(), end(reason)))

    assert response.json()["finish_reason"] == "length"


@pytest.mark.parametrize(
    "tail", [b"", b"data: {broken\n\n", event({"error": {"message": "late"}}), delta(" more [S1]")]
)
async def test_what_comes_after_the_end_of_the_text_changes_nothing(tail: bytes) -> None:
    """The answer is whole once its finish reason has come; a cut, a defect or an error behind it is none of it."""
    response, _ = await ask(HEAD + delta(ANSWER) + event({"choices": [{"finish_reason": "stop"}]}) + tail)

    assert response.json()["answer"] == ANSWER


async def test_a_hang_after_the_end_of_the_text_does_not_hold_the_answer() -> None:
    """The usage that may still come is worth a second, not the whole deadline."""
    generator = ScriptedGenerator(ANSWER, END, HANG)
    async with make_client(make_app(pipeline=make_pipeline(generator=generator))) as client:
        response = await client.post("/query", json={"question": QUESTION})

    assert response.json()["answer"] == ANSWER


async def test_a_server_that_does_not_know_its_bound_is_stopped() -> None:
    """`length`, and the connection is closed: no token is as long as what came instead of sixteen."""
    generator = ScriptedGenerator(*[f"{ANSWER} "] * 100, HANG)
    async with make_client(make_app(pipeline=make_pipeline(generator=generator, mode="mark"))) as client:
        response = await client.post("/query", json={"question": QUESTION, "max_output_tokens": 16})

    assert response.json()["finish_reason"] == "length"
    assert generator.open_streams == 0


async def test_a_compressed_stream_is_read() -> None:
    """The client says that it accepts gzip, so a server may use it."""
    response, _ = await ask(HEAD.replace(b"connection", b"content-encoding: gzip\r\nconnection") + gzip.compress(WHOLE))

    assert response.json()["answer"] == ANSWER


async def test_a_byte_order_mark_costs_no_event() -> None:
    """HTML Standard, 9.2.5: one leading U+FEFF is no part of the stream."""
    response, _ = await ask(HEAD + b"\xef\xbb\xbf" + WHOLE)

    assert response.json()["answer"] == ANSWER


async def test_a_character_may_be_cut_between_its_surrogates() -> None:
    """A server that counts in UTF-16 cuts an emoji into two deltas, each with half of the pair escaped."""
    halves = delta("Full-time staff \ud83c") + delta("\udf89 have 12 days of annual leave per year [S1].")
    response, _ = await ask(HEAD + halves + end() + DONE)

    assert response.json()["answer"] == "Full-time staff 🎉 have 12 days of annual leave per year [S1]."


@pytest.mark.parametrize(
    "reply",
    [
        *(status(f"{code} X") for code in (201, 204, 301, 302, 307, 400, 401, 403, 404, 408, 409, 422, 500, 502, 503)),
        status("200 OK", "content-type: application/json", body=json.dumps({"choices": [{"message": {}}]}).encode()),
        status("302 Found", "location: /v1/elsewhere"),
        HEAD,
        HEAD + delta("Full-time staff"),
        HEAD + WHOLE.replace(end(), end("content_filter")),
        HEAD + DONE,
        HEAD + delta("", refusal="I cannot help with that.") + end() + DONE,
        HEAD + b"event: error\ndata: sk-secret\n\n",
        HEAD + delta(ANSWER) + event({"error": {"message": "sk-secret"}}) + DONE,
        HEAD + b"data: [1]\n\n" + WHOLE,
        HEAD + b"data: {\n\n" + WHOLE,
        HEAD + b"data: " + b"[" * 100_000 + b"\n\n" + WHOLE,
        HEAD.replace(b"connection", b"content-encoding: gzip\r\nconnection") + b"no gzip",
        HEAD.replace(b"connection", b"transfer-encoding: chunked\r\nconnection") + b"zz\r\n",
        HEAD.replace(b"connection", b"content-length: 9999\r\nconnection") + WHOLE[:40],
    ],
)
async def test_a_failure_after_the_first_byte_is_final(reply: bytes) -> None:
    """502 UPSTREAM_ERROR, asked exactly once, redirects not followed, and no word of the other server in the answer."""
    response, raw = await ask(reply)

    assert (response.status_code, response.json()["error"]["code"]) == (502, "UPSTREAM_ERROR")
    assert len(raw.requests) == 1
    assert "secret" not in response.text


async def test_a_connection_cut_before_the_first_byte_is_tried_again_exactly_once() -> None:
    """Two requests in all, then UPSTREAM_ERROR."""
    response, raw = await ask(b"")

    assert response.json()["error"]["code"] == "UPSTREAM_ERROR"
    assert len(raw.requests) == 2


@pytest.mark.parametrize(
    "reply",
    [
        b"SSH-2.0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno header\r\n\r\n",
        HEAD[:20],
    ],
)
async def test_a_broken_head_is_not_tried_again(reply: bytes) -> None:
    """Its first byte has come: nothing but a failure before that is tried again."""
    _, raw = await ask(reply)

    assert len(raw.requests) == 1


@pytest.mark.parametrize(
    ("given", "expected"),
    [("7", "7"), ("2.2", "3"), ("0", "1"), ("-4", "1"), ("soon", "1"), ("", "1"), ("NaN", "1"), ("Infinity", "1")],
)
async def test_its_retry_after_is_passed_on_as_whole_seconds(given: str, expected: str) -> None:
    """429 UPSTREAM_RATE_LIMITED; nonsense becomes one second; asked once."""
    response, raw = await ask(status("429 Slow down", f"retry-after: {given}"))

    assert (response.status_code, response.json()["error"]["code"]) == (429, "UPSTREAM_RATE_LIMITED")
    assert response.headers["retry-after"] == expected
    assert len(raw.requests) == 1


@pytest.mark.parametrize("given", ["1e300", "99999999999999999999"])
async def test_an_absurd_retry_after_is_not_passed_on(given: str) -> None:
    """A client that believes it never comes back; one that parses it into 32 bits breaks."""
    response, _ = await ask(status("429 Slow down", f"retry-after: {given}"))

    assert int(response.headers["retry-after"]) <= 24 * 3600


@pytest.mark.parametrize(
    "usage",
    [
        None, 7, [], {}, {"prompt_tokens": 5}, {"prompt_tokens": -5, "completion_tokens": 3},
        {"prompt_tokens": "5", "completion_tokens": "3"}, {"prompt_tokens": 5.5, "completion_tokens": 3},
    ],
)  # fmt: skip
async def test_a_usage_that_is_none_is_counted_here(usage: object) -> None:
    """Quotas and log must not depend on what a server forgets or makes up."""
    reply = HEAD + delta(ANSWER) + end(usage=usage) + DONE
    async with generating(reply) as (app, _), make_client(app) as client:
        response = await client.post("/query", json={"question": QUESTION, "include_trace": True})

    counted = response.json()["trace"]["usage"]
    assert counted["completion_tokens"] == len(ANSWER.split())
    assert counted["prompt_tokens"] > 50


def reply_with_usage(usage: Sequence[int]) -> bytes:
    prompt, completion = usage
    return HEAD + delta(ANSWER) + end(usage={"prompt_tokens": prompt, "completion_tokens": completion}) + DONE


@pytest.mark.parametrize("usage", [(10**15, 7), (60, 10**15), (10**30, 10**30)])
async def test_a_usage_beyond_everything_that_was_asked_for_is_not_believed(usage: Sequence[int]) -> None:
    """The next question of the tenant is still answered: no server can have used more than prompt and `max_tokens`."""
    limiter = LocalLimiter(Quotas(window_s=60, requests=100, tokens=100_000))
    async with generating(reply_with_usage(usage), limiter=limiter) as (app, _), make_client(app) as client:
        first = await client.post("/query", json={"question": QUESTION})
        second = await client.post("/query", json={"question": QUESTION})

    assert (first.status_code, second.status_code) == (200, 200)


async def test_a_usage_that_no_float_holds_breaks_no_connection() -> None:
    """The answer is sent, and then the account of it must not raise."""
    async with generating(reply_with_usage((10**400, 1))) as (app, _), make_client(app) as client:
        response = await client.post("/query", json={"question": QUESTION})

    assert response.status_code == 200


async def test_the_question_whether_it_is_there_has_the_trace_id_too() -> None:
    """The same id is in every call that the front service makes to another service; readiness asks for `/models`."""
    asked: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers.get("x-trace-id"))
        return httpx.Response(200, json={"data": []})

    async with httpx.AsyncClient(base_url="http://model/v1", transport=httpx.MockTransport(answer)) as model:
        app = make_app(probes={"generator": ServiceProbe(model, "/models", ours=False)})
        async with make_client(app) as client:
            await client.get("/ready", headers={"x-trace-id": "tr-1"})

    assert asked == ["tr-1"]
