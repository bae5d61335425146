"""How the canary gate asks: it waits after refusals, reports failures by code, and asks both sides the same."""

import json
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import httpx
import pytest

from load.driver.outcome import CUT_OFF
from load.driver.planning import Ask
from load.driver.progress import Progress
from load.gate.asking import Deployment, UnreachableError
from load.gate.run import Contest
from tests.unit.evaluation_replies import respond
from tests.unit.test_gate_contract import DONE, USAGE, WHOLE

MODELS = {
    "model_version": "v",
    "runtime": "r",
    "model_name": "m",
    "prompt_version": "p",
    "deployed_at": "2026-05-10T10:00:00Z",
    "embedder": {"name": "e", "dimension": 384, "revision": "1"},
    "reranker": {"name": "r", "revision": "1"},
    "index": {"demo": {"version": "000001-5d1844a5", "chunks": 1, "built_at": "2026-05-10T10:00:00Z"}},
}
BUSY = httpx.Response(503, json={"error": {"code": "CONCURRENCY_LIMIT"}}, headers={"retry-after": "0"})

Server = Callable[[httpx.Request], httpx.Response]


def whole() -> httpx.Response:
    trace: dict[str, object] = {
        "standalone_question": None,
        "candidates": [],
        "passages": [],
        "usage": USAGE,
        "sentences": [],
    }
    return httpx.Response(200, json=respond().model_dump(mode="json") | {"trace": trace})


def stream(*events: tuple[str, str]) -> httpx.Response:
    text = "".join(f"event: {name}\ndata: {data}\n\n" for name, data in events)
    return httpx.Response(200, text=text, headers={"content-type": "text/event-stream; charset=utf-8"})


def make_ask(route: str = "whole", trace_id: str = "t") -> Ask:
    return Ask(0.0, trace_id, route, {"question": "How many?", "tenant_id": "demo"})  # type: ignore[arg-type]  # by name


def saying(*responses: httpx.Response) -> Server:
    """One after the other."""
    left: Iterator[httpx.Response] = iter(responses)
    return lambda _: next(left)


@asynccontextmanager
async def deployed(server: Server, *, patience_s: float = 30.0) -> AsyncIterator[Deployment]:
    async with httpx.AsyncClient(base_url="http://rag/base", transport=httpx.MockTransport(server)) as http:
        yield Deployment(http, "secret", timeout_s=30.0, patience_s=patience_s)


