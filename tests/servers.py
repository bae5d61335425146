"""The common settings of all real servers and commands in the integration tests."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import psutil

from load.processes import ROOT, find_family
from load.server import FAKE_MODELS as FAKE_MODELS  # noqa: PLC0414 - the tests have it from here
from load.server import SERVING
from load.server import UNLIMITED as UNLIMITED  # noqa: PLC0414 - and this

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


def make_environment(**settings: str) -> dict[str, str]:
    """The environment that the Makefile gives to a server, with these settings alone."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAG_")}
    return {**SERVING, **inherited, **settings}


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


def find_ports(process: subprocess.Popen[bytes]) -> set[int]:
    """The TCP and UDP ports on which the process and all that it started listen."""
    connections = [each for member in find_family(process) for each in member.net_connections("inet")]
    return {
        each.laddr.port
        for each in connections
        if each.status == psutil.CONN_LISTEN or (each.type == socket.SOCK_DGRAM and not each.raddr)
    }
