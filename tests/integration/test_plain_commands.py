"""The commands of a newcomer, in a shell that exports nothing: what `make setup` has made is found by itself."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from load.processes import ROOT, find_free_port, running, wait_until_ready
from load.server import Server
from rag.models import USERS_HOME

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """That of a new shell with the virtual environment activated; the home has the models of the real one."""
    home = tmp_path_factory.mktemp("home")
    (home / "bentoml").mkdir()
    (home / "bentoml" / "models").symlink_to(Path(os.environ.get("BENTOML_HOME", USERS_HOME)) / "models")
    return {"HOME": str(home), "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}


def run(*command: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=180)


@pytest.fixture(scope="module")
def server(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`bentoml serve`, as it is typed; the port alone is the test's."""
    log_path, port = tmp_path_factory.mktemp("plain") / "log", find_free_port()
    url = f"http://127.0.0.1:{port}"
    with running(["bentoml", "serve"], environment={**environment, "PORT": str(port)}, log_path=log_path) as process:
        wait_until_ready(f"{url}/ready", process, log_path)
        yield Server(url, log_path, process)


def test_bentoml_serve_answers(server: Server) -> None:
    """The models and the example documents' index are found."""
    answer = httpx.post(
        f"{server.url}/query", json={"question": "How many days of annual leave do full-time staff have?"}
    )

    assert answer.status_code == 200
    assert answer.json()["citations"]


def test_configuration_yaml_applies(server: Server) -> None:
    """It turns BentoML's access log off, which would write a line for each call of a model service."""
    httpx.post(f"{server.url}/query", json={"question": "Who approves travel?"}).raise_for_status()

    assert "bentoml.access" not in server.log_path.read_text()


def test_bentoml_lists_the_models(environment: dict[str, str]) -> None:
    """They are in the store where BentoML looks."""
    done = run("bentoml", "models", "list", environment=environment)

    assert "multilingual-e5-small:q4" in done.stdout


def test_the_index_is_listed(environment: dict[str, str]) -> None:
    """`python -m rag.ingestion` finds index and models."""
    done = run("python", "-m", "rag.ingestion", "list", "--tenant", "demo", environment=environment)

    assert json.loads(done.stdout)["documents"]


def test_the_preflight_finds_models_and_index(environment: dict[str, str]) -> None:
    """What it misses are conditions of production alone."""
    done = run("python", "-m", "rag.preflight", "--json", environment=environment)
    states = {each["name"]: each["state"] for each in json.loads(done.stdout)["findings"]}

    assert states["embedder model"] == "ok"
    assert states["index of demo"] == "ok"
    assert states["BENTOML_CONFIG"] == "ok"


def test_the_command_rag_asks_and_lists(server: Server, environment: dict[str, str]) -> None:
    """It is installed by the set-up, and streams an answer with its sources to the terminal."""
    asked = run(
        "rag",
        "ask",
        "How many days of annual leave do full-time staff have?",
        "--url",
        server.url,
        environment=environment,
    )
    listed = run("rag", "ingest", "list", "--tenant", "demo", environment=environment)

    assert asked.returncode == 0, asked.stderr
    assert "[S1]." in asked.stdout
    assert "\n[S1] " in asked.stdout
    assert json.loads(listed.stdout)["documents"]
