"""How versions in Milvus are published, kept apart, restored and repaired, and what a dying writer leaves behind.

Milvus Lite answers, through the client that a cluster is spoken to with: see `tests.milvus`.
"""

import json
import multiprocessing
import random
import secrets
import threading
import time
from collections.abc import Iterator, Sequence

import pytest

from rag.index.engine import IndexEngine, RollbackError
from rag.index.manifest import BrokenIndexError
from rag.index.milvus import lease
from rag.index.milvus.address import MilvusAddress
from rag.index.milvus.driver import MilvusWriter
from rag.index.milvus.engine import MilvusEngine
from rag.index.milvus.filters import of_tenant
from rag.index.milvus.layout import META, UNUSED, chunks_of, tokens_of
from rag.types import Chunk, EncodedTexts, Labels, Span
from tests.milvus import MilvusLite, MortalWriter, change
from tests.unit import milvus_crash_child
from tests.unit.index_fakes import EMBEDDER, OTHER_EMBEDDER, FakeEncoder
from tests.unit.milvus_crash_child import NEW_DOCUMENTS

OLD_DOCUMENTS = {"old": ["first text", "second text"], "kept": ["kept text"], "lost": ["lost text"]}
OLD_TEXTS = {"old:v1:00001": "first text", "old:v1:00002": "second text", "kept:v1:00001": "kept text"}
OLD_TEXTS |= {"lost:v1:00001": "lost text"}
NEW_TEXTS = {"old:v2:00001": "changed text", "new:v1:00001": "one", "new:v1:00002": "two"}
NEW_TEXTS |= {"kept:v1:00001": "kept text"}
MORE_WRITES_THAN_A_CHANGE_HAS = 60


@pytest.fixture
def tenant_id() -> str:
    return f"t-{secrets.token_hex(4)}"


@pytest.fixture
def address(milvus: MilvusLite) -> MilvusAddress:
    return MilvusAddress.parse(milvus.url)


@pytest.fixture
def engine(address: MilvusAddress) -> Iterator[MilvusEngine]:
    engine = MilvusEngine(address)
    yield engine
    engine.close()


@pytest.fixture
def writer(address: MilvusAddress) -> Iterator[MilvusWriter]:
    writer = MilvusWriter(address)
    yield writer
    writer.close()


def texts(engine: MilvusEngine, writer: MilvusWriter, tenant_id: str) -> dict[str, str]:
    """Every chunk of the serving version, checked, with its text."""
    version = engine.verify(tenant_id)
    if version is None or not version.manifest.chunks:
        return {}
    collection = chunks_of(version.manifest.embedder)
    seen = f"{of_tenant(tenant_id)} and born <= {version.number} and died > {version.number}"
    rows = writer.query(collection, seen, ["chunk_id", "body"])
    return {row["chunk_id"].removeprefix(f"{tenant_id}:"): json.loads(row["body"])["text"] for row in rows}


