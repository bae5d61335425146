"""Writers of the index in PostgreSQL: one at a time, all or nothing, whatever dies."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import psycopg
import pytest

from load.processes import ROOT
from load.small_disk import NoSmallDiskError, empty, fill, mounted_disk
from rag.index.engine import RollbackError
from rag.index.manifest import BrokenIndexError
from rag.index.postgres import pruning
from rag.index.postgres.address import DatabaseError
from rag.index.postgres.engine import PostgresEngine
from rag.types import Chunk, EncodedTexts, Labels
from tests.postgres import FRONT, Postgres, running_postgres
from tests.unit.index_fakes import EMBEDDER, OTHER_EMBEDDER, FakeEncoder
from tests.unit.postgres_changes import change, shown, stored_texts

OLD = {"old": ["first text", "second text"], "kept": ["kept text"]}
NEW = {"old": ["changed text"], "new": ["one", "two"]}
OLD_TEXTS = {
    "demo:old:v1:00001": "first text",
    "demo:old:v1:00002": "second text",
    "demo:kept:v1:00001": "kept text",
}
NEW_TEXTS = {
    "demo:old:v2:00001": "changed text",
    "demo:new:v1:00001": "one",
    "demo:new:v1:00002": "two",
    "demo:kept:v1:00001": "kept text",
}
WHOLE = [[], sorted(OLD_TEXTS.values()), sorted(NEW_TEXTS.values())]
ORPHANS = "SELECT count(*) FROM rag.contents WHERE doc NOT IN (SELECT doc FROM rag.documents)"
DEATHS_AT_LEAST = 20
MORE_STATEMENTS_THAN_A_CHANGE_HAS = 50


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A disk of 160 MB, below a folder that the server, which runs as nobody, may enter."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        try:
            with mounted_disk(Path(folder) / "disk", 160 * 2**20) as disk:
                yield disk
        except NoSmallDiskError as error:
            pytest.skip(str(error))


def count_contents(postgres: Postgres, database: str) -> int:
    with postgres.admin(database) as connection:
        row = connection.execute("SELECT count(*) FROM rag.contents").fetchone()
    assert row is not None
    return int(row[0])


def test_a_writer_that_is_killed_leaves_the_old_version_or_the_new_one(
    engine: PostgresEngine, postgres: Postgres, database: str
) -> None:
    """`kill -9` before each statement of a change: a half is never seen, and the next change removes what it left."""
    tenants = [f"t{at}" for at in range(MORE_STATEMENTS_THAN_A_CHANGE_HAS)]
    for tenant_id in tenants:
        change(engine, OLD, tenant_id=tenant_id)
    command = [sys.executable, "-m", "tests.unit.postgres_crash_child", postgres.url(database), *tenants]
    deaths = int(subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=ROOT).stdout)

    found = [stored_texts(postgres, database, tenant_id) for tenant_id in tenants[:deaths]]

    assert deaths >= DEATHS_AT_LEAST
    assert all(sorted(texts.values()) in WHOLE for texts in found)
    for tenant_id in tenants[:deaths]:
        change(engine, {"last": ["last text"]}, tenant_id=tenant_id)
    with postgres.admin(database) as connection:
        assert connection.execute(ORPHANS).fetchone() == (0,)


def test_a_database_that_is_killed_while_a_change_is_written_keeps_the_old_version() -> None:
    """`kill -9` of the server in the middle of a publication; after its recovery the next change succeeds."""
    with running_postgres() as server:
        engine = PostgresEngine(server.make_database("mine"))
        change(engine, OLD)

        def encode(chunks: Sequence[Chunk]) -> EncodedTexts:
            server.stop(signal.SIGKILL)
            return FakeEncoder().encode_chunks(chunks)

        with pytest.raises(DatabaseError):
            change(engine, NEW, encode=encode)
        with pytest.raises(DatabaseError):
            engine.current("demo")
        server.start()

        assert stored_texts(server, "mine") == OLD_TEXTS
        change(engine, NEW)
        assert stored_texts(server, "mine") == NEW_TEXTS


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
async def test_a_full_disk_refuses_the_change_and_the_old_version_goes_on_serving(small_disk: Path) -> None:
    """The database says that it is full; fronts are answered meanwhile, and the next change succeeds with space."""
    settings = {"max_wal_size": "4MB", "min_wal_size": "2MB"}
    with contextlib.closing(Postgres(small_disk, settings)) as server:
        engine = PostgresEngine(server.make_database("mine"))
        change(engine, OLD)
        async with shown(PostgresEngine(server.url("mine", FRONT))) as index:
            fill(small_disk, but_bytes=2**20)
            large = {f"d{at}": [f"{at} {number} " + "text " * 400 for number in range(200)] for at in range(10)}
            with pytest.raises(OSError, match=r"space left|terminating|closed|recovery"):
                change(engine, large, keeps_tokens=True)
            empty(small_disk)
            server.wait_ready()

            assert [chunk_id for chunk_id, _ in await index.search_lexical("kept", 5)] == ["demo:kept:v1:00001"]
        assert stored_texts(server, "mine") == OLD_TEXTS
        change(engine, NEW)
        assert stored_texts(server, "mine") == NEW_TEXTS


def test_one_writer_of_a_tenant_waits_for_the_other(engine: PostgresEngine) -> None:
    """Both changes are kept; writers of other tenants do not wait."""
    waits = threading.Event()

    def write() -> None:
        change(engine, {"second": ["second text"]}, on_wait=waits.set)

    with engine.update("demo", lambda: None, EMBEDDER, chunker_version="c1") as update:
        thread = threading.Thread(target=write)
        thread.start()
        assert waits.wait(30)
        change(engine, {"theirs": ["their text"]}, tenant_id="acme", on_wait=lambda: pytest.fail("it waited"))
        update.drop("none")
    thread.join()

    current = engine.current("demo")
    assert current is not None
    assert [entry.document_id for entry in current.manifest.document_list] == ["second"]
    assert engine.tenants() == ["acme", "demo"]


def test_what_nobody_needs_any_more_is_removed_with_its_words(
    engine: PostgresEngine, postgres: Postgres, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The serving version, the one before, and what a query may still have stay; a removed text leaves nothing."""
    change(engine, {"a": ["confidential"], "b": ["public"]})
    change(engine, {}, drop=["a"])
    change(engine, {"c": ["more"]})
    assert count_contents(postgres, database) == 3

    monkeypatch.setattr(pruning, "GRACE_S", 0)
    monkeypatch.setattr(pruning.prune, "__kwdefaults__", {"grace_s": 0})
    change(engine, {"d": ["even more"]})

    assert count_contents(postgres, database) == 3
    with postgres.admin(database) as connection:
        found = connection.execute("SELECT word FROM rag.words WHERE word = 'confidential'").fetchall()
        tables = [connection.execute(f"SELECT count(*) FROM rag.{each} WHERE doc = 1").fetchone() for each in
                  ("chunks", "vectors", "tokens", "postings", "documents")]  # fmt: skip
    assert found == []
    assert tables == [(0,)] * 5


