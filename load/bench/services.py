"""Model services as child processes, as workers of `bentoml serve` run them: their apps under uvicorn."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from load.processes import find_free_port, running, wait_until_ready
from load.server import Server


@contextmanager
def running_services(
    folder: Path, variants: Mapping[str, str], environments: Mapping[str, Mapping[str, str]]
) -> Iterator[dict[str, Server]]:
    """Yields: a server by each name, all of them ready; their metrics and logs are in the folder.

    `variants` are those of `batching_variants`, such as `embedder_budget`; `environments` add settings to them.
    """
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(_start(variant, folder / str(number), environments.get(name, {})))
            for number, (name, variant) in enumerate(variants.items())
        }
        for each in servers.values():
            wait_until_ready(f"{each.url}/readyz", each.process, each.log_path)
        yield servers


@contextmanager
def _start(variant: str, folder: Path, environment: Mapping[str, str]) -> Iterator[Server]:
    metrics = folder / "metrics"
    metrics.mkdir(parents=True)
    ours = {"PROMETHEUS_MULTIPROC_DIR": str(metrics), "RAG_GENERATOR_MODEL": "fake:"}
    port, log_path = find_free_port(), folder / "service.log"
    app = f"load.bench.batching_variants:open_{variant}"
    command = ["-m", "uvicorn", "--factory", app, "--port", str(port), "--no-access-log", "--log-level", "warning"]
    started = running([sys.executable, *command], environment={**os.environ, **ours, **environment}, log_path=log_path)
    with started as process:
        yield Server(f"http://127.0.0.1:{port}", log_path, process)
