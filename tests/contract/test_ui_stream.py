"""`POST /query/stream` with `x-vercel-ai-ui-message-stream: v1`: the parts that the AI SDK of Vercel reads."""

import json
from typing import Any, Final

import httpx
import pytest
from starlette.types import ASGIApp

from rag.api.openapi import describe_api
from rag.errors import UpstreamError
from rag.types import TokenUsage
from tests.asgi import parse_events
from tests.described import Description
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

NAME: Final = "x-vercel-ai-ui-message-stream"
ASKS: Final = {NAME: "v1"}
DONE: Final = "[DONE]"
DESCRIPTION: Final = Description(describe_api(is_open=True))
TWO_SENTENCES: Final = f"{SICK_LEAVE} [S2] {ANNUAL_LEAVE} [S1]"


async def post(app: ASGIApp | None = None, headers: dict[str, str] = ASKS, **body: Any) -> httpx.Response:
    async with make_client(app or make_app()) as client:
        response = await client.post("/query/stream", json={"question": QUESTION, **body}, headers=headers)
    DESCRIPTION.check_response(response)
    return response


def parse(response: httpx.Response) -> list[Any]:
    """Each part, and `[DONE]` as it is; every part is as described."""
    assert response.status_code == 200, response.text
    blocks = response.text.removesuffix("\n\n").split("\n\n")
    assert all(block.startswith("data: ") and "\n" not in block for block in blocks)
    texts = [block.removeprefix("data: ") for block in blocks]
    parts = [text if text == DONE else json.loads(text) for text in texts]
    described = DESCRIPTION.document["components"]["schemas"]["UiEvent"]["properties"]["data"]["anyOf"][1]
    for part in parts:
        assert part == DONE or DESCRIPTION.problems(described["contentSchema"], part) == []
    return parts


async def stream(pipeline: Any = None, **body: Any) -> list[Any]:
    """The parts of an answer that ends as it should."""
    *parts, last = parse(await post(make_app(pipeline=pipeline) if pipeline else None, **body))
    assert last == DONE
    return parts


async def events(pipeline: Any = None) -> list[Any]:
    async with make_client(make_app(pipeline=pipeline) if pipeline else make_app()) as client:
        return parse_events((await client.post("/query/stream", json={"question": QUESTION})).text)


def texts(parts: list[Any]) -> list[str]:
    return [part["delta"] for part in parts if part["type"] == "text-delta"]


async def test_the_header_chooses_and_is_answered() -> None:
    """The SDK's servers send it too; all else about the response is as for other events."""
    response = await post()

    assert response.headers[NAME] == "v1"
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert (response.headers["cache-control"], response.headers["x-accel-buffering"]) == ("no-cache", "no")


@pytest.mark.parametrize("headers", [{}, {NAME: "v2"}, {NAME: ""}])
async def test_other_requests_get_the_contracts_events(headers: dict[str, str]) -> None:
    """A version that is not spoken is ignored, and the response does not claim it."""
    response = await post(headers=headers)

    assert NAME not in response.headers
    assert parse_events(response.text)[0].name == "meta"


async def test_parts_come_in_the_sdks_order() -> None:
    """One text between its start and its end, each source before the text with its marker."""
    parts = await stream(make_pipeline(generator=ScriptedGenerator(TWO_SENTENCES)))

    kinds = [part["type"] for part in parts]
    assert kinds[0] == "start"
    assert kinds[-2:] == ["text-end", "finish"]
    assert [kinds.count(each) for each in ("start", "text-start", "text-end", "finish")] == [1, 1, 1, 1]
    assert {part["id"] for part in parts if part["type"].startswith("text-")} == {"answer"}
    for number in (1, 2):
        source = next(at for at, part in enumerate(parts) if part.get("sourceId") == f"S{number}")
        assert source < next(at for at, part in enumerate(parts) if f"[S{number}]" in part.get("delta", ""))


