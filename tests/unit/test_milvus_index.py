"""What a server answers from Milvus: as the embedded engine does, through any scope, and while Milvus comes and goes.

Milvus Lite answers, through the client that a cluster is spoken to with: see `tests.milvus`.
"""

import asyncio
import logging
import random
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from rag.chunk_id import ChunkId
from rag.errors import IndexUnavailable
from rag.index.milvus import index as milvus_index
from rag.index.milvus.address import MilvusAddress
from rag.index.milvus.driver import MilvusWriter
from rag.index.milvus.engine import MilvusEngine
from rag.index.milvus.layout import META
from rag.index.milvus.server import MilvusServer
from rag.index.provider import ServedIndexes
from rag.index.store import IndexStore
from rag.ports import ChunkIndex
from rag.types import Labels, Scope
from tests.milvus import MilvusLite, change, remove_rows, running_milvus
from tests.unit import index_fakes
from tests.unit.index_fakes import EMBEDDER, OTHER_EMBEDDER, embed
from tests.unit.test_index_scopes import draw_labels, draw_scope, draw_text

LIBRARY = "library"
QUESTIONS = ["nghỉ phép năm", "nghi phep nam", "leave days paid office", "alpha3 rent rent workshop7", "unheard"]
WORDS = ["leave", "nghi", "nghỉ", "năm", "alpha3", "workshp", "contrat", "unheard"]


@pytest.fixture
def tenant_id() -> str:
    return f"t-{secrets.token_hex(4)}"


@pytest.fixture
def engine(milvus: MilvusLite) -> Iterator[MilvusEngine]:
    engine = MilvusEngine(MilvusAddress.parse(milvus.url))
    yield engine
    engine.close()


@pytest.fixture
async def served(engine: MilvusEngine) -> AsyncIterator[MilvusServer]:
    server = engine.serve(EMBEDDER, lambda _: None)
    yield server
    await server.aclose()


class Library:
    """Random documents with groups and metadata, the same ones in both engines."""

    def __init__(self) -> None:
        draw = random.Random(7)
        self.documents = {f"d{number}": [draw_text(draw) for _ in range(draw.randint(1, 12))] for number in range(20)}
        self.labels = {document_id: draw_labels(draw) for document_id in self.documents}
        self.scopes = [Scope(), *(draw_scope(draw, list(self.documents)) for _ in range(6))]


async def answer(index: ChunkIndex, about: Callable[[object], object] = lambda number: number) -> dict[str, object]:
    """Everything that an index says, without the tenant; `about` is put around each number."""

    def rank(hits: list[tuple[str, float]]) -> list[tuple[str, object]]:
        return [(chunk_id.partition(":")[2], about(score)) for chunk_id, score in hits]

    return {
        "size": (index.version.chunks, index.version.documents),
        "dense": [rank(await index.search_dense(embed(each), 10)) for each in QUESTIONS],
        "language": [rank(await index.search_dense(embed(each), 10, "vi")) for each in QUESTIONS],
        "lexical": [rank(await index.search_lexical(each, 10)) for each in QUESTIONS],
        "idf": [about(each) for each in await index.idf(WORDS)],
        "spellings": await index.spellings(WORDS),
        "near": await index.near(WORDS),
    }


def nearly(number: object) -> object:
    return pytest.approx(number, abs=1e-5)


