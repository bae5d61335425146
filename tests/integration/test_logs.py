"""The log of a server: one JSON object a line, whichever library writes it."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from load.server import Server, running_server
from tests.integration.asking import Rag, wait_for
from tests.servers import make_environment

pytestmark = pytest.mark.integration

# Native code that knows no logging writes to stderr by itself: torch's of where the memory lies, and the interpreter
# that tracks resources of what a killed process has left.
NATIVE = ("[W", "  warnings.warn", "/")


@pytest.fixture(scope="module")
def talkative_server(place: Path) -> Iterator[Server]:
    """An Embedder with BentoML's access log switched on; the front's own paths are none of BentoML's."""
    environment = {**make_environment(), "BENTOML_CONFIG_OPTIONS": "services.logging.access.enabled=true"}
    with running_server(place / "talkative", environment, service="Embedder", ready_path="/readyz") as server:
        yield server


def test_every_line_of_the_local_profile_is_json(real: Rag) -> None:
    """BentoML's, uvicorn's and vLLM's as well as ours, from the start on."""
    real.answer("Nhân viên full-time có bao nhiêu ngày nghỉ phép năm?")

    lines = [line for line in real.log_path.read_text("utf-8").splitlines() if line and not line.startswith(NATIVE)]
    events = [json.loads(line) for line in lines]

    assert {event.get("logger", "").split(".")[0] for event in events} >= {"bentoml", "vllm"}
    assert all({"event", "timestamp"} <= event.keys() for event in events)


def test_the_access_log_is_json_where_it_is_switched_on(talkative_server: Server) -> None:
    """It is off by default: the front writes one line per query, with more in it."""
    assert httpx.post(f"{talkative_server.url}/describe", json={}).status_code == 200

    def find() -> dict[str, object] | None:
        lines = map(json.loads, talkative_server.log_path.read_text("utf-8").splitlines())
        return next((line for line in lines if line["event"] == "access" and line["path"] == "/describe"), None)

    assert wait_for(find, within_s=10)["status"] == 200
