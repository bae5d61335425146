"""A search needs the models that rank, and no generator: neither one that loads nor one that is down keeps it back."""

import asyncio
from pathlib import Path

import pytest

from rag.api.readiness import DependencyWatch, Probe
from rag.config.environment import load_settings
from rag.errors import NotReady
from rag.front import Front
from schemas.response import DependencyState
from tests.fakes import make_pipeline, probe_ok

FAKE = {"RAG_EMBEDDER_MODEL": "fake:", "RAG_RERANKER_MODEL": "fake:", "RAG_GENERATOR_MODEL": "fake:"}
OURS = ["embedder", "reranker", "generator"]


class Down:
    """A dependency that is not there, and knows when it was asked."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def __call__(self, trace_id: str | None) -> DependencyState:
        self.asked.set()
        return "unreachable"


def make_front(folder: Path, **probes: Probe) -> Front:
    front = Front(load_settings({**FAKE, "RAG_INDEX_DIR": str(folder)}))
    front._probes.update({**dict.fromkeys(OURS, probe_ok), **probes})
    return front


async def test_searches_begin_while_the_generator_loads(tmp_path: Path) -> None:
    """A large model takes minutes; queries have to wait for it."""
    generator = Down()
    front = make_front(tmp_path, generator=generator)
    pipeline = make_pipeline()
    opening = asyncio.create_task(front._open_when_loaded(pipeline, pipeline, OURS))
    await generator.asked.wait()

    assert front._ready_search_pipeline() is pipeline
    with pytest.raises(NotReady):
        front._ready_pipeline()
    opening.cancel()
    await asyncio.gather(opening, return_exceptions=True)


@pytest.mark.parametrize(("name", "is_searched"), [("generator", True), ("embedder", False), ("reranker", False)])
async def test_only_what_a_search_needs_stops_it(tmp_path: Path, name: str, is_searched: bool) -> None:
    """Any of the three stops queries."""
    front = make_front(tmp_path)
    pipeline = make_pipeline()
    await front._open_when_loaded(pipeline, pipeline, OURS)
    front._watch = DependencyWatch({**dict.fromkeys(OURS, probe_ok), name: Down()})
    await front._watch.look()

    with pytest.raises(NotReady):
        front._ready_pipeline()
    if is_searched:
        assert front._ready_search_pipeline() is pipeline
    else:
        with pytest.raises(NotReady):
            front._ready_search_pipeline()
