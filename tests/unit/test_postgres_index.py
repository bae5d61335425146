"""The index in PostgreSQL answers as the embedded one does: same scores, same order, nothing of what a scope hides."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from rag.chunk_id import ChunkId
from rag.index.postgres import approximate, corpus, index
from rag.index.postgres.engine import PostgresEngine
from rag.index.provider import ServedIndexes
from rag.index.store import IndexStore
from rag.ports import ChunkIndex
from rag.types import Labels, Scope
from tests.postgres import FRONT, Postgres
from tests.unit import index_fakes
from tests.unit.index_fakes import EMBEDDER, embed
from tests.unit.postgres_changes import EVERYTHING, change, shown

TEXT = "nghỉ phép năm lương thưởng nghi phep leave policy days annual board secret report staff the of and công ty"
WORDS = TEXT.split()
SCOPES = [
    EVERYTHING,
    Scope(groups=frozenset({"board"})),
    Scope(groups=frozenset({"board", "audit"})),
    Scope(document_ids=frozenset({"d1", "d4", "d5", "d6", "d7", "d8", "none"})),
    Scope(metadata={"kind": frozenset({"policy"}), "year": frozenset({"2025", "2026"})}),
]
QUESTIONS = ["annual leave days", "nghỉ phép năm", "the secret of the board", "the the the and", "nothing here", ""]


def draw_documents() -> tuple[dict[str, list[str]], dict[str, Labels]]:
    draw = random.Random(7)
    documents = {
        f"d{at}": [" ".join(draw.choices(WORDS, k=draw.randint(3, 30))) for _ in range(draw.randint(1, 6))]
        for at in range(24)
    }
    labels = {
        each: Labels(
            draw.choice([(), (), ("board",), ("audit", "board"), ("audit",)]),
            draw.choice([{}, {"kind": ("policy", "guide"), "year": ("2026",)}, {"kind": ("report",)}]),
        )
        for each in documents
    }
    return documents, labels


@asynccontextmanager
async def both(
    engine: PostgresEngine, postgres: Postgres, database: str, folder: Path, scope: Scope
) -> AsyncIterator[tuple[ChunkIndex, ChunkIndex]]:
    """The embedded index and the database's as a front sees it, with the same documents, some of them changed."""
    documents, labels = draw_documents()
    # As the embedded engine orders them: ties are not compared across engines.
    store = IndexStore(folder)
    for changed in (documents, {"d2": ["another text of leave"], "d30": ["the board's new report"]}):
        index_fakes.change(store, changed, labels=labels, keeps_tokens=True)
        change(engine, changed, labels=labels, keeps_tokens=True)
    index_fakes.change(store, {}, drop=["d3"], keeps_tokens=True)
    change(engine, {}, drop=["d3"], keeps_tokens=True)
    served = ServedIndexes(folder, EMBEDDER)
    embedded = await served.current("demo", scope)
    assert embedded is not None
    async with shown(PostgresEngine(postgres.url(database, FRONT)), scope) as other:
        yield embedded, other


@pytest.mark.parametrize("scope", SCOPES)
async def test_both_engines_give_the_same_answers(
    engine: PostgresEngine, postgres: Postgres, database: str, tmp_path: Path, scope: Scope
) -> None:
    """Whatever a scope shows: the scores are those of an index that holds nothing else."""
    async with both(engine, postgres, database, tmp_path, scope) as (embedded, other):
        sizes = [(each.version.chunks, each.version.documents) for each in (embedded, other)]
        assert sizes[0] == sizes[1]
        for question in QUESTIONS:
            lexical = [await each.search_lexical(question, 200) for each in (embedded, other)]
            assert dict(lexical[0]) == pytest.approx(dict(lexical[1]), abs=2e-6)
            vector = embed(question)
            for language in (None, "vi", "en", "other"):
                dense = [await each.search_dense(vector, 200, language) for each in (embedded, other)]
                assert dict(dense[0]) == pytest.approx(dict(dense[1]), abs=2e-6)
        assert await embedded.idf([*WORDS, "unknown"]) == pytest.approx(await other.idf([*WORDS, "unknown"]))
        asked = ["nghi", "phep", "secrte", "repport", "anual", "bord", "x"]
        assert await embedded.spellings(asked) == await other.spellings(asked)
        assert await embedded.near(asked) == await other.near(asked)
        found = [chunk_id for chunk_id, _ in await embedded.search_lexical("the leave", 20)]
        stored = [await each.fetch(found, with_tokens=True) for each in (embedded, other)]
        assert stored[0] == stored[1]
        assert [each.tokens is not None for each in stored[1]] == [True] * len(found)
        for chunk_id in ("demo:d1:v1:00001", "demo:d2:v1:00001", "demo:d2:v2:00001", "demo:d3:v1:00001", *found):
            parsed = ChunkId.parse(chunk_id)
            assert parsed is not None
            assert await embedded.find_chunk(parsed) == await other.find_chunk(parsed)


