"""Paths of a service that go past BentoML's middleware."""

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rag.engines.vllm_server import ENGINE_PATHS
from rag.serving.past import past_middleware


@pytest.mark.parametrize(
    ("path", "who"),
    [
        ("/v1/chat/completions", "ours"),
        ("/v1/models", "ours"),
        ("/v10", "server"),
        ("/metrics", "server"),
        ("/readyz", "server"),
        ("/complete", "server"),
    ],
)
async def test_the_engines_paths_are_answered_by_the_engine(path: str, who: str) -> None:
    """Health, metrics and the API for batch jobs stay BentoML's."""
    ours: ASGIApp = PlainTextResponse("ours")
    server: ASGIApp = PlainTextResponse("server")
    app = past_middleware(server, ours, ENGINE_PATHS)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://rag") as client:
        answer = await client.post(path)

    assert answer.text == who


async def test_what_is_no_request_is_the_servers() -> None:
    """The lifespan starts the service, whatever its paths."""
    seen: list[str] = []

    async def note(scope: Scope, _: Receive, __: Send) -> None:
        seen.append(scope["type"])

    async def receive() -> Message:
        return {"type": "lifespan.startup"}

    async def send(_: Message) -> None:
        pass

    await past_middleware(note, PlainTextResponse("ours"), ("/",))({"type": "lifespan"}, receive, send)

    assert seen == ["lifespan"]
