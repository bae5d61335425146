"""One of the model services as a child process, as a worker of `bentoml serve` runs it: under uvicorn, on any port."""

import os
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

from load.server import ROOT

READY_TIMEOUT_S: Final = 120


@dataclass(frozen=True, slots=True)
class ModelService:
    """A service that has been started and may be loading its model still."""

    url: str
    process: subprocess.Popen[bytes]

    def wait_until_ready(self) -> None:
        """Raises: httpx.HTTPError: it is not, after two minutes."""
        give_up_at = time.monotonic() + READY_TIMEOUT_S
        while True:
            try:
                httpx.get(f"{self.url}/readyz").raise_for_status()
            except httpx.HTTPError:
                if time.monotonic() > give_up_at:
                    raise
                time.sleep(0.1)
            else:
                return


@contextmanager
def start_service(name: str, folder: Path, environment: Mapping[str, str]) -> Iterator[ModelService]:
    """Yields: one of `batching_variants`, such as `embedder_budget`; its metrics and its log are in the folder."""
    metrics = folder / "metrics"
    metrics.mkdir(parents=True)
    ours = {"PROMETHEUS_MULTIPROC_DIR": str(metrics), "RAG_GENERATOR_MODEL": "fake:"}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    app = f"load.bench.batching_variants:open_{name}"
    command = ["-m", "uvicorn", "--factory", app, "--port", str(port), "--no-access-log", "--log-level", "warning"]
    with (folder / "service.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603  # our own command
            [sys.executable, *command],
            cwd=ROOT,
            env={**os.environ, **ours, **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield ModelService(f"http://127.0.0.1:{port}", process)
    finally:
        process.terminate()
        process.wait()
