"""Run a real server (`bentoml serve`) as a child process, for the evaluation, the benchmarks and the tests."""

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
    """A server, which may still be loading; the log has the stdout and stderr of the server and its services."""

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
    """Run a server during the block, which starts once `ready_path` answers; on a free port if none is given.

    Each server needs its own `folder` for its log and its BENTOML_HOME, because a starting server deletes the metrics
    of any other with the same home. The models are those of the environment's BENTOML_HOME, else the user's.

    Raises: ServerError: the server ended, or was not ready in time.
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
