"""The short clients of `examples/`, as a reader runs them, against a server with keys and one without documents."""

import os
import subprocess
import sys
from typing import Final

import pytest

from load.processes import ROOT
from load.server import Server

pytestmark = pytest.mark.integration

TIMEOUT_S: Final = 60
QUESTION: Final = "How many days of annual leave do full-time staff have?"


def run(script: str, *arguments: str, key: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "ASK_API_KEY"}
    return subprocess.run(
        [sys.executable, f"examples/{script}.py", *arguments],
        cwd=ROOT,
        env=environment | ({"ASK_API_KEY": key} if key else {}),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def test_the_stream_client_prints_the_answer_and_its_sources(guarded_server: Server) -> None:
    """Every marker of the text has its line of a source below it."""
    done = run("stream_client", QUESTION, guarded_server.url, key="reader")

    assert done.returncode == 0, done.stderr
    answer, *sources = done.stdout.splitlines()
    assert "12 days of annual leave" in answer
    assert "[S1]" in answer
    assert sources[0].startswith("[S1] ")
    assert len(sources) == len({line.split()[0] for line in sources})


def test_the_stream_client_tells_of_a_refusal(guarded_server: Server) -> None:
    """Without a key: status 1, and the service's own words."""
    done = run("stream_client", QUESTION, guarded_server.url)

    assert (done.returncode, done.stdout) == (1, "")
    assert "UNAUTHORIZED" in done.stderr


@pytest.mark.parametrize("key", [None, "any"])
def test_the_smoke_test_asks_every_door(fake_server: Server, key: str | None) -> None:
    """A server without documents is a healthy one."""
    done = run("smoke_test", fake_server.url, key=key)

    assert done.returncode == 0, done.stderr
    doors = [line.split()[0] for line in done.stdout.splitlines()]
    assert doors == ["/health", "/ready", "/models/current", "/query", "/query/stream"]


def test_the_smoke_test_fails_where_a_door_is_closed(guarded_server: Server) -> None:
    """Status 1 with path, status and the body, which has the trace id."""
    done = run("smoke_test", guarded_server.url)

    assert done.returncode == 1
    assert "/models/current: 401" in done.stderr
    assert "trace_id" in done.stderr


def test_the_smoke_test_is_short_about_nobody() -> None:
    """One line and no traceback if nothing listens."""
    done = run("smoke_test", "http://127.0.0.1:9")

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
