"""What every engine of the index does alike: the same tests for files and for each database."""

import asyncio
import threading
import unicodedata
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from rag.chunk_id import ChunkId
from rag.errors import IndexUnavailable
from rag.index.engine import IndexChange, IndexEngine, IndexServer, RollbackError
from rag.ports import ChunkIndex
from rag.text.language import Language
from rag.types import Chunk, IndexVersion, Labels, Scope, Span, TokenVectors
from tests.index_engines import ENGINES, ChunkEncoder, OpenEngine, put_all
from tests.unit.index_fakes import EMBEDDER, OTHER_EMBEDDER, embed, embed_tokens

# A look at what serves is due every few seconds.
SOON_S = 15
LEAVE = "Full-time staff have twelve days of annual leave per year."
SICK = "Sick leave needs a note from a doctor."
RENT = "The rent of the flat is paid by the fifth day of each month."
NGHI = "Nhân viên chính thức có mười hai ngày nghỉ phép năm."
LUONG = "Lương của nhân viên được trả vào ngày năm hàng tháng."
DOCUMENTS = {"hr": [LEAVE, SICK, NGHI], "flat": [RENT], "pay": [LUONG, "The board sees all salaries of the staff."]}
LABELS = {"hr": Labels((), {"year": ("2026",)}), "flat": Labels((), {"year": ("2024",)}), "pay": Labels(("board",))}
EVERYBODY = Scope()
BOARD = Scope(frozenset({"board"}))
# What each shows, of `DOCUMENTS`.
SCOPES = {
    "of all callers": (EVERYBODY, {"hr", "flat"}),
    "of a group": (BOARD, {"hr", "flat", "pay"}),
    "of a document": (Scope(document_ids=frozenset({"hr", "pay", "unknown"})), {"hr"}),
    "of a year": (Scope(frozenset({"board"}), None, {"year": frozenset({"2026", "2025"})}), {"hr"}),
}
HR = {"demo:hr:v1:00001", "demo:hr:v1:00002", "demo:hr:v1:00003"}
ASKED = ["leave", "staff", "rent", "nghỉ", "nghi", "năm", "nam", "salaries", "unknown", "montt", "salarie", "doctr"]


@pytest.fixture(params=ENGINES)
def open_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenEngine]:
    with ENGINES[request.param](tmp_path) as opened:
        yield opened


@pytest.fixture
def engine(open_engine: OpenEngine) -> IndexEngine:
    return open_engine()


@asynccontextmanager
async def serving(engine: IndexEngine) -> AsyncIterator[IndexServer]:
    """The serving side after its first look."""
    server = engine.serve(EMBEDDER, lambda _: None)
    try:
        await server.open_all()
        yield server
    finally:
        await server.aclose()


async def read(engine: IndexEngine, tenant_id: str = "demo", scope: Scope = BOARD) -> dict[str, str]:
    """Every chunk that the scope shows, by its id, as a server that has just been started answers."""
    async with serving(engine) as server:
        index = await server.current(tenant_id, scope)
        return {each.chunk_id: each.text for each in await all_of(index)} if index else {}


async def all_of(index: ChunkIndex) -> list[Chunk]:
    found = await index.search_dense(embed("any"), index.version.chunks)
    return [stored.chunk for stored in await index.fetch([chunk_id for chunk_id, _ in found])]


async def require(server: IndexServer, tenant_id: str = "demo", scope: Scope = BOARD) -> ChunkIndex:
    index = await server.current(tenant_id, scope)
    assert index is not None
    return index


def same_tokens(found: TokenVectors | None, expected: TokenVectors) -> bool:
    return found is not None and all(
        np.array_equal(getattr(found, each), getattr(expected, each)) for each in ("values", "scales", "spans")
    )


