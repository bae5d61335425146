"""A server that is asked to stop finishes its running queries, then stops, whatever its clients did before."""

import signal
import time
from collections.abc import Sequence
from pathlib import Path

import httpx
import psutil
import pytest

from load.processes import find_family
from load.server import running_server
from schemas.errors import ErrorCode
from tests.integration.asking import CLIENT_TIMEOUT_S, Rag, assert_error, make_trace_id, read_stream, wait_for
from tests.scripted_model import PAUSE, SILENCE, Reply, ScriptedModel, delta, ending
from tests.servers import FAKE_MODELS, PATIENT, ingest, make_environment

pytestmark = pytest.mark.integration

# Below the server's own timeouts, and below the time after which the test would end it by force.
STOPS_WITHIN_S = 20


def test_clients_that_left_do_not_hold_up_the_stop(place: Path, model: ScriptedModel, tmp_path: Path) -> None:
    """BentoML's timer of a request ends with the first byte of its answer, also where nobody is there to read it."""
    (tmp_path / "parking.txt").write_text("Visitors park behind the north building.", "utf-8")
    settings = {**FAKE_MODELS, **PATIENT, "RAG_GENERATOR_URL": model.url, "RAG_INDEX_DIR": str(tmp_path / "index")}
    environment = make_environment(**settings)
    ingest(tmp_path / "parking.txt", environment=environment)
    trace_id = make_trace_id()
    model.script(trace_id, Reply(SILENCE))

    with running_server(place / "stopping", environment) as server:
        with httpx.Client(base_url=server.url, timeout=1.0) as client, pytest.raises(httpx.ReadTimeout):
            Rag(client, server.log_path).ask("Where do visitors park?", trace_id=trace_id)
        assert Rag(client, server.log_path).log_line(trace_id)["event"] == "query_cancelled"
        told_at = time.monotonic()

    assert time.monotonic() - told_at < STOPS_WITHIN_S


def test_streams_end_with_done_and_new_requests_are_refused(
    place: Path, model: ScriptedModel, scripted_environment: dict[str, str]
) -> None:
    """SIGTERM: readiness turns 503, streams in progress end with `done`, new requests get NOT_READY; then it exits."""
    trace_id = make_trace_id()
    said = (delta("Visitors park behind the north building [S1]. "), delta("Sick leave needs"), PAUSE)
    model.script(trace_id, Reply(pieces=(*said, delta(" a note from a doctor [S1]."), ending())))

    with (
        running_server(place / "draining", scripted_environment) as server,
        httpx.Client(base_url=server.url, timeout=CLIENT_TIMEOUT_S) as client,
    ):
        rag = Rag(client, server.log_path)
        with rag.open_stream("Where do visitors park?", trace_id) as events:
            begun = [next(events), next(events)]
            server.process.send_signal(signal.SIGTERM)
            wait_for(lambda: client.get("/ready").status_code == 503, within_s=10)
            assert_error(client.get("/ready"), ErrorCode.NOT_READY)
            assert_error(rag.ask("Where do visitors park?"), ErrorCode.NOT_READY)
            assert client.get("/health").status_code == 200
            model.resume(trace_id)
            stream = [*begun, *events]
        status = server.process.wait(STOPS_WITHIN_S)

    assert stream[-1].name == "done"
    assert "north building" in read_stream(stream)[0]
    assert status == 0


def test_without_their_supervisor_the_services_stop_in_the_same_order(
    place: Path, model: ScriptedModel, scripted_environment: dict[str, str]
) -> None:
    """SIGKILL of the supervisor: streams end with `done`, the Embedder outlives the front, nobody listens any more."""
    trace_id = make_trace_id()
    said = (delta("Visitors park behind the north building [S1]. "), delta("Sick leave needs"), PAUSE)
    model.script(trace_id, Reply(pieces=(*said, delta(" a note from a doctor [S1]."), ending())))

    with (
        running_server(place / "orphaned", scripted_environment) as server,
        httpx.Client(base_url=server.url, timeout=CLIENT_TIMEOUT_S) as client,
    ):
        rag, workers = Rag(client, server.log_path), find_family(server.process)[1:]
        with rag.open_stream("Where do visitors park?", trace_id) as events:
            begun = [next(events), next(events)]
            server.process.kill()
            wait_for(lambda: client.get("/ready").status_code == 503, within_s=10)
            assert_error(rag.ask("Where do visitors park?"), ErrorCode.NOT_READY)
            running = find_running(workers)
            model.resume(trace_id)
            stream = [*begun, *events]
        wait_for(lambda: not find_running(workers), within_s=STOPS_WITHIN_S)

    assert len(running) == len(workers) == 3  # the Embedder, the Ingestor and the front
    assert stream[-1].name == "done"
    with pytest.raises(httpx.ConnectError):  # a bind fails if a connection has the port by chance
        httpx.get(server.url)


def find_running(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    """Those that have not ended; whoever inherits them may be slow to take note."""
    return [each for each in processes if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]


def test_a_server_that_still_loads_its_models_stops_too(place: Path, real_environment: dict[str, str]) -> None:
    """Nobody is served yet: it does not load to the end first."""
    with running_server(place / "loading", real_environment, ready_path="/health") as server:
        server.process.send_signal(signal.SIGTERM)
        status = server.process.wait(STOPS_WITHIN_S)

    assert status == 0
