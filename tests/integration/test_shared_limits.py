"""Limits of two front processes that share one Valkey, and the effect of each policy when it is lost."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from load.server import Server, running_server
from rag.pipeline import INSTRUCTION_TOKENS
from schemas.errors import ErrorCode
from tests.integration.asking import POLL_S, assert_error, make_trace_id
from tests.integration.conftest import HANDBOOK, write_identities
from tests.scripted_model import PAUSE, USAGE, Reply, ScriptedModel, delta, ending, fails
from tests.servers import FAKE_MODELS, PATIENT, UNLIMITED, ingest, make_environment
from tests.valkey import LosableValkey, age

pytestmark = pytest.mark.integration

QUESTION: Final = "How many days of annual leave do full-time staff have?"
SENTENCE: Final = "Full-time staff have 12 days of annual leave per year. [S1]"
OUTPUT_TOKENS: Final = 512
CONTEXT_TOKENS: Final = 200
# What one request reserves; the fake tokenizer counts words.
RESERVED: Final = len(QUESTION.split()) + CONTEXT_TOKENS + INSTRUCTION_TOKENS + OUTPUT_TOKENS
USED: Final = USAGE["total_tokens"]
# So long that nothing leaves the window by itself while the tests run.
WINDOW_S: Final = 600
# Far above what a machine needs between two steps of a test, far below the window.
SLACK_S: Final = 60
CROWD, BUDGET = 200, 100
# With or without Valkey an answer comes at once; on two busy cores that takes a while.
ANSWER_WITHIN_S: Final = 5.0
CROWD_WITHIN_S: Final = 60.0
MENDED_WITHIN_S: Final = 20.0

LOSSES: Final = ("stopped", "frozen", "full", "read_only")
PRINCIPALS: Final[Mapping[str, Mapping[str, object]]] = {
    "anybody": {"tenants": ["*"]},
    "crowd": {"tenants": ["*"], "requests_per_window": BUDGET},
    "heap": {"tenants": ["*"], "tokens_per_window": BUDGET * RESERVED + RESERVED - 1},
    "payer": {"tenants": ["*"], "tokens_per_window": RESERVED + USED},
    "single": {"tenants": ["*"], "tokens_per_window": 2 * RESERVED - OUTPUT_TOKENS},
    "pair": {"tenants": ["*"], "requests_per_window": 2},
    # What a process counted by itself stays counted, so each loss has its own caller.
    **{f"pair-{loss}": {"tenants": ["*"], "requests_per_window": 2} for loss in LOSSES},
}


@dataclass(frozen=True, slots=True)
class Front:
    """One of the two servers, as a client sees it."""

    http: httpx.AsyncClient

    async def ask(self, key: str, *, trace_id: str | None = None, tenant: str = "demo") -> httpx.Response:
        return await self.http.post("/query", **self._request(key, trace_id, tenant))

    def stream(self, key: str, trace_id: str) -> Any:
        """The response of an event stream, to be entered."""
        return self.http.stream("POST", "/query/stream", **self._request(key, trace_id, "demo"))

    async def limiter(self) -> tuple[int, str]:
        """The status of `/ready`, and what it says of the limiter."""
        ready = await self.http.get("/ready")
        return ready.status_code, ready.json()["dependencies"]["limiter"]

    async def is_sharing(self) -> bool:
        return await self.limiter() == (200, "ok")

    async def is_not_sharing(self) -> bool:
        return not await self.is_sharing()

    async def degraded(self) -> float:
        """How many requests this server has limited by itself."""
        metrics = (await self.http.get("/metrics")).text
        return sum(map(float, re.findall(r"^rag_limiter_degraded_total(?:{.*})? (\S+)$", metrics, re.MULTILINE)))

    @staticmethod
    def _request(key: str, trace_id: str | None, tenant: str) -> dict[str, Any]:
        return {
            "json": {"question": QUESTION, "tenant_id": tenant, "max_output_tokens": OUTPUT_TOKENS},
            "headers": {"x-api-key": key, "x-trace-id": trace_id or make_trace_id()},
        }


@pytest.fixture(scope="module")
def losable() -> Iterator[LosableValkey]:
    server = LosableValkey()
    yield server
    server.close()


@pytest.fixture
def valkey(losable: LosableValkey) -> LosableValkey:
    """The server that both fronts share, emptied."""
    losable.clear()
    return losable


@pytest.fixture(scope="module")
def servers(place: Path, model: ScriptedModel, losable: LosableValkey) -> Iterator[list[Server]]:
    """One server per policy: the first falls back on limits of its own, the second refuses."""
    folder = place / "shared-limits"
    folder.mkdir()
    (folder / "handbook.txt").write_text(HANDBOOK, "utf-8")
    write_identities(folder / "identities.yaml", PRINCIPALS)
    environment = make_environment(
        RAG_INDEX_DIR=str(folder / "index"),
        RAG_GENERATOR_URL=model.url,
        RAG_IDENTITIES_FILE=str(folder / "identities.yaml"),
        RAG_REDIS_URL=losable.url,
        RAG_RATE_LIMIT_WINDOW_S=str(WINDOW_S),
        RAG_CONTEXT_TOKENS=str(CONTEXT_TOKENS),
        RAG_MAX_CONCURRENT_REQUESTS=str(CROWD),
        **FAKE_MODELS,
        **UNLIMITED,
        **PATIENT,
    )
    ingest(folder / "handbook.txt", environment=environment)
    with ExitStack() as stack:
        yield [
            stack.enter_context(running_server(folder / policy, {**environment, "RAG_REDIS_LOST": policy}))
            for policy in ("fail_local", "fail_closed")
        ]


@pytest.fixture
async def fronts(servers: list[Server], valkey: LosableValkey) -> AsyncIterator[tuple[Front, Front]]:
    """Both servers, once they have got over what the last test did to them."""
    async with AsyncExitStack() as stack:
        local, closed = [
            Front(
                await stack.enter_async_context(
                    httpx.AsyncClient(base_url=server.url, timeout=ANSWER_WITHIN_S, limits=httpx.Limits())
                )
            )
            for server in servers
        ]
        for front in (local, closed):
            await eventually(front.is_sharing)
        yield local, closed


@pytest.fixture
def local(fronts: tuple[Front, Front]) -> Front:
    return fronts[0]


@pytest.fixture
def closed(fronts: tuple[Front, Front]) -> Front:
    return fronts[1]


async def eventually(look: Callable[[], Awaitable[bool]]) -> None:
    """Returns once `look` says yes; a loss is found and mended within a second or two."""
    async with asyncio.timeout(MENDED_WITHIN_S):
        while not await look():  # noqa: ASYNC110  # another process finds out
            await asyncio.sleep(POLL_S)


async def until(look: Callable[[], bool]) -> None:
    """The same for what is known on this side."""
    async with asyncio.timeout(CROWD_WITHIN_S):
        while not look():  # noqa: ASYNC110  # another thread finds out
            await asyncio.sleep(POLL_S)


# --- one budget


async def test_both_servers_admit_together_what_the_quota_holds(
    fronts: tuple[Front, Front], valkey: LosableValkey
) -> None:
    """200 requests at once, half of them at each server, on a quota of 100: exactly 100 are admitted."""
    responses = await asyncio.gather(*crowd(fronts, "crowd", tenant="empty"))

    refused = [response for response in responses if not response.is_success]
    assert len(responses) - len(refused) == BUDGET
    for response in refused:
        assert_error(response, ErrorCode.RATE_LIMITED)
        assert WINDOW_S - SLACK_S <= int(response.headers["retry-after"]) <= WINDOW_S


def crowd(
    fronts: tuple[Front, Front], key: str, *, trace_ids: Sequence[str | None] = (None,) * CROWD, tenant: str = "demo"
) -> list[asyncio.Task[httpx.Response]]:
    """All of them at once, by turns at one server and the other."""
    for front in fronts:
        front.http.timeout = httpx.Timeout(CROWD_WITHIN_S)
    return [
        asyncio.create_task(fronts[number % 2].ask(key, trace_id=trace_id, tenant=tenant))
        for number, trace_id in enumerate(trace_ids)
    ]


async def test_retry_after_is_true_at_either_server(fronts: tuple[Front, Front], valkey: LosableValkey) -> None:
    """Before it has passed there is no room, when it has passed there is, whichever server said so."""
    one, other = fronts
    assert [(await front.ask("pair")).status_code for front in fronts] == [200, 200]

    told_s = int((await one.ask("pair")).headers["retry-after"])
    await age(valkey.url, told_s - SLACK_S)
    early = await other.ask("pair")
    await age(valkey.url, int(early.headers["retry-after"]))

    assert_error(early, ErrorCode.RATE_LIMITED)
    assert (await one.ask("pair")).status_code == 200


async def test_both_servers_reserve_together_what_the_token_quota_holds(
    fronts: tuple[Front, Front], local: Front, model: ScriptedModel
) -> None:
    """200 requests at once, each of which may use its whole reservation: exactly as many run as fit together."""
    before = await local.degraded()
    trace_ids = [make_trace_id() for _ in range(CROWD)]
    for trace_id in trace_ids:
        model.script(trace_id, Reply(pieces=(PAUSE, delta(SENTENCE), ending())))

    asking = dict(zip(trace_ids, crowd(fronts, "heap", trace_ids=trace_ids), strict=True))
    # Nobody is let go before everybody has been decided on: what the first give back would let others in.
    await until(lambda: all(task.done() or model.seen(trace_id) for trace_id, task in asking.items()))
    for trace_id in trace_ids:
        model.resume(trace_id)
    responses = await asyncio.gather(*asking.values())

    assert await local.degraded() == before
    assert sum(response.is_success for response in responses) == BUDGET
    for response in responses:
        if not response.is_success:
            assert_error(response, ErrorCode.RATE_LIMITED)


async def test_a_finished_request_has_cost_what_it_used(fronts: tuple[Front, Front]) -> None:
    """The true usage takes the reservation's place: a second request fits exactly, a third does not."""
    one, other = fronts

    assert [(await front.ask("payer")).status_code for front in (one, other, one, other)] == [200, 200, 429, 429]


