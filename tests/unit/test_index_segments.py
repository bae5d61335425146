"""A version of two segments: it answers as one written anew, and writes only what is new."""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from rag.index.delta import DEFAULT_LIMITS, DeltaLimits
from rag.index.embedded import OpenedIndex
from rag.index.manifest import BrokenIndexError, Manifest, StoredVersion, read_manifest
from rag.index.scoped import ScopedIndexes
from rag.index.store import IndexStore
from rag.index.update import update_index
from rag.index.version import TenantIndex
from rag.types import Labels, Scope
from tests.unit.index_fakes import EMBEDDER, FaultyDisk, change, embed, stored_texts
from tests.unit.test_index_scopes import GROUPS, RARE, WORDS, draw_labels, draw_scope, draw_text

SEGMENTED = DeltaLimits(from_chunks=1, max_chunks=10_000, max_share=1.0, gone_max_share=0.9)
ANEW = DeltaLimits(from_chunks=10**9)


@dataclass
class Twins:
    """The same documents in a store of segments and in one that writes each version anew."""

    segmented: IndexStore
    anew: IndexStore

    def change(
        self,
        documents: Mapping[str, Sequence[str]],
        drop: Sequence[str] = (),
        labels: Mapping[str, Labels] | None = None,
        *,
        exact_max_chunks: int = 50_000,
        graph_max_chunks: int = 300_000,
    ) -> tuple[StoredVersion, StoredVersion]:
        segmented, anew = (
            change(
                store,
                documents,
                drop=drop,
                labels=labels,
                keeps_tokens=True,
                exact_max_chunks=exact_max_chunks,
                graph_max_chunks=graph_max_chunks,
                delta_limits=limits,
            )
            for store, limits in ((self.segmented, SEGMENTED), (self.anew, ANEW))
        )
        return segmented, anew


@pytest.fixture
def twins(tmp_path: Path) -> Twins:
    return Twins(IndexStore(tmp_path / "segmented"), IndexStore(tmp_path / "anew"))


def draw_documents(draw: random.Random, ids: Sequence[str]) -> dict[str, list[str]]:
    return {each: [draw_text(draw) for _ in range(draw.randint(1, 9))] for each in ids}


def assert_same(found: OpenedIndex, expected: OpenedIndex, draw: random.Random) -> None:
    """Every answer of the port, with the same ordinals."""
    assert (found.version.chunks, found.version.documents) == (expected.version.chunks, expected.version.documents)
    for _ in range(4):
        question = draw_text(draw) + " rent rent unknown"
        for k in (1, 7, 1000):
            assert found.search_lexical(question, k) == expected.search_lexical(question, k)
            for language in (None, "en", "vi", "other"):
                hits, exact = (each.search_dense(embed(question), k, language) for each in (found, expected))
                assert [score for _, score in hits] == pytest.approx([score for _, score in exact], abs=2e-6)
                cut = exact[-1][1] + 4e-6 if exact else 0.0
                assert {at for at, score in hits if score > cut} == {at for at, score in exact if score > cut}
    asked = [*WORDS, *RARE, "unknown", "workshp1", "ofice"]
    assert found.idf(asked) == expected.idf(asked)
    assert [found.spellings(each) for each in asked] == [expected.spellings(each) for each in asked]
    assert [found.near(each) for each in asked] == [expected.near(each) for each in asked]


def assert_same_content(found: TenantIndex, expected: TenantIndex) -> None:
    ordinals = range(expected.version.chunks)
    assert found.chunks(ordinals) == expected.chunks(ordinals)
    assert list(found.chunk_file) == list(expected.chunk_file)
    assert np.array_equal(found.dense.vectors(0, len(ordinals)), expected.dense.vectors(0, len(ordinals)))
    assert np.array_equal(found.languages.codes, expected.languages.codes)
    for mine, other in zip(found.token_vectors(ordinals), expected.token_vectors(ordinals), strict=True):
        assert mine is not None
        assert other is not None
        assert np.array_equal(mine.values, other.values)


def steps(draw: random.Random, present: dict[str, Labels]) -> Iterator[tuple[dict[str, list[str]], list[str]]]:
    """Yield documents to add or replace, and ids to drop; `present` follows."""
    for number in range(12):
        new = [f"new{number}-{at}" for at in range(draw.randint(0, 2))]
        replaced = draw.sample([*present], draw.randint(0, 2))
        left = [each for each in present if each not in replaced]
        dropped = draw.sample(left, draw.randint(0, 1 if len(left) > 3 else 0))
        for each in dropped:
            del present[each]
        present |= {each: draw_labels(draw) for each in (*new, *replaced)}
        yield draw_documents(draw, [*replaced, *new]), dropped


