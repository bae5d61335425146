"""Searching a version by meaning and by words, and reading its chunks."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import bm25s
import numpy as np
import pytest
from numpy.typing import NDArray

from rag.index import embedded
from rag.index.dense import DenseIndex, DensePlan, build_dense
from rag.index.embedded import EmbeddedIndex
from rag.index.lexical import K1, METHOD, B, LexicalIndex, build_lexical
from rag.index.manifest import BrokenIndexError
from rag.index.store import IndexStore
from rag.index.version import TenantIndex
from rag.ports import ChunkIndex, Vectors
from tests.unit.index_fakes import EMBEDDER, change, embed

LEAVE = "Nhân viên toàn thời gian có 12 ngày nghỉ phép năm."
RENT = "The rent is 1,000 dollars."
EXACT, LISTS, GRAPHS = DensePlan(), DensePlan(2_000, graph_max_chunks=0), DensePlan(2_000)


@pytest.fixture
def index(tmp_path: Path) -> TenantIndex:
    store = IndexStore(tmp_path)
    return TenantIndex(change(store, {"hr": [LEAVE, "Má đi chợ."], "rent": [RENT, "Ma xuất hiện. 😀\u2028"]}))


def unit_rows(rows: NDArray[np.float64]) -> Vectors:
    unit: Vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit


def clusters(count: int, size: int, dimension: int) -> Vectors:
    random = np.random.default_rng(1)
    centres = random.standard_normal((count, 1, dimension))
    return unit_rows((centres + 0.3 * random.standard_normal((count, size, dimension))).reshape(-1, dimension))


@pytest.mark.parametrize("most_inline", [0, 100], ids=["in a thread", "in the event loop"])
async def test_index_fulfils_the_port(index: TenantIndex, most_inline: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Retrieval knows only `ChunkIndex`: the same answers by chunk id, wherever the work is done."""
    monkeypatch.setattr(embedded, "INLINE_MAX_CHUNKS", most_inline)
    port: ChunkIndex = EmbeddedIndex(index)
    dense, lexical = await port.search_dense(embed(RENT), 4), await port.search_lexical("leave", 4)
    stored = await port.fetch([chunk_id for chunk_id, _ in dense])

    assert (port.version.chunks, port.version.documents) == (4, 2)
    assert dense[0][0] == "demo:rent:v1:00001"
    assert [score for _, score in dense] == [score for _, score in index.search_dense(embed(RENT), 4)]
    assert [each.chunk.chunk_id for each in stored] == [chunk_id for chunk_id, _ in dense]
    assert [chunk_id for chunk_id, _ in lexical] == index.ids([at for at, _ in index.search_lexical("leave", 4)])
    assert await port.spellings(["ma", "??"]) == {"ma": index.spellings("ma"), "??": {}}
    assert await port.near(["leavee"]) == {"leavee": index.near("leavee")}
    assert await port.idf(["ma", "??"]) == index.idf(["ma", "??"])


def test_dense_search_finds_the_nearest_first(index: TenantIndex) -> None:
    """The best match comes first, with its cosine."""
    (first, similarity), *others = index.search_dense(embed(RENT), k=4)

    assert index.chunks([first])[0].text == RENT
    assert similarity == pytest.approx(1.0)
    assert [value for _, value in others] == sorted((value for _, value in others), reverse=True)


@pytest.mark.parametrize("k", [4, 5, 1000])
def test_dense_search_takes_any_k(index: TenantIndex, k: int) -> None:
    """A k above the size of the index gives all chunks, each once."""
    found = index.search_dense(embed(RENT), k)

    assert sorted(ordinal for ordinal, _ in found) == [0, 1, 2, 3]


@pytest.mark.parametrize("plan", [EXACT, DensePlan(100)])
@pytest.mark.parametrize("k", [1, 2, 7, 49])
def test_dense_ties_go_by_ordinal_even_at_the_cut(tmp_path: Path, k: int, plan: DensePlan) -> None:
    """Of equal chunks the earlier ones are taken, however many there are."""
    rows = unit_rows(np.random.default_rng(0).standard_normal((200, 16)))
    rows[50:100] = rows[0]
    build_dense(rows, tmp_path / "dense", plan)

    found = DenseIndex.load(tmp_path / "dense").search(rows[0], k)

    assert [ordinal for ordinal, _ in found] == [0, *range(50, 50 + k - 1)]


def test_words_keep_their_diacritics(index: TenantIndex) -> None:
    """`má` and `ma` are different words in Vietnamese, so they find different chunks."""
    (with_mark,), (without_mark,) = index.search_lexical("MÁ", 4), index.search_lexical("ma", 4)

    assert index.chunks([with_mark[0]])[0].text == "Má đi chợ."
    assert index.chunks([without_mark[0]])[0].text.startswith("Ma xuất hiện")


