"""A client that has only the OpenAPI document, and tries everything that it allows and much that it does not."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from load.processes import ROOT
from load.server import Server, running_server
from tests.servers import FAKE_MODELS, PATIENT, UNLIMITED, ingest, make_environment

pytestmark = pytest.mark.integration

# What the examples of the description ask for, so that an answer with citations is among those that are checked.
LEAVE: Final = "Nhân viên full-time có 12 ngày nghỉ phép năm. Full-time staff have 12 days of annual leave per year.\n"
REQUEST_TIMEOUT_S: Final = 60
RUN_TIMEOUT_S: Final = 600


@pytest.fixture(scope="module")
def described_server(place: Path) -> Iterator[Server]:
    """Fake models, because it is the front that is tried, and no limits, because it is tried fast."""
    environment = make_environment(RAG_INDEX_DIR=str(place / "described-index"), **FAKE_MODELS, **PATIENT, **UNLIMITED)
    documents = place / "described-documents"
    documents.mkdir()
    (documents / "leave.txt").write_text(LEAVE, "utf-8")
    ingest(documents, environment=environment)
    with running_server(place / "described", environment) as server:
        yield server


def run_schemathesis(url: str, folder: Path, *options: str) -> str:
    """What schemathesis reports of a run without findings; every check that it has is on.

    Without its stateful phase, whose links from one operation to another this API does not have.
    """
    command = [sys.executable, "-m", "schemathesis.cli", "--no-color", "run", url, *options]
    fixed = [
        "--checks=all",
        "--phases=examples,coverage,fuzzing",
        "--generation-deterministic",
        "--continue-on-failure",
    ]
    done = subprocess.run(
        [*command, *fixed, f"--request-timeout={REQUEST_TIMEOUT_S}"],
        cwd=folder,  # it keeps notes where it runs
        env={**os.environ, "PYTHONPATH": str(ROOT), "SCHEMATHESIS_HOOKS": "tests.schemathesis_hooks"},
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_service_does_what_its_description_says(described_server: Server, tmp_path: Path) -> None:
    """Good requests and bad ones: statuses, media types, headers, bodies and events are those described.

    But for uploads: JSON Schema cannot say what a form with several files may hold, and each is a job.
    """
    options = ("--max-examples=100", "--exclude-operation-id=addDocuments")
    report = run_schemathesis(f"{described_server.url}/docs.json", tmp_path, *options)

    assert re.search(r"Tested: 21\n", report)


def test_credentials_are_never_ignored(guarded_server: Server, tmp_path: Path) -> None:
    """Where callers are known, what asks for credentials refuses without them and with others' ones."""
    report = run_schemathesis(
        f"{guarded_server.url}/openapi.json", tmp_path, "--header=x-api-key: reader", "--max-examples=10"
    )

    assert re.search(r"Tested: 22\n", report)
