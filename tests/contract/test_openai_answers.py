"""`POST /v1/chat/completions`: the answer of `POST /query` in OpenAI's form, as a whole and streamed."""

import json
import re
from typing import Any

import pytest

from rag.errors import UpstreamError, UpstreamRateLimited
from rag.types import TokenUsage
from tests.asgi import Connection
from tests.contract.chatting import (
    CHAT,
    DONE,
    JSON,
    annotations,
    chat,
    deltas,
    joined_text,
    parse_chunks,
    post,
    say,
    stream,
)
from tests.fakes import (
    ANNUAL_LEAVE,
    HANG,
    MODEL_VERSION,
    QUESTION,
    SICK_LEAVE,
    FakeIndex,
    FakeIndexes,
    RefusingGenerator,
    ScriptedGenerator,
    make_app,
    make_client,
    make_pipeline,
)

TWO_SENTENCES = f"{SICK_LEAVE} [S2] {ANNUAL_LEAVE} [S1]"
MARKER = re.compile(r"\[S\d+\]")


def drafting(*script: str | Exception, **generator: Any) -> Any:
    return make_pipeline(generator=ScriptedGenerator(*script, **generator))


async def query(pipeline: Any) -> Any:
    async with make_client(make_app(pipeline=pipeline)) as client:
        return (await client.post("/query", json={"question": QUESTION})).json()


async def test_a_completion_has_exactly_these_fields() -> None:
    """OpenAI's, and `citations` and `trace_id` of ours; a new name for each answer."""
    body = await chat()

    assert body.keys() == {
        "id", "object", "created", "model", "system_fingerprint", "choices", "usage", "citations", "trace_id",
    }  # fmt: skip
    (choice,) = body["choices"]
    assert choice.keys() == {"index", "message", "logprobs", "finish_reason"}
    assert choice["message"].keys() == {"role", "content", "refusal", "annotations"}
    assert (body["object"], body["model"], body["system_fingerprint"]) == ("chat.completion", "rag", MODEL_VERSION)
    assert body["id"] == f"chatcmpl-{body['trace_id']}"
    assert (choice["index"], choice["message"]["role"], choice["finish_reason"]) == (0, "assistant", "stop")


@pytest.mark.parametrize("draft", [TWO_SENTENCES, f"{ANNUAL_LEAVE} [S1] {ANNUAL_LEAVE} [S1]", "Nothing is known."])
async def test_the_answer_is_that_of_a_query(draft: str) -> None:
    """One pipeline: the same text, the same citations, whichever door it leaves by."""
    pipeline = drafting(draft)
    expected = await query(pipeline)
    whole, chunks = await chat(pipeline=pipeline), await stream(pipeline=pipeline)

    assert whole["choices"][0]["message"]["content"] == joined_text(chunks) == expected["answer"]
    assert whole["citations"] == chunks[-1]["citations"] == expected["citations"]


@pytest.mark.parametrize("draft", [TWO_SENTENCES, f"{ANNUAL_LEAVE} [S1] {SICK_LEAVE} [S2] Staff sleep. [S1][S2]"])
async def test_an_annotation_is_complete_and_stands_at_its_marker(draft: str) -> None:
    """One for each marker, in order: absolute address, title, and where the marker is in the content."""
    pipeline = drafting(draft)
    whole, chunks = await chat(pipeline=pipeline), await stream(pipeline=pipeline)

    content, found = whole["choices"][0]["message"]["content"], whole["choices"][0]["message"]["annotations"]
    by_marker = {f"[{citation['source_id']}]": citation for citation in whole["citations"]}
    assert len(found) == len(MARKER.findall(content)) >= 2
    for each, marker in zip(found, MARKER.finditer(content), strict=True):
        citation = by_marker[marker[0]]
        assert each["type"] == "url_citation"
        assert each["url_citation"] == {
            "url": citation["url"],
            "title": citation["title"],
            "start_index": marker.start(),
            "end_index": marker.end(),
        }
        assert each["url_citation"]["url"].startswith("http://rag/chunks/")
    assert annotations(chunks) == [{**each, "index": index} for index, each in enumerate(found)]


