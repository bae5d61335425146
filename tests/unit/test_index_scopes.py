"""What a request may see of an index: seen through a scope, it answers as an index that holds nothing else."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from rag.index import scoped
from rag.index.documents import DocumentTable
from rag.index.embedded import EmbeddedIndex, OpenedIndex
from rag.index.lexical import LENGTHS_NAME
from rag.index.manifest import BrokenIndexError, DocumentEntry
from rag.index.provider import ServedIndexes
from rag.index.scoped import ScopedIndex, ScopedIndexes
from rag.index.store import IndexStore
from rag.index.version import TenantIndex
from rag.limits import Deadline
from rag.ports import Vectors
from rag.retrieval.search import retrieve
from rag.types import Candidate, Labels, Scope
from tests.unit.index_fakes import EMBEDDER, change, embed

GROUPS = ("staff", "board", "audit")
WORDS = [
    *("leave", "rent", "days", "year", "paid", "month", "office", "door", "keys", "parking", "visitor", "contract"),
    *("nghỉ", "phép", "năm", "ngày", "nhân", "viên", "lương", "tháng", "hợp", "đồng", "nghi", "nằm", "tiền", "thuê"),
]
RARE = [f"{word}{number}" for word in ("alpha", "omega", "workshop") for number in range(10)]
# By kind: up to where all are compared, and up to where graphs are walked.
SIZES = {"flat": (50_000, 50_000), "ivf": (300, 0), "hnsw": (300, 50_000)}


def draw_text(draw: random.Random) -> str:
    """Of one of a few themes, so that lists can part the texts."""
    theme = [draw.choice(WORDS[::4])] * draw.randint(8, 24)
    words = theme + draw.choices(WORDS, k=draw.randint(2, 6)) + draw.choices(RARE, k=draw.randint(0, 2))
    return " ".join(words)


def draw_labels(draw: random.Random) -> Labels:
    return Labels(
        tuple(sorted(draw.sample(GROUPS, draw.choice((0, 0, 1, 2))))),
        {key: (draw.choice("abc"),) for key in draw.sample(("kind", "year"), draw.randint(0, 2))},
    )


def draw_scope(draw: random.Random, documents: Sequence[str]) -> Scope:
    ids = [*draw.sample(documents, draw.randint(1, len(documents))), "unknown"]
    keys = draw.sample(("kind", "year", "unknown"), draw.choice((0, 0, 1, 2)))
    return Scope(
        frozenset(draw.sample((*GROUPS, "other"), draw.randint(0, 3))),
        frozenset(ids) if draw.random() < 0.5 else None,
        {key: frozenset(draw.sample("abc", draw.randint(1, 3))) for key in keys},
    )


def admits(scope: Scope, document_id: str, labels: Labels) -> bool:
    """The rule in the words of the contract."""
    return (
        (not labels.groups or any(group in scope.groups for group in labels.groups))
        and (scope.document_ids is None or document_id in scope.document_ids)
        and all(
            any(value in values for value in labels.metadata.get(key, ())) for key, values in scope.metadata.items()
        )
    )


class Library:
    """Random documents in an index, and beside it, for each scope, an index that holds only what is visible."""

    def __init__(self, folder: Path, kind: str) -> None:
        draw = random.Random(7)
        self._folder = folder
        self.documents = {f"d{number}": [draw_text(draw) for _ in range(draw.randint(1, 25))] for number in range(40)}
        self.labels = {document_id: draw_labels(draw) for document_id in self.documents}
        exact, graph = SIZES[kind]
        store = IndexStore(folder / "whole")
        stored = change(store, self.documents, labels=self.labels, exact_max_chunks=exact, graph_max_chunks=graph)
        assert stored.manifest.dense is not None
        assert stored.manifest.dense.kind == kind
        self.whole = TenantIndex(stored)
        self.indexes = ScopedIndexes(self.whole)

    def build_visible(self, scope: Scope) -> TenantIndex | None:
        visible = {
            document_id: texts
            for document_id, texts in self.documents.items()
            if admits(scope, document_id, self.labels[document_id])
        }
        folder = self._folder / str(len(list(self._folder.iterdir())))
        return TenantIndex(change(IndexStore(folder), visible)) if visible else None


@pytest.fixture(scope="module", params=SIZES)
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Library:
    return Library(tmp_path_factory.mktemp("library"), request.param)


def scopes(library: Library, count: int = 12) -> list[Scope]:
    draw = random.Random(11)
    return [draw_scope(draw, [*library.documents]) for _ in range(count)]


def pairs(library: Library) -> Iterator[tuple[OpenedIndex, OpenedIndex]]:
    """Some documents as a scope shows them, and an index of them alone; not all documents."""
    compared = 0
    for scope in scopes(library):
        found, expected = library.indexes.find(scope), library.build_visible(scope)
        assert (found is None) == (expected is None)
        if found is not None and expected is not None and found.opened is not library.whole:
            compared += 1
            yield found.opened, expected
    assert compared > 5


def name(index: OpenedIndex, found: Sequence[tuple[int, float]]) -> list[tuple[str, float]]:
    ids = index.ids([ordinal for ordinal, _ in found])
    return [(chunk_id, score) for chunk_id, (_, score) in zip(ids, found, strict=True)]


def assert_close(found: Sequence[tuple[str, float]], expected: Sequence[tuple[str, float]]) -> None:
    """The same chunks with the same scores; float32 sums differ in their last bits, and so may the order of equals."""
    assert [score for _, score in found] == pytest.approx([score for _, score in expected], abs=2e-6)
    cut = expected[-1][1] + 4e-6 if expected else 0.0
    assert {each for each, score in found if score > cut} == {each for each, score in expected if score > cut}


class Embedder:
    async def embed_query(self, text: str, *, timeout_s: float, trace_id: str) -> Vectors:
        return embed(text)


async def search(index: OpenedIndex, question: str) -> list[Candidate]:
    return await retrieve(
        question, asked_in="en", index=EmbeddedIndex(index), embedder=Embedder(), k=400, limit=400,
        deadline=Deadline.after(30), trace_id="t",
    )  # fmt: skip


class TestAsIfNothingElseWereThere:
    """Random documents, groups, metadata and scopes, over a flat index and over inverted lists."""

    def test_the_same_documents_are_in_sight(self, library: Library) -> None:
        """A document that a scope does not admit is not counted either."""
        for scope in scopes(library, 40):
            visible = [each for each in library.documents if admits(scope, each, library.labels[each])]
            found = library.indexes.find(scope)
            assert (found.version.documents if found else 0) == len(visible)
            assert (found.version.chunks if found else 0) == sum(len(library.documents[each]) for each in visible)

    @pytest.mark.parametrize("k", [1, 5, 40, 1000])
    def test_search_by_meaning(self, library: Library, k: int) -> None:
        """Never fewer than k where there are as many, in any language, and the nearest of all."""
        draw = random.Random(k)
        for found, expected in pairs(library):
            for language in (None, "en", "vi", "other"):
                vector = embed(draw_text(draw))
                hits = found.search_dense(vector, k, language)
                assert_close(name(found, hits), name(expected, expected.search_dense(vector, k, language)))

    @pytest.mark.parametrize("k", [1, 5, 1000])
    def test_search_by_words(self, library: Library, k: int) -> None:
        """To the bit: no score tells how often a word stands, or how long chunks are, outside the scope."""
        draw = random.Random(k)
        for found, expected in pairs(library):
            question = draw_text(draw) + " rent rent unknown"
            hits = name(found, found.search_lexical(question, k))
            assert hits == name(expected, expected.search_lexical(question, k))

    def test_words_and_spellings(self, library: Library) -> None:
        """Words that stand in hidden documents alone are unknown: to corrections, and to the weights of words."""
        for found, expected in pairs(library):
            asked = [*WORDS, *RARE, "unknown", "nghi", "workshp1", "ofice"]
            assert found.idf(asked) == expected.idf(asked)
            assert [found.spellings(each) for each in asked] == [expected.spellings(each) for each in asked]
            assert [found.near(each) for each in asked] == [expected.near(each) for each in asked]

    async def test_the_fused_search(self, library: Library) -> None:
        """What reranking gets: the chunks of both searches with their scores."""
        draw = random.Random(3)
        for found, expected in pairs(library):
            question = draw_text(draw)
            hits, hits_expected = await search(found, question), await search(expected, question)
            assert {each.chunk.chunk_id for each in hits} == {each.chunk.chunk_id for each in hits_expected}
            assert {each.chunk.chunk_id: each.bm25_score for each in hits} == {
                each.chunk.chunk_id: each.bm25_score for each in hits_expected
            }

    async def test_a_chunk_outside_cannot_be_read(self, library: Library) -> None:
        """Not even by its id, nor can one that is not there."""
        outside = library.whole.chunks([0])[0]
        found = library.indexes.find(Scope(frozenset(GROUPS), frozenset({*library.documents} - {outside.document_id})))
        inside = library.whole.ids([library.whole.version.chunks - 1])

        assert found is not None
        assert [each.chunk.chunk_id for each in await found.fetch(inside)] == inside
        for chunk_id in (outside.chunk_id, inside[0].replace(":v1:", ":v2:"), "demo:unknown:v1:00001"):
            with pytest.raises(LookupError):
                await found.fetch([*inside, chunk_id])

    def test_everything_in_sight_is_the_version_itself(self, library: Library) -> None:
        """Then nothing has to be left out, and nothing is computed for it."""
        found = library.indexes.find(Scope(frozenset(GROUPS)))

        assert found is not None
        assert found.opened is library.whole


class TestLargeSubsets:
    def test_never_fewer_than_k_where_the_probed_lists_hold_too_few(
        self, library: Library, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A subset too large for exact search, too, has k hits if it has k chunks: all of its lists are then read."""
        monkeypatch.setattr(scoped, "EXACT_MAX_CHUNKS", 0)
        admitted = library.whole.documents.admit(Scope(frozenset({"staff"})))
        index = ScopedIndex(library.whole, admitted)

        found = index.search_dense(embed("rent of a flat"), index.version.chunks)

        assert len({ordinal for ordinal, _ in found}) == index.version.chunks > 100


