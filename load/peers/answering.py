"""Questions a second of the whole service over those of Hayhooks and a bare proxy; the generator answers at once.

All three have the questions embedded by our Embedder: the service by its own, the others by one beside them.
The service alone searches words, reranks, ranks, checks sentences, cites, limits and logs.
"""

import asyncio
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx

from load.bench.bare_proxy import EMBEDDER, GENERATOR, INDEX_DIR
from load.bench.driving import drive
from load.bench.proxy import Bodies, make_environment, running_generator, running_proxy, time_first_texts
from load.bench.services import running_services
from load.driver.own_server import ingest_examples
from load.peers.cells import CLIENTS
from load.peers.plan import Plan
from load.peers.ratios import Ratios, print_table, take_turns
from load.peers.starting import PROGRAMS, running_peer, write_chunks
from load.processes import find_free_port
from load.server import running_server
from rag.config.settings import Settings
from rag.index.store import IndexStore
from rag.index.version import TenantIndex

SERVICE: Final = "ours"
REQUESTS: Final = {1: 60, 8: 160, 32: 160}
WARM_UP: Final = 48
# Only answers count, as a refusal costs next to nothing.
REFUSED: Final = 503
# Each server has places for all clients, and time for the slowest.
ROOMY: Final = {
    "RAG_MAX_CONCURRENT_REQUESTS": "64",
    "RAG_REQUEST_TIMEOUT_S": "120",
    "RAG_STREAM_TIMEOUT_S": "120",
    "RAG_RETRIEVAL_TIMEOUT_S": "60",
    "RAG_RERANK_TIMEOUT_S": "60",
    "RAG_GENERATION_TIMEOUT_S": "60",
}


@dataclass(frozen=True, slots=True)
class Door:
    """Where a server is asked, and what a client reads with its first text."""

    url: str
    first_text: bytes


@dataclass(slots=True)
class Measured:
    """Questions a second by number of clients and server, for each round; seconds to the first text of one client."""

    per_second: dict[int, dict[str, list[float]]] = field(default_factory=dict)
    first_s: dict[str, list[float]] = field(default_factory=dict)

    def list_rows(self) -> list[list[str]]:
        """Return the table's rows."""
        rows = []
        for clients, told in self.per_second.items():
            ours = told[SERVICE]
            ratios = [str(Ratios.of(ours, theirs)) for name, theirs in told.items() if name != SERVICE]
            rows.append([str(clients), f"{statistics.median(ours):.1f}", *ratios])
        return rows


def print_answering(_: Settings, told: Plan) -> None:
    """Measure and print the table in Markdown.

    Raises: ServerError: a server did not become ready.
    """
    with tempfile.TemporaryDirectory() as folder, running_doors(Path(folder)) as doors:
        measured = asyncio.run(measure(doors, told.rounds))
        peers = [name for name in doors if name != SERVICE]
    print_table([["clients", "ours, questions/s", *peers], *measured.list_rows()])
    firsts = ", ".join(f"{name} {statistics.median(each) * 1000:.0f} ms" for name, each in measured.first_s.items())
    print(f"First text of one client, p50: {firsts}.")


@contextmanager
def running_doors(folder: Path) -> Iterator[dict[str, Door]]:
    """Yields: the service first, then each peer, all of them ready."""
    with ExitStack() as stack:
        generator = stack.enter_context(running_generator(folder))
        environment = {**make_environment(folder, generator), **ROOMY}
        ingest_examples("demo", environment)
        service = stack.enter_context(running_server(folder / "service", environment))
        models = stack.enter_context(running_services(folder / "models", {"embedder": "embedder_budget"}, {}))
        embedder, index = models["embedder"].url, environment["RAG_INDEX_DIR"]
        bare = {EMBEDDER: embedder, GENERATOR: generator, INDEX_DIR: index}
        proxy = stack.enter_context(running_proxy(folder, {**environment, **bare}))
        chunks, port = folder / "chunks.jsonl", find_free_port()
        export_chunks(chunks, Path(index), embedder)
        more = {"PEER_CHUNKS": str(chunks), "PEER_EMBEDDER": f"{embedder}/embed_queries", "PEER_GENERATOR": generator}
        words = (PROGRAMS / "hayhooks_server.py", str(port))
        peer = stack.enter_context(running_peer("Hayhooks", folder, words, ready="/status", port=port, more=more))
        yield {
            SERVICE: Door(f"{service.url}/query/stream", b"event: token"),
            "Hayhooks": Door(f"{peer.url}/answer/run", b"[S1]"),
            "bare proxy": Door(f"{proxy}/query/stream", b'"content"'),
        }


def export_chunks(path: Path, index_dir: Path, embedder: str) -> None:
    """Write the chunks of the index with their vectors, as the Embedder makes them."""
    index = IndexStore(index_dir).read("demo", TenantIndex)
    assert index is not None, "the documents were ingested before"
    texts = [chunk.text for chunk in index.chunks(range(len(index.chunk_file)))]
    told = httpx.post(f"{embedder}/embed", json={"texts": texts}, timeout=120)
    write_chunks(path, list(zip(texts, told.raise_for_status().json(), strict=True)))


async def measure(doors: Mapping[str, Door], rounds: int) -> Measured:
    """Measure all numbers of clients, one round after the other; within one the servers take turns."""
    measured, bodies, names = Measured(), Bodies(), list(doors)
    for door in doors.values():
        await drive(door.url, bodies.deal(WARM_UP), callers=8)
    for number in range(rounds):
        for clients in CLIENTS:
            for name in take_turns(names, number):
                await _measure_one(measured, name, doors[name], clients, bodies.deal(REQUESTS[clients]))
    return measured


async def _measure_one(measured: Measured, name: str, door: Door, clients: int, bodies: Sequence[bytes]) -> None:
    told = await drive(door.url, bodies, callers=clients, allowed=(REFUSED,), keep=len(bodies))
    strange = next((body for body in told.kept.values() if door.first_text not in body), None)
    if strange is not None:
        raise ValueError(f"{name} answered without {door.first_text!r}: {json.dumps(strange.decode()[:200])}")
    answered, refused = len(told.answered_s), told.statuses.count(REFUSED)
    measured.per_second.setdefault(clients, {}).setdefault(name, []).append(answered / told.wall_s)
    line = f"{clients} clients: {name} {answered / told.wall_s:.1f} questions/s, {refused} refused"
    print(line, file=sys.stderr, flush=True)
    if clients == 1:
        measured.first_s.setdefault(name, []).extend(await time_first_texts(door.url, bodies[:20], door.first_text))
