"""The reader of a generator's stream trusts nothing: cut, false, silent or secret replies become our own errors."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.clients.bento_client import open_http_client
from rag.clients.chat_request import BOUND
from rag.clients.event_stream import LINE_LIMIT_BYTES, EventDecoder, ServerEvent
from rag.clients.openai_client import OpenAIGenerator
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
    """A chunk without choices brings the usage; a chunk may name the model that answers; `[DONE]` ends the stream."""
    usage = b'data: {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2}, "model": "m-1"}\n\n'

    deltas = await read(answer(chunk("12 "), chunk("ngày"), chunk(None, "stop"), usage, b"data: [DONE]\n\n"))

    assert deltas == [Delta("12 "), Delta("ngày"), Delta("", "stop"), Delta(usage=TokenUsage(9, 2), model="m-1")]


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


async def test_the_operator_adds_and_removes_fields_of_the_body() -> None:
    """`None` leaves a field out, and `{max_tokens}` becomes the request's own bound, wherever it stands."""
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, content=chunk("Hi", "stop"))

    changes = {"temperature": None, "max_tokens": None, "max_completion_tokens": BOUND, "options": {"n": BOUND}}
    async with httpx.AsyncClient(base_url="http://model/v1/", transport=httpx.MockTransport(handle)) as client:
        model = OpenAIGenerator(client, model_name="tiny", body=changes)
        async with model.stream(QUESTION, max_tokens=7, timeout_s=3, trace_id="tr_1") as deltas:
            assert [delta.text async for delta in deltas] == ["Hi"]

    assert json.loads(seen[0].content) == {
        "model": "tiny",
        "messages": [{"role": "user", "content": "How many days?"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_completion_tokens": 7,
        "options": {"n": 7},
    }


def test_a_line_is_looked_at_once() -> None:
    """A megabyte without an end, in pieces as small as they come, is copied once; beyond it is refused."""
    decoder = EventDecoder()
    for _ in range(LINE_LIMIT_BYTES // 16):
        assert not list(decoder.feed(b"x" * 16))
    assert len(decoder._line) == LINE_LIMIT_BYTES // 16  # nothing was joined

    with pytest.raises(UpstreamError):
        list(decoder.feed(b"x"))


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b"data\ndata:\n\n", [b"\n"]),
        (b":x\n: y\n\ndata:a\n\n", [b"a"]),
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b"data: a\r\rdata: b\r\n\r\n", [b"a", b"b"]),
        (b"event: error\n\ndata: a", [b"a"]),
        (b"dataset: a\n\n", []),
    ],
)
def test_fields_are_read_as_the_standard_says(stream: bytes, events: list[bytes]) -> None:
    """Lines of data are joined, comments and unknown fields ignored, a byte order mark is none of it."""
    decoder = EventDecoder()

    assert [event.data for event in [*decoder.feed(stream), *decoder.close()]] == events


def test_an_event_has_the_name_that_stands_beside_its_data() -> None:
    """Not that of an event before it, which had no data."""
    decoder = EventDecoder()

    found = list(decoder.feed(b"event: ping\n\nevent: error\ndata: a\n\ndata: b\n\n"))

    assert found == [ServerEvent(b"a", b"error"), ServerEvent(b"b")]


class KeepingServer:
    """Answers every request on a connection it keeps; the end of the body comes after `[DONE]`, in a packet of its own.

    With a `rest` it sends that instead of the end, and keeps silent.
    """

    def __init__(self, rest: bytes | None = None) -> None:
        self.connections = 0
        self.open = 0
        self._rest = rest

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]))
                body = chunk("ok", "stop") + b"data: [DONE]\n\n"
                writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(body), body))
                await writer.drain()
                await asyncio.sleep(0)
                writer.write(b"0\r\n\r\n" if self._rest is None else self._rest)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        self.open -= 1

    async def left_by_all(self) -> None:
        async with asyncio.timeout(5):
            while self.open:  # noqa: ASYNC110  # the loop must turn for the connections to close
                await asyncio.sleep(0)


@asynccontextmanager
async def keeping(server: KeepingServer) -> AsyncIterator[OpenAIGenerator]:
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
        async with open_http_client(url) as client:
            yield OpenAIGenerator(client, model_name="tiny")
        await server.left_by_all()


async def ask(model: OpenAIGenerator) -> list[str]:
    async with model.stream(QUESTION, max_tokens=7, timeout_s=3, trace_id="tr_1") as deltas:
        return [delta.text async for delta in deltas]


async def test_a_connection_is_used_again() -> None:
    """What comes after `[DONE]` is read, so that the next request needs no new connection."""
    server = KeepingServer()
    async with keeping(server) as model:
        for _ in range(20):
            assert await ask(model) == ["ok"]
            await asyncio.gather(*model._resting)

        assert server.connections == 1


@pytest.mark.parametrize("rest", [b"", b"20000\r\n" + b"x" * 0x20000 + b"\r\n"], ids=["silence", "flood"])
async def test_what_follows_the_end_holds_up_nobody(rest: bytes) -> None:
    """The answer is there at once; silence and a flood behind it cost the connection, and soon."""
    server = KeepingServer(rest)
    async with keeping(server) as model:
        assert await ask(model) == ["ok"]
        (resting,) = model._resting
        assert not resting.done()
        async with asyncio.timeout(5):
            await resting
        await server.left_by_all()


async def test_an_answer_that_is_left_early_frees_the_slot() -> None:
    """The connection is closed at once, and nothing read on."""
    server = KeepingServer(b"")
    async with keeping(server) as model:
        async with model.stream(QUESTION, max_tokens=7, timeout_s=3, trace_id="tr_1") as deltas:
            assert (await anext(deltas)).text == "ok"
        assert not model._resting
        await server.left_by_all()


async def test_a_date_as_retry_after_is_counted_from_now() -> None:
    """RFC 9110: seconds or a date."""
    at = datetime.now(UTC) + timedelta(seconds=90)

    with pytest.raises(UpstreamRateLimited) as caught:
        await read(lambda _: httpx.Response(429, headers={"retry-after": format_datetime(at, usegmt=True)}))

    assert 80 < (caught.value.retry_after_s or 0) <= 90
