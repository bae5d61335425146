"""Credentials through the whole front, and two tenants that never see each other's data."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from rag.identity import open_authenticator
from rag.limits import Places
from rag.quotas import LocalLimiter, Quotas
from tests.contract.conftest import LogLines
from tests.fakes import (
    ANNUAL_LEAVE,
    QUESTION,
    FakeIndex,
    FakeIndexes,
    ScriptedGenerator,
    make_app,
    make_client,
    make_pipeline,
)

ROUTES = ["/query", "/v1/query", "/query/stream"]
ACME_LEAVE = "Full-time staff have 25 days of annual leave per year."
PRINCIPALS: list[dict[str, Any]] = [
    {"id": "reader", "tenants": ["demo"]},
    {"id": "acme-reader", "tenants": ["acme"]},
    {"id": "everyone", "tenants": ["*"]},
    {"id": "nobody", "tenants": []},
    {"id": "hasty", "tenants": ["demo", "acme"], "requests_per_window": 1},
    {"id": "poor", "tenants": ["demo"], "tokens_per_window": 100},
]


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A front whose callers' keys are their ids; both tenants have a document of the same id."""
    entries = [{**each, "key_sha256": hashlib.sha256(each["id"].encode()).hexdigest()} for each in PRINCIPALS]
    path = tmp_path / "identities.yaml"
    path.write_text(json.dumps({"principals": entries}), "utf-8")  # JSON is YAML
    indexes = FakeIndexes(demo=FakeIndex(ANNUAL_LEAVE), acme=FakeIndex(ACME_LEAVE, tenant_id="acme"))
    generator = ScriptedGenerator(f"{ANNUAL_LEAVE} [S1] {ACME_LEAVE} [S1]")
    app = make_app(
        pipeline=make_pipeline(indexes=indexes, generator=generator),
        indexes=indexes,
        authenticator=open_authenticator(identities_file=path),
        limiter=LocalLimiter(Quotas(window_s=60, requests=1000, tokens=10**9)),
        places=Places(16, queue_timeout_s=5),
    )
    async with make_client(app) as opened:
        yield opened


async def ask(client: httpx.AsyncClient, key: str, path: str = "/query", **fields: Any) -> httpx.Response:
    return await client.post(path, json={"question": QUESTION, **fields}, headers={"x-api-key": key})


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("x-api-key", "")],
        [("x-api-key", "unknown")],
        [("x-api-key", "READER")],
        [("x-api-key", hashlib.sha256(b"reader").hexdigest())],
        [("x-api-key", "x" * 20_000)],
        [("x-api-key", b"\xff\xfe")],
        [("x-api-key", "reader"), ("x-api-key", "everyone")],
        [("x-api-key", "reader"), ("authorization", "Bearer a.b.c")],
        [("authorization", "Bearer READER")],
        [("authorization", "Bearer")],
        [("authorization", "Basic cmVhZGVyOg==")],
        [("authorization", "reader")],
        [("cookie", "x-api-key=reader")],
    ],
)
async def test_every_wrong_credential_is_refused_alike(client: httpx.AsyncClient, path: str, headers: Any) -> None:
    """401 UNAUTHORIZED: missing, malformed and unknown are told by nothing, and the value is never sent back."""
    response = await client.post(path, json={"question": QUESTION}, headers=headers)
    missing = await client.post(path, json={"question": QUESTION})

    ours, theirs = ({**each.json()["error"], "trace_id": ""} for each in (response, missing))
    assert response.status_code == 401
    assert ours == theirs
    assert ours["code"] == "UNAUTHORIZED"


async def test_credentials_do_not_stand_in_the_query_string(client: httpx.AsyncClient) -> None:
    """A key in a URL is in every log on the way: it is an unknown field."""
    response = await client.get("/query/stream?question=x&x-api-key=reader", headers={"x-api-key": "reader"})

    assert response.status_code == 422


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize(
    ("key", "tenant_id"),
    [("reader", "acme"), ("reader", "nothing"), ("acme-reader", "demo"), ("nobody", "demo"), ("reader", "..")],
)
async def test_a_tenant_is_chosen_but_never_granted(
    client: httpx.AsyncClient, path: str, key: str, tenant_id: str
) -> None:
    """403 FORBIDDEN, the same whether the tenant exists or not."""
    response = await ask(client, key, path, tenant_id=tenant_id)
    unknown = await ask(client, key, path, tenant_id="never-heard-of")

    ours, theirs = ({**each.json()["error"], "trace_id": ""} for each in (response, unknown))
    assert response.status_code == 403
    assert ours == theirs


