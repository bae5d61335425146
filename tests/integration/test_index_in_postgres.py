"""A real `bentoml serve` whose index is in PostgreSQL: moved there, asked, written to, and lost for a while."""

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from load.server import Server, running_server
from tests.integration.test_documents_over_http import PATIENCE_S, wait_for
from tests.postgres import Postgres, running_postgres
from tests.servers import FAKE_MODELS, PATIENT, UNLIMITED, ingest, make_environment, run_module

pytestmark = pytest.mark.integration

LEAVE: Final = "Full-time staff have 12 days of annual leave per year."
QUESTION: Final = "How many days of annual leave do full-time staff have?"
GYM: Final = "The gym on floor nine opens at six in the morning."


@dataclass
class Moved:
    """A server, its database, and the environment of commands that write to it."""

    server: Server
    postgres: Postgres
    environment: dict[str, str]


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moved]:
    """An index of files is copied to a database, and served from there."""
    place = tmp_path_factory.mktemp("postgres")
    (place / "leave.txt").write_text(LEAVE)
    settings = {**FAKE_MODELS, "RAG_GENERATOR_MODEL": "none", **PATIENT, **UNLIMITED}
    files = make_environment(RAG_INDEX_DIR=str(place / "files"), **settings)
    ingest(place / "leave.txt", environment=files)
    with running_postgres() as postgres:
        url = postgres.make_database("mine")
        run_module("rag", "migrate", "--to", url, environment=files).check_returncode()
        # Nothing is in this folder: what is answered comes from the database.
        environment = make_environment(RAG_INDEX_URL=url, RAG_INDEX_DIR=str(place / "empty"), **settings)
        (place / "empty").mkdir()
        with running_server(place / "server", environment) as server:
            yield Moved(server, postgres, environment)


@pytest.fixture
def client(moved: Moved) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=moved.server.url, timeout=PATIENCE_S) as opened:
        yield opened


def ask(client: httpx.Client, question: str) -> dict[str, Any]:
    found: dict[str, Any] = client.post("/query", json={"question": question}).json()
    return found


def test_what_was_moved_is_answered_and_cited_as_before(client: httpx.Client) -> None:
    """The citation names the chunk that the files had, and its page is there."""
    answer = ask(client, QUESTION)

    assert "12 days" in answer["answer"]
    assert answer["citations"][0]["chunk_id"] == "demo:leave:v1:00001"
    assert client.get("/chunks/demo%3Aleave%3Av1%3A00001").status_code == 200


def test_an_upload_is_answered_from_and_undone(moved: Moved, client: httpx.Client) -> None:
    """The Ingestor writes to the database; the command undoes it there."""
    assert client.post("/documents", files={"file": ("gym.txt", GYM.encode())}).status_code == 202
    wait_for(lambda: "six" in ask(client, "When does the gym on floor nine open?").get("answer", ""))
    assert "gym" in {each["document_id"] for each in client.get("/documents").json()["documents"]}

    command = ("rag", "ingest", "rollback", "--tenant", "demo")
    run_module(*command, environment=moved.environment).check_returncode()

    wait_for(lambda: "gym" not in {each["document_id"] for each in client.get("/documents").json()["documents"]})


def test_a_database_that_comes_back_is_answered_from_again(moved: Moved, client: httpx.Client) -> None:
    """Killed, it is NOT_READY and named by readiness; back at its address, the same processes go on."""
    moved.postgres.stop(signal.SIGKILL)
    try:
        refused = client.post("/query", json={"question": QUESTION})
        wait_for(lambda: client.get("/ready").json()["dependencies"]["index"] == "unreachable")
    finally:
        moved.postgres.start()

    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "NOT_READY")
    wait_for(lambda: "12 days" in ask(client, QUESTION).get("answer", ""))
    wait_for(lambda: client.get("/ready").status_code == 200)


def test_the_password_is_nowhere(moved: Moved, tmp_path: Path) -> None:
    """Neither in the log nor in what a command says."""
    url = moved.environment["RAG_INDEX_URL"].replace("://", "://user:s3cret-word@").replace("rag_owner@", "")
    wrong = moved.environment | {"RAG_INDEX_URL": url}
    said = run_module("rag", "ingest", "list", "--tenant", "demo", environment=wrong)

    assert said.returncode == 1
    assert "s3cret" not in said.stdout + said.stderr
    assert "s3cret" not in moved.server.log_path.read_text()
