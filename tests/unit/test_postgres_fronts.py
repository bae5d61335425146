"""Fronts that ask the index in PostgreSQL: what they see and when, whose rows, and what they do without it."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from rag.errors import IndexUnavailable
from rag.index.postgres import pool, server
from rag.index.postgres.engine import PostgresEngine
from rag.types import IndexVersion, Labels, Scope
from tests.postgres import FRONT, OWNER, Postgres, running_postgres
from tests.unit.index_fakes import EMBEDDER, OTHER_EMBEDDER, embed
from tests.unit.postgres_changes import EVERYTHING, change, serving, shown

TABLES = ["contents", "documents", "chunks", "tokens", "vectors", "words", "counts", "postings"]


@pytest.fixture
def front(postgres: Postgres, database: str) -> PostgresEngine:
    """The engine by a role that may only read."""
    return PostgresEngine(postgres.url(database, FRONT))


@pytest.fixture
def losable() -> Iterator[Postgres]:
    with running_postgres() as own:
        own.make_database("mine")
        yield own


@contextmanager
def frozen(postgres: Postgres, database: str) -> Iterator[None]:
    """Connections are taken and nothing is answered, as from a machine that hangs."""
    with postgres.admin(database) as connection:
        found = connection.execute("SELECT pid FROM pg_stat_activity WHERE usename = %s", (FRONT,)).fetchall()
    for (process,) in found:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for (process,) in found:
            os.kill(process, signal.SIGCONT)


async def test_two_fronts_take_up_what_one_ingestor_publishes(
    engine: PostgresEngine, front: PostgresEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By contract within 5 s, without a word between them; a query keeps the version that it was given."""
    change(engine, {"a": ["first text"]})
    seen = [asyncio.Event(), asyncio.Event()]

    def note(at: int, versions: dict[str, IndexVersion]) -> None:
        if versions["demo"].version.startswith("000003"):
            seen[at].set()

    monkeypatch.setattr(server, "POLL_S", 0.01)
    fronts = [front.serve(EMBEDDER, lambda versions, at=at: note(at, dict(versions))) for at in (0, 1)]  # type: ignore[misc]
    watching = [asyncio.create_task(each.watch()) for each in fronts]
    olds = [await each.current("demo", EVERYTHING) for each in fronts]

    await asyncio.to_thread(change, engine, {"a": ["second text"]})
    await asyncio.to_thread(change, engine, {"a": ["third text"]})
    async with asyncio.timeout(30):
        await asyncio.gather(*(each.wait() for each in seen))

    for each, old in zip(fronts, olds, strict=True):
        assert old is not None
        new = await each.current("demo", EVERYTHING)
        assert new is not None
        assert [chunk_id for chunk_id, _ in await old.search_lexical("text", 5)] == ["demo:a:v1:00001"]
        assert [chunk_id for chunk_id, _ in await new.search_lexical("text", 5)] == ["demo:a:v3:00001"]
        assert (await old.fetch(["demo:a:v1:00001"]))[0].chunk.text == "first text"
    for task in watching:
        task.cancel()
    await asyncio.gather(*watching, return_exceptions=True)
    for each in fronts:
        await each.aclose()


async def test_the_listing_is_that_of_now(engine: PostgresEngine, front: PostgresEngine) -> None:
    """Who has just published sees it, whether or not the front has looked since."""
    async with serving(front) as answering:
        assert await answering.documents("demo") == (None, ())
        first = change(engine, {"b": ["text"], "a": ["text"]})
        listed = await answering.documents("demo")
        assert (listed[0], [entry.document_id for entry in listed[1]]) == (first.name, ["a", "b"])
        second = change(engine, {}, drop=["b"])
        listed = await answering.documents("demo")
        assert (listed[0], [entry.document_id for entry in listed[1]]) == (second.name, ["a"])


async def test_states(engine: PostgresEngine, front: PostgresEngine, postgres: Postgres) -> None:
    """Readiness: nothing known, all well, an index of another embedder, no database at all."""
    change(engine, {"a": ["text"]})
    change(engine, {}, drop=["a"])
    change(engine, {"a": ["text"]}, tenant_id="acme")
    async with serving(front) as answering:
        assert answering.state() == "loading"
        await answering.open_all()
        assert answering.state() == "ok"
        assert await answering.current("demo", EVERYTHING) is None
        assert await answering.current("nobody", EVERYTHING) is None
        assert sorted(answering.versions()) == ["acme", "demo"]
        assert sorted(answering.versions(["acme", "none"])) == ["acme"]
    async with serving(front, OTHER_EMBEDDER) as answering:
        await answering.open_all()
        assert answering.state() == "mismatch"
        with pytest.raises(IndexUnavailable):
            await answering.current("acme", EVERYTHING)
    async with serving(PostgresEngine(postgres.url("none", FRONT))) as answering:
        await answering.open_all()
        assert answering.state() == "unreachable"
        with pytest.raises(IndexUnavailable):
            await answering.current("demo", EVERYTHING)


