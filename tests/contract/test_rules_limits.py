"""When a request takes quota and places, how much, and that every exit returns what it did not use."""

import re
from typing import Any

import pytest

from rag.errors import NotReady, RagError, RateLimited, UpstreamError, UpstreamRateLimited
from rag.limits import Places
from rag.quotas import LocalLimiter, Quotas
from rag.types import Reservation, TokenUsage
from schemas.response import DependencyState
from tests.asgi import Connection
from tests.fakes import (
    ANNUAL_LEAVE,
    HANG,
    QUESTION,
    FailingEmbedder,
    FakeIndexes,
    HangingEmbedder,
    RefusingGenerator,
    ScriptedGenerator,
    make_app,
    make_client,
    make_pipeline,
)

JSON = {"content-type": "application/json"}
BODY = f'{{"question": "{QUESTION}"}}'.encode()
ROUTES = ["/query", "/v1/query", "/query/stream"]
ANSWER = f"{ANNUAL_LEAVE} [S1]"


class Account:
    """A `RateLimiter` that writes down what was reserved and what was settled; it can refuse."""

    def __init__(self, refusal: RagError | None = None) -> None:
        self._refusal = refusal
        self.reserved: list[int] = []
        self.settled: list[tuple[str, int]] = []

    async def reserve(
        self,
        principal_id: str,
        tenant_id: str,
        tokens: int,
        *,
        requests_per_window: int | None = None,
        tokens_per_window: int | None = None,
    ) -> Reservation:
        if self._refusal is not None:
            raise self._refusal
        self.reserved.append(tokens)
        return Reservation(str(len(self.reserved)), tenant_id, tokens, is_shared=False)

    async def settle(self, reservation: Reservation, used_tokens: int) -> None:
        self.settled.append((reservation.id, used_tokens))

    async def state(self) -> DependencyState:
        return "ok"

    async def aclose(self) -> None:
        """Nothing is held open."""


async def post(path: str, **app: Any) -> int:
    async with make_client(make_app(**app)) as client:
        return (await client.post(path, content=BODY, headers=JSON)).status_code


@pytest.mark.parametrize("path", ROUTES)
async def test_the_true_usage_takes_the_place_of_the_reservation(path: str) -> None:
    """Reserved before: prompt and whole output. Settled after, once: what the generator says it used."""
    account = Account()
    generator = ScriptedGenerator(ANSWER, usage=TokenUsage(90, 14))
    await post(path, limiter=account, pipeline=make_pipeline(generator=generator))

    assert account.reserved[0] >= 512 + len(QUESTION.split())
    assert account.settled == [("1", 104)]


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize(
    "stages", [{"embedder": FailingEmbedder(NotReady())}, {"indexes": FakeIndexes()}, {"abstain_relevance": 2.0}]
)
async def test_a_question_that_never_reached_the_generator_uses_no_tokens(path: str, stages: dict[str, Any]) -> None:
    """All of the reservation is given back, once, whether it failed or had no answer."""
    account = Account()
    await post(path, limiter=account, pipeline=make_pipeline(**stages))

    assert account.settled == [("1", 0)]


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("failure", [UpstreamError(), UpstreamRateLimited(), RuntimeError("bug")])
async def test_a_failed_generation_gives_the_rest_back(path: str, failure: Exception) -> None:
    """What can have been used at most is settled, once; not the output that never came."""
    account = Account()
    await post(path, limiter=account, pipeline=make_pipeline(generator=ScriptedGenerator("Full-time ", failure)))

    ((_, used),) = account.settled
    assert used < account.reserved[0] - 500


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("failure", [UpstreamError(), UpstreamRateLimited()])
async def test_a_generator_that_refuses_has_used_nothing(path: str, failure: Exception) -> None:
    """It refused, or nobody was there: all of the reservation is given back."""
    account = Account()
    await post(path, limiter=account, pipeline=make_pipeline(generator=RefusingGenerator(failure)))

    assert account.settled == [("1", 0)]


@pytest.mark.parametrize("path", ROUTES)
async def test_who_finds_no_place_gives_the_tokens_back(path: str) -> None:
    """503 CONCURRENCY_LIMIT uses no tokens."""
    account, places = Account(), Places(1, queue_timeout_s=0.001)
    async with places.hold():
        status = await post(path, limiter=account, places=places)

    assert (status, account.settled) == (503, [("1", 0)])


