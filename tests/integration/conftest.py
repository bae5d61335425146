"""The servers of the integration tests: each is started at most once, by the first test that needs it."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from load.processes import ROOT
from load.server import Server, running_server
from rag.config.settings import LOCAL_GENERATOR
from rag.index.store import IndexStore
from rag.index.version import TenantIndex
from tests.integration.asking import CLIENT_TIMEOUT_S, Rag
from tests.scripted_model import ScriptedModel
from tests.servers import FAKE_MODELS, PATIENT, UNLIMITED, ingest, make_environment

EXAMPLES: Final = ROOT / "examples" / "documents"
GENERATOR_KEY: Final = "sk-of-the-generator"
HANDBOOK: Final = (
    "Full-time staff have 12 days of annual leave per year. Part-time staff have 6 days of annual leave per year.\n\n"
    "Sick leave needs a note from a doctor after the third day.\n\n"
    "Visitors park behind the north building.\n"
)
LEAVE_VI: Final = "Nhân viên full-time có 12 ngày nghỉ phép năm.\n"
ACME_HANDBOOK: Final = "Full-time staff of Acme have 25 days of annual leave per year.\n"
# Short, so that a test can wait until it has passed.
WINDOW_S: Final = 3
GENERATION_TIMEOUT_S: Final = 3
PRINCIPALS: Final[Mapping[str, Mapping[str, object]]] = {
    "reader": {"tenants": ["demo"]},
    "acme": {"tenants": ["acme"]},
    "everyone": {"tenants": ["*"]},
    "hasty": {"tenants": ["hasty"], "requests_per_window": 2},
    "poor": {"tenants": ["poor"], "tokens_per_window": 1000},
}


def write_identities(path: Path, principals: Mapping[str, Mapping[str, object]]) -> None:
    """An identities file in which the key of each caller is its id."""
    entries = [
        {"id": name, "key_sha256": hashlib.sha256(name.encode()).hexdigest(), **grants}
        for name, grants in principals.items()
    ]
    path.write_text(json.dumps({"principals": entries}), "utf-8")  # JSON is YAML


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where indexes and servers have their folders."""
    return tmp_path_factory.mktemp("servers")


@pytest.fixture(scope="session")
def real_environment(place: Path) -> dict[str, str]:
    """The local profile with its generator, with time for slow machines."""
    return make_environment(
        RAG_GENERATOR_MODEL=LOCAL_GENERATOR, RAG_INDEX_DIR=str(place / "real-index"), **PATIENT, **UNLIMITED
    )


@pytest.fixture(scope="session")
def ingest_report(real_environment: dict[str, str]) -> dict[str, Any]:
    """What ingesting the example documents printed."""
    return ingest(EXAMPLES, environment=real_environment)


@pytest.fixture(scope="session")
def real_server(place: Path, real_environment: dict[str, str], ingest_report: dict[str, Any]) -> Iterator[Server]:
    """The whole local profile: real embedder, reranker and vLLM."""
    with running_server(place / "real", real_environment) as server:
        yield server


@pytest.fixture(scope="session")
def example_index(real_environment: dict[str, str], ingest_report: dict[str, Any]) -> TenantIndex:
    """What the real server answers from."""
    index = IndexStore(Path(real_environment["RAG_INDEX_DIR"])).read("demo", TenantIndex)
    assert index is not None
    return index


@pytest.fixture(scope="session")
def model() -> Iterator[ScriptedModel]:
    with ScriptedModel().running() as running:
        yield running


@pytest.fixture(scope="session")
def scripted_environment(place: Path, model: ScriptedModel) -> dict[str, str]:
    """A real embedder, and somebody else's generator."""
    environment = make_environment(
        RAG_INDEX_DIR=str(place / "scripted-index"),
        RAG_RERANKER_MODEL="fake:",
        RAG_GENERATOR_MODEL="fake:",
        RAG_GENERATOR_URL=model.url,
        RAG_GENERATOR_API_KEY=GENERATOR_KEY,
        **PATIENT,
        **UNLIMITED,
    )
    documents = place / "scripted-documents"
    documents.mkdir()
    (documents / "handbook.txt").write_text(HANDBOOK, "utf-8")
    (documents / "nghi_phep.txt").write_text(LEAVE_VI, "utf-8")
    ingest(documents, environment=environment)
    return environment


@pytest.fixture(scope="session")
def scripted_server(place: Path, scripted_environment: dict[str, str]) -> Iterator[Server]:
    with running_server(place / "scripted", scripted_environment) as server:
        yield server


@pytest.fixture(scope="session")
def guarded_server(place: Path, model: ScriptedModel) -> Iterator[Server]:
    """Fake models, callers with keys, and limits that a test can reach; the key of each caller is its id."""
    identities = place / "identities.yaml"
    principals = [
        {"id": name, "key_sha256": hashlib.sha256(name.encode()).hexdigest(), **grants}
        for name, grants in PRINCIPALS.items()
    ]
    identities.write_text(json.dumps({"principals": principals}), "utf-8")  # JSON is YAML
    environment = make_environment(
        RAG_INDEX_DIR=str(place / "guarded-index"),
        RAG_GENERATOR_URL=model.url,
        RAG_IDENTITIES_FILE=str(identities),
        RAG_RATE_LIMIT_WINDOW_S=str(WINDOW_S),
        **FAKE_MODELS,
        **UNLIMITED,
        **{**PATIENT, "RAG_GENERATION_TIMEOUT_S": str(GENERATION_TIMEOUT_S)},
    )
    for tenant, text in (("demo", HANDBOOK), ("acme", ACME_HANDBOOK)):
        folder = place / f"guarded-{tenant}"
        folder.mkdir()
        (folder / "handbook.txt").write_text(text, "utf-8")
        ingest(folder, environment=environment, tenant=tenant)
    with running_server(place / "guarded", environment) as server:
        yield server


@pytest.fixture(scope="session")
def fake_server(place: Path) -> Iterator[Server]:
    """Fake models, open, without documents: for what is about HTTP alone."""
    environment = make_environment(RAG_INDEX_DIR=str(place / "no-index"), **FAKE_MODELS, **UNLIMITED)
    with running_server(place / "fake", environment) as server:
        yield server


@pytest.fixture
def real(real_server: Server) -> Iterator[Rag]:
    with httpx.Client(base_url=real_server.url, timeout=CLIENT_TIMEOUT_S) as client:
        yield Rag(client, real_server.log_path)


@pytest.fixture
def scripted(scripted_server: Server) -> Iterator[Rag]:
    with httpx.Client(base_url=scripted_server.url, timeout=CLIENT_TIMEOUT_S) as client:
        yield Rag(client, scripted_server.log_path)


@pytest.fixture
def guarded(guarded_server: Server) -> Iterator[Rag]:
    with httpx.Client(base_url=guarded_server.url, timeout=CLIENT_TIMEOUT_S) as client:
        yield Rag(client, guarded_server.log_path)
