"""Shared by the tests of OpenAI's routes: one chat asked over HTTP, and its stream read as OpenAI's clients read it."""

import json
from typing import Any, Final

import httpx
from starlette.types import ASGIApp

from rag.api.openapi import describe_api
from tests.described import Description
from tests.fakes import QUESTION, make_app, make_client

CHAT: Final = "/v1/chat/completions"
MODELS: Final = "/v1/models"
JSON: Final = {"content-type": "application/json"}
DESCRIPTION: Final = Description(describe_api(is_open=True))
DONE: Final = "[DONE]"


def say(question: str = QUESTION, /, **fields: Any) -> dict[str, Any]:
    """The body of a chat of one message."""
    return {"model": "rag", "messages": [{"role": "user", "content": question}], **fields}


async def post(body: Any, *, app: ASGIApp | None = None, **request: Any) -> httpx.Response:
    """Whatever is answered, it is as described."""
    async with make_client(app or make_app()) as client:
        response = await client.post(CHAT, json=body, **request)
    DESCRIPTION.check_response(response)
    return response


async def chat(body: Any = None, **app: Any) -> Any:
    """The body of a whole answer."""
    response = await post(body or say(), app=make_app(**app))
    assert response.status_code == 200, response.text
    return response.json()


async def stream(body: Any = None, **app: Any) -> list[Any]:
    """The chunks of a streamed answer, which must end as it should."""
    response = await post({"stream": True, **(body or say())}, app=make_app(**app))
    assert response.status_code == 200, response.text
    *chunks, last = parse_chunks(response.text)
    assert last == DONE
    return chunks


def parse_chunks(text: str) -> list[Any]:
    """Each `data` as JSON, and `[DONE]` as it is; comments are passed over, other lines are not allowed."""
    assert text.endswith("\n\n")
    blocks = [block for block in text[:-2].split("\n\n") if not block.startswith(":")]
    assert all(block.startswith("data: ") and "\n" not in block for block in blocks)
    data = [block.removeprefix("data: ") for block in blocks]
    chunks = [each if each == DONE else json.loads(each) for each in data]
    for each in chunks:
        if each != DONE:
            schema = "ChatErrorBody" if "error" in each else "ChatChunk"
            assert DESCRIPTION.problems({"$ref": f"#/components/schemas/{schema}"}, each) == []
    return chunks


def deltas(chunks: list[Any]) -> list[dict[str, Any]]:
    return [choice["delta"] for chunk in chunks for choice in chunk["choices"]]


def joined_text(chunks: list[Any]) -> str:
    return "".join(delta.get("content", "") for delta in deltas(chunks))


def annotations(chunks: list[Any]) -> list[Any]:
    return [each for delta in deltas(chunks) for each in delta.get("annotations", [])]
