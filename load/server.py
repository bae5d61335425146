"""A real server as a child process: `bentoml serve` on a free port, for the evaluation, the benches and the tests."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from load.processes import find_free_port, running, wait_until_ready

# As the Makefile has them, for who calls without it.
SERVING: Final = {
    "BENTOML_DO_NOT_TRACK": "True",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
}
# A quota would answer for the service, and say when an answer comes, not which.
UNLIMITED: Final = {"RAG_RATE_LIMIT_REQUESTS": "1000000000", "RAG_RATE_LIMIT_TOKENS": "1000000000000"}
FAKE_MODELS: Final = {
    "RAG_EMBEDDER_MODEL": "fake:",
    "RAG_RERANKER_MODEL": "fake:",
    "RAG_GENERATOR_MODEL": "fake:",
}


@dataclass(frozen=True, slots=True)
class Server:
    """A server that may be loading its models still; its log is what it and its services write to stdout and stderr."""

    url: str
    log_path: Path
    process: subprocess.Popen[bytes]


@contextmanager
def running_server(
    folder: Path,
    environment: Mapping[str, str],
    *,
    service: str = "RagService",
    ready_path: str = "/ready",
    port: int | None = None,
) -> Iterator[Server]:
    """Yields: the server, once `ready_path` answers well; on a free port if none is given.

    `folder` is the server's own: it holds the log, and the BENTOML_HOME, because a starting server clears the metrics
    of every other one that shares it. The models are those of the environment's BENTOML_HOME, else the user's.

    Raises: ServerError: it ended, or was not ready in time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port, log_path = port or find_free_port(), folder / "server.log"
    command = [sys.executable, "-m", "bentoml", "serve", f"service:{service}", "--host", "127.0.0.1"]
    ours = {**environment, "BENTOML_HOME": str(_make_home(folder, environment.get("BENTOML_HOME")))}
    with running([*command, "--port", str(port)], environment=ours, log_path=log_path) as process:
        server = Server(f"http://127.0.0.1:{port}", log_path, process)
        wait_until_ready(server.url + ready_path, process, log_path)
        yield server


def _make_home(folder: Path, shared: str | None) -> Path:
    home = (folder / "bentoml").resolve()
    home.mkdir(exist_ok=True)
    models = home / "models"
    if shared is not None and not models.exists():
        models.symlink_to(Path(shared).resolve() / "models")
    return home