class TestChanges:
    def test_a_change_is_the_engines_port(self, engine: MilvusEngine) -> None:
        """Whoever holds an engine knows the port alone."""
        port: IndexEngine = engine

        assert port.current("t-nobody") is None

    def test_what_serves_is_what_was_put(self, engine: MilvusEngine, writer: MilvusWriter, tenant_id: str) -> None:
        """A change replaces, adds and drops whole documents; the rest stays, and numbers of versions grow."""
        first = change(engine, OLD_DOCUMENTS, tenant_id=tenant_id, keeps_tokens=True)
        before = texts(engine, writer, tenant_id)
        second = change(engine, NEW_DOCUMENTS, tenant_id=tenant_id, drop=["lost"], keeps_tokens=True)

        assert before == OLD_TEXTS
        assert texts(engine, writer, tenant_id) == NEW_TEXTS
        assert (first.number, second.number, second.manifest.previous) == (1, 2, first.name)
        assert second.manifest.last_versions == {"old": 2, "new": 1, "kept": 1, "lost": 1}
        assert tenant_id in engine.tenants()

    def test_what_did_not_change_is_not_embedded_again(self, engine: MilvusEngine, tenant_id: str) -> None:
        """A new document costs its own chunks."""
        change(engine, OLD_DOCUMENTS, tenant_id=tenant_id)
        encoder = FakeEncoder()
        same = change(engine, OLD_DOCUMENTS, tenant_id=tenant_id, encoder=encoder)
        change(engine, {"more": ["one more"]}, tenant_id=tenant_id, encoder=encoder)

        assert same.number == 1
        assert encoder.encoded == ["one more"]

    def test_left_without_publish_nothing_changes(
        self, engine: MilvusEngine, writer: MilvusWriter, tenant_id: str
    ) -> None:
        """A change that is given up is no change."""
        change(engine, OLD_DOCUMENTS, tenant_id=tenant_id)
        with engine.update(tenant_id, lambda: None, EMBEDDER, chunker_version="c1") as update:
            assert update.drop("old")

        assert texts(engine, writer, tenant_id) == OLD_TEXTS

    def test_all_documents_can_go(self, engine: MilvusEngine, writer: MilvusWriter, tenant_id: str) -> None:
        """An empty version is a version; numbers go on after it."""
        change(engine, OLD_DOCUMENTS, tenant_id=tenant_id)
        empty = change(engine, {}, tenant_id=tenant_id, drop=list(OLD_DOCUMENTS))
        change(engine, {"old": ["back again"]}, tenant_id=tenant_id)

        assert empty.manifest.chunks == 0
        assert texts(engine, writer, tenant_id) == {"old:v2:00001": "back again"}

    def test_new_labels_alone_embed_nothing(self, engine: MilvusEngine, writer: MilvusWriter, tenant_id: str) -> None:
        """Labels are in the rows that filters read; their vectors are copied."""
        change(engine, OLD_DOCUMENTS, tenant_id=tenant_id, keeps_tokens=True)
        encoder = FakeEncoder()
        board = {"old": Labels(("board",), {"year": ("2024",)})}
        change(engine, OLD_DOCUMENTS, tenant_id=tenant_id, labels=board, encoder=encoder, keeps_tokens=True)
        change(engine, {"more": ["one more"]}, tenant_id=tenant_id, keeps_tokens=True)

        assert encoder.encoded == []
        assert texts(engine, writer, tenant_id) == OLD_TEXTS | {"more:v1:00001": "one more"}
        assert engine.verify(tenant_id).manifest.has_tokens  # type: ignore[union-attr]  # it serves

    def test_another_embedder_embeds_everything_again(
        self, engine: MilvusEngine, writer: MilvusWriter, tenant_id: str
    ) -> None:
        """Vectors of two models never meet in one search, and going back finds no leftovers."""
        change(engine, OLD_DOCUMENTS, tenant_id=tenant_id)
        encoder = FakeEncoder(OTHER_EMBEDDER.dimension)
        change(engine, {}, tenant_id=tenant_id, embedder=OTHER_EMBEDDER, encoder=encoder)
        other = texts(engine, writer, tenant_id)
        change(engine, {}, tenant_id=tenant_id)

        assert sorted(encoder.encoded) == sorted(OLD_TEXTS.values())
        assert other == OLD_TEXTS == texts(engine, writer, tenant_id)

    def test_tenants_do_not_meet(self, engine: MilvusEngine, writer: MilvusWriter, tenant_id: str) -> None:
        """All share the collections; a change of one is none of another's."""
        change(engine, OLD_DOCUMENTS, tenant_id=tenant_id)
        change(engine, {"old": ["of another"]}, tenant_id=f"{tenant_id}-b")
        change(engine, {}, tenant_id=f"{tenant_id}-b", drop=["old"])

        assert texts(engine, writer, tenant_id) == OLD_TEXTS

    @pytest.mark.parametrize("tenant", ['a" or tenant != "', "a b", ""])
    def test_what_is_no_tenant_is_refused(self, engine: MilvusEngine, tenant: str) -> None:
        """A tenant's id stands in every filter."""
        with pytest.raises(ValueError, match="a tenant has"):
            change(engine, OLD_DOCUMENTS, tenant_id=tenant)