class TestSearch:
    async def test_the_nearest_come_first_with_their_cosines(self, engine: IndexEngine) -> None:
        """As a comparison of all vectors gives them, for any k."""
        put_all(engine, DOCUMENTS)
        texts = {
            f"demo:{name}:v1:{at:05d}": text for name, found in DOCUMENTS.items() for at, text in enumerate(found, 1)
        }
        vector = embed("annual leave of the staff")
        cosines = {chunk_id: float(embed(text) @ vector) for chunk_id, text in texts.items()}
        expected = sorted(cosines, key=lambda each: -cosines[each])

        async with serving(engine) as server:
            index = await require(server)
            for k in (1, 3, 6, 100):
                found = await index.search_dense(vector, k)
                assert [chunk_id for chunk_id, _ in found] == expected[:k]
                assert [score for _, score in found] == pytest.approx(
                    [cosines[each] for each in expected[:k]], abs=1e-5
                )

    @pytest.mark.parametrize(("language", "count"), [("en", 4), ("vi", 2), ("other", 0)])
    async def test_one_language_can_be_searched_alone(
        self, engine: IndexEngine, language: Language, count: int
    ) -> None:
        """However near the others are."""
        put_all(engine, DOCUMENTS)
        async with serving(engine) as server:
            found = await (await require(server)).search_dense(embed(RENT), 10, language)

        assert len(found) == count

    @pytest.mark.parametrize(
        ("asked", "expected"),
        [
            ("leave", HR),
            ("doctor unknown", {"demo:hr:v1:00002"}),
            ("nghỉ", {"demo:hr:v1:00003"}),
            ("nghi", set()),
            ("unknown", set()),
            ("???", set()),
            ("", set()),
        ],
    )
    async def test_words_are_found_with_their_diacritics(
        self, engine: IndexEngine, asked: str, expected: set[str]
    ) -> None:
        """`nghi` and `nghỉ` are two words; a chunk is found by its context too."""
        put_all(engine, DOCUMENTS)
        async with serving(engine) as server:
            found = await (await require(server)).search_lexical(asked, 10)

        assert {chunk_id for chunk_id, _ in found} == expected
        assert all(score > 0 for _, score in found)
        assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)

    async def test_more_of_the_words_rank_higher(self, engine: IndexEngine) -> None:
        """And k bounds what is returned."""
        put_all(engine, DOCUMENTS)
        async with serving(engine) as server:
            index = await require(server)
            found = await index.search_lexical("annual leave of the staff", 10)
            best = await index.search_lexical("annual leave of the staff", 1)

        assert found[0][0] == "demo:hr:v1:00001"
        assert best == found[:1]

    async def test_what_reads_the_same_is_the_same(self, engine: IndexEngine) -> None:
        """Composed and decomposed letters, in the documents and in the question."""
        put_all(engine, {"nfd": [unicodedata.normalize("NFD", NGHI)], "nfc": [LUONG]})
        async with serving(engine) as server:
            index = await require(server)
            for form in ("NFC", "NFD"):
                found = await index.search_lexical(unicodedata.normalize(form, "NGHỈ phép"), 10)
                assert [chunk_id for chunk_id, _ in found] == ["demo:nfd:v1:00001"]
            assert await index.spellings(["nghi"]) == {"nghi": {"nghỉ": 1}}
            (stored,) = await index.fetch(["demo:nfd:v1:00001"])
            assert stored.chunk.text == unicodedata.normalize("NFD", NGHI)


class TestScopes:
    @pytest.mark.parametrize(("scope", "visible"), SCOPES.values(), ids=SCOPES)
    async def test_a_scope_answers_as_if_there_were_nothing_else(
        self, engine: IndexEngine, scope: Scope, visible: set[str]
    ) -> None:
        """No rank, score, count or weight of a word tells what the others hold."""
        put_all(engine, DOCUMENTS, labels=LABELS)
        put_all(engine, {name: texts for name, texts in DOCUMENTS.items() if name in visible}, tenant_id="alone")

        async with serving(engine) as server:
            found, alone = await require(server, "demo", scope), await require(server, "alone")
            assert (found.version.documents, found.version.chunks) == (alone.version.documents, alone.version.chunks)
            assert await found.spellings(ASKED) == await alone.spellings(ASKED)
            assert await found.near(ASKED) == await alone.near(ASKED)
            assert await found.idf(ASKED) == pytest.approx(await alone.idf(ASKED))
            for text in ("annual leave of the staff", "staff salaries", "nhân viên nghỉ năm", "rent month"):
                assert_alike(await found.search_lexical(text, 10), await alone.search_lexical(text, 10))
                assert_alike(await found.search_dense(embed(text), 2), await alone.search_dense(embed(text), 2))
                assert_alike(
                    await found.search_dense(embed(text), 9, "vi"), await alone.search_dense(embed(text), 9, "vi")
                )

    async def test_nothing_in_sight_is_no_index(self, engine: IndexEngine) -> None:
        """As for a tenant without documents, and one that nobody knows."""
        put_all(engine, {"pay": DOCUMENTS["pay"]}, labels=LABELS)
        async with serving(engine) as server:
            assert await server.current("demo", EVERYBODY) is None
            assert await server.current("unknown", BOARD) is None

    async def test_a_chunk_outside_cannot_be_read(self, engine: IndexEngine) -> None:
        """Neither by a fetch, which only a bug could ask for, nor by its address."""
        put_all(engine, DOCUMENTS, labels=LABELS)
        async with serving(engine) as server:
            index = await require(server, "demo", EVERYBODY)
            assert await index.find_chunk(ChunkId("demo", "pay", 1, 1)) is None
            for chunk_id in ("demo:pay:v1:00001", "demo:hr:v2:00001", "demo:hr:v1:00009"):
                with pytest.raises(LookupError):
                    await index.fetch(["demo:hr:v1:00001", chunk_id])

    async def test_other_groups_take_effect_without_a_new_text(self, engine: IndexEngine) -> None:
        """Nothing is embedded, and the chunk keeps its id."""
        put_all(engine, DOCUMENTS, labels=LABELS)
        encoder = ChunkEncoder()

        put_all(engine, {"pay": DOCUMENTS["pay"]}, labels={"pay": Labels(("staff",))}, encoder=encoder)

        assert encoder.encoded == []
        assert "demo:pay:v1:00001" in await read(engine, scope=Scope(frozenset({"staff"})))
        assert "demo:pay:v1:00001" not in await read(engine, scope=BOARD)

    async def test_tenants_are_kept_apart(self, engine: IndexEngine) -> None:
        """By no search, no word, no id and no change of the other's."""
        put_all(engine, {"a": ["alpha words"]}, tenant_id="one")
        put_all(engine, {"a": ["omega words"], "b": ["words"]}, tenant_id="One")
        put_all(engine, {}, drop=["b"], tenant_id="One")

        assert engine.tenants() == ["One", "one"]
        assert await read(engine, "one") == {"one:a:v1:00001": "alpha words"}
        async with serving(engine) as server:
            index = await require(server, "one")
            assert await index.search_lexical("omega", 5) == []
            assert await index.spellings(["omega"]) == {"omega": {}}
            assert await index.find_chunk(ChunkId("One", "a", 1, 1)) is None


