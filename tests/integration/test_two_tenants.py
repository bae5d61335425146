"""Two tenants whose data differ in one word: same files, same ids, same questions, at the same time.

The traffic runs once, interleaved, repeated and concurrent, so that every cache is filled; each test then searches all
of it for one kind of leak.
"""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Final

import httpx
import jwt
import pytest

from load.server import Server, running_server
from rag.index.store import IndexStore, folder_name
from schemas.errors import ErrorCode
from tests.integration.asking import CLIENT_TIMEOUT_S, Rag, assert_error, make_trace_id, read_answer, wait_for
from tests.integration.conftest import write_identities
from tests.scripted_model import Reply, ScriptedModel, breaks_off, fails
from tests.servers import FAKE_MODELS, PATIENT, UNLIMITED, ingest, make_environment

pytestmark = pytest.mark.integration

ROUTES: Final = ("POST /query", "POST /v1/query", "POST /query/stream", "GET /query/stream")
QUESTIONS: Final = ("What is the code word of the vault?", "Which agency books our travel?")
DOCUMENTS: Final[Mapping[str, str]] = {
    "vault.md": "The code word of the vault is {secret}.\n\nVisitors leave their phones at the gate.\n",
    "travel.txt": "Travel is booked by the {secret} agency. Trains come before planes.\n",
}
ROUNDS: Final = 3
CLIENTS: Final = 8
ABSENT: Final = "initech"
OF_ALL: Final = {"x-api-key": "key-of-all"}
TORN_FILES: Final = (
    "CURRENT",
    "{version}/manifest.json",
    "{version}/chunks.jsonl",
    "{version}/chunks.offsets.npy",
    "{version}/dense.faiss",
    "{version}/lexical/vocab.index.json",
    "{version}/lexical/data.csc.index.npy",
)
SIGNING_SECRET: Final = "thirty-two-bytes-or-more-of-a-shared-secret"
AUDIENCE, ISSUER = "rag", "https://issuer.example"


@dataclass(frozen=True, slots=True)
class Party:
    """A tenant, the word that it alone has, and its two callers."""

    tenant: str
    secret: str

    @property
    def key(self) -> str:
        return f"key-of-{self.tenant}"

    @property
    def token(self) -> str:
        claims = {"sub": f"user-of-{self.tenant}", "aud": AUDIENCE, "iss": ISSUER, "tenants": [self.tenant]}
        return jwt.encode({**claims, "exp": 2**33}, SIGNING_SECRET, "HS256")

    @property
    def credentials(self) -> Sequence[Mapping[str, str]]:
        return {"x-api-key": self.key}, {"authorization": f"Bearer {self.token}"}

    @property
    def marks(self) -> tuple[str, str]:
        """What gives this tenant away wherever it stands; its chunk ids and its callers' ids hold its name."""
        return self.tenant, self.secret


ACME: Final = Party("acme", "marigold")
GLOBEX: Final = Party("globex", "thunderbolt")
PARTIES: Final = (ACME, GLOBEX)
OTHER: Final = {ACME: GLOBEX, GLOBEX: ACME}
BOTH: Final = pytest.mark.parametrize("party", PARTIES, ids=lambda party: party.tenant)


@dataclass(frozen=True, slots=True)
class Exchange:
    """What one party sent, and all that came back to it."""

    party: Party
    trace_id: str
    response: httpx.Response

    @property
    def received(self) -> str:
        return f"{self.response.status_code} {self.response.headers.multi_items()} {self.response.text}"


@pytest.fixture(scope="module")
def environment(place: Path, model: ScriptedModel) -> dict[str, str]:
    folder = place / "two-tenants"
    folder.mkdir()
    identities, jwks = folder / "identities.yaml", folder / "jwks.json"
    principals = {party.key: {"tenants": [party.tenant]} for party in PARTIES}
    write_identities(identities, {**principals, "key-of-all": {"tenants": ["*"]}})
    jwks.write_text(json.dumps({"keys": [jwt.get_algorithm_by_name("HS256").to_jwk(SIGNING_SECRET, as_dict=True)]}))
    environment = make_environment(
        RAG_INDEX_DIR=str(folder / "index"),
        RAG_GENERATOR_URL=model.url,
        RAG_IDENTITIES_FILE=str(identities),
        RAG_JWT_JWKS=str(jwks),
        RAG_JWT_AUDIENCE=AUDIENCE,
        RAG_JWT_ISSUER=ISSUER,
        RAG_LOG_LEVEL="DEBUG",
        **FAKE_MODELS,
        **UNLIMITED,
        **PATIENT,
    )
    for party in PARTIES:
        documents = folder / f"documents-{party.tenant}"
        documents.mkdir()
        for name, text in DOCUMENTS.items():
            (documents / name).write_text(text.format(secret=party.secret), "utf-8")
        ingest(documents, environment=environment, tenant=party.tenant)
    return environment


