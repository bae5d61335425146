"""Copies of an index to another engine: what was cited stays true, and either side serves while it goes on."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from rag.index.engine import IndexEngine
from rag.index.files import FileEngine
from rag.index.manifest import BrokenIndexError
from rag.index.store import IndexStore
from rag.ingestion.__main__ import main
from rag.ingestion.migration import Migration, NewEmbedder
from rag.ingestion.reports import MigratedTenant
from rag.types import Chunk, EncodedTexts, Labels, ModelInfo, Scope
from tests.index_engines import ENGINES, ChunkEncoder, put_all
from tests.unit.index_fakes import EMBEDDER, OTHER_EMBEDDER, embed

DOCUMENTS = {
    "hr": ["Twelve days of annual leave.", "Sick leave needs a note."],
    "flat": ["The rent is due on Fridays."],
}
LABELS = {"hr": Labels((), {"year": ("2026",)}), "flat": Labels(("board",))}
BOARD = Scope(frozenset({"board"}))


class SilentWatcher:
    def __init__(self) -> None:
        self.measured: list[tuple[str, int]] = []

    def tell(self, line: str) -> None: ...

    @contextmanager
    def measure(self, what: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
        self.measured.append((what, total))
        yield lambda _: None


# The tests have one Milvus, which is one place.
PAIRS = [pair for pair in product(ENGINES, ENGINES) if pair != ("milvus", "milvus")]


@pytest.fixture(params=PAIRS, ids="-".join)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[IndexEngine, IndexEngine]]:
    """An engine to copy from, and an empty one."""
    source, target = request.param
    (tmp_path / "source").mkdir()
    (tmp_path / "target").mkdir()
    with ENGINES[source](tmp_path / "source") as one, ENGINES[target](tmp_path / "target") as other:
        yield one(), other()


def migrate(source: IndexEngine, target: IndexEngine, embedder: NewEmbedder | None = None) -> MigratedTenant:
    (report,) = Migration(source, target, SilentWatcher(), embedder).run(["demo"]).tenants
    return report


def list_documents(engine: IndexEngine) -> dict[str, tuple[object, ...]]:
    stored = engine.current("demo")
    assert stored is not None
    return {
        each.document_id: (each.document_version, each.title, each.chunks, each.digest, each.labels)
        for each in stored.manifest.document_list
    }


async def search(engine: IndexEngine, embedder: ModelInfo = EMBEDDER) -> dict[str, tuple[str, float, bytes | None]]:
    """Every chunk by its id, as a server that has just been started finds it."""
    server = engine.serve(embedder, lambda _: None)
    try:
        await server.open_all()
        index = await server.current("demo", BOARD)
        assert index is not None
        found = dict(await index.search_dense(embed("annual leave", embedder.dimension), 10))
        stored = await index.fetch(list(found), with_tokens=True)
    finally:
        await server.aclose()
    return {
        each.chunk.chunk_id: (
            each.chunk.text,
            round(found[each.chunk.chunk_id], 4),
            np.asarray(each.tokens.values).tobytes() if each.tokens else None,
        )
        for each in stored
    }


class TestCopies:
    async def test_the_copy_answers_as_the_original(self, pair: tuple[IndexEngine, IndexEngine]) -> None:
        """Ids, numbers, labels, vectors and token vectors are copied; so a citation given before stays true."""
        source, target = pair
        put_all(source, DOCUMENTS, labels=LABELS, keeps_tokens=True)
        put_all(source, {"hr": ["Fourteen days of annual leave."]}, keeps_tokens=True)

        report = migrate(source, target)

        assert (report.copied, report.unchanged, report.removed, report.chunks) == (1, 1, 0, 2)
        assert list_documents(target) == list_documents(source)
        assert await search(target) == await search(source)
        assert "demo:hr:v2:00001" in await search(target)

    async def test_a_second_run_copies_what_has_changed_since(self, pair: tuple[IndexEngine, IndexEngine]) -> None:
        """A long copy is caught up with in a short one; what is gone goes, and new labels come along."""
        source, target = pair
        put_all(source, {**DOCUMENTS, "old": ["A text that goes."]}, labels=LABELS)
        migrate(source, target)
        put_all(source, {"new": ["Gym membership is free."]}, drop=["old"], labels={"hr": Labels(("hr",))})
        put_all(source, {"hr": DOCUMENTS["hr"]}, labels={"hr": Labels(("board",))})

        report = migrate(source, target)
        again = migrate(source, target)

        assert (report.copied, report.unchanged, report.removed) == (1, 2, 1)
        assert (again.copied, again.unchanged, again.version) == (0, 3, report.version)
        assert list_documents(target) == list_documents(source)
        assert await search(target) == await search(source)

    async def test_no_number_is_given_twice(self, pair: tuple[IndexEngine, IndexEngine]) -> None:
        """The id of a chunk of a removed document never means another text, at the target neither."""
        source, target = pair
        put_all(source, DOCUMENTS, labels=LABELS)
        put_all(source, {}, drop=["hr"])
        migrate(source, target)

        put_all(target, {"hr": ["Anything else."]})

        assert list_documents(target)["hr"][0] == 2

    async def test_the_last_change_can_be_undone_at_the_target(self, pair: tuple[IndexEngine, IndexEngine]) -> None:
        """As at the source: the version before the serving one is copied too."""
        source, target = pair
        put_all(source, DOCUMENTS, labels=LABELS)
        before = list_documents(source)
        put_all(source, {}, drop=["flat"])
        migrate(source, target)

        target.rollback("demo", EMBEDDER, lambda: None)

        assert list_documents(target) == before

    async def test_an_index_without_documents_is_copied(self, pair: tuple[IndexEngine, IndexEngine]) -> None:
        """Its tenant is answered from nothing, as before."""
        source, target = pair
        put_all(source, DOCUMENTS)
        put_all(source, {}, drop=list(DOCUMENTS))

        report = migrate(source, target)

        assert (report.documents, report.chunks) == (0, 0)
        assert list_documents(target) == {}

    async def test_two_embedders_serve_at_the_same_time(self, pair: tuple[IndexEngine, IndexEngine]) -> None:
        """The new one's index is built beside the old one's, which serves on and can be gone back to."""
        source, target = pair
        put_all(source, DOCUMENTS, labels=LABELS)
        before = await search(source)
        encoder = ChunkEncoder(OTHER_EMBEDDER)

        def embed_chunks(chunks: Sequence[Chunk], _: object) -> EncodedTexts:
            return encoder(chunks)

        new = NewEmbedder(OTHER_EMBEDDER, embed_chunks, keeps_tokens=False)
        migrate(source, target, new)
        migrate(source, target, new)

        assert sorted(encoder.encoded) == sorted(before), "each chunk once"
        assert await search(source) == before
        assert (await search(target, OTHER_EMBEDDER)).keys() == before.keys()
        assert list_documents(target) == list_documents(source)


def test_a_damaged_index_is_not_copied(tmp_path: Path) -> None:
    """Every byte is checked before it is copied; the target stays as it was."""
    store, target = IndexStore(tmp_path / "source"), FileEngine(IndexStore(tmp_path / "target"))
    put_all(FileEngine(store), DOCUMENTS)
    stored = store.current("demo")
    assert stored is not None
    lines = stored.folder / "chunks.jsonl"
    lines.chmod(0o600)
    lines.write_bytes(lines.read_bytes().replace(b"Twelve", b"Eleven"))

    with pytest.raises(BrokenIndexError):
        migrate(FileEngine(store), target)
    assert target.current("demo") is None


def test_command_copies_all_tenants_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each tenant with its counts; a folder is as good as a URL; it can be run again."""
    source, target = tmp_path / "from", tmp_path / "a folder"
    for tenant_id in ("demo", "other"):
        put_all(FileEngine(IndexStore(source)), DOCUMENTS, tenant_id=tenant_id)
    monkeypatch.setenv("RAG_INDEX_DIR", str(source))

    status = main(["migrate", "--to", str(target)], prog="rag ingest")
    report = json.loads(capsys.readouterr().out)
    again = main(["migrate", "--to", target.as_uri(), "--tenant", "other"], prog="rag ingest")

    assert (status, again) == (0, 0)
    assert [(each["tenant"], each["copied"], each["chunks"]) for each in report["tenants"]] == [
        ("demo", 2, 3),
        ("other", 2, 3),
    ]
    assert json.loads(capsys.readouterr().out)["tenants"][0]["unchanged"] == 2
    assert FileEngine(IndexStore(target)).tenants() == ["demo", "other"]


def test_command_shows_no_password(capsys: pytest.CaptureFixture[str]) -> None:
    """Of a URL that it does not understand."""
    with pytest.raises(SystemExit):
        main(["migrate", "--to", "nosuch://user:secret@host/x"], prog="rag")
    assert "secret" not in capsys.readouterr().err
