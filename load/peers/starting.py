"""Start ours and the peers as child processes, each on a free port and with the same number of threads."""

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from load.peers.cells import OPENAI, OURS, PREFIXED, Wire
from load.peers.weights import write_model
from load.processes import ROOT, find_free_port, paused, running, wait_until_ready
from load.server import SERVING, Server, running_server
from rag.config.settings import Settings
from rag.engines.device import count_cores
from rag.models import locate

PACKAGES: Final = ROOT / ".data" / "tools" / "peers"
PROGRAMS: Final = Path(__file__).parent / "programs"
# Named in the tables.
EMBEDDER: Final = "ours"
DISTRIBUTIONS: Final[Mapping[str, str]] = {
    "infinity": "infinity_emb",
    "LitServe": "litserve",
    "BentoML": "bentoml",
    "Hayhooks": "hayhooks",
}


@dataclass(frozen=True, slots=True)
class Contestant:
    """A running server and how it is asked."""

    server: Server
    wire: Wire


def list_threads() -> dict[str, str]:
    """Return the setting of threads, the same for all: half of the cores, as in the service; clients need some too."""
    return {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(max(1, count_cores() // 2)))}


def make_environment(folder: Path) -> dict[str, str]:
    """Return what a peer's process is told: its own packages and nothing of ours; nothing asks a hub or reports."""
    folder.mkdir(parents=True, exist_ok=True)
    told = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    silent = {"HAYSTACK_TELEMETRY_ENABLED": "False", "INFINITY_ANONYMOUS_USAGE_STATS": "0"}
    own = {"HOME": str(folder), "BENTOML_HOME": str(folder / "bentoml"), "PYTHONPATH": str(PACKAGES)}
    return {**told, **SERVING, **silent, **own, **list_threads()}


def write_command(*words: str | Path) -> list[str]:
    """Return the command of a peer: Python without the environment's packages (-S) and without our folders (-P)."""
    return [sys.executable, "-S", "-P", *map(str, words)]


@contextmanager
def running_peer(
    name: str,
    folder: Path,
    words: Sequence[str | Path],
    *,
    ready: str,
    port: int,
    more: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Run a peer during the block, which starts once it is ready.

    Raises: ServerError: it ended, or was not ready in time.
    """
    environment, log_path = {**make_environment(folder / name), **(more or {})}, folder / name / "server.log"
    with running(write_command(*words), environment=environment, log_path=log_path, folder=PROGRAMS) as process:
        wait_until_ready(f"http://127.0.0.1:{port}{ready}", process, log_path)
        yield Server(f"http://127.0.0.1:{port}", log_path, process)


@contextmanager
def running_embedders(folder: Path, settings: Settings, dtype: str) -> Iterator[dict[str, Contestant]]:
    """Yields: ours first, then each peer, all of them ready.

    Raises: ServerError: one of them ended, or was not ready in time.
    """
    model = str(write_model(locate(settings.embedder_model), folder / "model"))
    ports = {name: find_free_port() for name in ("infinity", "LitServe", "BentoML")}
    scripts = {"infinity": PROGRAMS / "infinity_server.py", "LitServe": PROGRAMS / "litserve_server.py"}
    ours = {**SERVING, **os.environ, **list_threads()}
    with ExitStack() as stack:
        own = running_server(folder / EMBEDDER, ours, service="Embedder", ready_path="/readyz")
        servers = {EMBEDDER: Contestant(stack.enter_context(own), OURS)}
        for name, script in scripts.items():
            words = (script, model, str(ports[name]), dtype)
            peer = running_peer(name, folder, words, ready="/health", port=ports[name])
            servers[name] = Contestant(stack.enter_context(peer), OPENAI if name == "infinity" else PREFIXED)
        served = ("-m", "bentoml", "serve", "bento_service:Embedding", "--host", "127.0.0.1")
        command = (*served, "--port", str(ports["BentoML"]), "--working-dir", str(PROGRAMS))
        more = {"PEER_MODEL": model, "PEER_DTYPE": dtype}
        bento = running_peer("BentoML", folder, command, ready="/readyz", port=ports["BentoML"], more=more)
        servers["BentoML"] = Contestant(stack.enter_context(bento), PREFIXED)
        yield servers


@contextmanager
def alone(name: str, servers: Mapping[str, Server]) -> Iterator[None]:
    """Suspend all but one of the servers during the block, as some of them poll while they idle."""
    with ExitStack() as stack:
        for other, server in servers.items():
            if other != name:
                stack.enter_context(paused(server.process))
        yield


def read_versions() -> dict[str, str]:
    """Return the version of each peer, as its package says."""
    found = {}
    for name, distribution in DISTRIBUTIONS.items():
        (folder,) = PACKAGES.glob(f"{distribution}-*.dist-info")
        found[name] = folder.name.removesuffix(".dist-info").rpartition("-")[2]
    return found


def write_chunks(path: Path, chunks: Sequence[tuple[str, Sequence[float]]]) -> None:
    """Write what Hayhooks finds its passages in: a chunk a line, with its vector."""
    lines = [json.dumps({"content": text, "embedding": list(vector)}) for text, vector in chunks]
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