@pytest.fixture(scope="module")
def server(place: Path, environment: dict[str, str]) -> Iterator[Server]:
    with running_server(place / "two-tenants", environment) as server:
        yield server


@pytest.fixture(scope="module")
def rag(server: Server) -> Iterator[Rag]:
    with httpx.Client(base_url=server.url, timeout=CLIENT_TIMEOUT_S) as client:
        yield Rag(client, server.log_path)


def send(
    rag: Rag,
    route: str,
    tenant: str,
    *,
    credentials: Mapping[str, str],
    trace_id: str,
    question: str = QUESTIONS[0],
    include_trace: bool = False,
) -> httpx.Response:
    method, path = route.split()
    fields: dict[str, Any] = {"question": question, "tenant_id": tenant, "include_trace": include_trace}
    headers = {**credentials, "x-trace-id": trace_id}
    if method == "GET":
        return rag.http.get(path, params=fields, headers=headers)
    return rag.http.post(path, json=fields, headers=headers)


@pytest.fixture(scope="module")
def traffic(rag: Rag) -> list[Exchange]:
    """Every way to ask, turn by turn while nothing is warm, then again and again and at the same time."""

    def exchange(call: tuple[str, str, bool, int, Party]) -> Exchange:
        route, question, include_trace, kind, party = call
        trace_id, credentials = make_trace_id(), party.credentials[kind]
        response = send(
            rag, route, party.tenant, credentials=credentials, trace_id=trace_id, question=question,
            include_trace=include_trace,
        )  # fmt: skip
        return Exchange(party, trace_id, response)

    calls = list(product(ROUTES, QUESTIONS, (False, True), range(2), PARTIES))
    turn_by_turn = [exchange(call) for call in calls]
    with ThreadPoolExecutor(CLIENTS) as pool:
        return turn_by_turn + list(pool.map(exchange, calls * (ROUNDS - 1)))


def test_each_is_answered_from_its_own_documents(traffic: list[Exchange]) -> None:
    """Without this the tests below would find nothing because nothing was said."""
    for exchange in traffic:
        assert exchange.response.status_code == 200, exchange.response.text
        assert exchange.party.secret in exchange.response.text
        assert f'"chunk_id":"{exchange.party.tenant}:' in exchange.response.text


def test_nothing_of_the_other_comes_back(traffic: list[Exchange]) -> None:
    """Neither in answers, citations, traces and events nor in headers: no word, no chunk id, no name."""
    for exchange in traffic:
        assert not any(mark in exchange.received for mark in OTHER[exchange.party].marks)


def test_the_generator_is_told_of_one_tenant_and_of_no_caller(traffic: list[Exchange], model: ScriptedModel) -> None:
    """What is sent on behalf of one holds nothing of the other, and nobody's credentials."""
    for exchange in traffic:
        (seen,) = model.seen(exchange.trace_id)
        sent = f"{seen.path} {seen.headers} {json.dumps(seen.body)}"
        assert exchange.party.secret in sent
        assert not any(mark in sent for mark in OTHER[exchange.party].marks)
        assert not any(secret in sent for party in PARTIES for secret in (party.key, party.token))


def test_the_log_lines_of_a_query_name_its_own_tenant(traffic: list[Exchange], rag: Rag) -> None:
    """One line per trace id, at any log level; the other tenant and its callers stand in none of them."""
    rag.log_line(traffic[-1].trace_id)
    lines = rag.log_path.read_text("utf-8").splitlines()
    by_trace_id = {json.loads(line)["trace_id"]: line for line in lines if '"trace_id"' in line}
    for exchange in traffic:
        line = by_trace_id[exchange.trace_id]
        assert sum(exchange.trace_id in each for each in lines) == 1
        assert json.loads(line)["tenant_id"] == exchange.party.tenant
        assert not any(mark in line for mark in OTHER[exchange.party].marks)