def test_decomposed_question_finds_composed_text(index: TenantIndex) -> None:
    """Both sides are NFC before they are compared."""
    found = index.search_lexical("ma\u0301", 4)

    assert [chunk.text for chunk in index.chunks([ordinal for ordinal, _ in found])] == ["Má đi chợ."]


@pytest.mark.parametrize("question", ["", "?!", "unknown", "   "])
def test_question_without_known_words_finds_nothing(index: TenantIndex, question: str) -> None:
    """No word, no hit: a score of zero is not a result."""
    assert index.search_lexical(question, 4) == []


def test_lexical_order_is_score_then_ordinal(tmp_path: Path) -> None:
    """Best first, ties by ordinal, at the cut too; scores are positive."""
    build_lexical([["x", "y"], ["x", "z"], ["x", "x"], ["x", "w"], ["q", "q"]], tmp_path / "lexical")

    found = LexicalIndex.load(tmp_path / "lexical").search(["x"], 3)

    assert [ordinal for ordinal, _ in found] == [2, 0, 1]
    assert all(score > 0 for _, score in found)


def test_lexical_files_are_those_of_the_library(tmp_path: Path) -> None:
    """We count words in blocks; what is written is to the bit what bm25s makes of the same words."""
    random = np.random.default_rng(0)
    chunks = [[f"w{rank}" for rank in random.zipf(1.3, size=random.integers(0, 300)) % 5_000] for _ in range(4_000)]
    build_lexical(chunks, tmp_path / "ours")
    vocabulary: dict[str, int] = {"": 0}
    numbered = [[vocabulary.setdefault(word, len(vocabulary)) for word in words] or [0] for words in chunks]
    theirs = bm25s.BM25(method=METHOD, k1=K1, b=B, backend="numpy", csc_backend="numpy")
    theirs.index((numbered, vocabulary), create_empty_token=False, show_progress=False)
    theirs.save(tmp_path / "theirs", show_progress=False)

    ours = {path.name: path.read_bytes() for path in (tmp_path / "ours").iterdir()}

    assert ours == {path.name: path.read_bytes() for path in (tmp_path / "theirs").iterdir()}


def test_idf_falls_with_frequency(tmp_path: Path) -> None:
    """A word in more chunks says less; an unknown one says most."""
    build_lexical([["a", "b"], ["a", "c"], ["a", "c"]], tmp_path / "lexical")

    everywhere, twice, once, unknown = LexicalIndex.load(tmp_path / "lexical").idf(["a", "c", "b", "?"])

    assert 0 < everywhere < twice < once < unknown


def test_chunks_without_any_word_are_indexed(tmp_path: Path) -> None:
    """Text of signs alone has no words; it is stored and found by meaning."""
    index = TenantIndex(change(IndexStore(tmp_path), {"signs": ["!!!", "???"]}))

    assert index.search_lexical("words", 2) == []
    assert len(index.search_dense(embed("!!!"), 2)) == 2


def test_chunks_come_back_as_they_were_stored(index: TenantIndex) -> None:
    """In the order asked for, character for character."""
    last, first = index.chunks([3, 0])

    assert last.text == "Ma xuất hiện. 😀\u2028"
    assert (first.text, first.chunk_id, first.title) == (LEAVE, "demo:hr:v1:00001", "HR")


def test_lone_surrogates_survive(tmp_path: Path) -> None:
    """Some PDFs hold them; they must not keep the other documents out."""
    index = TenantIndex(change(IndexStore(tmp_path), {"pdf": ["broken \ud800 text"]}))

    assert index.chunks([0])[0].text == "broken \ud800 text"


def test_threads_search_one_index(index: TenantIndex) -> None:
    """Searches and reads from several threads give what one thread gets."""

    def ask(_: int) -> tuple[object, object, object]:
        return index.search_dense(embed(LEAVE), 3), index.search_lexical(LEAVE, 3), index.chunks([2, 1])

    expected = ask(0)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, range(200)))

    assert all(answer == expected for answer in answers)


@pytest.mark.parametrize(("kind", "plan"), [("ivf", LISTS), ("hnsw", GRAPHS)])
def test_large_index_is_approximate_with_measured_recall(tmp_path: Path, kind: str, plan: DensePlan) -> None:
    """Above the limit a part of the vectors is looked at, and what is found is measured against exact search."""
    rows = clusters(60, 40, 24)
    info = build_dense(rows, tmp_path / "large", plan)
    build_dense(rows, tmp_path / "flat")
    approximate, exact = DenseIndex.load(tmp_path / "large"), DenseIndex.load(tmp_path / "flat")

    queries = clusters(60, 2, 24)
    hits = sum(
        len({ordinal for ordinal, _ in approximate.search(row, 10)} & {ordinal for ordinal, _ in exact.search(row, 10)})
        for row in queries
    )

    assert info.kind == kind
    assert kind == "hnsw" or info.probes < info.lists
    assert info.recall_at_10 >= 0.98
    assert hits / (10 * len(queries)) >= 0.98