@pytest.mark.parametrize("streams", [True, False])
@pytest.mark.parametrize(
    ("reply", "leaves"),
    [
        (Reply(pieces=(PAUSE, delta(SENTENCE), ending())), False),
        (Reply(pieces=(PAUSE, delta("Full-time")), then="cut"), False),
        (Reply(pieces=(PAUSE,)), True),
    ],
    ids=["finishes", "fails", "is abandoned"],
)
async def test_what_a_request_did_not_use_is_there_for_the_next(
    fronts: tuple[Front, Front], model: ScriptedModel, reply: Reply, leaves: bool, streams: bool
) -> None:
    """While it runs it holds its whole reservation, at both servers; however it ends, the unused part goes back."""
    one, other = fronts
    trace_id = make_trace_id()
    model.script(trace_id, reply)

    asking = asyncio.create_task(read_stream(one, trace_id) if streams else one.ask("single", trace_id=trace_id))
    await until(lambda: bool(model.seen(trace_id)))
    meanwhile = [(await front.ask("single")).status_code for front in fronts]
    if leaves:
        asking.cancel()
    else:
        model.resume(trace_id)
    await asyncio.gather(asking, return_exceptions=True)

    assert meanwhile == [429, 429]
    await eventually(lambda: is_answered(other, "single"))