def test_the_log_holds_no_content_and_no_credentials(traffic: list[Exchange], rag: Rag) -> None:
    """Never the question, the answer, passages, keys or tokens of identity, at any log level."""
    rag.log_line(traffic[-1].trace_id)
    log = rag.log_path.read_text("utf-8")

    credentials = [secret for party in PARTIES for secret in (party.token, party.token.rsplit(".", 1)[1])]
    for text in (*QUESTIONS, *(party.secret for party in PARTIES), *credentials, SIGNING_SECRET):
        assert text not in log


def test_metrics_name_nobody(traffic: list[Exchange], rag: Rag) -> None:
    """Labels come from closed sets: no tenant, no caller, no credential, no trace id."""
    metrics = rag.http.get("/metrics").text

    assert 'rag_queries_total{code="",outcome="query_ok"' in metrics
    for party in PARTIES:
        assert not any(text in metrics for text in (*party.marks, party.key, party.token))
    assert not any(exchange.trace_id in metrics for exchange in traffic)


@BOTH
def test_current_models_lists_ones_own_index(traffic: list[Exchange], rag: Rag, party: Party) -> None:
    """Neither the other's name nor the name of its version, which is a digest of what is in it."""
    own, others = (
        [rag.http.get("/models/current", headers=headers) for headers in each.credentials]
        for each in (party, OTHER[party])
    )

    foreign_version = others[0].json()["index"][OTHER[party].tenant]["version"]
    for response in own:
        assert response.json()["index"].keys() == {party.tenant}
        assert not any(mark in response.text for mark in (*OTHER[party].marks, foreign_version))


def test_readiness_shows_nothing_of_tenants(traffic: list[Exchange], rag: Rag) -> None:
    """`/ready` and `/health` need no credentials."""
    for path in ("/ready", "/health", "/livez", "/readyz"):
        response = rag.http.get(path)
        assert response.status_code == 200
        assert not any(mark in response.text for party in PARTIES for mark in party.marks)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("kind", [0, 1], ids=["key", "token"])
@BOTH
def test_a_foreign_tenant_cannot_be_told_from_one_that_does_not_exist(
    traffic: list[Exchange], rag: Rag, model: ScriptedModel, party: Party, kind: int, route: str
) -> None:
    """403 with the same bytes and the same headers; nobody works for it."""
    trace_id, credentials = make_trace_id(), party.credentials[kind]
    foreign, absent, almost = (
        send(rag, route, tenant, credentials=credentials, trace_id=trace_id)
        for tenant in (OTHER[party].tenant, ABSENT, party.tenant.upper())
    )

    assert_error(foreign, ErrorCode.FORBIDDEN)
    for other in (absent, almost):
        assert (other.status_code, other.content) == (foreign.status_code, foreign.content)
        assert undated(other) == undated(foreign)
    assert model.seen(trace_id) == []


@pytest.mark.parametrize("route", ROUTES)
def test_without_credentials_every_tenant_looks_the_same(rag: Rag, route: str) -> None:
    """401, whether the tenant exists or not."""
    trace_id = make_trace_id()
    existing, absent = (
        send(rag, route, tenant, credentials={"x-api-key": "nobodys"}, trace_id=trace_id)
        for tenant in (ACME.tenant, ABSENT)
    )

    assert_error(existing, ErrorCode.UNAUTHORIZED)
    assert existing.content == absent.content
    assert undated(existing) == undated(absent)


def undated(response: httpx.Response) -> list[tuple[str, str]]:
    return [(name, value) for name, value in response.headers.multi_items() if name != "date"]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    "reply",
    [fails(500, " ".join(ACME.marks + GLOBEX.marks)), fails(429, "thunderbolt marigold"), breaks_off(then="cut")],
    ids=["500", "429", "cut"],
)
def test_a_failure_says_nothing_of_any_tenant(rag: Rag, model: ScriptedModel, reply: Reply, route: str) -> None:
    """Whatever the model's server answers, and whoever's passages were in the prompt."""
    for party in PARTIES:
        trace_id = make_trace_id()
        model.script(trace_id, reply)
        response = send(rag, route, party.tenant, credentials=party.credentials[0], trace_id=trace_id)
        shown = Exchange(party, trace_id, response).received

        assert "UPSTREAM_" in shown
        assert not any(mark in shown for each in PARTIES for mark in each.marks)


