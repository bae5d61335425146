"""The content of the Bento that `bentoml build` makes, for both profiles; and that it serves without the project."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import pytest
import yaml

from load.processes import ROOT, find_free_port, running, wait_until_ready
from load.server import Server
from rag.models import USERS_HOME
from tests.servers import FAKE_MODELS, find_ports, make_environment

pytestmark = pytest.mark.integration

SECRETS: Final = re.compile(r"(?i)(api[_-]?key|password|secret)\s*[:=]\s*['\"][^'\"{}<$]{8,}")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BENTOML_HOME of these tests alone, with the models of the real one."""
    folder = tmp_path_factory.mktemp("bento-home")
    (folder / "models").symlink_to(Path(os.environ.get("BENTOML_HOME", USERS_HOME)) / "models")
    return folder


@pytest.fixture(scope="module", params=["local", "gpu"])
def bento(request: pytest.FixtureRequest, home: Path) -> tuple[str, Path]:
    """The profile and the folder of its Bento."""
    command = ["bentoml", "build", "--arg", f"profile={request.param}", "--version", request.param]
    environment = {**make_environment(), "BENTOML_HOME": str(home)}
    subprocess.run([sys.executable, "-m", *command], cwd=ROOT, env=environment, check=True, capture_output=True)
    return request.param, home / "bentos" / "rag" / request.param


def read_description(folder: Path) -> dict[str, Any]:
    described: dict[str, Any] = yaml.safe_load((folder / "bento.yaml").read_text("utf-8"))
    return described


def test_it_names_the_five_services_and_pins_the_models(bento: tuple[str, Path]) -> None:
    """The front is the entry; a GPU for each model service if the profile has them.

    The Generator too, although nothing is drafted by default: a deployment may set a model for it.
    """
    profile, folder = bento
    described = read_description(folder)
    services = {service["name"]: service for service in described["services"]}

    assert described["entry_service"] == "RagService"
    assert services.keys() == {"RagService", "Embedder", "Reranker", "Generator", "Ingestor"}
    assert [model["tag"] for model in described["models"]] == ["multilingual-e5-small:q4", "smollm2-135m-instruct:q4"]
    gpus = {name for name, service in services.items() if service["config"].get("resources", {}).get("gpu")}
    assert gpus == ({"Embedder", "Reranker", "Generator"} if profile == "gpu" else set())


def test_its_packages_are_the_pinned_ones(bento: tuple[str, Path]) -> None:
    """With their hashes, and nothing that is resolved anew."""
    profile, folder = bento
    ours = (ROOT / "requirements" / f"{profile}.txt").read_text("utf-8")
    installed = (folder / "env" / "python" / "requirements.txt").read_text("utf-8")

    def pins(text: str) -> set[str]:
        return set(re.findall(r"^([\w.\-\[\]]+==[^\s;\\]+)", text, re.MULTILINE))

    assert pins(installed) == pins(ours)
    assert re.findall(r"sha256:\w+", installed) == re.findall(r"sha256:\w+", ours)
    assert "no-deps = true" in (folder / "src" / "uv.toml").read_text("utf-8")


def test_nothing_of_the_developers_machine_is_inside(bento: tuple[str, Path]) -> None:
    """No path of it, no settings, no index, no tests, no secret."""
    _, folder = bento
    files = [path for path in folder.rglob("*") if path.is_file()]
    names = {str(path.relative_to(folder)) for path in files}

    assert not [name for name in names if re.search(r"(^|/)(\.env|\.data|\.git|tests|load|__pycache__)(/|$)", name)]
    for path in files:
        text = path.read_text("utf-8", "replace")
        assert str(ROOT) not in text, path
        assert not SECRETS.search(text), path


def test_the_profile_brings_its_settings(bento: tuple[str, Path]) -> None:
    """A deployment's own come before them."""
    profile, folder = bento
    environment = {entry["name"]: entry["value"] for entry in read_description(folder)["envs"]}

    assert environment["HF_HUB_OFFLINE"] == "1"
    assert ("RAG_GENERATOR_MODEL" in environment) == (profile == "gpu")
    assert ("BENTOML_DISABLE_GPU_ALLOCATION" in environment) == (profile == "gpu")


def test_its_description_is_the_one_that_the_server_gives(bento: tuple[str, Path]) -> None:
    """BentoML would describe one path of six."""
    _, folder = bento
    described = yaml.safe_load((folder / "apis" / "openapi.yaml").read_text("utf-8"))

    assert {"/query", "/query/stream", "/v1/query", "/health", "/ready", "/models/current"} <= described["paths"].keys()


@pytest.fixture(scope="module")
def served_bento(home: Path, bento: tuple[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The Bento served from its own folder, on fake models."""
    folder = tmp_path_factory.mktemp("served-bento")
    port = find_free_port()
    environment = make_environment(RAG_INDEX_DIR=str(folder / "index"), **FAKE_MODELS)
    environment |= {"BENTOML_HOME": str(home)}
    command = ["-m", "bentoml", "serve", str(bento[1]), "--host", "127.0.0.1", "--port", str(port)]
    url = f"http://127.0.0.1:{port}"
    log_path = folder / "log"
    started = running([sys.executable, *command], environment=environment, log_path=log_path, folder=folder)
    with started as process:
        wait_until_ready(f"{url}/ready", process, log_path)
        yield Server(url, log_path, process)


def test_it_serves_without_the_project(served_bento: Server) -> None:
    """From a working directory that holds nothing of it."""
    answer = httpx.post(f"{served_bento.url}/query", json={"question": "Anything?"})

    assert answer.status_code == 200
    assert answer.json()["finish_reason"] == "no_answer"


def test_it_listens_on_its_http_port_alone(served_bento: Server) -> None:
    """Its supervisor too takes commands where no other user can give them."""
    assert find_ports(served_bento.process) == {urlsplit(served_bento.url).port}
