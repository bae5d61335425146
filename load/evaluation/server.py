"""A real server for the questions: `bentoml serve` as a child process, on a free port, ended with the block."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import httpx

ROOT: Final = Path(__file__).resolve().parents[2]
READY_TIMEOUT_S: Final = 180
STOP_TIMEOUT_S: Final = 60
_POLL_S: Final = 1.0
_SHOWN_LOG_LINES: Final = 20
# A quota says when an answer comes, not which; here it would only stretch the run.
UNLIMITED: Final = {"RAG_RATE_LIMIT_REQUESTS": "1000000000", "RAG_RATE_LIMIT_TOKENS": "1000000000000"}


class ServerError(Exception):
    """The server did not become ready; the message ends with the last lines of its log."""


@asynccontextmanager
async def serving(index_dir: Path, log_path: Path, environment: Mapping[str, str]) -> AsyncIterator[str]:
    """Yields: the base URL of a server that answers from this index directory, once it is ready.

    Raises: ServerError: it ended, or was not ready in time.
    """
    port = _find_free_port()
    command = [sys.executable, "-m", "bentoml", "serve", "service:RagService", "--host", "127.0.0.1"]
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with log_path.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603, ASYNC220 - our own command; starting it takes no time
            [*command, "--port", str(port)],
            cwd=ROOT,
            env={**environment, **UNLIMITED, "RAG_INDEX_DIR": str(index_dir)},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a group of its own: Ctrl-C reaches us alone, and we end it in order
        )
    try:
        url = f"http://127.0.0.1:{port}"
        await _wait_until_ready(url, process, log_path)
        yield url
    finally:
        await asyncio.to_thread(_stop, process)


def _find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log_path: Path) -> None:
    try:
        async with asyncio.timeout(READY_TIMEOUT_S), httpx.AsyncClient(base_url=url) as client:
            while not await _is_ready(client):
                if process.poll() is not None:
                    raise ServerError(f"the server ended with status {process.returncode}\n{_tail(log_path)}")
                await asyncio.sleep(_POLL_S)
    except TimeoutError as error:
        raise ServerError(f"the server was not ready within {READY_TIMEOUT_S} s\n{_tail(log_path)}") from error


async def _is_ready(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/ready")).is_success
    except httpx.TransportError:
        return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        # Its models' processes would outlive it; they are all in the group that it leads.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _tail(log_path: Path) -> str:
    return "\n".join(log_path.read_text("utf-8", "replace").splitlines()[-_SHOWN_LOG_LINES:])