async def test_a_fetch_of_what_the_scope_hides_is_an_error(
    engine: PostgresEngine, postgres: Postgres, database: str
) -> None:
    """Only a bug asks for it, and it must not show what is hidden."""
    change(engine, {"open": ["open text"], "closed": ["closed text"]}, labels={"closed": Labels(("board",))})
    async with shown(PostgresEngine(postgres.url(database, FRONT))) as answering:
        for chunk_id in ("demo:closed:v1:00001", "demo:open:v2:00001", "acme:open:v1:00001", "nonsense"):
            with pytest.raises(LookupError):
                await answering.fetch([chunk_id])


async def test_the_rare_words_first_find_what_all_words_find(
    engine: PostgresEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Leaving the frequent words for later is faster and must not be seen."""
    documents, _ = draw_documents()
    change(engine, documents)
    async with shown(engine) as answering:
        questions = ["secret the of", "board of the staff", "the of and", "annual leave policy the"]
        whole = [await answering.search_lexical(question, k) for question in questions for k in (1, 3, 10)]

        monkeypatch.setattr(corpus, "_RARE_ROWS", 10)

        assert [await answering.search_lexical(question, k) for question in questions for k in (1, 3, 10)] == whole


@pytest.mark.parametrize("scope", SCOPES)
async def test_a_graph_finds_what_comparing_all_finds(
    engine: PostgresEngine, postgres: Postgres, database: str, tmp_path: Path, scope: Scope,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A large tenant is searched by a graph; filters and languages still find as many as there are."""
    for module in (approximate, index):
        monkeypatch.setattr(module, "EXACT_MAX_CHUNKS", 2)
    async with both(engine, postgres, database, tmp_path, scope) as (embedded, other):
        with postgres.admin(database) as connection:
            assert connection.execute("SELECT to_regclass('rag.vectors_of_1_32')").fetchone() != (None,)
        for question in QUESTIONS[:3]:
            for language in (None, "vi"):
                dense = [await each.search_dense(embed(question), 10, language) for each in (embedded, other)]
                assert [score for _, score in dense[0]] == pytest.approx([score for _, score in dense[1]], abs=2e-6)


async def test_a_graph_that_was_interrupted_is_built_anew(
    engine: PostgresEngine, postgres: Postgres, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer may die while it builds one: the remains would slow all writers down and serve nobody."""
    for module in (approximate, index):
        monkeypatch.setattr(module, "EXACT_MAX_CHUNKS", 2)
    change(engine, {"a": ["one", "two", "three"]})
    with postgres.admin(database) as connection:
        connection.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'rag.vectors_of_1_32'::regclass")

        change(engine, {"b": ["four"]})

        is_valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'rag.vectors_of_1_32'::regclass"
        assert connection.execute(is_valid).fetchone() == (True,)


async def test_what_text_of_a_database_cannot_hold_is_held(engine: PostgresEngine) -> None:
    """Files bring null characters, halves of characters, and words longer than a key may be."""
    long = "dài" * 2_000
    texts = ["null \x00 here", "half \ud800 here", f"long {long} here"]
    change(engine, {"odd": texts})
    engine.verify("demo")
    async with shown(engine) as answering:
        found = await answering.search_lexical(f"{long} long", 1)

        assert found[0][0] == "demo:odd:v1:00003"
        assert [
            each.chunk.text for each in await answering.fetch([f"demo:odd:v1:0000{at}" for at in (1, 2, 3)])
        ] == texts
        assert await answering.spellings([long]) == {long: {}}