async def test_text_and_sources_are_those_of_the_events() -> None:
    """One pipeline: a source has address and title, and the whole citation beside them."""
    pipeline = make_pipeline(generator=ScriptedGenerator(TWO_SENTENCES))
    parts, expected = await stream(pipeline), await events(pipeline)

    assert texts(parts) == [event.data["text"] for event in expected if event.name == "token"]
    assert [part for part in parts if part["type"] == "source-url"] == [
        {
            "type": "source-url",
            "sourceId": event.data["source_id"],
            "url": event.data["url"],
            "title": event.data["title"],
            "providerMetadata": {"rag": event.data},
        }
        for event in expected
        if event.name == "citation"
    ]


async def test_a_source_is_also_a_document() -> None:
    """For pages that show documents: the same sources in the same order, each after its address."""
    parts = await stream(make_pipeline(generator=ScriptedGenerator(TWO_SENTENCES)))
    sources = [part for part in parts if part["type"].startswith("source-")]

    assert [part["type"] for part in sources] == ["source-url", "source-document"] * (len(sources) // 2)
    for url, document in zip(sources[::2], sources[1::2], strict=True):
        kept = {name: url[name] for name in ("sourceId", "title", "providerMetadata")}
        assert document == {"type": "source-document", "mediaType": "text/html", **kept}


async def test_the_messages_metadata_is_what_meta_and_done_say() -> None:
    """Trace id and version at the start, the end's reason, times and usage with the finish."""
    generator = ScriptedGenerator(f"{ANNUAL_LEAVE} [S1]", usage=TokenUsage(90, 14))
    response = await post(make_app(pipeline=make_pipeline(generator=generator)))
    start, *_, finish, _ = parse(response)

    trace_id = response.headers["x-trace-id"]
    assert start["messageId"] == trace_id
    assert start["messageMetadata"] == {"trace_id": trace_id, "model_version": MODEL_VERSION}
    assert finish["messageMetadata"].keys() == {"finish_reason", "latency_ms", "usage"}
    assert finish["messageMetadata"]["usage"] == {"prompt_tokens": 90, "completion_tokens": 14}


async def test_a_trace_comes_if_asked_for() -> None:
    """`include_trace` of the body holds here too."""
    *_, finish = await stream(include_trace=True)

    assert finish["messageMetadata"]["trace"]["passages"]


@pytest.mark.parametrize(
    ("pipeline", "reason", "ours"),
    [
        (make_pipeline(), "stop", "stop"),
        (
            make_pipeline(generator=ScriptedGenerator(f"{ANNUAL_LEAVE} [S1]", finish_reason="length")),
            "length",
            "length",
        ),
        (make_pipeline(indexes=FakeIndexes()), "stop", "no_answer"),
    ],
)
async def test_how_it_finished_is_said_in_the_sdks_words(pipeline: Any, reason: str, ours: str) -> None:
    """The SDK has no word for `no_answer`: the metadata has it."""
    *_, finish = await stream(pipeline)

    assert (finish["finishReason"], finish["messageMetadata"]["finish_reason"]) == (reason, ours)


@pytest.mark.parametrize("before", [(), (f"{ANNUAL_LEAVE} [S1] And ",)])
@pytest.mark.parametrize(
    ("failure", "code"),
    [(UpstreamError(), "UPSTREAM_ERROR"), (HANG, "STREAM_TIMEOUT"), (RuntimeError("secret"), "INTERNAL_ERROR")],
)
async def test_a_late_failure_is_an_error_and_no_end(failure: Any, code: str, before: tuple[str, ...]) -> None:
    """`errorText` is the body that an early failure would have; nothing follows."""
    pipeline = make_pipeline(generator=ScriptedGenerator(*before, failure), generation_timeout_s=0.05)
    response = await post(make_app(pipeline=pipeline))

    *_, last = parse(response)
    error = json.loads(last["errorText"])["error"]
    assert (last["type"], error["code"], error["trace_id"]) == ("error", code, response.headers["x-trace-id"])
    assert error.keys() == {"code", "message", "trace_id", "retryable"}
    assert "secret" not in response.text


async def test_an_early_failure_has_its_status() -> None:
    """Before the first part nothing is spent: the body is that of every error."""
    response = await post(top_k=0)

    assert response.status_code == 422
    assert NAME not in response.headers