class TestChunks:
    async def test_chunks_are_fetched_in_the_order_asked_for(self, engine: IndexEngine) -> None:
        """With all that they say of themselves; with their tokens only if those are asked for."""
        put_all(engine, DOCUMENTS, keeps_tokens=True)
        ids = ["demo:hr:v1:00002", "demo:flat:v1:00001", "demo:hr:v1:00001"]
        async with serving(engine) as server:
            index = await require(server)
            plain, stored = await index.fetch(ids), await index.fetch(ids, with_tokens=True)
            assert await index.fetch([]) == []

        assert [each.chunk.text for each in plain] == [SICK, RENT, LEAVE]
        assert [each.chunk for each in plain] == [each.chunk for each in stored]
        assert (plain[0].chunk.title, plain[0].chunk.document_id, plain[0].chunk.context[:2]) == ("HR", "hr", "HR")
        assert [each.tokens for each in plain] == [None, None, None]
        assert all(same_tokens(each.tokens, embed_tokens(each.chunk.text)) for each in stored)

    async def test_without_stored_tokens_there_are_none(self, engine: IndexEngine) -> None:
        """They are read from the text instead."""
        put_all(engine, {"flat": [RENT]})
        async with serving(engine) as server:
            (stored,) = await (await require(server)).fetch(["demo:flat:v1:00001"], with_tokens=True)

        assert stored.tokens is None

    async def test_a_chunk_knows_its_neighbours(self, engine: IndexEngine) -> None:
        """In its own document; another version of it is another text."""
        put_all(engine, DOCUMENTS)
        async with serving(engine) as server:
            index = await require(server)
            middle = await index.find_chunk(ChunkId("demo", "hr", 1, 2))
            alone = await index.find_chunk(ChunkId("demo", "flat", 1, 1))
            for lost in (("demo", "hr", 2, 1), ("demo", "hr", 1, 4), ("demo", "no", 1, 1), ("other", "hr", 1, 1)):
                assert await index.find_chunk(ChunkId(*lost)) is None

        assert middle is not None
        assert (middle.chunk.text, middle.previous, middle.next) == (SICK, "demo:hr:v1:00001", "demo:hr:v1:00003")
        assert alone is not None
        assert (alone.previous, alone.next) == (None, None)

    @pytest.mark.parametrize("text", ['it\'s "so" \\ %s {} 😀\u2028', "broken \ud800 text", "Tiếng Việt"])
    async def test_any_text_is_kept_as_it_is(self, engine: IndexEngine, text: str) -> None:
        """PDFs hold anything, lone surrogates too."""
        put_all(engine, {"a": [text, "words"]})

        assert (await read(engine))["demo:a:v1:00001"] == text