async def test_the_default_tenant_is_not_granted_either(client: httpx.AsyncClient) -> None:
    """`tenant_id` is `demo` where it is left out; a caller without it is refused."""
    assert (await ask(client, "acme-reader")).status_code == 403


async def test_a_star_grants_every_tenant_and_a_tenant_without_documents_has_no_answer(
    client: httpx.AsyncClient,
) -> None:
    """`["*"]`: whatever the tenant is called, `..` included."""
    for tenant_id in ("nothing", "..", "."):
        body = (await ask(client, "everyone", tenant_id=tenant_id)).json()

        assert (body["finish_reason"], body["citations"]) == ("no_answer", [])


async def test_tenants_with_the_same_documents_never_see_each_other(client: httpx.AsyncClient) -> None:
    """Same ids, same question, same moment: answers, citations and traces are each tenant's own."""
    asked = ["demo", "acme"] * 8
    responses = await asyncio.gather(
        *(ask(client, "everyone", tenant_id=tenant_id, include_trace=True) for tenant_id in asked)
    )

    for tenant_id, response in zip(asked, responses, strict=True):
        body = response.json()
        own, other = ("12 days", "25 days") if tenant_id == "demo" else ("25 days", "12 days")
        assert own in body["answer"]
        assert other not in str(
            [body["answer"], body["citations"], [each["sent"] for each in body["trace"]["sentences"]]]
        )
        ids = [each["chunk_id"] for part in ("candidates", "passages") for each in body["trace"][part]]
        assert {id_.split(":")[0] for id_ in [*ids, *(each["chunk_id"] for each in body["citations"])]} == {tenant_id}


@pytest.mark.parametrize(
    ("key", "shown"),
    [("reader", {"demo"}), ("acme-reader", {"acme"}), ("everyone", {"demo", "acme"}), ("nobody", set())],
)
async def test_the_models_show_the_tenants_of_the_caller(client: httpx.AsyncClient, key: str, shown: set[str]) -> None:
    """The `index` object lists only tenants that the caller may read."""
    response = await client.get("/models/current", headers={"x-api-key": key})

    assert response.json()["index"].keys() == shown


async def test_what_needs_no_credentials_shows_no_tenants(client: httpx.AsyncClient) -> None:
    """`/health` and `/ready` are open; `/models/current` is not."""
    health, ready = await client.get("/health"), await client.get("/ready")
    models = await client.get("/models/current")

    assert (health.status_code, ready.status_code, models.status_code) == (200, 200, 401)
    assert "acme" not in health.text + ready.text


async def test_a_principals_own_quotas_hold(client: httpx.AsyncClient) -> None:
    """They override the default, per principal and tenant; what another caller has used is not theirs."""
    first = [(await ask(client, "hasty", tenant_id=tenant_id)).status_code for tenant_id in ("demo", "acme", "demo")]
    poor = await ask(client, "poor")

    assert first == [200, 200, 429]
    assert (poor.status_code, poor.json()["error"]["code"]) == (400, "BAD_REQUEST")
    assert (await ask(client, "reader")).status_code == 200


@pytest.mark.parametrize("path", ROUTES)
async def test_the_line_names_the_principal_and_never_its_key(
    client: httpx.AsyncClient, path: str, log_lines: LogLines
) -> None:
    """`principal_id` where the caller is known, null where it is not."""
    await ask(client, "reader", path)
    await ask(client, "sk-wrong", path)

    known, unknown = log_lines()
    assert (known["principal_id"], known["tenant_id"]) == ("key:reader", "demo")
    assert (unknown["principal_id"], unknown["tenant_id"], unknown["error_code"]) == (None, None, "UNAUTHORIZED")
    assert "sk-wrong" not in str(unknown)
    assert hashlib.sha256(b"reader").hexdigest() not in str(known)
