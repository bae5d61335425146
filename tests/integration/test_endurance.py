"""The endurance run itself, as short as it can be, and those faults that a service could end by."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from load.endurance.callers import NO_ANSWER
from load.endurance.faults import (
    Fault,
    failing_over,
    fill_index,
    fill_metrics,
    fill_metrics_and_kill_front,
    kill_supervisor,
    observe,
)
from load.endurance.scene import Stage, running_stage
from load.small_disk import NoSmallDiskError
from tests.servers import make_environment, run_module

pytestmark = pytest.mark.integration

# What it hits, and what callers may get beside the answers that are right at any time.
FAULTS: Final[Mapping[str, tuple[Stage, Fault, set[int]]]] = {
    "failover": ("usual", failing_over(cuts=False), {503, 504}),
    "index disk": ("small index", fill_index, {503}),
    "metrics disk": ("small metrics", fill_metrics, {503}),
    "metrics disk, new front": ("small metrics", fill_metrics_and_kill_front, {503, 504, NO_ANSWER}),
    "supervisor": ("usual", kill_supervisor, {503, 504, NO_ANSWER}),
}
RIGHT: Final = {200, 400, 401, 404, 413, 422, 431}


def test_a_thousand_callers_are_answered_as_they_should_be(tmp_path: Path) -> None:
    """Each kind gets what is right for it, nothing is logged as an error, and what the processes hold is told."""
    out = tmp_path / "endurance.md"

    done = run_module("load.endurance", "--minutes", "0", "--out", str(out), environment=make_environment())

    report = out.read_text("utf-8")
    assert done.returncode == 0, done.stderr + report
    assert "Errors in the log: none." in report
    assert "front: tasks" in report


@pytest.mark.parametrize("name", FAULTS)
def test_what_breaks_is_survived(name: str, tmp_path: Path) -> None:
    """Whatever the fault, callers are told nothing that the contract does not have for it, and all is well again."""
    stage, fault, beside = FAULTS[name]
    try:
        with running_stage(tmp_path, stage) as scene:
            observed = asyncio.run(observe(scene, fault))
    except NoSmallDiskError as error:
        pytest.skip(str(error))

    assert observed.answers.keys() <= RIGHT | beside
    assert observed.well_after_s is not None
    assert not observed.errors
