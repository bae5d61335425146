"""Callers with keys at a real server: who is admitted, whose documents they see, and when their quota is spent."""

import time

import pytest

from schemas.errors import ErrorCode
from tests.integration.asking import Rag, assert_error, make_trace_id, read_answer
from tests.integration.conftest import WINDOW_S
from tests.scripted_model import ScriptedModel

pytestmark = pytest.mark.integration

QUESTION = "How many days of annual leave do full-time staff have?"


@pytest.mark.parametrize(
    ("key", "tenant", "code"),
    [
        (None, "demo", ErrorCode.UNAUTHORIZED),
        ("nobodys", "demo", ErrorCode.UNAUTHORIZED),
        ("reader", "acme", ErrorCode.FORBIDDEN),
        ("acme", "demo", ErrorCode.FORBIDDEN),
    ],
)
def test_a_key_opens_its_tenants_alone(
    guarded: Rag, model: ScriptedModel, key: str | None, tenant: str, code: ErrorCode
) -> None:
    """`tenant_id` chooses among the principal's tenants and never grants one; nobody works for a refused caller."""
    trace_id = make_trace_id()

    response = guarded.ask(QUESTION, key=key, tenant_id=tenant, trace_id=trace_id)

    assert_error(response, code)
    assert model.seen(trace_id) == []
    assert guarded.log_line(trace_id)["error_code"] == code


def test_a_token_that_is_none_is_refused(guarded: Rag) -> None:
    """401 for a bearer token where no key set is configured."""
    response = guarded.http.post("/query", json={"question": "x"}, headers={"authorization": "Bearer e30.e30.e30"})

    assert_error(response, ErrorCode.UNAUTHORIZED)


def test_tenants_see_their_own_documents(guarded: Rag) -> None:
    """The same question, the same document id: each gets its own answer, citation and trace."""
    for tenant, key, days in (("demo", "reader", "12"), ("acme", "acme", "25"), ("acme", "everyone", "25")):
        answer = read_answer(guarded.ask(QUESTION, key=key, tenant_id=tenant, include_trace=True))

        assert days in answer.answer
        assert answer.trace is not None
        assert {candidate.chunk_id.split(":")[0] for candidate in answer.trace.candidates} == {tenant}


def test_a_tenant_without_documents_has_no_answer(guarded: Rag) -> None:
    """Granted but empty: `no_answer`, not an error."""
    answer = read_answer(guarded.ask(QUESTION, key="everyone", tenant_id="empty"))

    assert answer.finish_reason == "no_answer"


@pytest.mark.parametrize(("key", "tenants"), [("reader", {"demo"}), ("acme", {"acme"}), ("everyone", {"acme", "demo"})])
def test_current_models_shows_the_callers_tenants(guarded: Rag, key: str, tenants: set[str]) -> None:
    """The `index` object lists only tenants that the caller may read."""
    response = guarded.http.get("/models/current", headers={"x-api-key": key})

    assert response.json()["index"].keys() == tenants


def test_probes_need_no_credentials(guarded: Rag) -> None:
    """`/health` and `/ready` are open and show nothing of tenants; `/models/current` is not open."""
    health, ready = guarded.http.get("/health"), guarded.http.get("/ready")

    assert (health.status_code, ready.status_code) == (200, 200)
    assert "acme" not in ready.text
    assert_error(guarded.http.get("/models/current"), ErrorCode.UNAUTHORIZED)


def test_a_spent_quota_says_truly_when_to_come_again(guarded: Rag) -> None:
    """429 RATE_LIMITED after the quota of two; after `Retry-After` seconds there is room again."""
    began = time.monotonic()
    while (response := guarded.ask("x", key="hasty", tenant_id="hasty")).is_success:
        assert time.monotonic() - began < 10 * WINDOW_S

    assert_error(response, ErrorCode.RATE_LIMITED)
    wait_s = int(response.headers["retry-after"])
    assert 1 <= wait_s <= WINDOW_S
    time.sleep(wait_s)
    assert guarded.ask("x", key="hasty", tenant_id="hasty").is_success


def test_a_request_above_the_whole_token_quota_is_never_served(guarded: Rag, model: ScriptedModel) -> None:
    """400 BAD_REQUEST: no waiting will make it fit."""
    trace_id = make_trace_id()

    response = guarded.ask(QUESTION, key="poor", tenant_id="poor", max_output_tokens=2048, trace_id=trace_id)

    assert_error(response, ErrorCode.BAD_REQUEST)
    assert model.seen(trace_id) == []


def test_health_is_never_limited(guarded: Rag) -> None:
    """Nor are `/ready` and `/metrics`."""
    for _ in range(20):
        assert guarded.http.get("/health").is_success
        assert guarded.http.get("/ready").is_success
        assert guarded.http.get("/metrics").is_success
