"""Read the resources that a process of the server holds at one moment."""

import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from load.processes import find_family
from load.server import Server

FRONT: Final = "front"
SUPERVISOR: Final = "supervisor"
_FRONT_COMMAND: Final = "_bentoml_impl.worker.service"
_TOLD_WITHIN_S: Final = 5.0
_POLL_S: Final = 0.01


@dataclass(frozen=True, slots=True)
class Vitals:
    """The resources of one process; `tasks` is the number of asyncio tasks, None if it is unknown."""

    rss_bytes: int
    files: int
    threads: int
    tasks: int | None


def find_front(server: Server) -> psutil.Process:
    """Find the front process of the server.

    Raises: LookupError: there is none at the moment.
    """
    for process in find_family(server.process):
        with suppress(psutil.NoSuchProcess):
            if _FRONT_COMMAND in process.cmdline():
                return process
    raise LookupError("the front is not running")


def read_vitals(process: psutil.Process, folder: Path | None = None) -> Vitals:
    """Read the resources; the process writes its number of tasks to `folder`, if it was started with `hooks`."""
    tasks = _ask_tasks(process, folder) if folder else None
    with process.oneshot():
        return Vitals(process.memory_info().rss, process.num_fds(), process.num_threads(), tasks)


def _ask_tasks(process: psutil.Process, folder: Path) -> int | None:
    told = folder / str(process.pid)
    told.unlink(missing_ok=True)
    process.send_signal(signal.SIGUSR1)
    give_up_at = time.monotonic() + _TOLD_WITHIN_S
    while not told.exists():
        if time.monotonic() > give_up_at:
            return None
        time.sleep(_POLL_S)
    return int(told.read_text("utf-8"))