class TestAnswers:
    async def test_they_are_those_of_the_embedded_engine_in_every_scope(
        self, engine: MilvusEngine, served: MilvusServer, tenant_id: str, tmp_path: Path
    ) -> None:
        """One product: ranks, scores, rarity and spellings are the same, whatever engine holds the documents.

        What a scope hides shows in none of them: the embedded engine is tested for it against an index that holds
        nothing else.
        """
        library = Library()
        change(engine, library.documents, tenant_id=tenant_id, labels=library.labels)
        store = IndexStore(tmp_path)
        index_fakes.change(store, library.documents, tenant_id=tenant_id, labels=library.labels)
        embedded = ServedIndexes(tmp_path, EMBEDDER)
        for scope in library.scopes:
            own, other = await served.current(tenant_id, scope), await embedded.current(tenant_id, scope)
            assert (own is None) == (other is None)
            if own is not None and other is not None:
                assert await answer(own) == await answer(other, nearly)

    async def test_versions_before_and_other_tenants_show_nowhere(
        self, engine: MilvusEngine, served: MilvusServer, tenant_id: str
    ) -> None:
        """Rows of replaced documents are still stored, and those of other tenants beside them."""
        documents = {"a": ["annual leave of twelve days"], "b": ["the office rent"]}
        change(engine, {"a": ["leave leave leave"], "c": ["leave gone"]}, tenant_id=tenant_id)
        change(engine, documents, tenant_id=tenant_id, drop=["c"])
        change(engine, {"a": ["leave of others", "more leave"]}, tenant_id=f"{tenant_id}-other")
        change(engine, {"a": ["replaced"], "b": ["the office rent"]}, tenant_id=f"{tenant_id}-fresh")
        change(engine, documents, tenant_id=f"{tenant_id}-fresh")
        changed, fresh = await served.current(tenant_id), await served.current(f"{tenant_id}-fresh")

        assert changed is not None
        assert fresh is not None
        assert await answer(changed) == await answer(fresh, nearly)

    async def test_chunks_come_with_text_and_tokens_as_stored(
        self, engine: MilvusEngine, served: MilvusServer, tenant_id: str
    ) -> None:
        """In the order that was asked for; lone surrogates of a PDF and long passages too."""
        long = " ".join(["word"] * 2_500)
        change(engine, {"a": ["first \ud835 text", long]}, tenant_id=tenant_id, keeps_tokens=True)
        index = await served.current(tenant_id)
        assert index is not None
        ids = [f"{tenant_id}:a:v1:00002", f"{tenant_id}:a:v1:00001"]
        stored = await index.fetch(ids, with_tokens=True)
        plain = await index.fetch(ids)

        assert [each.chunk.text for each in stored] == [long, "first \ud835 text"]
        assert [each.tokens for each in plain] == [None, None]
        for each in stored:
            expected = index_fakes.embed_tokens(each.chunk.text)
            assert each.tokens is not None
            assert np.array_equal(each.tokens.values, expected.values)
            assert np.array_equal(each.tokens.scales, expected.scales)
            assert np.array_equal(each.tokens.spans, expected.spans)

    async def test_a_chunk_is_found_by_its_id_within_the_scope(
        self, engine: MilvusEngine, served: MilvusServer, tenant_id: str
    ) -> None:
        """With its neighbours; what is hidden, of another version or of another tenant is not there."""
        labels = {"b": Labels(("board",))}
        change(engine, {"a": ["one", "two"], "b": ["secret"]}, tenant_id=tenant_id, labels=labels)
        index = await served.current(tenant_id)
        assert index is not None
        found = await index.find_chunk(ChunkId(tenant_id, "a", 1, 2))

        assert found is not None
        assert (found.chunk.text, found.previous, found.next) == ("two", f"{tenant_id}:a:v1:00001", None)
        assert await index.find_chunk(ChunkId(tenant_id, "b", 1, 1)) is None
        assert await index.find_chunk(ChunkId(tenant_id, "a", 2, 1)) is None
        assert await index.find_chunk(ChunkId("other", "a", 1, 1)) is None
        with pytest.raises(LookupError):
            await index.fetch([f"{tenant_id}:b:v1:00001"])

    async def test_equal_chunks_keep_the_order_of_the_index(
        self, engine: MilvusEngine, served: MilvusServer, tenant_id: str
    ) -> None:
        """At the cut too: which of them are returned must not change from one call to the next."""
        change(engine, {f"d{number:02}": ["the same text"] for number in range(30)}, tenant_id=tenant_id)
        index = await served.current(tenant_id)
        assert index is not None
        expected = [f"{tenant_id}:d{number:02}:v1:00001" for number in range(5)]

        assert [chunk_id for chunk_id, _ in await index.search_dense(embed("same"), 5)] == expected
        assert [chunk_id for chunk_id, _ in await index.search_lexical("same", 5)] == expected