@pytest.mark.parametrize("path", ROUTES)
async def test_a_client_that_leaves_gives_the_rest_back(path: str) -> None:
    """During retrieval nothing was used; during generation only the prompt and what was drafted."""
    retrieving, generating = HangingEmbedder(), ScriptedGenerator("Full-time ", HANG)
    for pipeline, reached in (
        (make_pipeline(embedder=retrieving), retrieving.reached),
        (make_pipeline(generator=generating), generating.reached),
    ):
        account = Account()
        app = make_app(pipeline=pipeline, limiter=account)
        async with Connection(app, "POST", path, body=[BODY], headers=JSON) as connection:
            await reached.wait()
            await connection.disconnect()

        ((_, used),) = account.settled
        assert used < account.reserved[0] - 500


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (BODY, "text/plain"),
        (b"{", "application/json"),
        (b"{}", "application/json"),
        (b" " * 70_000, "application/json"),
        (b'{"question": "x", "tenant_id": "acme"}', "application/json"),
    ],
)
async def test_a_refused_request_takes_nothing(path: str, content: bytes, content_type: str) -> None:
    """What breaks a rule of its own uses up no quota of anybody's."""
    account = Account()
    async with make_client(make_app(limiter=account)) as client:
        await client.post(path, content=content, headers={"content-type": content_type})

    assert (account.reserved, account.settled) == ([], [])


@pytest.mark.parametrize("path", ROUTES)
async def test_a_spent_quota_takes_no_place_and_asks_no_model(path: str) -> None:
    """429 RATE_LIMITED at once, with `Retry-After` rounded up."""
    generator, places = ScriptedGenerator(ANSWER), Places(1, queue_timeout_s=10)
    app = make_app(
        limiter=Account(RateLimited("requests", retry_after_s=6.01)),
        places=places,
        pipeline=make_pipeline(generator=generator),
    )
    async with places.hold(), make_client(app) as client:
        response = await client.post(path, content=BODY, headers=JSON)

    assert (response.status_code, response.json()["error"]["code"]) == (429, "RATE_LIMITED")
    assert response.headers["retry-after"] == "7"
    assert generator.calls == []


@pytest.mark.parametrize("path", ROUTES)
async def test_the_request_after_the_last_one_is_told_when_to_come_again(path: str) -> None:
    """So many requests in the window, then 429 with whole seconds of at most the window."""
    app = make_app(limiter=LocalLimiter(Quotas(window_s=60, requests=2, tokens=10**9)))
    async with make_client(app) as client:
        responses = [await client.post(path, content=BODY, headers=JSON) for _ in range(3)]

    assert [response.status_code for response in responses] == [200, 200, 429]
    assert re.fullmatch(r"[1-9]\d*", responses[-1].headers["retry-after"])
    assert int(responses[-1].headers["retry-after"]) <= 60


@pytest.mark.parametrize("path", ROUTES)
async def test_what_no_quota_holds_is_a_bad_request(path: str) -> None:
    """400 BAD_REQUEST, not retryable: no waiting makes the reservation fit."""
    limiter = LocalLimiter(Quotas(window_s=60, requests=10, tokens=400))
    async with make_client(make_app(limiter=limiter)) as client:
        response = await client.post(path, content=BODY, headers=JSON)

    error = response.json()["error"]
    assert (response.status_code, error["code"], error["retryable"]) == (400, "BAD_REQUEST", False)
    assert "retry-after" not in response.headers


@pytest.mark.parametrize("path", ROUTES)
async def test_a_lost_limiter_that_fails_closed_is_not_ready(path: str) -> None:
    """503 NOT_READY with `Retry-After`."""
    async with make_client(make_app(limiter=Account(NotReady(retry_after_s=1.0)))) as client:
        response = await client.post(path, content=BODY, headers=JSON)

    assert (response.status_code, response.json()["error"]["code"]) == (503, "NOT_READY")
    assert response.headers["retry-after"] == "1"


@pytest.mark.parametrize("path", ["/health", "/ready", "/models/current", "/openapi.json", "/"])
async def test_nothing_but_queries_is_limited(path: str) -> None:
    """With every quota spent and no place free the status routes answer."""
    places = Places(1, queue_timeout_s=10)
    async with (
        places.hold(),
        make_client(make_app(limiter=Account(RateLimited("requests", retry_after_s=1)), places=places)) as client,
    ):
        response = await client.get(path)

    assert response.status_code == 200
