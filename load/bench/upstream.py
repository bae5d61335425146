"""Serve as an OpenAI-compatible generator that records its requests, and answers each prompt with its first passage.

The recorded prompts of the front can be sent to another server. The recorded delay of each answer shows how much time
the front added.
"""

import asyncio
import json
import random
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

# As long as the local engine takes with eight streams; random, so that the clients do not ask again in lockstep.
FIRST_TEXT_AFTER_S: Final = (2.0, 6.0)
_FIRST_PASSAGE: Final = re.compile(r"\[S1\] (.*?)(?:\n\n|\n</)", re.DOTALL)


@dataclass(slots=True)
class Upstream:
    """The running server: `bodies` are the requests in order of arrival, `waits_s` the delays by trace id."""

    url: str
    bodies: list[dict[str, Any]] = field(default_factory=list)  # Any: whatever JSON it was
    waits_s: dict[str, float] = field(default_factory=dict)


@asynccontextmanager
async def running_upstream() -> AsyncIterator[Upstream]:
    """Serve on a free loopback port during the block."""
    upstream = Upstream("")

    async def complete(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        upstream.bodies.append(body)
        wait_s = random.uniform(*FIRST_TEXT_AFTER_S)  # noqa: S311  # no secret
        upstream.waits_s[request.headers["x-trace-id"]] = wait_s
        await asyncio.sleep(wait_s)
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for event in _make_events(body["messages"][-1]["content"]):
            await response.write(f"data: {event}\n\n".encode())
        return response

    async def list_models(_: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": []})

    app = web.Application()
    app.add_routes([web.post("/v1/chat/completions", complete), web.get("/v1/models", list_models)])
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        upstream.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        yield upstream
    finally:
        await runner.cleanup()


def _make_events(prompt: str) -> list[str]:
    found = _FIRST_PASSAGE.search(prompt)
    text = (found[1] if found else "Nothing.").split("\n")[0]
    deltas = [{"choices": [{"index": 0, "delta": {"content": f"{text} [S1]"}}]}]
    last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    usage = {"choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}}
    return [*(json.dumps(event) for event in (*deltas, last, usage)), "[DONE]"]