class TestServing:
    async def test_a_query_keeps_its_version_and_the_next_gets_the_new_one(
        self, engine: MilvusEngine, served: MilvusServer, tenant_id: str
    ) -> None:
        """The version before stays readable while the new one serves."""
        change(engine, {"a": ["old text"]}, tenant_id=tenant_id)
        await served.open_all()
        before = await served.current(tenant_id)
        second = change(engine, {"a": ["new text"]}, tenant_id=tenant_id)
        await served.refresh()
        after = await served.current(tenant_id)

        assert before is not None
        assert after is not None
        assert [each.chunk.text for each in await before.fetch([f"{tenant_id}:a:v1:00001"])] == ["old text"]
        assert await before.search_lexical("new", 5) == []
        assert [chunk_id for chunk_id, _ in await after.search_lexical("new", 5)] == [f"{tenant_id}:a:v2:00001"]
        assert served.versions([tenant_id])[tenant_id].version == second.name
        assert (await served.documents(tenant_id))[0] == second.name

    async def test_a_fresh_version_is_read_strongly_and_an_old_one_is_not(
        self, engine: MilvusEngine, served: MilvusServer, tenant_id: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A cluster shows rows to weaker reads some seconds later; strong ones wait for every writer of the cluster."""
        change(engine, {"a": ["text"]}, tenant_id=tenant_id)
        index = await served.current(tenant_id)
        assert index is not None
        opened = served._open[tenant_id]
        fresh = opened.level
        monkeypatch.setattr(milvus_index, "_FRESH_S", 0.0)

        assert (fresh, opened.level) == ("Strong", "Bounded")

    async def test_sizes_are_those_that_the_groups_see(
        self, engine: MilvusEngine, served: MilvusServer, tenant_id: str
    ) -> None:
        """Whether or not the tenant is open: the switch holds them."""
        labels = {"b": Labels(("board",))}
        change(engine, {"a": ["one", "two"], "b": ["secret"]}, tenant_id=tenant_id, labels=labels)
        await served.refresh()

        assert served.versions([tenant_id], groups=())[tenant_id].chunks == 2
        assert served.versions([tenant_id], groups=("board",))[tenant_id].chunks == 3

    async def test_another_embedders_index_is_refused(self, engine: MilvusEngine, tenant_id: str) -> None:
        """Its vectors mean nothing to this one's questions; the other front serves it."""
        change(engine, {"a": ["text"]}, tenant_id=tenant_id)
        server = engine.serve(OTHER_EMBEDDER, lambda _: None)
        await server.refresh()

        assert server.state() == "mismatch"
        with pytest.raises(IndexUnavailable):
            await server.current(tenant_id)
        await server.aclose()

    async def test_a_damaged_tenant_affects_only_itself(
        self, engine: MilvusEngine, served: MilvusServer, tenant_id: str, milvus: MilvusLite
    ) -> None:
        """Others are served, and the state stays ok."""
        remove_rows(MilvusAddress.parse(milvus.url))  # what other tests have left may be of another embedder
        change(engine, {"a": ["text"]}, tenant_id=tenant_id)
        change(engine, {"a": ["text"]}, tenant_id=f"{tenant_id}-broken")
        writer = MilvusWriter(MilvusAddress.parse(milvus.url))
        writer.delete(META, f'tenant == "{tenant_id}-broken" and kind == "manifest"')
        writer.close()
        await served.refresh()

        assert served.state() == "ok"
        assert await served.current(tenant_id) is not None
        with pytest.raises(IndexUnavailable):
            await served.current(f"{tenant_id}-broken")

    async def test_a_tenant_without_an_index_is_none(self, served: MilvusServer) -> None:
        """There is nothing to find, which is no failure."""
        assert await served.current("t-nobody") is None
        assert await served.documents("t-nobody") == (None, ())


class TestFailures:
    async def test_milvus_goes_and_comes_back(self, tmp_path: Path) -> None:
        """Each read fails at once while it is away, and the same server answers again when it is back."""
        with running_milvus(tmp_path / "data") as milvus:
            engine = MilvusEngine(MilvusAddress.parse(milvus.url))
            change(engine, {"a": ["text of the index"]}, tenant_id="t")
            server = engine.serve(EMBEDDER, lambda _: None)
            await server.open_all()
            index = await server.current("t")
            assert index is not None
            milvus.kill()
            with pytest.raises(IndexUnavailable):
                await index.search_dense(embed("text"), 3)
            with pytest.raises(IndexUnavailable):
                await index.fetch(["t:a:v1:00001"])
            await server.refresh()
            away = server.state()
            milvus.start()
            await server.refresh()

            assert (away, server.state()) == ("unreachable", "ok")
            assert [each for each, _ in await index.search_dense(embed("text"), 3)] == ["t:a:v1:00001"]
            await server.aclose()
            engine.close()

    async def test_a_server_that_starts_without_milvus_waits_for_it(self, tmp_path: Path) -> None:
        """It is unreachable, not broken."""
        milvus = MilvusLite(tmp_path / "data")
        server = MilvusEngine(MilvusAddress.parse(milvus.url)).serve(EMBEDDER, lambda _: None)
        await server.refresh()

        assert server.state() == "unreachable"
        with pytest.raises(IndexUnavailable):
            await server.current("t")
        await server.aclose()

    async def test_a_milvus_that_does_not_answer_holds_nobody_longer_than_the_deadline(self) -> None:
        """The caller's deadline cancels the call, whatever it waits for."""
        silent = socket.create_server(("127.0.0.1", 0))
        address = MilvusAddress.parse(f"milvus+http://127.0.0.1:{silent.getsockname()[1]}")
        server = MilvusEngine(address).serve(EMBEDDER, lambda _: None)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await server.current("t")
        await server.aclose()
        silent.close()


class TestAddress:
    @pytest.mark.parametrize(
        ("url", "uri", "database", "token"),
        [
            ("milvus+http://h", "http://h:19530", "default", ""),
            ("milvus+https://u:p%40ss@h:443/docs", "https://h:443", "docs", "u:p@ss"),
            ("milvus+http://[::1]:1/", "http://[::1]:1", "default", ""),
        ],
    )
    def test_it_is_read_whole(self, url: str, uri: str, database: str, token: str) -> None:
        """Host, port, database, and who asks."""
        address = MilvusAddress.parse(url)

        assert (address.uri, address.database, address.token) == (uri, database, token)
        assert MilvusAddress.parse(url, "of-its-own").token == "of-its-own"

    @pytest.mark.parametrize("url", ["http://h", "milvus+http://", "milvus+http://h/a/b", "milvus+http://u:secret@"])
    def test_what_is_none_is_refused_without_being_repeated(self, url: str) -> None:
        """It may hold a password."""
        with pytest.raises(ValueError, match=r"must be|more than one") as refused:
            MilvusAddress.parse(url)

        assert "secret" not in str(refused.value)

    async def test_a_password_is_in_no_log_line_and_no_error(
        self, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """The driver writes errors of its own, which are silenced: ours name the reason alone."""
        address = MilvusAddress.parse("milvus+http://root:geheim@127.0.0.1:9")
        engine = MilvusEngine(address)
        server = engine.serve(EMBEDDER, lambda _: None)
        with caplog.at_level(logging.DEBUG):
            await server.refresh()
            with pytest.raises(OSError, match="Milvus failed") as failed:
                engine.tenants()
        await server.aclose()

        told = [repr(address), str(address), str(failed.value), caplog.text, *capfd.readouterr()]
        assert [each for each in told if "geheim" in each] == []
