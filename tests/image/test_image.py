"""The image of the local profile: its content, and how it starts, answers and stops with a read-only root.

`make image-test` builds the image and runs these tests; IMAGE names it. They need root, for mounts.
"""

import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest

from load.processes import ROOT, find_free_port
from tests.image.containers import USER, Container, Image, run_in_container, running_container, unpacked
from tests.integration.asking import Rag, make_trace_id, read_answer, wait_for

BENTO: Final = "/home/bentoml/bento"
ENTRYPOINT: Final = f"{BENTO}/env/docker/entrypoint.sh"
QUESTION: Final = "Nhân viên full-time có bao nhiêu ngày nghỉ phép năm?"
READY_WITHIN_S: Final = 300
STOPS_WITHIN_S: Final = 90


@pytest.fixture(scope="session")
def image() -> Iterator[Image]:
    with unpacked(os.environ.get("IMAGE", "localhost/rag:1.0.0")) as found:
        print(f"\nimage: {found.name}, {found.size_bytes / 1e9:.2f} GB unpacked")
        yield found


@pytest.fixture(scope="session")
def index(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made by the image's own ingestion, as the pods' user; the documents come on the same volume."""
    folder = tmp_path_factory.mktemp("index")
    shutil.copytree(ROOT / "examples" / "documents", folder / "documents")
    for path in (folder, *folder.rglob("*")):
        os.chown(path, USER, USER)
    for parent in folder.parents[:2]:
        parent.chmod(0o755)
    command = [ENTRYPOINT, "python", "-m", "rag.ingestion", "add", "--tenant", "demo", "/data/index/documents"]
    printed = run_in_container(image, command, log_path=folder / "log", mounts={"/data/index": (folder, "rw")})
    report = json.loads(printed.splitlines()[-1])
    assert report["failed"] == []
    assert report["documents"] == 8
    return folder


@pytest.fixture(scope="session")
def served(image: Image, index: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Container]]:
    """The whole service by the image's default command, over an index that it can only read."""
    port, log_path = find_free_port(), tmp_path_factory.mktemp("served") / "log"
    command = [*image.entrypoint, "--host", "127.0.0.1", "--port", str(port)]
    began = time.monotonic()
    with running_container(image, command, log_path=log_path, mounts={"/data/index": (index, "ro")}) as container:
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: is_ready(url, container), within_s=READY_WITHIN_S)
        print(f"\nimage: ready after {time.monotonic() - began:.0f} s")
        yield url, container


def is_ready(url: str, container: Container, path: str = "/ready") -> bool:
    assert container.process.is_running(), container.log_path.read_text("utf-8")[-2000:]
    try:
        return httpx.get(url + path).is_success
    except httpx.TransportError:
        return False


def test_every_user_can_read_all_of_it(image: Image) -> None:
    """A pod's user is not the image's: what was closed on the machine that built it must not be closed here."""
    bento = image.root / BENTO.lstrip("/")
    way = [bento, *list(bento.parents)[: len(Path(BENTO).parts) - 1]]

    assert [path for path in way if not path.stat().st_mode & 0o001] == []
    assert [
        path
        for path in (*bento.rglob("*"), *(image.root / "app" / ".venv").rglob("*"))
        if not path.is_symlink() and not path.stat().st_mode & (0o001 if path.is_dir() else 0o004)
    ] == []


def test_nothing_of_the_developers_machine_is_inside(image: Image) -> None:
    """No path of it, no settings, no index, no tests, no installer's cache."""
    bento = image.root / BENTO.lstrip("/")
    names = [str(path.relative_to(bento)) for path in bento.rglob("*")]

    assert not [name for name in names if re.search(r"(^|/)(\.env|\.data|\.git|tests|load|examples)(/|$)", name)]
    assert not [
        path for path in (bento / "src").rglob("*.*") if path.is_file() and str(ROOT).encode() in path.read_bytes()
    ]
    assert not (image.root / "root" / ".cache").exists()
    assert not [name for name in image.environment if "KEY" in name or "SECRET" in name]


def test_it_does_not_run_as_root(image: Image) -> None:
    """By itself, and not only where somebody says so."""
    assert image.user == "bentoml"


def test_it_answers_the_question_of_the_readme(served: tuple[str, Container]) -> None:
    """With the models inside, and no way to a hub."""
    url, container = served

    answer = read_answer(httpx.post(f"{url}/query", json={"question": QUESTION}, timeout=60))

    assert "12 ngày" in answer.answer
    assert answer.citations[0].document_id == "doc_hr_2026"
    assert {process.uids().real for process in container.find_processes()} == {USER}


def test_one_service_alone_runs_from_the_same_image(image: Image, tmp_path: Path) -> None:
    """As a pod has it: nothing but the service's name differs."""
    port = find_free_port()
    command = ["bentoml", "serve", "service:Embedder", "--working-dir", f"{BENTO}/src", "--host", "127.0.0.1"]
    command = [ENTRYPOINT, *command, "--port", str(port)]
    with running_container(image, command, log_path=tmp_path / "log") as container:
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: is_ready(url, container, "/readyz"), within_s=READY_WITHIN_S)
        (model,) = httpx.post(f"{url}/describe", json={}).json()
        rows = httpx.post(f"{url}/embed_queries", json={"texts": [QUESTION]}).json()

    assert model["name"] == "multilingual-e5-small"
    assert len(rows[0]) == model["dimension"]


def test_stopped_in_mid_stream_it_ends_the_stream_and_itself(served: tuple[str, Container]) -> None:
    """SIGTERM to the first process: the answer that has begun is finished, then the container exits with 0."""
    url, container = served
    names = []
    with httpx.Client(base_url=url, timeout=60) as client:
        rag = Rag(client, container.log_path)
        with rag.open_stream("What does the incident process say about severity levels?", make_trace_id()) as events:
            for event in events:
                names.append(event.name)
                if event.name == "meta":
                    container.terminate()

    assert names[0] == "meta"
    assert names[-1] == "done"
    assert container.runtime.wait(STOPS_WITHIN_S) == 0
