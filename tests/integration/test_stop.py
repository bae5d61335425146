"""A server that is told to stop does so, whatever its clients have done to it before."""

import time
from pathlib import Path

import httpx
import pytest

from load.server import running_server
from tests.integration.asking import Rag, make_trace_id
from tests.scripted_model import SILENCE, Reply, ScriptedModel
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
