"""A service behind the front dies or hangs: readiness reports it, queries are refused, and all recovers by itself."""

import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from load.server import Server, running_server
from schemas.errors import ErrorCode
from tests.integration.asking import CLIENT_TIMEOUT_S, Rag, assert_error, wait_for

pytestmark = pytest.mark.integration

QUESTION = "Where do visitors park?"
# The contract's second for all probes, and room for a machine that does three other things.
READY_ANSWERS_WITHIN_S = 3.0
DIES_WITHIN_S = 60
# BentoML looks after its processes every ten seconds, and a model takes a while to load.
RECOVERS_WITHIN_S = 180


@pytest.fixture(scope="module")
def mortal_server(place: Path, scripted_environment: dict[str, str]) -> Iterator[Server]:
    """A server with a real Embedder that is these tests' alone; a query waits for it as long as it does by default."""
    with running_server(place / "mortal", {**scripted_environment, "RAG_RETRIEVAL_TIMEOUT_S": "2"}) as server:
        yield server


@pytest.fixture
def mortal(mortal_server: Server) -> Iterator[Rag]:
    with httpx.Client(base_url=mortal_server.url, timeout=CLIENT_TIMEOUT_S) as client:
        yield Rag(client, mortal_server.log_path)


def find_process(server: Server, *words: str) -> psutil.Process:
    """The process below the server whose command line or title holds these words."""
    for process in psutil.Process(server.process.pid).children(recursive=True):
        if all(word in " ".join([process.name(), *process.cmdline()]) for word in words):
            return process
    raise AssertionError(f"there is no process {words}")


def find_embedder(server: Server) -> psutil.Process:
    return find_process(server, "--service-name Embedder")


def failing_states(rag: Rag) -> dict[str, str]:
    """What `/ready` says of the dependencies that fail; nothing where it is ready."""
    response = rag.http.get("/ready", timeout=READY_ANSWERS_WITHIN_S)
    if response.status_code == 200:
        return {}
    assert_error(response, ErrorCode.NOT_READY)
    states: dict[str, str] = response.json()["dependencies"]
    return {name: state for name, state in states.items() if state != "ok"}


def is_refused(rag: Rag) -> bool:
    response = rag.ask(QUESTION)
    return response.status_code == 503 and response.json()["error"]["code"] == "NOT_READY"


def assert_recovers(rag: Rag) -> None:
    wait_for(lambda: not failing_states(rag), within_s=RECOVERS_WITHIN_S)
    wait_for(lambda: rag.ask(QUESTION).status_code == 200, within_s=DIES_WITHIN_S)


def test_a_killed_service_is_seen_refused_and_replaced(mortal: Rag, mortal_server: Server) -> None:
    """`/ready` 503 with its name; queries get NOT_READY before their deadline; both come back without help."""
    find_embedder(mortal_server).kill()

    states = wait_for(lambda: failing_states(mortal), within_s=DIES_WITHIN_S)
    wait_for(lambda: is_refused(mortal), within_s=DIES_WITHIN_S)

    assert states.keys() == {"embedder"}
    assert mortal.http.get("/health").status_code == 200
    assert_recovers(mortal)


def test_a_hanging_service_is_a_timeout(mortal: Rag, mortal_server: Server) -> None:
    """It accepts connections and says nothing; every probe has its own second."""
    embedder = find_embedder(mortal_server)
    embedder.send_signal(signal.SIGSTOP)
    try:
        states = wait_for(lambda: failing_states(mortal), within_s=DIES_WITHIN_S)
        wait_for(lambda: is_refused(mortal), within_s=DIES_WITHIN_S)
    finally:
        embedder.send_signal(signal.SIGCONT)

    assert states == {"embedder": "timeout"}
    assert_recovers(mortal)


def test_a_dead_engine_ends_its_service_which_is_started_again(real: Rag, real_server: Server) -> None:
    """vLLM cannot recover from it; without an end of the Generator it would be down for ever."""
    find_process(real_server, "EngineCore").kill()

    states = wait_for(lambda: failing_states(real), within_s=DIES_WITHIN_S)
    found = real.http.post("/search", json={"question": QUESTION})

    assert states.keys() == {"generator"}
    assert found.status_code == 200  # it needs none
    assert_recovers(real)