async def test_versions_tell_a_caller_the_sizes_that_it_sees(engine: PostgresEngine, front: PostgresEngine) -> None:
    """The number of documents of a group says something of them."""
    change(engine, {"a": ["text"], "b": ["text", "more"]}, labels={"b": Labels(("board",))})
    async with serving(front) as answering:
        await answering.open_all()
        sizes = [answering.versions(groups=groups)["demo"].chunks for groups in ([], ["board"])]
        scoped = await answering.current("demo", Scope(groups=frozenset({"board"})))
        plain = await answering.current("demo", EVERYTHING)
    assert sizes == [1, 3]
    assert scoped is not None
    assert plain is not None
    assert (scoped.version.chunks, plain.version.chunks) == (3, 1)


def test_a_role_sees_the_rows_of_the_tenant_that_it_names_and_changes_none(
    engine: PostgresEngine, postgres: Postgres, database: str
) -> None:
    """A statement that forgets the tenant finds nothing, by the owner of the tables too."""
    change(engine, {"a": ["text"]}, keeps_tokens=True)
    change(engine, {"b": ["their text"]}, tenant_id="acme", keeps_tokens=True)
    for role in (FRONT, OWNER):
        with psycopg.connect(postgres.url(database, role), autocommit=True) as connection:
            counts = {}
            for tenant in ("", "1", "2", "3"):
                connection.execute("SELECT set_config('rag.tenant', %s, false)", (tenant,))
                counts[tenant] = [
                    connection.execute(f"SELECT count(*), min(tenant), max(tenant) FROM rag.{table}").fetchone()
                    for table in TABLES
                ]
        nothing = (0, None, None)
        assert counts[""] == counts["3"] == [nothing] * len(TABLES)
        for number in (1, 2):
            assert all(row is not None and row[1:] == (number, number) for row in counts[str(number)])
    with psycopg.connect(postgres.url(database, FRONT), autocommit=True) as connection:
        for table in ["tenants", "versions", *TABLES]:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"DELETE FROM rag.{table}")


async def test_an_index_asks_for_its_own_tenant_alone(engine: PostgresEngine, front: PostgresEngine) -> None:
    """Words, vectors and chunks of another tenant are not found through this one's."""
    change(engine, {"a": ["our text"]})
    change(engine, {"b": ["their secret text"]}, tenant_id="acme")
    async with shown(front) as index:
        assert await index.search_lexical("secret", 5) == []
        assert [chunk_id for chunk_id, _ in await index.search_dense(embed("their secret text"), 5)] == [
            "demo:a:v1:00001"
        ]
        assert await index.spellings(["secret"]) == {"secret": {}}
        with pytest.raises(LookupError):
            await index.fetch(["acme:b:v1:00001"])


async def test_connections_that_are_cut_are_replaced_within_the_question(
    engine: PostgresEngine, front: PostgresEngine, postgres: Postgres, database: str
) -> None:
    """A fail-over ends all connections; the next question must not pay for it."""
    change(engine, {"a": ["text"]})
    async with shown(front) as index:
        await asyncio.gather(*(index.search_lexical("text", 5) for _ in range(20)))
        for _ in range(2):
            with postgres.admin(database) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (FRONT,)
                )
            found = await asyncio.gather(*(index.search_lexical("text", 5) for _ in range(20)))
            assert [len(each) for each in found] == [1] * 20


async def test_a_front_outlives_its_database(losable: Postgres) -> None:
    """While it is away questions are refused as not ready; when it is back they are answered, without a restart."""
    change(PostgresEngine(losable.url("mine")), {"a": ["text"]})
    async with serving(PostgresEngine(losable.url("mine", FRONT))) as answering:
        await answering.open_all()
        index = await answering.current("demo", EVERYTHING)
        assert index is not None
        for how in (signal.SIGQUIT, signal.SIGKILL, signal.SIGINT):
            losable.stop(how)
            with pytest.raises(IndexUnavailable):
                await index.search_lexical("text", 5)
            await answering.refresh()
            assert answering.state() == "unreachable"
            losable.start()
            assert len(await index.search_dense(embed("text"), 5)) == 1
            await answering.refresh()
            assert answering.state() == "ok"


async def test_a_caller_leaves_a_database_that_hangs_at_its_deadline(
    engine: PostgresEngine, front: PostgresEngine, postgres: Postgres, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not wait for the statement to be ended; its connection is given up, and others take its place."""
    monkeypatch.setattr(pool, "_CANCEL_S", 0.05)
    change(engine, {"a": ["text"]})
    async with shown(front) as index:
        await index.search_lexical("text", 5)
        with frozen(postgres, database):
            asked = asyncio.create_task(index.search_lexical("text", 5))
            for _ in range(10):
                await asyncio.sleep(0)
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked

            assert len(await index.search_lexical("text", 5)) == 1


async def test_no_more_connections_are_made_than_allowed(
    engine: PostgresEngine, front: PostgresEngine, postgres: Postgres, database: str
) -> None:
    """The database's own limit is shared by all fronts; questions wait for each other instead."""
    change(engine, {"a": ["text"]})
    async with shown(front) as index:
        await asyncio.gather(*(index.search_lexical("text", 5) for _ in range(100)))
        with postgres.admin(database) as connection:
            row = connection.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = %s", (FRONT,)).fetchone()
    assert row is not None
    assert row[0] <= pool.SIZE