@pytest.mark.parametrize(("route", "response"), [("whole", whole()), ("stream", stream(*WHOLE))])
async def test_both_routes_end_in_the_same_answer(route: str, response: httpx.Response) -> None:
    """Only a stream has a first text; the key and the question went along."""
    seen: list[httpx.Request] = []

    def serve(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return response

    async with deployed(serve) as deployment:
        reply = await deployment.ask(make_ask(route), Progress("", 1))

    assert reply.response is not None
    assert reply.response.model_copy(update={"trace": None}) == respond("It is 12 days [S1].")
    assert (reply.error, reply.fault, reply.refused) == (None, None, ())
    assert (reply.ttft_s is None) == (route == "whole")
    assert seen[0].headers["x-api-key"] == "secret"
    assert json.loads(seen[0].content)["question"] == "How many?"


async def test_a_refusal_is_waited_for_and_is_no_error() -> None:
    """As long as it says; its code is kept, and the answer that comes then is the reply."""
    async with deployed(saying(BUSY, BUSY, whole())) as deployment:
        reply = await deployment.ask(make_ask(), Progress("", 1))

    assert (reply.error, reply.refused) == (None, ("CONCURRENCY_LIMIT", "CONCURRENCY_LIMIT"))
    assert reply.response is not None


@pytest.mark.parametrize("headers", [{"retry-after": "1"}, {}], ids=["patience ends", "no time is named"])
async def test_a_refusal_that_persists_is_an_error(headers: dict[str, str]) -> None:
    """And one that does not say when to come back: a proxy's, for nobody answers behind it."""
    refusal = httpx.Response(429, json={"error": {"code": "RATE_LIMITED"}}, headers=headers)
    async with deployed(saying(refusal), patience_s=0.5) as deployment:
        reply = await deployment.ask(make_ask(), Progress("", 1))

    assert (reply.error, reply.response) == ("RATE_LIMITED", None)


@pytest.mark.parametrize(
    ("route", "response", "error", "fault"),
    [
        ("whole", httpx.Response(502, json={"error": {"code": "UPSTREAM_ERROR"}}), "UPSTREAM_ERROR", None),
        ("whole", httpx.Response(502, text="<html>"), "HTTP_502", None),
        ("whole", httpx.Response(200, text="<html>"), None, "a reply in another form"),
        ("stream", stream(WHOLE[0], ("error", '{"code": "STREAM_TIMEOUT"}')), "STREAM_TIMEOUT", None),
        ("stream", stream(*WHOLE[:3]), CUT_OFF, None),
        ("stream", stream(WHOLE[0], *WHOLE[2:]), None, "a marker before its citation"),
        ("stream", stream(*WHOLE, DONE), None, "events out of order"),
    ],
)
async def test_failures_and_broken_rules_are_told_apart(
    route: str, response: httpx.Response, error: str | None, fault: str | None
) -> None:
    """An error is that no answer came; a fault is an answer that is not what the contract says."""
    async with deployed(saying(response)) as deployment:
        reply = await deployment.ask(make_ask(route), Progress("", 1))

    assert (reply.error, reply.fault) == (error, fault)


async def test_a_deployment_says_what_it_is() -> None:
    """With the key, below whatever path it is reached by."""

    def serve(request: httpx.Request) -> httpx.Response:
        assert (request.url.path, request.headers["x-api-key"]) == ("/base/models/current", "secret")
        return httpx.Response(200, json=MODELS)

    async with deployed(serve) as deployment:
        models = await deployment.describe()

    assert (models.model_version, models.index["demo"].version) == ("v", "000001-5d1844a5")


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (httpx.Response(401, json={}), "/models/current answers with status 401"),
        (httpx.Response(200, text="hello"), "/models/current is in another form than the contract's"),
    ],
)
async def test_what_does_not_say_what_it_is_cannot_be_asked(response: httpx.Response, reason: str) -> None:
    """The reason holds neither the key nor a word of what came instead."""
    async with deployed(saying(response)) as deployment:
        with pytest.raises(UnreachableError) as refused:
            await deployment.describe()

    assert str(refused.value) == reason


@asynccontextmanager
async def contest(stable: Server, canary: Server) -> AsyncIterator[Contest]:
    async with deployed(stable) as first, deployed(canary) as second:
        yield Contest(first, second, random.Random(0))


async def test_both_are_asked_the_same_one_after_the_other() -> None:
    """Each question of each, in a coin's order, so that neither is always the one that finds the caches warm."""
    turns: list[str] = []

    def serve(request: httpx.Request) -> httpx.Response:
        turns.append(request.headers["x-trace-id"])
        return whole()

    async with contest(serve, serve) as both:
        pairs = await both.ask_all(
            [make_ask(trace_id=str(each)) for each in range(40)], Progress("", 80), concurrency=1, give_up_after=10
        )

    numbers, sides = zip(*(turn.split("-") for turn in turns), strict=True)
    assert len(pairs) == 40
    assert list(numbers[::2]) == list(numbers[1::2]) == [str(each) for each in range(40)]
    assert {frozenset(each) for each in zip(sides[::2], sides[1::2], strict=True)} == {frozenset(("stable", "canary"))}
    assert 10 < sides[::2].count("stable") < 30


@pytest.mark.parametrize("failing", ["stable", "canary"])
async def test_nobody_is_asked_for_hours_who_does_not_answer(failing: str) -> None:
    """After so many failures in a row the rest is not sent."""

    def fail(_: httpx.Request) -> httpx.Response:
        return httpx.Response(504, json={"error": {"code": "MODEL_TIMEOUT"}})

    servers = {"stable": lambda _: whole(), "canary": lambda _: whole(), failing: fail}
    async with contest(servers["stable"], servers["canary"]) as both:
        pairs = await both.ask_all(
            [make_ask(trace_id=str(each)) for each in range(200)], Progress("", 400), concurrency=2, give_up_after=10
        )

    assert 10 <= len(pairs) < 13