class TestVersions:
    async def test_a_running_server_takes_up_what_is_published(self, open_engine: OpenEngine) -> None:
        """Within seconds, and all of it at once; a query keeps the version that it began with."""
        put_all(open_engine(), {"hr": [LEAVE], "flat": [RENT]})
        seen: list[str] = []
        arrived = asyncio.Event()
        wanted: list[str] = []

        def note(versions: Mapping[str, IndexVersion]) -> None:
            seen.extend(each.version for each in versions.values())
            if wanted and seen and seen[-1] == wanted[0]:
                arrived.set()

        server = open_engine().serve(EMBEDDER, note)
        watching = asyncio.create_task(server.watch())
        try:
            running = await require(server)
            published = await asyncio.to_thread(
                put_all, open_engine(), {"hr": [SICK], "it": ["A laptop."]}, drop=["flat"]
            )
            wanted.append(published.name)
            async with asyncio.timeout(SOON_S):
                await arrived.wait()
            index = await require(server)
            assert index.version.version == published.name
            assert {each.text for each in await all_of(index)} == {SICK, "A laptop."}
            assert running.version.version != published.name
            assert {each.text for each in await all_of(running)} == {LEAVE, RENT}
            assert (await server.documents("demo"))[0] == published.name
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            await server.aclose()

    async def test_a_version_says_what_it_holds(self, engine: IndexEngine) -> None:
        """To the writing side, to the serving side, and to whoever lists the documents."""
        published = put_all(engine, DOCUMENTS, labels=LABELS)
        async with serving(engine) as server:
            name, documents = await server.documents("demo")
            shown = server.versions(["demo"], ["staff"])["demo"]
            state, lost = server.state(), await server.documents("unknown")

        assert (name, state, lost) == (published.name, "ok", (None, ()))
        assert [(each.document_id, each.chunks, each.labels) for each in documents] == [
            (each, len(DOCUMENTS[each]), LABELS[each]) for each in sorted(DOCUMENTS)
        ]
        assert (shown.documents, shown.chunks) == (2, 4)
        for found in (engine.current("demo"), engine.verify("demo")):
            assert found is not None
            assert (found.name, found.manifest.documents, found.manifest.chunks) == (published.name, 3, 6)
        assert engine.current("unknown") is None
        assert engine.verify("unknown") is None

    async def test_nothing_changed_is_no_new_version(self, engine: IndexEngine) -> None:
        """And nothing is embedded."""
        published, encoder = put_all(engine, DOCUMENTS), ChunkEncoder()

        assert put_all(engine, DOCUMENTS, encoder=encoder).name == published.name
        assert encoder.encoded == []

    async def test_only_what_is_new_is_embedded(self, engine: IndexEngine) -> None:
        """The rest is carried over, vectors, tokens and all; a replaced document has the next number."""
        put_all(engine, DOCUMENTS, keeps_tokens=True)
        encoder = ChunkEncoder()
        put_all(engine, {"flat": [SICK]}, keeps_tokens=True, encoder=encoder)

        assert encoder.encoded == ["demo:flat:v2:00001"]
        async with serving(engine) as server:
            index = await require(server)
            assert len(await all_of(index)) == 6
            ((first, score),) = await index.search_dense(embed(LUONG), 1)
            (stored,) = await index.fetch([first], with_tokens=True)
            assert first == "demo:pay:v1:00001"
            assert score == pytest.approx(1.0, abs=1e-5)
            assert same_tokens(stored.tokens, embed_tokens(LUONG))

    async def test_a_rollback_restores_and_can_be_undone(self, engine: IndexEngine) -> None:
        """What is restored is a new version, so servers take it up like any other."""
        first = put_all(engine, {"hr": [LEAVE]})
        second = put_all(engine, {"hr": [SICK], "flat": [RENT]})

        restored, third = engine.rollback("demo", EMBEDDER, lambda: None)
        assert (restored, await read(engine)) == (first.name, {"demo:hr:v1:00001": LEAVE})
        undone, fourth = engine.rollback("demo", EMBEDDER, lambda: None)

        assert undone == second.name
        assert await read(engine) == {"demo:hr:v2:00001": SICK, "demo:flat:v1:00001": RENT}
        assert len({each.name for each in (first, second, third, fourth)}) == 4

    async def test_an_id_never_means_two_texts(self, engine: IndexEngine) -> None:
        """Numbers of documents go on after a removal and after a rollback."""
        put_all(engine, {"hr": [LEAVE], "flat": [RENT]})
        put_all(engine, {"hr": [SICK]}, drop=["flat"])
        engine.rollback("demo", EMBEDDER, lambda: None)

        put_all(engine, {"hr": ["third"], "flat": ["second"]})

        assert await read(engine) == {"demo:hr:v3:00001": "third", "demo:flat:v2:00001": "second"}

    def test_without_a_version_before_there_is_no_rollback(self, engine: IndexEngine) -> None:
        """The serving version stays."""
        with pytest.raises(RollbackError):
            engine.rollback("demo", EMBEDDER, lambda: None)
        published = put_all(engine, {"hr": [LEAVE]})

        with pytest.raises(RollbackError):
            engine.rollback("demo", EMBEDDER, lambda: None)

        found = engine.current("demo")
        assert found is not None
        assert found.name == published.name

    async def test_the_last_document_can_go(self, engine: IndexEngine) -> None:
        """Then there is a version without documents, and no index to ask."""
        put_all(engine, {"hr": [LEAVE]})
        with engine.update("demo", lambda: None) as change:
            assert not change.drop("unknown")
            assert change.drop("hr")
            stored = change.publish(ChunkEncoder())

        assert stored is not None
        assert stored.manifest.documents == 0
        async with serving(engine) as server:
            assert await server.current("demo", BOARD) is None


