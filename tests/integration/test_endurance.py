"""The endurance test itself, as short as possible."""

from pathlib import Path

import pytest

from tests.servers import make_environment, run_module

pytestmark = pytest.mark.integration


def test_a_thousand_callers_are_answered_as_they_should_be(tmp_path: Path) -> None:
    """Each kind gets what is right for it, nothing is logged as an error, and what the processes hold is told."""
    out = tmp_path / "endurance.md"

    done = run_module("load.endurance", "--minutes", "0", "--out", str(out), environment=make_environment())

    report = out.read_text("utf-8")
    assert done.returncode == 0, done.stderr + report
    assert "Errors in the log: none." in report
    assert "front: tasks" in report