@pytest.mark.parametrize("seed", range(4))
def test_any_sequence_of_changes_gives_the_answers_of_an_index_written_anew(twins: Twins, seed: int) -> None:
    """Scores to the bit, also of repeated words; idf, spellings, ordinals, texts, tokens; whole, and through scopes."""
    draw = random.Random(seed)
    present = {f"d{number}": draw_labels(draw) for number in range(12)}
    twins.change(draw_documents(draw, [*present]), labels=present)
    segmented = 0
    for documents, dropped in steps(draw, present):
        stored, anew = twins.change(documents, dropped, labels=present)
        segmented += stored.manifest.delta is not None
        found, expected = TenantIndex(stored), TenantIndex(anew)
        assert_same(found, expected, draw)
        assert_same_content(found, expected)
        assert [replace(each, first_ordinal=0) for each in stored.manifest.document_list] == [
            replace(each, first_ordinal=0) for each in anew.manifest.document_list
        ]
        for _ in range(3):
            scope = draw_scope(draw, [*present])
            mine, other = ScopedIndexes(found).find(scope), ScopedIndexes(expected).find(scope)
            assert (mine is None) == (other is None)
            if mine is not None and other is not None:
                assert_same(mine.opened, other.opened, draw)
    assert segmented > 6


@pytest.mark.parametrize("graph_max_chunks", [0, 50_000])
def test_an_approximate_main_segment_never_finds_what_is_gone(twins: Twins, graph_max_chunks: int) -> None:
    """And finds all that is left, with that of the small segment, if all is asked for."""
    draw = random.Random(5)
    documents = draw_documents(draw, [f"d{number}" for number in range(100)])
    twins.change(documents, exact_max_chunks=300, graph_max_chunks=graph_max_chunks)

    stored, _ = twins.change({"d7": ["rent of the office"], "new": ["paid leave"]}, ["d3", "d50"], exact_max_chunks=300)

    index = TenantIndex(stored)
    assert stored.manifest.delta is not None
    assert stored.manifest.dense is not None
    assert stored.manifest.dense.kind == ("hnsw" if graph_max_chunks else "ivf")
    found = index.search_dense(embed("paid leave"), 10_000)
    assert sorted(each for each, _ in found) == list(range(index.version.chunks))
    assert index.chunks([found[0][0]])[0].document_id == "new"
    assert not {"d3", "d50"} & {chunk.document_id for chunk in index.chunk_file}


def test_a_grown_version_is_written_anew_with_its_graphs(twins: Twins) -> None:
    """What the small segment held is added to the graph of the main one."""
    draw = random.Random(6)
    documents = draw_documents(draw, [f"d{number}" for number in range(100)])
    twins.change(documents, exact_max_chunks=300)
    twins.change({"new": ["paid leave"]}, ["d3"], exact_max_chunks=300)

    stored = change(twins.segmented, {"more": ["rent"]}, keeps_tokens=True, exact_max_chunks=300, delta_limits=ANEW)

    index = TenantIndex(stored)
    assert stored.manifest.delta is None
    assert index.dense.graphs is not None
    assert sum(len(graph.ordinals) for graph in index.dense.graphs.parts) > index.version.chunks
    (first, _), *_ = index.search_dense(embed("paid leave"), 3)
    assert index.chunks([first])[0].document_id == "new"


def test_only_the_small_segment_is_written(twins: Twins) -> None:
    """The main one's files are those of the version before."""
    before, _ = twins.change(draw_documents(random.Random(1), [f"d{number}" for number in range(20)]))
    after, _ = twins.change({"new": ["rent"]})

    shared = {seal.name for seal in before.manifest.files}
    assert all((after.folder / name).samefile(before.folder / name) for name in shared)
    assert all(seal.name.startswith("delta/") for seal in after.manifest.files if seal.name not in shared)
    assert after.manifest.delta is not None
    assert after.manifest.delta.chunks == 1


def test_code_that_knows_no_segments_refuses_them(twins: Twins) -> None:
    """It would show what is gone; a version without a small segment keeps the format that older code reads."""
    before, _ = twins.change({"a": ["rent"], "b": ["leave"]})
    after, anew = twins.change({"new": ["door"]})

    written = json.loads((after.folder / "manifest.json").read_text())

    assert written["format"] == 3
    assert before.manifest.format == anew.manifest.format == 1