class TestEmbedders:
    async def test_vectors_of_another_embedder_are_not_searched(self, engine: IndexEngine) -> None:
        """They say nothing about the question's."""
        put_all(engine, DOCUMENTS, embedder=OTHER_EMBEDDER)
        async with serving(engine) as server:
            assert server.state() == "mismatch"
            with pytest.raises(IndexUnavailable):
                await server.current("demo", BOARD)

    async def test_a_change_with_another_embedder_embeds_all_again(self, engine: IndexEngine) -> None:
        """The kept documents too, under their ids; and there is no way back to vectors that nobody could search."""
        put_all(engine, DOCUMENTS, embedder=OTHER_EMBEDDER)
        encoder = ChunkEncoder()

        with engine.update("demo", lambda: None, EMBEDDER, chunker_version="c1") as change:
            assert (change.reembeds, change.chunks_to_embed) == (True, 6)
            change.publish(encoder)

        assert len(encoder.encoded) == len(await read(engine)) == 6
        with pytest.raises(RollbackError):
            engine.rollback("demo", EMBEDDER, lambda: None)


class TestWriters:
    async def test_a_second_writer_waits_for_the_first(self, open_engine: OpenEngine) -> None:
        """And is told so; then it starts from what the first has published."""
        waits = threading.Event()
        second = threading.Thread(
            target=put_all, args=(open_engine(), {"flat": [RENT]}), kwargs={"on_wait": waits.set}, daemon=True
        )
        engine = open_engine()
        with engine.update("demo", lambda: None, EMBEDDER, chunker_version="c1") as change:
            second.start()
            assert await asyncio.to_thread(waits.wait, SOON_S)
            put_one(change, "hr", [LEAVE])
            change.publish(ChunkEncoder())
        await asyncio.to_thread(second.join, SOON_S)

        assert await read(engine) == {"demo:hr:v1:00001": LEAVE, "demo:flat:v1:00001": RENT}

    @pytest.mark.parametrize("before", [{}, {"flat": [RENT]}], ids=["first", "next"])
    async def test_a_change_that_is_given_up_leaves_nothing(
        self, engine: IndexEngine, before: dict[str, Sequence[str]]
    ) -> None:
        """Whether it fails before it is published or while its chunks are embedded; the next one is not disturbed."""
        if before:
            put_all(engine, before)
        expected = await read(engine)

        def fail(_: object) -> NoReturn:
            raise ConnectionError

        for publish in (fail, lambda change: change.publish(fail)):
            with pytest.raises(ConnectionError):
                put_and(engine, publish)
            assert await read(engine) == expected

        put_all(engine, {"hr": [SICK]})
        assert await read(engine) == expected | {"demo:hr:v1:00001": SICK}


def put_and(engine: IndexEngine, publish: Callable[[IndexChange], object]) -> None:
    with engine.update("demo", lambda: None, EMBEDDER, chunker_version="c1") as change:
        put_one(change, "hr", [LEAVE])
        publish(change)


def put_one(change: IndexChange, document_id: str, texts: Sequence[str]) -> None:
    spans = [Span(text, 0, len(text), None, None, None) for text in texts]
    change.put(document_id, document_id.upper(), spans, "digest")


def assert_alike(found: Sequence[tuple[str, float]], alone: Sequence[tuple[str, float]]) -> None:
    """The same chunks, but for the tenant, with the same scores."""
    assert [each.partition(":")[2] for each, _ in found] == [each.partition(":")[2] for each, _ in alone]
    assert [score for _, score in found] == pytest.approx([score for _, score in alone], rel=1e-5)