class TestSpace:
    def test_rows_that_no_kept_version_sees_are_removed(
        self, engine: MilvusEngine, writer: MilvusWriter, tenant_id: str
    ) -> None:
        """The serving version and the one before it stay; older ones go when the next change begins."""
        for number in range(5):
            change(engine, {"only": [f"text {number}"]}, tenant_id=tenant_id, keeps_tokens=True)
        own = of_tenant(tenant_id)

        assert writer.count(chunks_of(EMBEDDER), own) == 3
        assert writer.count(tokens_of(EMBEDDER), own) == 3
        described = {row["name"] for row in writer.query(META, f'{own} and kind == "manifest"', ["name"])}
        assert len(described) == 3

    def test_a_long_description_is_kept_in_parts(self, engine: MilvusEngine, tenant_id: str) -> None:
        """Milvus holds texts of 64 KB; a manifest of many documents is longer."""
        draw = random.Random(1)
        names = {f"{draw.getrandbits(400):x}": ["text"] for _ in range(900)}
        version = change(engine, names, tenant_id=tenant_id)

        assert engine.current(tenant_id) == version


class TestRollback:
    def test_the_version_before_is_restored(self, engine: MilvusEngine, writer: MilvusWriter, tenant_id: str) -> None:
        """As a new version; a second rollback undoes the first, and no id ever means two texts."""
        first = change(engine, OLD_DOCUMENTS, tenant_id=tenant_id, keeps_tokens=True)
        change(engine, NEW_DOCUMENTS, tenant_id=tenant_id, drop=["lost"], keeps_tokens=True)
        restored, now = engine.rollback(tenant_id, EMBEDDER, lambda: None)
        back = texts(engine, writer, tenant_id)
        engine.rollback(tenant_id, EMBEDDER, lambda: None)
        again = texts(engine, writer, tenant_id)
        change(engine, {"old": ["third"]}, tenant_id=tenant_id, keeps_tokens=True)

        assert (restored, now.name[:6]) == (first.name, "000003")
        assert back == OLD_TEXTS
        assert again == NEW_TEXTS
        assert texts(engine, writer, tenant_id)["old:v3:00001"] == "third"

    def test_old_labels_come_back(self, engine: MilvusEngine, tenant_id: str) -> None:
        """What only some may see is as before, in the rows too."""
        board = {"old": Labels(("board",))}
        change(engine, OLD_DOCUMENTS, tenant_id=tenant_id, labels=board)
        change(engine, OLD_DOCUMENTS, tenant_id=tenant_id, labels={"old": Labels(("staff",))})
        engine.rollback(tenant_id, EMBEDDER, lambda: None)

        version = engine.verify(tenant_id)
        assert version is not None
        assert {entry.document_id: entry.labels for entry in version.manifest.document_list}["old"] == board["old"]

    def test_nothing_before_is_an_error(self, engine: MilvusEngine, tenant_id: str) -> None:
        """There is no version to go back to, or it is another embedder's."""
        with pytest.raises(RollbackError, match="no index"):
            engine.rollback(tenant_id, EMBEDDER, lambda: None)
        change(engine, OLD_DOCUMENTS, tenant_id=tenant_id)
        with pytest.raises(RollbackError, match="no version before"):
            engine.rollback(tenant_id, EMBEDDER, lambda: None)
        change(engine, {}, tenant_id=tenant_id, embedder=OTHER_EMBEDDER)
        with pytest.raises(RollbackError, match="made by"):
            engine.rollback(tenant_id, OTHER_EMBEDDER, lambda: None)


