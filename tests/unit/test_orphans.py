"""Workers that outlive their supervisor end by themselves: fronts at once, those behind them after the fronts."""

import fcntl
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rag.serving.orphans import POLL_S, VARIABLE

FRONT = "stop_front_when_orphaned({environment})"
SERVICE = "stop_service_when_orphaned({environment}, wait_s={wait_s})"
ENDS_WITHIN_S = 60


@contextmanager
def running_orphan(call: str, folder: Path, wait_s: float = 0) -> Iterator["subprocess.Popen[bytes]"]:
    """A worker whose supervisor is not its parent, or no longer."""
    told = call.format(environment={VARIABLE: f"0 {folder}"}, wait_s=wait_s)
    code = f"import sys\nfrom rag.serving.orphans import *\n{told}\nprint(flush=True)\nsys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


def test_a_front_is_told_to_stop(tmp_path: Path) -> None:
    """By the signal that makes it drain."""
    with running_orphan(FRONT, tmp_path) as front:
        assert front.wait(ENDS_WITHIN_S) == -signal.SIGTERM


def test_a_service_waits_until_the_fronts_have_ended(tmp_path: Path) -> None:
    """What a front has begun it brings to its end, and for that it calls the services."""
    with (tmp_path / "fronts").open("ab") as fronts:
        fcntl.flock(fronts, fcntl.LOCK_SH)
        with running_orphan(SERVICE, tmp_path, wait_s=ENDS_WITHIN_S) as service:
            with pytest.raises(subprocess.TimeoutExpired):
                service.wait(4 * POLL_S)
            fcntl.flock(fronts, fcntl.LOCK_UN)

            assert service.wait(ENDS_WITHIN_S) == -signal.SIGTERM


def test_a_service_does_not_wait_for_ever(tmp_path: Path) -> None:
    """A front may hang."""
    with (tmp_path / "fronts").open("ab") as fronts:
        fcntl.flock(fronts, fcntl.LOCK_SH)
        with running_orphan(SERVICE, tmp_path, wait_s=POLL_S) as service:
            assert service.wait(ENDS_WITHIN_S) == -signal.SIGTERM
