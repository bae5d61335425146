"""Events on the wire: one line of JSON each, ids without gaps, one terminal event in every case."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from starlette.types import Message

from rag.api.sse import EventWriter, encode, until_terminal
from rag.errors import DeadlineExceeded, RagError, UpstreamError, UpstreamRateLimited
from schemas.errors import ErrorCode
from schemas.events import CitationEvent, DoneEvent, ErrorEvent, Event, MetaEvent, TokenEvent
from schemas.response import Citation, Latency, Usage
from tests.asgi import parse_event, parse_events

META = MetaEvent(trace_id="tr_1", model_version="rag-v1+0")
DONE = DoneEvent(trace_id="tr_1", finish_reason="stop", latency_ms=Latency(), usage=Usage())
CITATION = Citation(
    source_id="S1",
    document_id="d",
    chunk_id="demo:d:v1:00001",
    title="T",
    page_start=None,
    page_end=None,
    quote="q",
    quote_start=0,
    quote_end=1,
    url="/chunks/demo%3Ad%3Av1%3A00001",
)


async def play(*events: Event | Exception) -> AsyncIterator[Event]:
    for event in events:
        if isinstance(event, Exception):
            raise event
        yield event


async def drain(events: AsyncIterator[Event]) -> list[Event]:
    return [event async for event in events]


@pytest.mark.parametrize("text", ["a\nb", "a\r\n\r\nevent: done", "\u2028", "‘năm’", "\x00\x1b", "\ud7ff😀"])
def test_text_never_breaks_the_framing(text: str) -> None:
    """`data` is one line of JSON, whatever the text holds."""
    block = encode(TokenEvent(text=text), 7).decode()

    assert block.endswith("\n\n")
    event = parse_event(block[:-2])
    assert (event.id, event.name, event.data) == (7, "token", {"text": text})


def test_a_citation_is_sent_as_the_object_itself() -> None:
    """The data of `citation` is a citation object, its nulls included."""
    event = parse_event(encode(CitationEvent(citation=CITATION), 1).decode()[:-2])

    assert event.data == CITATION.model_dump()


def test_done_has_a_trace_only_where_one_was_asked_for() -> None:
    """Without `include_trace` there is no key `trace`."""
    event = parse_event(encode(DONE, 1).decode()[:-2])

    assert event.data.keys() == {"trace_id", "finish_reason", "latency_ms", "usage"}


async def test_a_clean_stream_passes_unchanged() -> None:
    """Nothing is added to a stream that ends as it should."""
    events: list[Event] = [META, TokenEvent(text="a"), DONE]

    assert await drain(until_terminal(play(*events), trace_id="tr_1")) == events


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DeadlineExceeded(), ErrorCode.STREAM_TIMEOUT),
        (UpstreamError(), ErrorCode.UPSTREAM_ERROR),
        (UpstreamRateLimited(), ErrorCode.UPSTREAM_RATE_LIMITED),
    ],
)
async def test_a_failure_becomes_the_terminal_event(error: RagError, code: ErrorCode) -> None:
    """After the first event the status is spent: failures are an `error` event."""
    events = await drain(until_terminal(play(META, error), trace_id="tr_1"))

    assert events == [META, ErrorEvent(code=code, message=error.message, trace_id="tr_1", retryable=True)]


async def test_a_bug_becomes_an_internal_error_that_tells_nothing() -> None:
    """The client learns that it was our fault, not what it was."""
    events = await drain(until_terminal(play(META, KeyError("secret")), trace_id="tr_1"))

    assert isinstance(events[-1], ErrorEvent)
    assert events[-1].code is ErrorCode.INTERNAL_ERROR
    assert "secret" not in events[-1].message


async def test_an_end_without_done_is_an_error() -> None:
    """Never a silent end."""
    events = await drain(until_terminal(play(META), trace_id="tr_1"))

    assert isinstance(events[-1], ErrorEvent)


async def test_nothing_follows_the_terminal_event() -> None:
    """Exactly one terminal event, last."""
    events = await drain(until_terminal(play(META, DONE, TokenEvent(text="late")), trace_id="tr_1"))

    assert events == [META, DONE]


async def test_ids_count_up_from_zero_and_pings_have_none() -> None:
    """Every event has an id, without gaps; while nothing is sent a comment goes out."""
    sent: list[Message] = []
    pinged = asyncio.Event()

    async def send(message: Message) -> None:
        sent.append(message)
        if message.get("body") == b": ping\n\n":
            pinged.set()

    async with EventWriter(send, ping_after_s=0.001) as writer:
        await writer.write(META)
        await pinged.wait()
        await writer.write(DONE)

    text = b"".join(message.get("body", b"") for message in sent).decode()
    assert [(event.id, event.name) for event in parse_events(text)] == [(0, "meta"), (1, "done")]


async def test_a_broken_stream_gets_no_clean_end() -> None:
    """A client must be able to tell a cut stream from a finished one."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def fail() -> None:
        async with EventWriter(send) as writer:
            await writer.write(META)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()

    assert all(message.get("more_body", True) for message in sent)