async def test_an_address_is_that_of_the_setting() -> None:
    """`RAG_PUBLIC_URL` holds here too."""
    body = await chat(public_url="https://docs.example.org/rag")

    (annotation,) = body["choices"][0]["message"]["annotations"]
    assert annotation["url_citation"]["url"].startswith("https://docs.example.org/rag/chunks/")


async def test_offsets_count_code_points() -> None:
    """Characters beyond 16 bits and Vietnamese letters are one each, as Python counts them."""
    sentence = "Nhân viên 😀 có 12 ngày nghỉ phép năm."
    pipeline = make_pipeline(indexes=FakeIndexes(demo=FakeIndex(sentence)), drafts=False)
    body = await chat(say("Nhân viên có bao nhiêu ngày nghỉ phép năm?"), pipeline=pipeline)

    message = body["choices"][0]["message"]
    assert "😀" in message["content"]
    for each in message["annotations"]:
        start, end = each["url_citation"]["start_index"], each["url_citation"]["end_index"]
        assert MARKER.fullmatch(message["content"][start:end])


async def test_usage_is_the_generators() -> None:
    """Prompt, completion and their sum; the stream's chunk has the same."""
    pipeline = drafting(f"{ANNUAL_LEAVE} [S1]", usage=TokenUsage(90, 14))
    whole = await chat(pipeline=pipeline)
    chunks = await stream(say(stream_options={"include_usage": True}), pipeline=pipeline)

    assert whole["usage"] == {"prompt_tokens": 90, "completion_tokens": 14, "total_tokens": 104}
    assert chunks[-1]["usage"] == whole["usage"]
    assert chunks[-1]["choices"] == []