def test_a_subset_far_from_the_question_is_found_in_a_large_index(tmp_path: Path) -> None:
    """As the chunks in the other language are: the lists nearest the question hold none of them."""
    rows = clusters(60, 40, 24)
    info = build_dense(rows, tmp_path / "ivf", LISTS)
    index = DenseIndex.load(tmp_path / "ivf")
    furthest = np.sort(np.argsort(rows @ rows[0])[:10])

    found = [ordinal for ordinal, _ in index.search(rows[0], 10, index.subset(furthest))]

    assert info.kind == "ivf"
    assert sorted(found) == furthest.tolist()


@pytest.mark.parametrize("plan", [EXACT, LISTS, GRAPHS])
def test_a_subset_is_searched_as_well_as_the_whole(tmp_path: Path, plan: DensePlan) -> None:
    """A tenth of the vectors, by any index: nothing else is found, and of the ten nearest as much as is promised."""
    rows = clusters(60, 40, 24)
    build_dense(rows, tmp_path / "dense", plan)
    index = DenseIndex.load(tmp_path / "dense")
    ordinals = np.arange(0, len(rows), 10)
    subset = index.subset(ordinals)

    queries = clusters(60, 2, 24)
    found = [{ordinal for ordinal, _ in index.search(row, 10, subset)} for row in queries]
    nearest = [set(ordinals[np.argsort(-(rows[ordinals] @ row))[:10]].tolist()) for row in queries]

    assert all(each <= set(ordinals.tolist()) for each in found)
    assert sum(len(each & exact) for each, exact in zip(found, nearest, strict=True)) / (10 * len(queries)) >= 0.98


def test_an_empty_subset_holds_nothing(tmp_path: Path) -> None:
    """As of a language that no chunk is in."""
    build_dense(clusters(60, 40, 24), tmp_path / "ivf", LISTS)
    index = DenseIndex.load(tmp_path / "ivf")

    assert index.search(clusters(1, 1, 24)[0], 3, index.subset(np.array([], dtype=np.int64))) == []


def test_grown_index_keeps_its_lists(tmp_path: Path) -> None:
    """Centres are found once, and again only when they no longer do: adding a document does not pay for all."""
    rows = clusters(60, 40, 24)
    build_dense(rows[:2_300], tmp_path / "before", LISTS)
    before = DenseIndex.load(tmp_path / "before")

    info = build_dense(rows, tmp_path / "after", replace(LISTS, centres=before.centres))
    after = DenseIndex.load(tmp_path / "after")

    assert before.centres is not None
    assert after.centres is not None
    assert np.array_equal(after.centres, before.centres)
    assert info.kind == "ivf"
    assert info.recall_at_10 >= 0.98
    assert np.array_equal(after.vectors(0, 2_400), rows)


def test_lists_that_no_longer_fit_are_made_anew(tmp_path: Path) -> None:
    """Where the collection became another, its old centres find too little and do not stay."""
    rows = clusters(60, 40, 24)
    stale = np.repeat(rows[:1], 61, axis=0)

    info = build_dense(rows, tmp_path / "dense", replace(LISTS, centres=stale))

    assert info.kind == "ivf"
    assert info.recall_at_10 >= 0.98
    centres = DenseIndex.load(tmp_path / "dense").centres
    assert centres is not None
    assert not np.array_equal(centres, stale)


def test_vectors_that_lists_cannot_part_are_searched_exactly(tmp_path: Path) -> None:
    """Where the approximate index does not find enough, exact search is kept, whatever the size."""
    rows = unit_rows(np.random.default_rng(2).standard_normal((1_500, 64)))

    info = build_dense(rows, tmp_path / "dense", DensePlan(1_000, graph_max_chunks=0))

    assert (info.kind, info.recall_at_10) == ("flat", 1.0)


@pytest.mark.parametrize("plan", [EXACT, LISTS, GRAPHS, replace(GRAPHS, parts=np.arange(2_400, dtype=np.int8) % 3)])
def test_vectors_can_be_taken_back_out(tmp_path: Path, plan: DensePlan) -> None:
    """What is carried over to the next version is what was stored, bit for bit, in every kind of index."""
    rows = clusters(60, 40, 24)
    build_dense(rows, tmp_path / "dense", plan)

    taken = DenseIndex.load(tmp_path / "dense").vectors(100, 50)

    assert np.array_equal(taken, rows[100:150])


def test_full_disk_is_an_error_not_a_short_file() -> None:
    """faiss itself closes a file without looking; a cut index must not pass for a whole one."""
    rows = unit_rows(np.random.default_rng(0).standard_normal((10, EMBEDDER.dimension)))

    with pytest.raises(OSError, match="No space left"):
        build_dense(rows, Path("/dev/full"))


def test_garbage_is_no_index(tmp_path: Path) -> None:
    """A file that faiss cannot read is named, not crashed upon."""
    (tmp_path / "dense").write_bytes(b"garbage" * 100)

    with pytest.raises(BrokenIndexError, match="dense"):
        DenseIndex.load(tmp_path / "dense")