def test_a_rollback_restores_the_version_before_and_a_second_one_undoes_it(
    engine: PostgresEngine, postgres: Postgres, database: str
) -> None:
    """Texts, labels and counts come back under new numbers; ids never mean two texts."""
    first = change(engine, OLD)
    change(engine, NEW, labels={"kept": Labels(("board",))})

    assert engine.rollback("demo", EMBEDDER, lambda: None)[0] == first.name
    assert stored_texts(postgres, database) == OLD_TEXTS
    engine.rollback("demo", EMBEDDER, lambda: None)
    assert stored_texts(postgres, database) == NEW_TEXTS
    change(engine, {"old": ["third"]})
    assert "demo:old:v3:00001" in stored_texts(postgres, database)
    change(engine, {}, embedder=OTHER_EMBEDDER)
    with pytest.raises(RollbackError, match="was made by bag-of-words r1"):
        engine.rollback("demo", OTHER_EMBEDDER, lambda: None)
    with pytest.raises(RollbackError, match="no index"):
        engine.rollback("nobody", EMBEDDER, lambda: None)


def test_another_embedder_embeds_every_text_again(engine: PostgresEngine, postgres: Postgres, database: str) -> None:
    """Chunk ids stay; without an embedder a change can only remove."""
    change(engine, OLD)
    encoder = FakeEncoder(OTHER_EMBEDDER.dimension)

    change(engine, {}, embedder=OTHER_EMBEDDER, encode=encoder.encode_chunks)

    assert sorted(encoder.encoded) == sorted(OLD_TEXTS.values())
    assert stored_texts(postgres, database) == OLD_TEXTS
    with engine.update("demo", lambda: None) as update:
        update.drop("old")
        update.publish(encoder.encode_chunks)
    assert stored_texts(postgres, database) == {"demo:kept:v1:00001": "kept text"}


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("UPDATE rag.chunks SET body = body || ' ' WHERE doc = 1", "document old has other content"),
        ("DELETE FROM rag.vectors WHERE doc = 2", "document kept has other content"),
        ("UPDATE rag.counts SET chunks = chunks + 1 WHERE word_id = 1", "1 words are counted"),
        ("DELETE FROM rag.documents WHERE doc = 1", "sealed"),
        ("UPDATE rag.versions SET header = '{}'", "cannot be read"),
    ],
)
def test_damage_is_found(engine: PostgresEngine, postgres: Postgres, database: str, damage: str, told: str) -> None:
    """Someone changed a row by hand, or a restored backup lacks some: `verify` tells, as for files."""
    change(engine, OLD)
    engine.verify("demo")
    with postgres.admin(database) as connection:
        connection.execute(damage)

    with pytest.raises(BrokenIndexError, match=told):
        engine.verify("demo")


