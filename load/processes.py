"""Run servers as child processes: start them on a free port, wait for them, and end them and their children."""

import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import httpx
import psutil

ROOT: Final = Path(__file__).resolve().parents[1]
READY_TIMEOUT_S: Final = 300
STOP_TIMEOUT_S: Final = 60
_POLL_S: Final = 0.2
_ANSWER_TIMEOUT_S: Final = 5.0
_SHOWN_LOG_LINES: Final = 20


class ServerError(Exception):
    """The server did not become ready; the message ends with the last lines of its log."""


@contextmanager
def running(
    command: Sequence[str], *, environment: Mapping[str, str], log_path: Path, folder: Path = ROOT
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process in a folder during the block; it may not be ready yet. Its stdout and stderr go to the log."""
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with log_path.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own command
            command,
            cwd=folder,
            env=dict(environment),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches only us, and we stop the process in order
        )
    try:
        yield process
    finally:
        _stop(process)


def find_free_port() -> int:
    """Return a TCP port on the loopback interface that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_ready(url: str, process: subprocess.Popen[bytes], log_path: Path) -> None:
    """Wait until the URL answers successfully.

    Raises: ServerError: the process ended, or was not ready in time.
    """
    give_up_at = time.monotonic() + READY_TIMEOUT_S
    with httpx.Client(timeout=_ANSWER_TIMEOUT_S) as client:
        while not _is_ready(client, url):
            if process.poll() is not None:
                raise ServerError(f"the server ended with status {process.returncode}\n{_tail(log_path)}")
            if time.monotonic() > give_up_at:
                raise ServerError(f"the server was not ready within {READY_TIMEOUT_S} s\n{_tail(log_path)}")
            time.sleep(_POLL_S)


def find_family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Return the process and all its descendants; an empty list if it has ended."""
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(process.pid)
        return [root, *root.children(recursive=True)]
    return []


@contextmanager
def paused(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Suspend a process and all its descendants during the block."""
    family = find_family(process)
    for each in family:
        each.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for each in reversed(family):
            with suppress(psutil.NoSuchProcess):
                each.send_signal(signal.SIGCONT)


def _is_ready(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(url).is_success
    except httpx.TransportError:
        return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Stop the process with SIGTERM if possible, else kill it; then kill the remaining descendants one by one.

    They have lost their parent and are in sessions of their own, so one signal cannot reach them all.
    """
    started = find_family(process)[1:]
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for left in started:
        if left.is_running():  # psutil compares start times, because another process may have the pid by now
            left.kill()


def _tail(log_path: Path) -> str:
    return "\n".join(log_path.read_text("utf-8", "replace").splitlines()[-_SHOWN_LOG_LINES:])
