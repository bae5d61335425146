"""Graphs of neighbours: what is carried from one version to the next, and what is searched alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rag.index.dense import DenseIndex, DensePlan, build_dense
from rag.index.graphs import Carried
from rag.index.manifest import BrokenIndexError
from rag.index.store import IndexStore
from rag.index.version import TenantIndex
from rag.ports import Vectors
from tests.unit.index_fakes import change, embed

GRAPHS = DensePlan(exact_max_chunks=1_000)


def clusters(seed: int, count: int = 60, size: int = 40, dimension: int = 24) -> Vectors:
    random = np.random.default_rng(seed)
    centres = random.standard_normal((count, 1, dimension))
    rows = (centres + 0.3 * random.standard_normal((count, size, dimension))).reshape(-1, dimension)
    unit: Vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit


def nearest(rows: Vectors, query: Vectors, k: int) -> set[int]:
    return set(np.argsort(-(rows @ query))[:k].tolist())


def build(rows: Vectors, path: Path, plan: DensePlan) -> DenseIndex:
    assert build_dense(rows, path, plan).kind == "hnsw"
    return DenseIndex.load(path)


def recall(index: DenseIndex, rows: Vectors) -> float:
    found = [len({each for each, _ in index.search(row, 10)} & nearest(rows, row, 10)) for row in rows[::50]]
    return sum(found) / (10 * len(found))


def test_one_more_document_keeps_the_graph(tmp_path: Path) -> None:
    """New vectors are added to the old graph, removed ones stay in it without ever being found."""
    rows, new = clusters(1), clusters(2, count=2)
    old = build(rows, tmp_path / "old", GRAPHS)
    kept = np.delete(np.arange(len(rows)), np.arange(100, 200))
    old_ordinals = np.concatenate([np.full(len(new), -1), kept])
    now = np.concatenate([new, rows[kept]])

    assert old.graphs is not None
    index = build(now, tmp_path / "new", replace(GRAPHS, graphs=Carried(old.graphs, old_ordinals)))

    assert index.graphs is not None
    (graph,) = index.graphs.parts
    assert len(index) == len(now)
    assert len(graph.ordinals) == len(now) + 100
    assert np.array_equal(index.vectors(0, len(now)), now)
    assert recall(index, now) >= 0.98
    assert sorted(each for each, _ in index.search(rows[150], len(now))) == list(range(len(now)))


def test_a_graph_of_many_removed_vectors_is_built_anew(tmp_path: Path) -> None:
    """They cost steps and memory."""
    rows = clusters(1)
    old = build(rows, tmp_path / "old", GRAPHS)
    kept = np.arange(600, len(rows))

    assert old.graphs is not None
    index = build(rows[kept], tmp_path / "new", replace(GRAPHS, graphs=Carried(old.graphs, kept)))

    assert index.graphs is not None
    assert len(index.graphs.parts[0].ordinals) == len(kept)


def test_a_group_is_searched_in_its_own_graph(tmp_path: Path) -> None:
    """A language that is far from the question is found as well as all are, and a vector may change its group."""
    rows = clusters(1)
    parts = (np.arange(len(rows)) // 40 % 4 == 0).astype(np.int8)
    old = build(rows, tmp_path / "old", replace(GRAPHS, parts=parts))
    parts[:5] = 0
    assert old.graphs is not None
    carried = Carried(old.graphs, np.arange(len(rows)))
    index = build(rows, tmp_path / "new", replace(GRAPHS, parts=parts, graphs=carried))

    for part in (0, 1):
        ordinals = np.flatnonzero(parts == part)
        subset = index.subset(ordinals)
        found = [{each for each, _ in index.search(row, 10, subset)} for row in rows[::97]]
        exact = [set(ordinals[list(nearest(rows[ordinals], row, 10))].tolist()) for row in rows[::97]]
        assert all(each <= set(ordinals.tolist()) for each in found)
        assert sum(len(each & near) for each, near in zip(found, exact, strict=True)) / (10 * len(found)) >= 0.98
    assert recall(index, rows) >= 0.98


@pytest.mark.parametrize("share", [2, 5, 100])
def test_a_part_of_a_group_is_found_too(tmp_path: Path, share: int) -> None:
    """By longer walks, or by comparing the few; and all of them if all are asked for."""
    rows = clusters(1)
    index = build(rows, tmp_path / "dense", GRAPHS)
    ordinals = np.arange(0, len(rows), share)
    subset = index.subset(ordinals)

    found = [{each for each, _ in index.search(row, 10, subset)} for row in rows[::97]]

    exact = [set(ordinals[list(nearest(rows[ordinals], row, 10))].tolist()) for row in rows[::97]]
    assert sum(len(each & expected) for each, expected in zip(found, exact, strict=True)) / (10 * len(found)) >= 0.98
    assert [each for each, _ in sorted(index.search(rows[0], len(rows), subset))] == ordinals.tolist()


def test_a_part_up_to_the_bound_is_searched_exactly(tmp_path: Path) -> None:
    """As an index of these vectors alone would be."""
    rows = clusters(1)
    index = build(rows, tmp_path / "dense", GRAPHS)
    ordinals = np.arange(0, len(rows), 2)
    subset = index.subset(ordinals, exact_max_chunks=1_200)

    for query in rows[::97]:
        assert {each for each, _ in index.search(query, 10, subset)} == set(
            ordinals[list(nearest(rows[ordinals], query, 10))].tolist()
        )


@pytest.mark.parametrize("name", ["0.faiss", "0.i32"])
def test_a_graph_without_its_nodes_is_refused(tmp_path: Path, name: str) -> None:
    """Or with those of another."""
    build(clusters(1), tmp_path / "dense", GRAPHS)
    (tmp_path / "dense.graphs" / name).write_bytes(b"cut!")

    with pytest.raises(BrokenIndexError, match=r"0\.faiss"):
        DenseIndex.load(tmp_path / "dense")


def test_versions_carry_their_graphs(tmp_path: Path) -> None:
    """From version to version by ingestion, with what was added, replaced and removed; both languages answer."""
    store = IndexStore(tmp_path)
    english = {
        f"e{at}": [f"the rent of flat number{at} topic{at % 7} and the door" for _ in range(3)] for at in range(80)
    }
    vietnamese = {f"v{at}": [f"tiền thuê nhà số{at} chủ{at % 7} và cửa của tôi"] for at in range(80)}
    change(store, english | vietnamese, exact_max_chunks=100)
    before = TenantIndex(change(store, {"new": ["a garden wall"]}, drop=["e3"], exact_max_chunks=100))

    now = TenantIndex(change(store, {"new": ["another garden wall"]}, drop=["v3", "e4"], exact_max_chunks=100))

    assert before.dense.graphs is not None
    assert now.dense.graphs is not None
    assert sum(len(graph.ordinals) for graph in now.dense.graphs.parts) > now.version.chunks
    (first, _), *_ = now.search_dense(embed("another garden wall"), 3)
    assert now.chunks([first])[0].document_id == "new"
    found = now.search_dense(embed("the rent of flat"), 5, "vi")
    assert all(chunk.document_id.startswith("v") for chunk in now.chunks([ordinal for ordinal, _ in found]))
    assert len(found) == 5