@pytest.mark.parametrize(
    ("limits", "documents"),
    [
        (replace(SEGMENTED, from_chunks=10_000), {"new": ["x"]}),
        (replace(SEGMENTED, max_chunks=2), {"new": ["x", "y", "z"]}),
        (replace(SEGMENTED, max_share=0.05), {"new": ["x", "y", "z"]}),
        (replace(SEGMENTED, gone_max_share=0.01), {"d1": ["other"]}),
    ],
)
def test_beyond_a_limit_a_version_is_written_anew(
    tmp_path: Path, limits: DeltaLimits, documents: Mapping[str, Sequence[str]]
) -> None:
    """A small index, a grown small segment, or a main one of which much is gone."""
    store = IndexStore(tmp_path)
    change(store, {f"d{number}": [f"rent {number}", "door"] for number in range(20)}, delta_limits=SEGMENTED)

    stored = change(store, documents, delta_limits=limits)

    assert stored.manifest.delta is None


def test_the_limits_keep_small_indexes_whole() -> None:
    """The default."""
    assert DEFAULT_LIMITS.from_chunks >= 10_000


def test_a_rollback_brings_segments_back_and_removes_them(twins: Twins) -> None:
    """Its files are linked, those of both segments."""
    twins.change({"a": ["rent"], "b": ["leave"], "c": ["office"]})
    twins.change({"new": ["door"]}, ["a"])
    texts = stored_texts(twins.segmented)
    twins.change({"more": ["keys"]})

    twins.segmented.rollback("demo", EMBEDDER, lambda: None)

    assert stored_texts(twins.segmented) == texts
    stored = twins.segmented.current("demo")
    assert stored is not None
    assert stored.manifest.delta is not None
    change(twins.segmented, {"last": ["year"]}, keeps_tokens=True, delta_limits=SEGMENTED)
    assert set(stored_texts(twins.segmented).values()) == {*texts.values(), "year"}


@pytest.mark.parametrize("name", ["live.bits", "gone.i32", "chunks.jsonl", "dense.faiss"])
def test_damage_in_the_small_segment_is_found(twins: Twins, name: str) -> None:
    """Each of its files is sealed."""
    twins.change({"a": ["rent"], "b": ["leave"], "c": ["office"]})
    stored, _ = twins.change({"new": ["door"]}, ["a"])
    path = stored.folder / "delta" / name
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])

    with pytest.raises(BrokenIndexError, match=name):
        twins.segmented.verify("demo")


@pytest.mark.parametrize("steps_left", range(0, 40, 3))
def test_a_full_disk_leaves_the_version_before(tmp_path: Path, steps_left: int) -> None:
    """At any step of writing a small segment."""
    store = IndexStore(tmp_path)
    change(store, {"a": ["rent"], "b": ["leave"], "c": ["office"]}, delta_limits=SEGMENTED)
    before = stored_texts(store)

    try:
        change(IndexStore(tmp_path, FaultyDisk(steps_left)), {"new": ["door"]}, drop=["a"], delta_limits=SEGMENTED)
    except OSError:
        after = stored_texts(store)
        assert after == before or "door" in after.values()
    else:
        assert "door" in stored_texts(store).values()
    change(store, {"last": ["year"]}, delta_limits=SEGMENTED)
    assert "year" in stored_texts(store).values()


def test_only_labels_may_change(twins: Twins) -> None:
    """Without a new text: the small segment then holds the first document, as none may be empty."""
    twins.change({"a": ["rent"], "b": ["leave"], "c": ["office"]})

    stored, _ = twins.change({"b": ["leave"]}, labels={"b": Labels(("staff",))})

    index = ScopedIndexes(TenantIndex(stored))
    hidden = index.find(Scope(frozenset()))
    assert stored.manifest.delta is not None
    assert hidden is not None
    assert hidden.version.chunks == 2
    everything = index.find(Scope(frozenset(GROUPS)))
    assert everything is not None
    assert everything.opened is index.whole


def test_the_last_documents_may_go(twins: Twins) -> None:
    """What is left of the main segment may be nothing."""
    twins.change({"a": ["rent"], "b": ["leave"]})
    twins.change({"new": ["door"]})

    with update_index(twins.segmented, "demo", lambda: None) as update:
        for each in ("a", "b"):
            assert update.drop(each)
        stored = update.publish(lambda _: pytest.fail("nothing is new"), delta_limits=SEGMENTED)

    assert stored is not None
    manifest: Manifest = read_manifest(stored.folder)
    assert manifest.delta is None
    assert set(stored_texts(twins.segmented).values()) == {"door"}
