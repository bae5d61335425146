"""Texts a second of our Embedder over those of each peer, cell by cell."""

import asyncio
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from load.bench.driving import drive, verdict
from load.peers.cells import CELLS, Cell, Texts, Wire, write_bodies
from load.peers.plan import Plan
from load.peers.ratios import Ratios, print_table, take_turns
from load.peers.starting import EMBEDDER, Contestant, alone, running_embedders
from load.processes import find_family
from load.server import Server
from rag.config.settings import Settings
from rag.ports import Vectors

GOAL: Final = 1.3
# The least cosine of the same text's vectors, ours in 8 bits and theirs in bfloat16: else something else was computed.
ALIKE: Final = 0.98
PATIENCE_S: Final = 600.0
READINGS: Final[Mapping[str, Callable[["Pace"], float]]] = {
    "texts/s": lambda pace: pace.by_clock,
    "texts/s of CPU": lambda pace: pace.by_cpu,
}
WARM_UP: Final = Cell("short", 8, 1)


class UnlikeError(Exception):
    """A peer's vectors are none of this model's."""


@dataclass(frozen=True, slots=True)
class Pace:
    """One round of one server: texts a second by the clock, and by the CPU time of the server's processes."""

    by_clock: float
    by_cpu: float


@dataclass(slots=True)
class Measured:
    """The rounds of each server, by cell."""

    paces: dict[Cell, dict[str, list[Pace]]] = field(default_factory=dict)

    def note(self, cell: Cell, name: str, pace: Pace) -> None:
        """Add a round."""
        self.paces.setdefault(cell, {}).setdefault(name, []).append(pace)

    def list_rows(self, read: Callable[[Pace], float]) -> list[list[str]]:
        """Return the rows: the cell, ours per second, the ratio to each peer, whether all reach the goal."""
        rows = []
        for cell, told in self.paces.items():
            ours = list(map(read, told[EMBEDDER]))
            ratios = [Ratios.of(ours, list(map(read, theirs))) for name, theirs in told.items() if name != EMBEDDER]
            reached = verdict(min(each.median for each in ratios) >= GOAL)
            rows.append([str(cell), f"{statistics.median(ours):.0f}", *map(str, ratios), reached])
        return rows


def print_embedding(settings: Settings, told: Plan) -> None:
    """Measure and print the table in Markdown.

    Raises: ServerError: a server did not become ready; UnlikeError: one embeds otherwise.
    """
    cells = [cell for cell in CELLS if cell.clients * cell.batch <= told.most_texts]
    with tempfile.TemporaryDirectory() as folder, running_embedders(Path(folder), settings, told.dtype) as servers:
        measured = asyncio.run(measure(servers, told.rounds, cells))
        peers = [name for name in servers if name != EMBEDDER]
    for unit, read in READINGS.items():
        columns = ["texts, clients", f"ours, {unit}", *peers, f"all ≥ {GOAL}"]
        print_table([columns, *measured.list_rows(read)])


async def measure(servers: Mapping[str, Contestant], rounds: int, cells: Sequence[Cell]) -> Measured:
    """Measure all cells, one round after the other; within a cell the servers take turns on the same texts."""
    measured, texts, names = Measured(), Texts(), list(servers)
    processes = {name: each.server for name, each in servers.items()}
    requests = texts.deal(WARM_UP)
    vectors = {}
    for name, each in servers.items():
        with alone(name, processes):
            vectors[name] = (await _ask(each, WARM_UP, requests))[1]
    check_alike(vectors)
    for number in range(rounds):
        for cell in cells:
            requests = texts.deal(cell)
            for name in take_turns(names, number):
                with alone(name, processes):
                    pace, _ = await _ask(servers[name], cell, requests)
                measured.note(cell, name, pace)
                print(f"round {number + 1}, {cell}: {name} {pace.by_clock:.1f} texts/s", file=sys.stderr, flush=True)
    return measured


async def _ask(each: Contestant, cell: Cell, requests: Sequence[Sequence[str]]) -> tuple[Pace, Vectors]:
    """Return how fast it was, and the vectors of the first request."""
    url, bodies = each.server.url + each.wire.path, write_bodies(each.wire, requests)
    before_s, texts = read_cpu_s(each.server), sum(map(len, requests))
    told = await drive(url, bodies, callers=cell.clients, patience_s=PATIENCE_S, keep=1)
    pace = Pace(texts / told.wall_s, texts / (read_cpu_s(each.server) - before_s))
    return pace, read_vectors(each.wire, told.kept[0])


def read_cpu_s(server: Server) -> float:
    """Return the CPU seconds of the server's processes so far."""
    times = [process.cpu_times() for process in find_family(server.process)]
    return float(sum(each.user + each.system for each in times))


def read_vectors(wire: Wire, body: bytes) -> Vectors:
    """Return the vectors of an answer, of unit length."""
    vectors = np.asarray(wire.read(json.loads(body)), dtype=np.float32)
    unit: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def check_alike(vectors: Mapping[str, Vectors]) -> None:
    """Raises: UnlikeError: one server's vectors are not those of the others."""
    ours = vectors[EMBEDDER]
    for name, theirs in vectors.items():
        cosine = float((ours * theirs).sum(axis=1).min()) if ours.shape == theirs.shape else 0.0
        if cosine < ALIKE:
            raise UnlikeError(f"{name}: the least cosine to our vectors is {cosine:.3f}")
