"""What a worker does whose supervisor was killed: it stops by itself, in the order in which it would have been stopped.

Left alone it goes on for ever: the front holds the port, so a new server cannot start, and nobody would start again
what dies. The kernel's own signal for it (PR_SET_PDEATHSIG) reaches all workers at once; those behind the front have to
wait until it has drained.
"""

import fcntl
import os
import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, Final

# How a worker learns of its supervisor: `<process id> <folder>`.
VARIABLE: Final = "BENTO_SUPERVISOR"
POLL_S: Final = 0.5
_FRONTS: Final = "fronts"
# Open until the process ends: a file that nothing refers to is closed, and its lock is gone.
_HELD: Final[list[BinaryIO]] = []


def name_supervisor(folder: str) -> dict[str, str]:
    """What this process, the supervisor, puts into its workers' environment; the folder is its user's alone."""
    return {VARIABLE: f"{os.getpid()} {folder}"}


def stop_front_when_orphaned(environment: Mapping[str, str]) -> None:
    """Gives this front a SIGTERM once its supervisor is gone; until it has ended, the services behind it wait."""
    if VARIABLE in environment:
        pid, folder = _read(environment)
        fronts = _open(folder)
        _HELD.append(fronts)
        fcntl.flock(fronts, fcntl.LOCK_SH)  # the kernel lets go of it when the process ends, however it ends
        _start(pid, fronts, wait_s=0)


def stop_service_when_orphaned(environment: Mapping[str, str], *, wait_s: float) -> None:
    """The same for a service that fronts call: once they have ended, or `wait_s` later."""
    if VARIABLE in environment:
        pid, folder = _read(environment)
        _start(pid, _open(folder), wait_s=wait_s)


def _read(environment: Mapping[str, str]) -> tuple[int, Path]:
    pid, _, folder = environment[VARIABLE].partition(" ")
    return int(pid), Path(folder)


def _open(folder: Path) -> BinaryIO:
    folder.mkdir(0o700, exist_ok=True)  # the supervisor may have died, and removed it, already
    return (folder / _FRONTS).open("ab")


def _start(pid: int, fronts: BinaryIO, *, wait_s: float) -> None:
    threading.Thread(target=_watch, args=(pid, fronts, wait_s), name="supervisor", daemon=True).start()


def _watch(pid: int, fronts: BinaryIO, wait_s: float) -> None:
    while os.getppid() == pid:
        time.sleep(POLL_S)
    give_up_at = time.monotonic() + wait_s
    while time.monotonic() < give_up_at and not _is_free(fronts):
        time.sleep(POLL_S)
    # With what it has started, such as vLLM's engine; circus makes each worker the first of a group.
    if os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGTERM)
    else:
        os.kill(os.getpid(), signal.SIGTERM)


def _is_free(fronts: BinaryIO) -> bool:
    try:
        fcntl.flock(fronts, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(fronts, fcntl.LOCK_UN)
    return True
