"""Liveness, readiness, the model card and the trace id."""

import asyncio
import re
from typing import Any, Literal, NoReturn

import pytest

from rag import VERSION
from rag.api import Probe
from rag.api.readiness import check
from rag.errors import DeadlineExceeded, UpstreamError
from rag.identity import Principal
from tests.fakes import (
    ANNUAL_LEAVE,
    MODEL_VERSION,
    QUESTION,
    FakeIndex,
    FakeIndexes,
    hang,
    make_app,
    make_client,
    probe_ok,
)


def probe(state: Any) -> Probe:
    async def answer(_: str | None) -> Any:
        if isinstance(state, Exception):
            raise state
        return state

    return answer


async def probe_that_hangs(_: str | None) -> NoReturn:
    await hang()


async def probe_that_cannot_be_cancelled(_: str | None) -> Literal["ok"]:
    while True:
        try:
            await hang()
        except asyncio.CancelledError:
            if asyncio.current_task() in _LET_GO:
                raise
            _LET_GO.add(asyncio.current_task())


_LET_GO: set[Any] = set()


async def test_health_says_which_service_it_is() -> None:
    """Liveness: exactly this body."""
    async with make_client(make_app()) as client:
        response = await client.get("/health")

    assert response.json() == {"status": "ok", "service": "rag", "version": VERSION}


async def test_health_answers_while_every_dependency_is_dead() -> None:
    """It touches none of them."""
    async with make_client(make_app(probes={"embedder": probe_that_hangs})) as client:
        response = await client.get("/health")

    assert response.status_code == 200


async def test_ready_lists_every_dependency() -> None:
    """200 only when every dependency answered."""
    probes: dict[str, Probe] = {"embedder": probe_ok, "index": probe_ok}
    async with make_client(make_app(probes=probes)) as client:
        response = await client.get("/ready")

    assert response.status_code == 200
    assert response.json() == {
        "status": "ready",
        "model_version": MODEL_VERSION,
        "dependencies": {"embedder": "ok", "index": "ok"},
    }


async def test_limits_per_process_are_ready() -> None:
    """With `fail_local` a lost Redis is shown, and the service stays ready."""
    async with make_client(make_app(probes={"limiter": probe("local")})) as client:
        response = await client.get("/ready")

    assert (response.status_code, response.json()["dependencies"]) == (200, {"limiter": "local"})


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        ("loading", "loading"),
        ("mismatch", "mismatch"),
        ("unreachable", "unreachable"),
        (UpstreamError(), "unreachable"),
        (ConnectionRefusedError(), "unreachable"),
        (DeadlineExceeded(), "timeout"),
        (TimeoutError(), "timeout"),
    ],
)
async def test_one_failing_dependency_makes_the_service_not_ready(state: Any, shown: str) -> None:
    """503 NOT_READY with the states beside `error`."""
    async with make_client(make_app(probes={"embedder": probe(state), "index": probe_ok})) as client:
        response = await client.get("/ready")

    assert response.status_code == 503
    assert response.json()["error"]["code"] == "NOT_READY"
    assert response.json()["dependencies"] == {"embedder": shown, "index": "ok"}
    assert response.headers["retry-after"]


@pytest.mark.parametrize("dead", [probe_that_hangs, probe_that_cannot_be_cancelled])
async def test_a_dependency_that_hangs_is_a_timeout(dead: Probe) -> None:
    """Within its second, even one that does not let itself be cancelled; the others are asked meanwhile."""
    states = await check({"generator": dead, "index": probe_ok}, timeout_s=0.01)

    assert states == {"generator": "timeout", "index": "ok"}


async def test_readiness_shows_nothing_of_tenants() -> None:
    """It needs no credentials, so it tells nothing."""
    async with make_client(make_app(indexes=FakeIndexes(acme=FakeIndex("x")))) as client:
        response = await client.get("/ready")

    assert "acme" not in response.text


async def test_the_current_models_are_named_exactly() -> None:
    """The body of the contract."""
    async with make_client(make_app()) as client:
        response = await client.get("/models/current")

    assert response.json() == {
        "model_version": MODEL_VERSION,
        "runtime": "fake",
        "model_name": "fake-generator",
        "prompt_version": "answer-v1",
        "deployed_at": "2026-05-10T10:00:00Z",
        "embedder": {"name": "fake-embedder", "dimension": 256, "revision": "1"},
        "reranker": {"name": "fake-reranker", "revision": "1"},
        "index": {"demo": {"version": "v1", "chunks": 1, "built_at": "2026-05-10T10:00:00Z"}},
    }


class KnownCaller:
    """Takes everybody for one principal."""

    def __init__(self, tenants: frozenset[str] | None) -> None:
        self._tenants = tenants

    async def authenticate(self, headers: Any) -> Principal:
        return Principal("batch-eval", self._tenants)


@pytest.mark.parametrize(
    ("tenants", "shown"), [(frozenset({"acme"}), {"acme"}), (frozenset(), set()), (None, {"acme", "demo"})]
)
async def test_the_index_lists_only_the_callers_tenants(tenants: frozenset[str] | None, shown: set[str]) -> None:
    """Two tenants never see each other."""
    indexes = FakeIndexes(acme=FakeIndex("x"), demo=FakeIndex(ANNUAL_LEAVE))
    async with make_client(make_app(authenticator=KnownCaller(tenants), indexes=indexes)) as client:
        response = await client.get("/models/current")

    assert response.json()["index"].keys() == shown


@pytest.mark.parametrize("path", ["/health", "/ready", "/models/current", "/", "/nothing", "/query"])
async def test_every_response_carries_the_trace_id_that_was_given(path: str) -> None:
    """Errors and pages included."""
    async with make_client(make_app()) as client:
        response = await client.get(path, headers={"x-trace-id": "Abc.1-2_3"})

    assert response.headers["x-trace-id"] == "Abc.1-2_3"


@pytest.mark.parametrize("given", [None, "", "a b", "x" * 65, "ä", "a/b", "<script>", "abc\n"])
async def test_a_trace_id_that_breaks_the_rules_is_replaced(given: str | None) -> None:
    """1–64 characters of A-Za-z0-9._-; anything else is ignored and a new one is made."""
    headers = {b"x-trace-id": given.encode()} if given is not None else {}
    async with make_client(make_app()) as client:
        response = await client.get("/health", headers=headers)

    assert re.fullmatch(r"tr_[0-9a-f]{32}", response.headers["x-trace-id"])


async def test_a_query_keeps_its_trace_id_everywhere() -> None:
    """Header and body say the same."""
    async with make_client(make_app()) as client:
        response = await client.post("/query", json={"question": QUESTION}, headers={"x-trace-id": "x" * 64})

    assert response.headers["x-trace-id"] == response.json()["trace_id"] == "x" * 64
