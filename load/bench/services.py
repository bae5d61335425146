"""Run a model service as a child process like a worker of `bentoml serve`: its app under uvicorn."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from load.processes import find_free_port, running
from load.server import Server


@contextmanager
def start_service(name: str, folder: Path, environment: Mapping[str, str]) -> Iterator[Server]:
    """Run one of `batching_variants`, such as `embedder_budget`, during the block; it may still be loading its model.

    Its metrics and its log go into the folder.
    """
    metrics = folder / "metrics"
    metrics.mkdir(parents=True)
    ours = {"PROMETHEUS_MULTIPROC_DIR": str(metrics), "RAG_GENERATOR_MODEL": "fake:"}
    port, log_path = find_free_port(), folder / "service.log"
    app = f"load.bench.batching_variants:open_{name}"
    command = ["-m", "uvicorn", "--factory", app, "--port", str(port), "--no-access-log", "--log-level", "warning"]
    started = running([sys.executable, *command], environment={**os.environ, **ours, **environment}, log_path=log_path)
    with started as process:
        yield Server(f"http://127.0.0.1:{port}", log_path, process)