class TestDeaths:
    @pytest.mark.parametrize("work", ["change", "rollback"])
    def test_a_writer_that_is_killed_before_any_write_has_changed_nothing(
        self, milvus: MilvusLite, engine: MilvusEngine, writer: MilvusWriter, tenant_id: str, work: str
    ) -> None:
        """Until the switch the old version serves, whole; after it the new one; the next change completes either way.

        The writes are those of the sweep, the chunks, their tokens, the marks, the words, the description, the lease
        and the switch.
        """
        forked = multiprocessing.get_context("forkserver")
        forked.set_forkserver_preload(["tests.unit.milvus_crash_child", "pymilvus"])
        old, new = (OLD_TEXTS, NEW_TEXTS) if work == "change" else (NEW_TEXTS, OLD_TEXTS)
        seen = []
        for steps in range(MORE_WRITES_THAN_A_CHANGE_HAS):
            own = f"{tenant_id}-{steps}"
            change(engine, OLD_DOCUMENTS, tenant_id=own, keeps_tokens=True)
            if work == "rollback":
                change(engine, NEW_DOCUMENTS, tenant_id=own, drop=["lost"], keeps_tokens=True)
            child = forked.Process(target=milvus_crash_child.run, args=(milvus.url, own, work, steps))
            child.start()
            child.join()
            seen.append(texts(engine, writer, own))
            change(engine, {"next": ["next"]}, tenant_id=own, keeps_tokens=True)
            assert texts(engine, writer, own) == seen[-1] | {"next:v1:00001": "next"}
            if child.exitcode == 0:
                break

        assert [each for each in seen if each not in (old, new)] == []
        assert seen[0] == old
        assert seen[-1] == new
        assert len(seen) > 8

    def test_a_write_that_fails_is_an_os_error(
        self, address: MilvusAddress, engine: MilvusEngine, writer: MilvusWriter, tenant_id: str
    ) -> None:
        """The ingestion treats it as it does a full disk: the old version serves."""
        change(engine, OLD_DOCUMENTS, tenant_id=tenant_id)

        def fail() -> None:
            raise OSError("Milvus failed")

        mortal = MilvusEngine(address, MortalWriter(address, 4, fail))
        with pytest.raises(OSError, match="Milvus failed"):
            change(mortal, NEW_DOCUMENTS, tenant_id=tenant_id)
        mortal.close()

        assert texts(engine, writer, tenant_id) == OLD_TEXTS


def break_part(writer: MilvusWriter, tenant_id: str, name: str) -> None:
    writer.delete(META, f'{of_tenant(tenant_id)} and name == "{name}" and kind == "manifest"')


def break_row(writer: MilvusWriter, tenant_id: str, name: str) -> None:
    writer.delete(chunks_of(EMBEDDER), f'{of_tenant(tenant_id)} and pk == "{tenant_id}:new:v1:00002@{int(name[:6])}"')


class TestDamage:
    @pytest.mark.parametrize("damage", [break_part, break_row])
    def test_a_change_starts_from_the_last_whole_version(
        self, engine: MilvusEngine, writer: MilvusWriter, tenant_id: str, damage: object
    ) -> None:
        """Damage is never copied, and numbers that it may have given are not given again."""
        change(engine, OLD_DOCUMENTS, tenant_id=tenant_id)
        broken = change(engine, NEW_DOCUMENTS, tenant_id=tenant_id, drop=["lost"])
        damage(writer, tenant_id, broken.name)  # type: ignore[operator]  # one of two functions
        with pytest.raises(BrokenIndexError):
            engine.verify(tenant_id)
        repaired = change(engine, {"more": ["one more"]}, tenant_id=tenant_id)

        assert texts(engine, writer, tenant_id) == OLD_TEXTS | {"more:v3:00001": "one more"}
        assert repaired.number == 3

    def test_a_rollback_restores_the_last_whole_version(
        self, engine: MilvusEngine, writer: MilvusWriter, tenant_id: str
    ) -> None:
        """It is the way out of a damaged version too."""
        change(engine, OLD_DOCUMENTS, tenant_id=tenant_id)
        broken = change(engine, NEW_DOCUMENTS, tenant_id=tenant_id, drop=["lost"])
        break_part(writer, tenant_id, broken.name)
        engine.rollback(tenant_id, EMBEDDER, lambda: None)

        assert texts(engine, writer, tenant_id) == OLD_TEXTS

    def test_wrong_words_are_found(self, engine: MilvusEngine, writer: MilvusWriter, tenant_id: str) -> None:
        """The table of words decides what is rare: it is checked against the texts."""
        change(engine, OLD_DOCUMENTS, tenant_id=tenant_id)
        writer.delete("rag_words", f'{of_tenant(tenant_id)} and text == "kept"')

        with pytest.raises(BrokenIndexError, match="words"):
            engine.verify(tenant_id)


