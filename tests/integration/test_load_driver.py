"""The load driver as a command, against a real server on fake models that it starts itself."""

import json
from pathlib import Path

import pytest

from load.driver.outcome import Ending
from load.driver.record import read_session
from tests.servers import PATIENT, make_environment, run_module

pytestmark = pytest.mark.integration


def test_one_command_leaves_a_report(tmp_path: Path) -> None:
    """A server is started, driven and ended; two files stay, and their figures are those of real answers."""
    command = ["load.driver", "--fake", "--scenario", "mixed,tenants", "--rate", "10", "--duration", "2"]

    environment = make_environment(**PATIENT, RAG_MAX_CONCURRENT_REQUESTS="64")

    done = run_module(*command, "--out", str(tmp_path), environment=environment)

    assert done.returncode == 0, done.stderr
    session = read_session(tmp_path / "report.json")
    first, second = session.summarize()
    assert [run.title for run in session.runs] == ["mixed, 10/s", "tenants, 10/s"]
    assert first.share(Ending.OK, Ending.ABANDONED) == 1, done.stdout
    assert second.share(Ending.OK) == 1, done.stdout
    assert second.output_tokens_per_s
    assert second.answers_without_usage == 0
    assert second.stages_ms.keys() == {"retrieval", "rerank", "generation", "verification", "total"}
    assert second.rss_peak_bytes
    assert session.server["runtime"]
    assert (tmp_path / "report.html").read_text("utf-8").startswith("<!doctype html>")
    assert json.loads((tmp_path / "report.json").read_text("utf-8"))["settings"]["RAG_GENERATOR_MODEL"] == "fake:"
    assert "driver late, p99, ms" in done.stdout
