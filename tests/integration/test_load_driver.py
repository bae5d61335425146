"""The load driver as a command, against a real server on fake models that it starts itself."""

import json
from pathlib import Path

import pytest

from load.driver.outcome import Ending
from tests.servers import PATIENT, make_environment, run_module

pytestmark = pytest.mark.integration


def test_one_command_leaves_a_report(tmp_path: Path) -> None:
    """A server is started, driven and ended; two files stay, and their figures are those of real answers."""
    command = ["load.driver", "--fake", "--scenario", "mixed,tenants", "--rate", "10", "--duration", "2"]

    environment = make_environment(**PATIENT, RAG_MAX_CONCURRENT_REQUESTS="64")

    done = run_module(*command, "--out", str(tmp_path), environment=environment)

    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert [(run["scenario"], run["rate_per_s"]) for run in told["runs"]] == [("mixed", 10), ("tenants", 10)]
    first, second = (run["summary"] for run in told["runs"])
    assert first["endings"].keys() <= {Ending.OK, Ending.ABANDONED}, done.stdout
    assert second["endings"].keys() == {Ending.OK}, done.stdout
    assert second["output_tokens_per_s"]
    assert second["answers_without_usage"] == 0
    assert second["stages_ms"].keys() == {"retrieval", "rerank", "generation", "verification", "total"}
    assert second["rss_peak_bytes"]
    assert told["server"]["runtime"]
    assert told["settings"]["RAG_GENERATOR_MODEL"] == "fake:"
    assert (tmp_path / "report.html").read_text("utf-8").startswith("<!doctype html>")
    assert "driver late, p99, ms" in done.stdout