def test_the_same_trace_id_joins_nothing(rag: Rag) -> None:
    """A client names its trace id itself, and another one may have the same."""
    trace_id = make_trace_id()

    def ask(call: tuple[str, Party]) -> Exchange:
        route, party = call
        response = send(
            rag, route, party.tenant, credentials=party.credentials[0], trace_id=trace_id, include_trace=True
        )
        return Exchange(party, trace_id, response)

    with ThreadPoolExecutor(CLIENTS) as pool:
        exchanges = list(pool.map(ask, list(product(ROUTES, PARTIES)) * ROUNDS))

    for exchange in exchanges:
        assert exchange.party.secret in exchange.received
        assert not any(mark in exchange.received for mark in OTHER[exchange.party].marks)


@pytest.mark.parametrize("tenant", ["ACME", "Acme", "acme.", "acme-", "tenant-acme", ".", ".."])
def test_a_name_that_is_almost_anothers_opens_nothing(rag: Rag, tenant: str) -> None:
    """A caller of all tenants gets what lies under exactly this name; file systems may see it otherwise."""
    answer = read_answer(rag.ask(QUESTIONS[0], key="key-of-all", tenant_id=tenant, include_trace=True))

    assert answer.finish_reason == "no_answer"
    assert not any(mark in answer.model_dump_json() for party in PARTIES for mark in party.marks)


@pytest.fixture(scope="module")
def torn_tenants(rag: Rag, environment: dict[str, str]) -> Iterator[Mapping[str, str]]:
    """Per file of a version, a tenant with a copy of all that Acme has, in which this file ends in the middle."""
    index_dir = Path(environment["RAG_INDEX_DIR"])
    stored = IndexStore(index_dir).current(ACME.tenant)
    assert stored is not None
    torn = {name: f"torn-{number}" for number, name in enumerate(TORN_FILES)}
    for name, tenant in torn.items():
        being_made = index_dir / "being-made"
        shutil.copytree(index_dir / folder_name(ACME.tenant), being_made)
        file = being_made / name.format(version=f"versions/{stored.name}")
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        being_made.rename(index_dir / folder_name(tenant))
    wait_for(lambda: len(refused_versions(rag)) == len(torn), within_s=10)
    yield torn
    for tenant in torn.values():
        shutil.rmtree(index_dir / folder_name(tenant))


def refused_versions(rag: Rag) -> list[dict[str, Any]]:
    lines = rag.log_path.read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines if line.startswith('{"event": "index_version_refused"')]


@pytest.mark.parametrize("name", TORN_FILES)
def test_a_tenant_whose_index_is_broken_stops_alone(rag: Rag, torn_tenants: Mapping[str, str], name: str) -> None:
    """503 NOT_READY for it, on every route and without a word of why; the others do not notice."""
    trace_id, tenant = make_trace_id(), torn_tenants[name]
    refusals = [send(rag, route, tenant, credentials=OF_ALL, trace_id=trace_id) for route in ROUTES]
    answers = [
        send(rag, route, party.tenant, credentials=party.credentials[0], trace_id=make_trace_id())
        for route, party in product(ROUTES, PARTIES)
    ]

    for refusal in refusals:
        assert_error(refusal, ErrorCode.NOT_READY)
        assert not any(word in refusal.text for word in (*ACME.marks, tenant, Path(name).name))
    assert [answer.status_code for answer in answers] == [200] * len(answers)


def test_broken_indexes_neither_stop_the_service_nor_are_shown(rag: Rag, torn_tenants: Mapping[str, str]) -> None:
    """`/ready` is about what can be served, and `/models/current` about what is."""
    ready, current = rag.http.get("/ready"), rag.http.get("/models/current", headers=OF_ALL)

    assert (ready.status_code, ready.json()["dependencies"]["index"]) == (200, "ok")
    assert current.json()["index"].keys() == {party.tenant for party in PARTIES}


def test_the_log_says_whose_index_is_broken_and_why(rag: Rag, torn_tenants: Mapping[str, str]) -> None:
    """The client is not told, so whoever runs the service must be."""
    refused = refused_versions(rag)

    assert {line.get("tenant_id") for line in refused} == set(torn_tenants.values())
    assert all(line["reason"] for line in refused)