class TestWriters:
    def test_a_second_writer_on_this_machine_waits(
        self, engine: MilvusEngine, address: MilvusAddress, writer: MilvusWriter, tenant_id: str
    ) -> None:
        """One after the other, each from what the other one left."""
        waiting, order = threading.Event(), []
        other = MilvusEngine(address)

        def second() -> None:
            change(other, {"second": ["second"]}, tenant_id=tenant_id, on_wait=waiting.set)
            order.append("second")

        with engine.update(tenant_id, lambda: None, EMBEDDER, chunker_version="c1") as update:
            thread = threading.Thread(target=second)
            thread.start()
            assert waiting.wait(30)
            order.append("first")
            update.publish(FakeEncoder().encode_chunks)
        thread.join()
        other.close()

        assert order == ["first", "second"]
        assert texts(engine, writer, tenant_id) == {"second:v1:00001": "second"}

    def test_a_writer_on_another_machine_is_waited_for(
        self, engine: MilvusEngine, writer: MilvusWriter, tenant_id: str
    ) -> None:
        """Its lease ends when it releases it, or when it no longer renews it."""
        change(engine, OLD_DOCUMENTS, tenant_id=tenant_id)
        write_lease(writer, tenant_id, until=time.time() + 3_600)
        waited = threading.Event()

        def release() -> None:
            waited.set()
            write_lease(writer, tenant_id, until=0)

        change(engine, {"more": ["more"]}, tenant_id=tenant_id, on_wait=release)

        assert waited.is_set()
        assert len(texts(engine, writer, tenant_id)) == len(OLD_TEXTS) + 1

    def test_a_writer_that_lost_its_lease_does_not_switch(
        self, engine: MilvusEngine, writer: MilvusWriter, tenant_id: str
    ) -> None:
        """It was held up for longer than its lease, and another one works on the tenant now."""
        change(engine, OLD_DOCUMENTS, tenant_id=tenant_id)

        def lose(chunks: Sequence[Chunk]) -> EncodedTexts:
            write_lease(writer, tenant_id, until=time.time() + 3_600)
            return FakeEncoder().encode_chunks(chunks)

        with engine.update(tenant_id, lambda: None, EMBEDDER, chunker_version="c1") as update:
            update.put("more", "More", [Span("more", 0, 4, None, None, None)], "digest")
            with pytest.raises(lease.LeaseLostError):
                update.publish(lose)
        serving = engine.current(tenant_id)

        assert serving is not None
        assert serving.number == 1


def write_lease(writer: MilvusWriter, tenant_id: str, *, until: float) -> None:
    """As a writer on another machine would."""
    body = json.dumps({"holder": "elsewhere/1/abc", "until": until})
    row = {"pk": f"lease/{tenant_id}", "kind": "lease", "tenant": tenant_id, "part": 0, "name": "elsewhere/1/abc"}
    writer.upsert(META, [row | {"body": body, **UNUSED}])
