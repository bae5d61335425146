"""Many streams, half of them abandoned at any time: afterwards nothing is held and nothing has grown."""

import random
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Final

import httpx
import psutil
import pytest

from load.server import Server, running_server
from tests.integration.asking import CLIENT_TIMEOUT_S, Rag, make_trace_id, read_stream, wait_for
from tests.scripted_model import SILENCE, Reply, ScriptedModel, breaks_off
from tests.servers import FAKE_MODELS, PATIENT, UNLIMITED, ingest, make_environment

pytestmark = pytest.mark.integration

STREAMS: Final = 500
CLIENTS: Final = 12
QUESTION: Final = "Where do visitors park?"
SENTENCE: Final = "Visitors park behind the north building [S1]. Sick leave needs"
# Of a process of 200 MB. BentoML alone kept 5 KB of every request for as long as its timeout.
GROWTH_MAX_BYTES: Final = 8 << 20


@pytest.fixture(scope="module")
def model() -> Iterator[ScriptedModel]:
    """This server's alone: its open connections are counted."""
    with ScriptedModel().running() as running:
        yield running


@pytest.fixture(scope="module")
def soaked_server(place: Path, model: ScriptedModel) -> Iterator[Server]:
    """Fake models and a generator that a test scripts; as many places as there are clients."""
    settings = {**FAKE_MODELS, **PATIENT, **UNLIMITED, "RAG_MAX_CONCURRENT_REQUESTS": str(CLIENTS)}
    environment = make_environment(RAG_GENERATOR_URL=model.url, RAG_INDEX_DIR=str(place / "soak-index"), **settings)
    (place / "soak.txt").write_text(f"{QUESTION} Visitors park behind the north building.", "utf-8")
    ingest(place / "soak.txt", environment=environment)
    with running_server(place / "soaked", environment) as server:
        yield server


def ask_and_stay(rag: Rag) -> None:
    assert read_stream(rag.stream(QUESTION))[0]


def ask_and_leave(rag: Rag, model: ScriptedModel, chance: random.Random) -> None:
    """Leaves before the first event, or after as many as it happens to read; the generator would go on for ever."""
    trace_id = make_trace_id()
    if chance.random() < 0.3:
        model.script(trace_id, Reply(SILENCE))
        with pytest.raises(httpx.ReadTimeout):
            rag.http.post(
                "/query",
                json={"question": QUESTION},
                headers={"x-trace-id": trace_id},
                timeout=chance.uniform(0.01, 0.3),
            )
        return
    model.script(trace_id, breaks_off(SENTENCE, then="hang"))
    with rag.open_stream(QUESTION, trace_id) as events:
        list(islice(events, chance.randint(0, 3)))


def run_streams(server: Server, model: ScriptedModel, *, seed: int) -> None:
    with httpx.Client(
        base_url=server.url, timeout=CLIENT_TIMEOUT_S, limits=httpx.Limits(max_connections=CLIENTS)
    ) as client:
        rag = Rag(client, server.log_path)

        def run(number: int) -> None:
            if number % 2:
                ask_and_leave(rag, model, random.Random(seed + number))
            else:
                ask_and_stay(rag)

        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(run, range(STREAMS // 2)))


def places_taken(server: Server) -> float:
    """As `/metrics` has it; it needs no place itself."""
    found = re.findall(r"^rag_queries_running(?:\{.*\})? ([0-9.e+]+)$", httpx.get(f"{server.url}/metrics").text, re.M)
    assert found
    return sum(map(float, found))


def front_memory_bytes(server: Server) -> int:
    """What the serving process holds for itself."""
    workers = psutil.Process(server.process.pid).children(recursive=True)
    return max(int(worker.memory_full_info().uss) for worker in workers)


def test_half_abandoned_streams_leave_nothing_behind(soaked_server: Server, model: ScriptedModel) -> None:
    """500 streams in two halves: no place taken, no connection to the generator open, no more memory than before."""
    run_streams(soaked_server, model, seed=1)
    before_bytes = front_memory_bytes(soaked_server)
    run_streams(soaked_server, model, seed=2)

    wait_for(lambda: not model.replying, within_s=10)
    wait_for(lambda: not places_taken(soaked_server), within_s=10)
    assert front_memory_bytes(soaked_server) - before_bytes < GROWTH_MAX_BYTES
    lines = [line for line in soaked_server.log_path.read_text("utf-8").splitlines() if '"route": "/query' in line]
    assert len(lines) == STREAMS
    assert sum('"query_cancelled"' in line for line in lines) == STREAMS // 2