class TestKept:
    def test_scopes_that_show_the_same_share_one(self, library: Library) -> None:
        """Callers are in many groups that no document has."""
        first = library.indexes.find(Scope(frozenset({"staff"})))

        assert library.indexes.find(Scope(frozenset({"staff", "one", "two"}))) is first
        assert library.indexes.find(Scope(frozenset({"board"}))) is not first

    def test_no_more_are_kept_than_the_bound(self, library: Library) -> None:
        """Filters are the callers' to choose; memory is not."""
        for number in range(40):
            library.indexes.find(Scope(frozenset(GROUPS), frozenset({f"d{number}"})))

        assert len(library.indexes._kept) == scoped._KEPT_INDEXES


class TestVersions:
    """How groups come into an index and change there."""

    async def test_other_groups_take_effect_with_the_next_version(self, tmp_path: Path) -> None:
        """Without a new text: nothing is embedded, the chunk keeps its id, and who has lost the group sees nothing."""
        store, served = IndexStore(tmp_path), ServedIndexes(tmp_path, EMBEDDER)
        change(store, {"pay": ["salaries"]}, labels={"pay": Labels(("board",))})
        await served.refresh()
        board, staff = Scope(frozenset({"board"})), Scope(frozenset({"staff"}))
        assert (await served.current("demo", staff)) is None

        stored = change(store, {"pay": ["salaries"]}, labels={"pay": Labels(("staff",))})
        await served.refresh()

        assert (await served.current("demo", board)) is None
        index = await served.current("demo", staff)
        assert index is not None
        assert [each for each, _ in await index.search_lexical("salaries", 5)] == ["demo:pay:v1:00001"]
        assert stored.manifest.document_list[0].groups == ("staff",)

    async def test_the_sizes_that_are_shown_are_those_in_sight(self, tmp_path: Path) -> None:
        """Of an open version and of one that nobody has asked yet."""
        change(IndexStore(tmp_path), {"a": ["x"], "pay": ["y", "z"]}, labels={"pay": Labels(("board", "audit"))})
        served = ServedIndexes(tmp_path, EMBEDDER)
        await served.refresh()

        for _ in range(2):
            assert served.versions()["demo"].chunks == 3
            assert served.versions(None, ["audit"])["demo"].chunks == 3
            shown = served.versions(["demo"], ["staff"])["demo"]
            assert (shown.chunks, shown.documents, shown.grouped) == (1, 1, ())
            await served.current("demo")

    def test_labels_are_carried_and_a_rollback_brings_the_old_ones_back(self, tmp_path: Path) -> None:
        """They belong to the version, like the text."""
        store = IndexStore(tmp_path)
        change(store, {"pay": ["x"]}, labels={"pay": Labels(("board",), {"year": ("2026",)})})
        change(store, {"new": ["y"]})
        change(store, {"pay": ["x"]}, labels={"pay": Labels()})

        _, restored = store.rollback("demo", EMBEDDER, lambda: None)

        assert {each.document_id: each.labels for each in restored.manifest.document_list} == {
            "new": Labels(),
            "pay": Labels(("board",), {"year": ("2026",)}),
        }

    def test_only_labels_need_the_newer_format(self, tmp_path: Path) -> None:
        """Code that knows no groups refuses what has some; what has none it reads as before."""
        store = IndexStore(tmp_path)

        assert change(store, {"a": ["x"]}).manifest.format == 1
        assert change(store, {"a": ["x"]}, labels={"a": Labels(("board",))}).manifest.format == 2
        assert change(store, {"a": ["x"]}, labels={"a": Labels()}).manifest.format == 1

    def test_groups_that_were_changed_by_hand_are_damage(self, tmp_path: Path) -> None:
        """The manifest is sealed: nobody opens a document by editing it."""
        store = IndexStore(tmp_path)
        manifest = change(store, {"a": ["x"]}, labels={"a": Labels(("board",))}).folder / "manifest.json"
        manifest.write_bytes(manifest.read_bytes().replace(b'"board"', b'"staff"'))

        with pytest.raises(BrokenIndexError, match="manifest"):
            store.verify("demo")

    def test_documents_that_do_not_follow_each_other_are_damage(self) -> None:
        """Else a mask would hide the chunks of another document."""
        entries = [DocumentEntry(each, each, 1, 2, first, "", "c1") for each, first in (("a", 0), ("b", 3))]

        with pytest.raises(BrokenIndexError, match="follow"):
            DocumentTable(entries)

    def test_a_version_without_lengths_is_searched_by_what_it_knows(self, tmp_path: Path) -> None:
        """It was made before there were groups, so it hides nothing; the next change writes the lengths."""
        stored = change(IndexStore(tmp_path), {"a": ["rent rent flat"], "b": ["rent"], "c": ["door " * 50]})
        (stored.folder / LENGTHS_NAME).unlink()
        index = ScopedIndexes(TenantIndex(stored)).find(Scope(document_ids=frozenset({"a", "c"})))

        assert index is not None
        assert [ordinal for ordinal, _ in index.opened.search_lexical("rent", 5)] == [0]

    def test_lengths_of_another_version_are_refused(self, tmp_path: Path) -> None:
        """They would be those of other chunks."""
        stored = change(IndexStore(tmp_path), {"a": ["rent"]})
        np.array([1, 2], dtype=np.int32).tofile(stored.folder / LENGTHS_NAME)

        with pytest.raises(BrokenIndexError, match=LENGTHS_NAME):
            TenantIndex(stored)
