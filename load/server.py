"""A real server as a child process: `bentoml serve` on a free port, waited for, and ended with all that it started.

For the evaluation and for the integration tests.
"""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Server:
    """A server that was ready once; its log is what it and its services wrote to stdout and stderr."""

    url: str
    log_path: Path
    process: subprocess.Popen[bytes]


@contextmanager
def running_server(
    folder: Path, environment: Mapping[str, str], *, service: str = "RagService", ready_path: str = "/ready"
) -> Iterator[Server]:
    """Yields: the server, once `ready_path` answers well.

    `folder` is the server's own: its log stands there, and its BENTOML_HOME, because a starting server wipes the
    metrics of whoever shares it. The models are those of the BENTOML_HOME in the environment.

    Raises: ServerError: it ended, or was not ready in time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port, log_path = _find_free_port(), folder / "server.log"
    command = [sys.executable, "-m", "bentoml", "serve", f"service:{service}", "--host", "127.0.0.1"]
    with log_path.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own command
            [*command, "--port", str(port)],
            cwd=ROOT,
            env={**environment, "BENTOML_HOME": str(_make_home(folder, environment))},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches us alone, and we end it in order
        )
    server = Server(f"http://127.0.0.1:{port}", log_path, process)
    try:
        _wait_until_ready(server, ready_path)
        yield server
    finally:
        _stop(process)


def _make_home(folder: Path, environment: Mapping[str, str]) -> Path:
    home = (folder / "bentoml").resolve()
    home.mkdir(exist_ok=True)
    models = home / "models"
    if not models.exists():
        models.symlink_to(Path(environment["BENTOML_HOME"]).resolve() / "models")
    return home


def _find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(server: Server, ready_path: str) -> None:
    give_up_at = time.monotonic() + READY_TIMEOUT_S
    with httpx.Client(base_url=server.url, timeout=_ANSWER_TIMEOUT_S) as client:
        while not _is_ready(client, ready_path):
            if server.process.poll() is not None:
                raise ServerError(f"the server ended with status {server.process.returncode}\n{_tail(server.log_path)}")
            if time.monotonic() > give_up_at:
                raise ServerError(f"the server was not ready within {READY_TIMEOUT_S} s\n{_tail(server.log_path)}")
            time.sleep(_POLL_S)


def _is_ready(client: httpx.Client, path: str) -> bool:
    try:
        return client.get(path).is_success
    except httpx.TransportError:
        return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    """In order if it can be; what is left after that has lost its parent, and each is in a session of its own."""
    started = _descendants(process.pid)
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for left in started:
        if left.is_running():  # psutil compares start times: another process may have the number by now
            left.kill()


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def _tail(log_path: Path) -> str:
    return "\n".join(log_path.read_text("utf-8", "replace").splitlines()[-_SHOWN_LOG_LINES:])
