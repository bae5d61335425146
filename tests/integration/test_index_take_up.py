"""A running server switches to a new version of the index without a restart and without a failed request."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from load.server import Server
from tests.integration.asking import CLIENT_TIMEOUT_S, Rag, wait_for
from tests.servers import ingest, run_module

pytestmark = pytest.mark.integration

# The contract's 5 s, with room for two busy cores.
TAKE_UP_S = 10.0
BADGE = "A lost badge costs 35 euros."
QUESTION = "How much does a lost badge cost?"


def keep_asking(server: Server, enough: threading.Event, statuses: list[int]) -> None:
    """Asks until there is enough; notes every status."""
    with httpx.Client(base_url=server.url, timeout=CLIENT_TIMEOUT_S) as client:
        rag = Rag(client, server.log_path)
        while not enough.wait(0.1):  # leaves the ingestion some of the cores
            statuses.append(rag.ask("Where do visitors park?").status_code)


@contextmanager
def failing_nobody(server: Server) -> Iterator[None]:
    """Others ask all the while, and every one of them is answered."""
    enough, statuses = threading.Event(), list[int]()
    asking = threading.Thread(target=keep_asking, args=(server, enough, statuses))
    asking.start()
    try:
        yield
    finally:
        enough.set()
        asking.join()
    assert len(statuses) > 1
    assert set(statuses) == {200}


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "badges.txt"
    path.write_text(BADGE, "utf-8")
    return path


def test_a_new_version_is_taken_up_while_queries_run(
    scripted: Rag, scripted_server: Server, scripted_environment: dict[str, str], document: Path
) -> None:
    """Within 5 s of the ingestion's end its content is cited, and within 5 s of its removal it is not; nobody fails."""
    with failing_nobody(scripted_server):
        assert "35" not in scripted.answer(QUESTION).answer
        version = ingest(document, environment=scripted_environment)["version"]
        wait_for(lambda: cited_documents(scripted) & {"badges"}, within_s=TAKE_UP_S)
        assert served_version(scripted) == version
        run_module(
            "rag.ingestion", "remove", "--tenant", "demo", "--document-id", "badges", environment=scripted_environment
        )
        wait_for(lambda: not cited_documents(scripted) & {"badges"}, within_s=TAKE_UP_S)


def test_a_rollback_is_taken_up_while_queries_run(
    scripted: Rag, scripted_server: Server, scripted_environment: dict[str, str], document: Path
) -> None:
    """Within 5 s of its end what the last ingestion brought is cited no more; nobody fails."""
    with failing_nobody(scripted_server):
        ingest(document, environment=scripted_environment)
        wait_for(lambda: cited_documents(scripted) & {"badges"}, within_s=TAKE_UP_S)
        done = run_module("rag.ingestion", "rollback", "--tenant", "demo", environment=scripted_environment)
        assert done.returncode == 0, done.stderr
        wait_for(lambda: not cited_documents(scripted) & {"badges"}, within_s=TAKE_UP_S)
        assert served_version(scripted) == json.loads(done.stdout)["version"]


def served_version(rag: Rag) -> str:
    version: str = rag.http.get("/models/current").json()["index"]["demo"]["version"]
    return version


def cited_documents(rag: Rag) -> set[str]:
    return {citation.document_id for citation in rag.answer(QUESTION).citations}