async def test_an_answer_by_quotation_uses_nothing() -> None:
    """Without a generator the usage is there, and zero."""
    body = await chat(pipeline=make_pipeline(drafts=False))

    assert body["choices"][0]["message"]["annotations"]
    assert body["usage"] == {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


@pytest.mark.parametrize("options", [None, {}, {"include_usage": False}, {"include_usage": None}, {"other": 1}])
async def test_no_usage_is_streamed_unless_asked_for(options: Any) -> None:
    """Every chunk has one choice, and none has a usage."""
    chunks = await stream(say(stream_options=options))

    assert all(len(chunk["choices"]) == 1 and "usage" not in chunk for chunk in chunks)


@pytest.mark.parametrize(
    ("pipeline", "finish_reason", "is_cited"),
    [
        (drafting(f"{ANNUAL_LEAVE} [S1]"), "stop", True),
        (drafting(f"{ANNUAL_LEAVE} [S1]", finish_reason="length"), "length", True),
        (make_pipeline(indexes=FakeIndexes()), "stop", False),
    ],
    ids=["stop", "length", "no_answer"],
)
async def test_how_it_finished_is_said_in_openais_words(pipeline: Any, finish_reason: str, is_cited: bool) -> None:
    """OpenAI has no word for `no_answer`: the text says so, and there is no citation."""
    whole, chunks = await chat(pipeline=pipeline), await stream(pipeline=pipeline)

    assert whole["choices"][0]["finish_reason"] == finish_reason
    assert [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"]] == [
        *[None] * (len(chunks) - 1),
        finish_reason,
    ]
    assert bool(whole["citations"]) == bool(whole["choices"][0]["message"]["annotations"]) == is_cited


async def test_chunks_come_in_openais_order() -> None:
    """The role, then text, annotations after the text with their marker, then how it finished; one name for all."""
    response = await post(say(stream=True))
    *chunks, last = parse_chunks(response.text)

    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert (response.headers["cache-control"], response.headers["x-accel-buffering"]) == ("no-cache", "no")
    assert last == DONE
    assert deltas(chunks)[0] == {"role": "assistant", "content": ""}
    assert [sorted(delta) for delta in deltas(chunks)[1:-1]].count(["annotations"]) == 1
    assert all(delta.keys() in ({"content"}, {"annotations"}) for delta in deltas(chunks)[1:-1])
    assert deltas(chunks)[-1] == {}
    assert {(chunk["id"], chunk["created"], chunk["model"], chunk["system_fingerprint"]) for chunk in chunks} == {
        (f"chatcmpl-{response.headers['x-trace-id']}", chunks[0]["created"], "rag", MODEL_VERSION)
    }
    assert chunks[-1]["trace_id"] == response.headers["x-trace-id"]


async def test_no_annotation_comes_before_its_marker() -> None:
    """A client may replace the marker at once: the text is there already."""
    sent = ""
    for delta in deltas(await stream(pipeline=drafting(TWO_SENTENCES))):
        sent += delta.get("content", "")
        for each in delta.get("annotations", []):
            at = each["url_citation"]
            assert MARKER.fullmatch(sent[at["start_index"] : at["end_index"]])


@pytest.mark.parametrize(
    ("failure", "code", "kind"),
    [
        (UpstreamError(), "UPSTREAM_ERROR", "server_error"),
        (UpstreamRateLimited(retry_after_s=3), "UPSTREAM_RATE_LIMITED", "rate_limit_error"),
        (HANG, "STREAM_TIMEOUT", "server_error"),
        (RuntimeError("secret"), "INTERNAL_ERROR", "server_error"),
    ],
)
@pytest.mark.parametrize("before", [(), (f"{ANNUAL_LEAVE} [S1] And ",)])
async def test_a_late_failure_is_an_error_and_no_end(
    failure: Any, code: str, kind: str, before: tuple[str, ...]
) -> None:
    """`data: {"error": …}` comes last; `[DONE]` would make the answer look complete."""
    pipeline = make_pipeline(generator=ScriptedGenerator(*before, failure), generation_timeout_s=0.05)
    response = await post(say(stream=True), app=make_app(pipeline=pipeline))

    *chunks, last = parse_chunks(response.text)
    assert response.status_code == 200
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert last["error"].keys() == {"code", "message", "trace_id", "retryable", "type", "param"}
    assert (last["error"]["code"], last["error"]["type"], last["error"]["param"]) == (code, kind, None)
    assert "secret" not in response.text


async def test_an_early_failure_of_a_stream_has_its_status() -> None:
    """Before the first chunk nothing is spent."""
    response = await post(say(stream=True, model="gpt-4o"))

    assert response.status_code == 404
    assert response.headers["content-type"] == "application/json"


async def test_a_failure_of_a_whole_answer_has_its_status() -> None:
    """The provider's 429 with the seconds that it names."""
    pipeline = make_pipeline(generator=RefusingGenerator(UpstreamRateLimited(retry_after_s=7)))
    response = await post(say(), app=make_app(pipeline=pipeline))

    assert (response.status_code, response.headers["retry-after"]) == (429, "7")
    assert (response.json()["error"]["code"], response.json()["error"]["type"]) == (
        "UPSTREAM_RATE_LIMITED",
        "rate_limit_error",
    )


async def test_a_silent_stream_is_kept_alive_by_comments() -> None:
    """While nothing is sent a comment line goes out, after the role."""
    app = make_app(pipeline=drafting(HANG), ping_after_s=0.001)
    body = json.dumps(say(stream=True)).encode()

    async with Connection(app, "POST", CHAT, body=[body], headers=JSON) as connection:
        await connection.head()
        blocks = [await connection.block() for _ in range(3)]

    assert str(blocks[0]).startswith("data: {")
    assert blocks[1:] == [": ping", ": ping"]


async def test_nothing_of_an_answer_is_kept_back() -> None:
    """The first sentence is there while the second is still being drafted."""
    app = make_app(pipeline=drafting(f"{ANNUAL_LEAVE} [S1] ", "Sick leave needs a note", HANG))
    body = json.dumps(say(stream=True)).encode()

    async with Connection(app, "POST", CHAT, body=[body], headers=JSON) as connection:
        await connection.head()
        received = ""
        while not received.endswith("[S1]."):
            block = await connection.block()
            assert block is not None
            received += json.loads(block.removeprefix("data: "))["choices"][0]["delta"].get("content", "")

    assert received == "Full-time staff have 12 days of annual leave per year [S1]."