def test_a_damaged_version_is_replaced_by_the_next_change(
    engine: PostgresEngine, postgres: Postgres, database: str
) -> None:
    """It starts from the version before, and numbers of documents go on above all that were given."""
    change(engine, OLD)
    change(engine, {"more": ["more text"]})
    with postgres.admin(database) as connection:
        connection.execute("UPDATE rag.versions SET header = '{}' WHERE number = 2")

    version = change(engine, {"new": ["one"]})

    assert version.number > 2
    assert stored_texts(postgres, database) == OLD_TEXTS | {"demo:new:v3:00001": "one"}


def test_tables_of_newer_code_are_left_alone(engine: PostgresEngine, postgres: Postgres, database: str) -> None:
    """Writing by rules that have changed since would break what newer code reads."""
    change(engine, OLD)
    with postgres.admin(database) as connection:
        connection.execute("UPDATE rag.schema_version SET version = 99")

    with pytest.raises(DatabaseError, match="version 99"):
        engine.current("demo")


def test_two_first_writers_make_the_tables_once(engine: PostgresEngine) -> None:
    """Several pods may start on an empty database at the same moment."""
    threads = [threading.Thread(target=change, args=(engine, OLD), kwargs={"tenant_id": f"t{at}"}) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert engine.tenants() == ["t0", "t1", "t2", "t3"]


@pytest.mark.parametrize("url", ["postgresql://u:hush@[host/db", "postgresql://u:hush@host/db?nonsense=1"])
def test_an_address_that_cannot_be_read_is_refused_without_its_password(url: str) -> None:
    """It ends in a log."""
    with pytest.raises(ValueError, match="cannot be read") as caught:
        PostgresEngine(url)

    assert "hush" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_failure_tells_no_password(engine: PostgresEngine, postgres: Postgres) -> None:
    """Neither do messages of the server, which name what was tried."""
    refused = PostgresEngine(f"postgresql://nobody:hush@127.0.0.1:{postgres.port}/none")
    with pytest.raises(DatabaseError) as caught:
        refused.tenants()

    assert "hush" not in str(caught.value) + str(caught.value.__cause__)
    assert isinstance(caught.value.__cause__, psycopg.OperationalError)
