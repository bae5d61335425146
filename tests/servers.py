"""The common settings of all real servers and commands in the integration tests."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from load.processes import ROOT
from load.server import FAKE_MODELS as FAKE_MODELS  # noqa: PLC0414 - the tests have it from here

COMMAND_TIMEOUT_S: Final = 180
# A machine of two busy cores is slow, not broken: only the tests of deadlines may run into one.
PATIENT: Final = {
    "RAG_REQUEST_TIMEOUT_S": "120",
    "RAG_STREAM_TIMEOUT_S": "120",
    "RAG_GENERATION_TIMEOUT_S": "100",
    "RAG_RERANK_TIMEOUT_S": "30",
    "RAG_RETRIEVAL_TIMEOUT_S": "30",
    "RAG_QUEUE_TIMEOUT_S": "30",
}
UNLIMITED: Final = {"RAG_RATE_LIMIT_REQUESTS": "1000000", "RAG_RATE_LIMIT_TOKENS": "1000000000"}


def make_environment(**settings: str) -> dict[str, str]:
    """The environment that the Makefile gives to a server, with these settings alone."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAG_")}
    serving = {
        "BENTOML_DO_NOT_TRACK": "True",
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
    }
    return {**serving, **inherited, **settings}


def run_module(*arguments: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """`python -m` to its end, from the project's root."""
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        check=False,
    )


def ingest(*paths: Path, environment: Mapping[str, str], tenant: str = "demo") -> dict[str, Any]:
    """What `python -m rag.ingestion add` prints to stdout."""
    command = ["rag.ingestion", "add", "--tenant", tenant, *map(str, paths)]
    done = run_module(*command, environment=environment)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report
