"""The reader of a generator's stream believes nothing: cuts, lies, silence and secrets end in our own words."""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.backends.event_stream import EventDecoder
from rag.backends.openai_client import OpenAIGenerator
from rag.errors import DeadlineExceeded, RagError, UpstreamError, UpstreamRateLimited
from rag.types import Delta, Message, TokenUsage

QUESTION = [Message("user", "How many days?")]
Handler = Callable[[httpx.Request], httpx.Response]


def chunk(text: str | None = None, finish_reason: str | None = None, **more: object) -> bytes:
    body = {"choices": [{"delta": {"content": text}, "finish_reason": finish_reason}], **more}
    return b"data: " + json.dumps(body, ensure_ascii=False).encode() + b"\n\n"


@asynccontextmanager
async def generator(handler: Handler, **headers: str) -> AsyncIterator[OpenAIGenerator]:
    transport = httpx.MockTransport(handler)
    async with httpx.AsyncClient(base_url="http://model/v1/", transport=transport, headers=headers) as client:
        yield OpenAIGenerator(client, model_name="tiny")


async def read(handler: Handler) -> list[Delta]:
    async with (
        generator(handler) as model,
        model.stream(QUESTION, max_tokens=7, timeout_s=3, trace_id="tr_1") as deltas,
    ):
        return [delta async for delta in deltas]


def answer(*pieces: bytes) -> Handler:
    return lambda _: httpx.Response(200, headers={"content-type": "text/event-stream"}, content=iterate(pieces))


async def iterate(pieces: tuple[bytes, ...]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def test_request_is_what_the_contract_says() -> None:
    """Model, messages, max_tokens, temperature 0, a stream with usage, and the trace id in a header."""
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, content=chunk("Hi", "stop") + b"data: [DONE]\n\n")

    await read(handle)

    assert seen[0].url == "http://model/v1/chat/completions"
    assert seen[0].headers["x-trace-id"] == "tr_1"
    assert json.loads(seen[0].content) == {
        "model": "tiny",
        "messages": [{"role": "user", "content": "How many days?"}],
        "max_tokens": 7,
        "temperature": 0.0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def test_deltas_carry_text_end_and_usage() -> None:
    """A chunk without choices brings the usage; `[DONE]` ends the stream."""
    usage = b'data: {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2}}\n\n'

    deltas = await read(answer(chunk("12 "), chunk("ngày"), chunk(None, "stop"), usage, b"data: [DONE]\n\n"))

    assert deltas == [Delta("12 "), Delta("ngày"), Delta("", "stop"), Delta(usage=TokenUsage(9, 2))]


@given(cuts=st.lists(st.integers(1, 30), max_size=40), newline=st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_any_cut_gives_the_same_events(cuts: list[int], newline: bytes) -> None:
    """Bytes may be cut anywhere, in the middle of a character or of a line end too."""
    events = ["nghỉ phép", "a\u2028b", "", "cuối"]
    stream = b"".join(b": ping" + newline + b"data: " + text.encode() + newline * 2 for text in events)
    decoder = EventDecoder()

    def pieces() -> Iterator[bytes]:
        start = 0
        for length in cuts:
            yield stream[start : start + length]
            start += length
        yield stream[start:]

    found = [event for piece in pieces() for event in decoder.feed(piece)] + list(decoder.close())

    assert [event.data.decode() for event in found] == events


@pytest.mark.parametrize(
    "body",
    [
        chunk("Half an ans"),
        b"data: {not json\n\n",
        b'data: {"error": {"message": "secret"}}\n\n',
        b"data: [1, 2]\n\n",
        b'data: {"choices": ["x"]}\n\n',
        b"<html>busy</html>",
        b"",
    ],
    ids=["cut", "no-json", "error-object", "a-list", "choice-no-object", "html", "empty"],
)
async def test_a_stream_that_does_not_end_well_is_an_upstream_error(body: bytes) -> None:
    """No end of the stream, or no sense in it: never taken for a whole answer."""
    with pytest.raises(UpstreamError):
        await read(answer(body))


@pytest.mark.parametrize("status", [301, 400, 401, 404, 500, 503])
async def test_other_statuses_are_upstream_errors_without_the_body(status: int) -> None:
    """What the other server wrote stays with us."""
    with pytest.raises(UpstreamError) as caught:
        await read(lambda _: httpx.Response(status, text="stack trace with sk-secret"))

    assert "sk-secret" not in caught.value.message


@pytest.mark.parametrize(
    ("header", "expected"), [("7", 7.0), ("0", 1.0), ("soon", 1.0), ("Wed, 21 Oct 2015 07:28:00 GMT", 1.0)]
)
async def test_rate_limit_carries_retry_after(header: str, expected: float) -> None:
    """429 is UPSTREAM_RATE_LIMITED with its Retry-After, as seconds or as a date, never below one second."""
    with pytest.raises(UpstreamRateLimited) as caught:
        await read(lambda _: httpx.Response(429, headers={"retry-after": header}))

    assert caught.value.retry_after_s == expected


@pytest.mark.parametrize(
    "error",
    [
        httpx.ConnectError("refused"),
        httpx.ReadError("reset"),
        httpx.RemoteProtocolError("Server disconnected without sending a response."),
    ],
)
async def test_a_connection_that_fails_before_the_first_byte_is_tried_once_more(error: httpx.HTTPError) -> None:
    """Once, and only before anything has come."""
    calls: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        if len(calls) == 1:
            raise error
        return httpx.Response(200, content=chunk("ok", "stop"))

    deltas = await read(handle)

    assert [delta.text for delta in deltas] == ["ok"]
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("error", "expected"), [(httpx.ConnectError, UpstreamError), (httpx.ReadTimeout, DeadlineExceeded)]
)
async def test_a_dead_or_silent_server_is_named_as_such(error: type[httpx.HTTPError], expected: type[RagError]) -> None:
    """Dead is UPSTREAM_ERROR, silent is MODEL_TIMEOUT."""

    def handle(_: httpx.Request) -> httpx.Response:
        raise error("gone")

    with pytest.raises(expected):
        await read(handle)


async def test_a_line_without_end_is_refused() -> None:
    """Memory stays bounded whatever the server sends."""
    with pytest.raises(UpstreamError):
        await read(answer(b"data: ", b"x" * (2 << 20)))
