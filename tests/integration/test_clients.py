"""Common client libraries with their default settings, against a real server; each asks twice with one client."""

import json
import shutil
import subprocess
from typing import Final

import pytest

from load.processes import ROOT
from load.server import Server

pytestmark = pytest.mark.integration

CLIENTS: Final = ROOT / "tests" / "clients"
# Built by the set-up from clients/ask.go.
GO_CLIENT: Final = ROOT / ".data" / "tools" / "ask-go"
TIMEOUT_S: Final = 60
QUESTION: Final = json.dumps({"question": "How many days of annual leave?"})
CURL: Final = ("curl", "-sS", "-H", "content-type: application/json", "-w", "\n%{http_code}\n")


def assert_answered(*command: str, needs: str | None = None) -> None:
    """The client prints body and status, twice.

    Skipped without the program that it needs: set-up brings Go's client, and no JDK, Node, curl or .NET. What they send
    of their own accord stands byte for byte in test_connections.py and unit/test_connection.py, never skipped.
    """
    if shutil.which(needs or command[0]) is None:
        pytest.skip(f"{needs or command[0]} is not on the PATH")
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    printed = done.stdout.splitlines()

    assert done.returncode == 0, done.stderr
    assert printed[1::2] == ["200", "200"]
    for body in printed[::2]:
        assert json.loads(body)["finish_reason"] in {"stop", "no_answer"}


# Java runs a source file by its compiler.
@pytest.mark.parametrize(("program", "script", "needs"), [("java", "Ask.java", "javac"), ("node", "ask.mjs", "node")])
def test_the_clients_of_languages_are_answered(fake_server: Server, program: str, script: str, needs: str) -> None:
    """Java's offers an upgrade to HTTP/2 with its first request, whose body was lost with it."""
    assert_answered(program, str(CLIENTS / script), f"{fake_server.url}/query", QUESTION, needs=needs)


def test_the_client_of_go_is_answered(fake_server: Server) -> None:
    """Its second body comes in chunks, as of everything whose length Go does not know."""
    assert_answered(str(GO_CLIENT), f"{fake_server.url}/query", QUESTION)


@pytest.mark.parametrize("version", ["--http1.0", "--http1.1", "--http2"])
def test_curl_is_answered(fake_server: Server, version: str) -> None:
    """Whatever version it would like."""
    url = f"{fake_server.url}/query"

    assert_answered(*CURL, version, "-d", QUESTION, url, url)
