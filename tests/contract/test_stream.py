"""`GET|POST /query/stream`: the order and content of events, and that a stream never ends silently."""

import re
from typing import Any
from urllib.parse import urlencode

import pytest

from rag.errors import UpstreamError, UpstreamRateLimited
from rag.types import TokenUsage
from tests.asgi import Connection, SentEvent, parse_events
from tests.fakes import (
    ANNUAL_LEAVE,
    HANG,
    MODEL_VERSION,
    QUESTION,
    SICK_LEAVE,
    FakeIndexes,
    ScriptedGenerator,
    make_app,
    make_client,
    make_pipeline,
)

JSON = {"content-type": "application/json"}
BODY = b'{"question": "How many days of annual leave do full-time staff have, and is a note needed for sick leave?"}'
TWO_SENTENCES = f"{SICK_LEAVE} [S2] {ANNUAL_LEAVE} [S1]"


async def stream(body: dict[str, Any] | None = None, **app: Any) -> list[SentEvent]:
    async with make_client(make_app(**app)) as client:
        response = await client.post("/query/stream", json=body or {"question": QUESTION})
    assert response.status_code == 200, response.text
    return parse_events(response.text)


def joined_text(events: list[SentEvent]) -> str:
    return "".join(event.data["text"] for event in events if event.name == "token")


async def test_the_headers_are_those_of_an_event_stream() -> None:
    """Content type with charset, no caching, and no buffering in a proxy."""
    async with make_client(make_app()) as client:
        response = await client.post("/query/stream", json={"question": QUESTION})

    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["cache-control"] == "no-cache"
    assert response.headers["x-accel-buffering"] == "no"
    assert response.headers["x-trace-id"]


async def test_meta_comes_first_and_done_last() -> None:
    """`meta` once, first; exactly one terminal event, last; nothing but tokens and citations between."""
    events = await stream()

    names = [event.name for event in events]
    assert names[0] == "meta"
    assert names[-1] == "done"
    assert set(names[1:-1]) == {"token", "citation"}


async def test_ids_count_from_zero_without_gaps() -> None:
    """Every event has an `id:`."""
    events = await stream()

    assert [event.id for event in events] == list(range(len(events)))


async def test_meta_and_done_hold_the_trace_id_of_the_header() -> None:
    """The same id is in the response header and in every body that has `trace_id`."""
    async with make_client(make_app()) as client:
        response = await client.post("/query/stream", json={"question": QUESTION}, headers={"x-trace-id": "abc-1"})

    events = parse_events(response.text)
    assert response.headers["x-trace-id"] == "abc-1"
    assert events[0].data == {"trace_id": "abc-1", "model_version": MODEL_VERSION}
    assert events[-1].data["trace_id"] == "abc-1"


@pytest.mark.parametrize(
    "draft", [TWO_SENTENCES, f"{ANNUAL_LEAVE} [S1]\n{SICK_LEAVE} [S2]", "Nothing of this is known."]
)
async def test_the_tokens_joined_are_the_answer_of_the_whole_query(draft: str) -> None:
    """The concatenation of all `text` is exactly the `answer` that `POST /query` gives."""
    pipeline = make_pipeline(generator=ScriptedGenerator(draft))
    events = await stream(pipeline=pipeline)
    async with make_client(make_app(pipeline=pipeline)) as client:
        whole = (await client.post("/query", json={"question": QUESTION})).json()

    assert joined_text(events) == whole["answer"]
    assert [event.data for event in events if event.name == "citation"] == whole["citations"]
    assert events[-1].data["finish_reason"] == whole["finish_reason"]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
async def test_how_the_draft_was_cut_makes_no_difference(size: int) -> None:
    """Markers and words split over deltas come out whole."""
    deltas = [TWO_SENTENCES[start : start + size] for start in range(0, len(TWO_SENTENCES), size)]
    events = await stream(pipeline=make_pipeline(generator=ScriptedGenerator(*deltas)))

    assert joined_text(events) == (
        "Sick leave needs a note from a doctor after the third day [S1]. "
        "Full-time staff have 12 days of annual leave per year [S2]."
    )


async def test_a_citation_comes_before_the_token_with_its_marker() -> None:
    """Sent once per source, before the first token whose text holds its marker; no marker is split over two tokens."""
    events = await stream(pipeline=make_pipeline(generator=ScriptedGenerator(TWO_SENTENCES)))

    cited: list[str] = []
    for event in events:
        if event.name == "citation":
            cited.append(event.data["source_id"])
        elif event.name == "token":
            assert set(re.findall(r"\[(S\d+)\]", event.data["text"])) <= set(cited)
            assert not re.search(r"\[S?\d*$|^S?\d*\]", event.data["text"])
    assert cited == ["S1", "S2"]


async def test_an_answer_comes_in_several_tokens() -> None:
    """Six words or more are at least two `token` events, the answer that there is none included."""
    answered = await stream()
    abstained = await stream(pipeline=make_pipeline(indexes=FakeIndexes()))

    for events in (answered, abstained):
        assert sum(event.name == "token" for event in events) >= 2


async def test_done_tells_reason_times_and_usage() -> None:
    """`usage` is the generator's own where it reports one."""
    generator = ScriptedGenerator(f"{ANNUAL_LEAVE} [S1]", usage=TokenUsage(90, 14))
    done = (await stream(pipeline=make_pipeline(generator=generator)))[-1]

    assert done.data.keys() == {"trace_id", "finish_reason", "latency_ms", "usage"}
    assert done.data["finish_reason"] == "stop"
    assert done.data["usage"] == {"prompt_tokens": 90, "completion_tokens": 14}


