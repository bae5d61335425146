"""What a dependency's answer means: ready, still loading, or serving other models than this front expects."""

import json
from collections.abc import Callable

import httpx
import pytest

from rag.api.probes import ModelProbe, ServiceProbe
from rag.types import ModelInfo
from schemas.response import DependencyState

OURS = ModelInfo("e5", "r1", 384)
SERVED = {"name": "e5", "revision": "r1", "dimension": 384}


def answers(body: object, status: int = 200) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _: httpx.Response(status, content=json.dumps(body))


def is_down(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("nothing listens", request=request)


async def ask(*handlers: Callable[[httpx.Request], httpx.Response]) -> list[DependencyState]:
    """The states that a probe sees, one after the other."""
    left = iter(handlers)

    def answer(request: httpx.Request) -> httpx.Response:
        return next(left)(request)

    async with httpx.AsyncClient(base_url="http://service", transport=httpx.MockTransport(answer)) as client:
        probe = ModelProbe(client, [OURS])
        return [await probe("tr-1") for _ in handlers]


async def test_a_service_with_our_models_is_ok() -> None:
    """All of what it says is compared."""
    assert await ask(answers([SERVED])) == ["ok"]


@pytest.mark.parametrize("change", [{"revision": "r2"}, {"name": "bge"}, {"dimension": 1024}])
async def test_a_service_with_other_weights_is_a_mismatch(change: dict[str, object]) -> None:
    """The vectors of two revisions do not fit each other, even where they have the same length."""
    assert await ask(answers([SERVED | change])) == ["mismatch"]


async def test_a_service_that_has_never_answered_is_loading() -> None:
    """Afterwards its silence is a failure."""
    assert await ask(is_down, answers([SERVED]), is_down, answers({}, 500)) == [
        "loading",
        "ok",
        "unreachable",
        "unreachable",
    ]


async def test_what_is_no_json_is_no_answer() -> None:
    """Something else listens there."""

    def html(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=b"<html>")

    assert await ask(answers([SERVED]), html) == ["ok", "unreachable"]


@pytest.mark.parametrize(
    ("status", "state"), [(200, "ok"), (401, "unreachable"), (404, "unreachable"), (500, "unreachable")]
)
async def test_another_server_must_show_its_models(status: int, state: DependencyState) -> None:
    """With the credentials of the questions: a key that is refused here is refused there too."""
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(status, json={"data": []})

    headers = {"authorization": "Bearer k", "api-key": "k2"}
    transport = httpx.MockTransport(answer)
    async with httpx.AsyncClient(base_url="http://model/v1", transport=transport, headers=headers) as client:
        found = await ServiceProbe(client, "/models", ours=False)("tr-1")

    assert found == state
    assert asked[0].url.path == "/v1/models"
    assert (asked[0].headers["authorization"], asked[0].headers["api-key"]) == ("Bearer k", "k2")