async def read_stream(front: Front, trace_id: str) -> None:
    async with front.stream("single", trace_id) as response:
        await response.aread()


async def is_answered(front: Front, key: str) -> bool:
    return (await front.ask(key)).is_success


async def test_a_request_that_the_generator_refuses_gives_its_tokens_back(
    fronts: tuple[Front, Front], model: ScriptedModel
) -> None:
    """502 costs no output that never came."""
    one, other = fronts
    trace_id = make_trace_id()
    model.script(trace_id, fails(500, "no"))

    assert_error(await one.ask("single", trace_id=trace_id), ErrorCode.UPSTREAM_ERROR)

    assert await is_answered(other, "single")


async def test_probes_and_metrics_are_never_limited(fronts: tuple[Front, Front]) -> None:
    """Nor do they use anything up: the quota is spent, and whoever asks for health gets it."""
    while (await fronts[0].ask("pair")).is_success:
        pass
    for path in ("/health", "/ready", "/metrics", "/livez"):
        responses = await asyncio.gather(
            *(fronts[number % 2].http.get(path, headers={"x-api-key": "pair"}) for number in range(40))
        )

        assert {response.status_code for response in responses} == {200}


# --- without Valkey


@pytest.fixture(params=LOSSES)
def loss(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def losing(valkey: LosableValkey, loss: str) -> AbstractContextManager[None]:
    lost: AbstractContextManager[None] = getattr(valkey, loss)()
    return lost


async def test_fail_local_limits_by_itself(local: Front, valkey: LosableValkey, loss: str) -> None:
    """Requests are answered within the limits of this process, and the warning metric counts each decision."""
    before = await local.degraded()
    with losing(valkey, loss):
        statuses = [(await local.ask(f"pair-{loss}")).status_code for _ in range(4)]
        counted = await local.degraded() - before
        limiter = await local.limiter()

    assert statuses == [200, 200, 429, 429]
    assert counted == 4
    assert limiter == (200, "local")


async def test_fail_closed_refuses(closed: Front, valkey: LosableValkey, loss: str) -> None:
    """503 NOT_READY with a time to come again, and readiness names the limiter; nobody works for the refused."""
    with losing(valkey, loss):
        responses = [await closed.ask("anybody") for _ in range(4)]
        status, limiter = await closed.limiter()

    for response in responses:
        assert_error(response, ErrorCode.NOT_READY)
    assert status == 503
    assert limiter in ("unreachable", "timeout")


async def test_a_crowd_at_the_moment_of_the_loss_does_not_hang(
    fronts: tuple[Front, Front], valkey: LosableValkey, loss: str
) -> None:
    """One wait for all and not one after the other; health and metrics do not wait at all."""
    local, closed = fronts
    with losing(valkey, loss):
        answers, refusals, probes = await asyncio.gather(
            asyncio.gather(*(local.ask("anybody", tenant="empty") for _ in range(50))),
            asyncio.gather(*(closed.ask("anybody", tenant="empty") for _ in range(50))),
            asyncio.gather(*(front.http.get(path) for front in fronts for path in ("/health", "/metrics"))),
        )

    assert {answer.status_code for answer in answers} == {200}
    assert {refusal.status_code for refusal in refusals} == {503}
    assert {probe.status_code for probe in probes} == {200}


async def test_a_stream_that_was_admitted_before_the_loss_ends_well(
    fronts: tuple[Front, Front], model: ScriptedModel, valkey: LosableValkey, loss: str
) -> None:
    """Settling cannot reach the server, and the client never learns of it."""
    trace_ids = [make_trace_id() for _ in fronts]
    async with AsyncExitStack() as stack:
        for trace_id in trace_ids:
            model.script(trace_id, Reply(pieces=(PAUSE, delta(SENTENCE), ending())))
        streams = [
            await stack.enter_async_context(front.stream("anybody", trace_id))
            for front, trace_id in zip(fronts, trace_ids, strict=True)
        ]
        with losing(valkey, loss):
            for trace_id in trace_ids:
                model.resume(trace_id)
            texts = [(await stream.aread()).decode() for stream in streams]

    assert all("\nevent: done\n" in text for text in texts)


async def test_what_was_refused_while_the_server_was_silent_holds_nothing(closed: Front, valkey: LosableValkey) -> None:
    """A 503 NOT_READY has used no tokens, also once the server goes on with what it was asked meanwhile."""
    with valkey.frozen():
        refused = await closed.ask("single")
    await eventually(closed.is_sharing)

    assert_error(refused, ErrorCode.NOT_READY)
    await eventually(lambda: is_answered(closed, "single"))


async def test_what_ended_while_the_server_was_full_is_settled_later(
    closed: Front, model: ScriptedModel, valkey: LosableValkey
) -> None:
    """The unused part of a reservation goes back, if not at once then when the server takes writes again."""
    trace_id = make_trace_id()
    model.script(trace_id, Reply(pieces=(PAUSE, delta(SENTENCE), ending())))
    async with closed.stream("single", trace_id) as stream:
        with valkey.full():
            model.resume(trace_id)
            await stream.aread()
            await eventually(closed.is_not_sharing)
    await eventually(closed.is_sharing)

    await eventually(lambda: is_answered(closed, "single"))


async def test_when_valkey_is_back_the_limits_are_shared_again(
    fronts: tuple[Front, Front], valkey: LosableValkey, loss: str
) -> None:
    """By itself, with nothing but queries to notice it; readiness agrees."""
    local, closed = fronts
    with losing(valkey, loss):
        await asyncio.gather(local.ask("anybody"), closed.ask("anybody"))

    await eventually(lambda: is_answered(closed, "anybody"))
    await eventually(lambda: is_shared(local))
    assert [(await front.ask("pair")).status_code for front in (local, closed, local, closed)] == [200, 200, 429, 429]
    assert [await front.limiter() for front in fronts] == [(200, "ok")] * 2


async def is_shared(front: Front) -> bool:
    """Whether a request of now is limited over all processes."""
    before = await front.degraded()
    assert await is_answered(front, "anybody")
    return await front.degraded() == before


async def test_a_restart_while_nobody_asks_costs_nobody_a_request(
    fronts: tuple[Front, Front], local: Front, valkey: LosableValkey
) -> None:
    """Connections that went stale are found out and made anew."""
    assert [(await front.ask("anybody")).status_code for front in fronts] == [200, 200]
    before = await local.degraded()
    with valkey.stopped():
        pass

    assert [(await front.ask("anybody")).status_code for front in fronts] == [200, 200]
    assert await local.degraded() == before