async def test_done_has_a_trace_where_one_was_asked_for() -> None:
    """`include_trace` holds for streams too."""
    done = (await stream({"question": QUESTION, "include_trace": True}))[-1]

    assert done.data["trace"].keys() == {"candidates", "passages", "usage", "sentences", "standalone_question"}


async def test_text_goes_out_sentence_by_sentence() -> None:
    """The first sentence reaches the client while the second is still being drafted, and no unverified text does."""
    generator = ScriptedGenerator(f"{ANNUAL_LEAVE} [S1] ", "Sick leave needs a note", HANG)
    app = make_app(pipeline=make_pipeline(generator=generator))

    async with Connection(app, "POST", "/query/stream", body=[BODY], headers=JSON) as connection:
        await connection.head()
        received = ""
        while not received.endswith("[S1]."):
            event = await connection.event()
            assert event is not None
            received += event.data.get("text", "")

    assert received == "Full-time staff have 12 days of annual leave per year [S1]."


async def test_meta_is_sent_before_generation_begins() -> None:
    """A client learns that the search is done while the generator is still silent."""
    generator = ScriptedGenerator(HANG)
    app = make_app(pipeline=make_pipeline(generator=generator))

    async with Connection(app, "POST", "/query/stream", body=[BODY], headers=JSON) as connection:
        await connection.head()
        event = await connection.event()

    assert event is not None
    assert event.name == "meta"


@pytest.mark.parametrize(
    ("failure", "code", "retryable"),
    [
        (UpstreamError(), "UPSTREAM_ERROR", True),
        (UpstreamRateLimited(retry_after_s=3), "UPSTREAM_RATE_LIMITED", True),
        (HANG, "STREAM_TIMEOUT", True),
        (RuntimeError("secret"), "INTERNAL_ERROR", False),
    ],
)
@pytest.mark.parametrize("before", [(), (f"{ANNUAL_LEAVE} [S1] And ",)])
async def test_a_failure_after_meta_is_the_terminal_event(
    failure: Any, code: str, retryable: bool, before: tuple[str, ...]
) -> None:
    """After the first event the status is spent: one `error` event, last, that tells nothing of the inside."""
    pipeline = make_pipeline(generator=ScriptedGenerator(*before, failure), generation_timeout_s=0.05)
    events = await stream(pipeline=pipeline)

    assert [event.name for event in events if event.name in ("done", "error")] == ["error"]
    assert events[-1].data.keys() == {"code", "message", "trace_id", "retryable"}
    assert events[-1].data["code"] == code
    assert events[-1].data["retryable"] is retryable
    assert "secret" not in str(events)


async def test_the_whole_stream_has_a_deadline() -> None:
    """STREAM_TIMEOUT also where no single stage is late."""
    app = make_app(pipeline=make_pipeline(generator=ScriptedGenerator(HANG)), stream_timeout_s=0.2)
    async with make_client(app) as client:
        response = await client.post("/query/stream", json={"question": QUESTION})

    assert parse_events(response.text)[-1].data["code"] == "STREAM_TIMEOUT"


async def test_a_silent_stream_is_kept_alive_by_comments() -> None:
    """While nothing is sent a comment line goes out, without an id."""
    app = make_app(pipeline=make_pipeline(generator=ScriptedGenerator(HANG)), ping_after_s=0.001)

    async with Connection(app, "POST", "/query/stream", body=[BODY], headers=JSON) as connection:
        await connection.head()
        blocks = [await connection.block() for _ in range(3)]

    assert str(blocks[0]).startswith("id: 0\nevent: meta\n")
    assert blocks[1:] == [": ping", ": ping"]


@pytest.mark.parametrize(
    "parameters",
    [
        {"question": QUESTION},
        {"question": QUESTION, "top_k": "3", "max_output_tokens": "16", "include_trace": "true", "tenant_id": "demo"},
        {"question": "Nhân viên full-time có bao nhiêu ngày nghỉ phép năm?", "include_trace": "false"},
    ],
)
async def test_a_browser_asks_with_query_parameters(parameters: dict[str, str]) -> None:
    """`GET /query/stream`: the fields are query parameters, for `EventSource`."""
    async with make_client(make_app()) as client:
        response = await client.get("/query/stream", params=parameters)

    events = parse_events(response.text)
    assert (events[0].name, events[-1].name) == ("meta", "done")
    assert ("trace" in events[-1].data) == (parameters.get("include_trace") == "true")


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("", "question"),
        ("question=", "question"),
        ("question=%20%0A", "question"),
        ("question=x&question=y", "question"),
        ("question=x&top_k=6.0", "top_k"),
        ("question=x&top_k=0", "top_k"),
        ("question=x&top_k=", "top_k"),
        ("question=x&top_k=%EF%BC%96", "top_k"),
        ("question=x&top_k=99999999999999999999", "top_k"),
        ("question=x&include_trace=1", "include_trace"),
        ("question=x&include_trace=True", "include_trace"),
        ("question=x&stream=true", "stream"),
        ("question=x&" + urlencode({"tenant_id": "a/b"}), "tenant_id"),
    ],
)
async def test_query_parameters_are_checked_like_json(query: str, path: str) -> None:
    """422 with the field's name; a parameter that JSON could not have said is refused."""
    async with make_client(make_app()) as client:
        response = await client.get(f"/query/stream?{query}")

    assert response.status_code == 422
    assert [field["path"] for field in response.json()["error"]["fields"]] == [path]


async def test_parameters_that_are_not_utf_8_are_a_bad_request() -> None:
    """400, as for a body that is not UTF-8."""
    async with make_client(make_app()) as client:
        response = await client.get("/query/stream?question=%ff%fe")

    assert response.status_code == 400
    assert response.json()["error"]["code"] == "BAD_REQUEST"
