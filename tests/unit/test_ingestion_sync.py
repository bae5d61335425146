"""How the index of a tenant follows a folder, and what it never loses by that."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rag.index.files import FileEngine
from rag.index.store import IndexStore
from rag.ingestion.arguments import parse_arguments
from rag.ingestion.command import run
from rag.ingestion.ingest import Ingestion
from rag.ingestion.ports import PassageEncoder
from rag.ingestion.sources import Source
from tests.unit.index_fakes import EMBEDDER, FakeEncoder, FakeWatcher, open_plain_reader, stored_texts

Command = Callable[..., tuple[int, Any, str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    (folder / "hr").mkdir(parents=True)
    (folder / "hr" / "leave.md").write_text("Twelve days.")
    (folder / "it.txt").write_text("A laptop.")
    return folder


@pytest.fixture
def store(tmp_path: Path) -> IndexStore:
    return IndexStore(tmp_path / "index")


@pytest.fixture
def command(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> Command:
    def execute(*argv: object) -> tuple[int, Any, str]:
        status = run(
            parse_arguments([str(each) for each in (argv[0], "--tenant", "demo", *argv[1:])]),
            FileEngine(IndexStore(tmp_path / "index")),
            lambda engine, watcher: Ingestion(
                engine, watcher, lambda: EMBEDDER, FakeEncoder, open_reader=open_plain_reader
            ),
        )
        captured = capfdbinary.readouterr()
        return status, json.loads(captured.out) if captured.out else None, captured.err.decode()

    return execute


def ids(entries: list[dict[str, str]]) -> list[str]:
    return [entry["document_id"] for entry in entries]


def texts(store: IndexStore) -> list[str]:
    return sorted(stored_texts(store).values())


def test_index_follows_the_folder(command: Command, store: IndexStore, folder: Path) -> None:
    """What is new goes in, what changed is replaced, what is gone goes out, in one version, and each is named."""
    command("sync", folder)
    (folder / "it.txt").write_text("Two laptops.")
    (folder / "hr" / "leave.md").unlink()
    (folder / "new.txt").write_text("New.")

    status, report, _ = command("sync", folder)

    assert status == 0
    assert (ids(report["new"]), ids(report["changed"]), ids(report["removed"])) == (["new"], ["it"], ["hr-leave"])
    assert report["removed"][0]["path"] == str(folder / "hr" / "leave.md")
    assert (report["unchanged"], report["documents"]) == (0, 2)
    assert texts(store) == ["New.", "Two laptops."]


def test_nothing_to_do_writes_nothing(command: Command, folder: Path) -> None:
    """A nightly run makes no version for the servers to take up."""
    first = command("sync", folder)[1]["version"]

    status, report, _ = command("sync", folder)

    assert (status, report["version"], report["unchanged"]) == (0, first, 2)
    assert report["new"] == report["changed"] == report["removed"] == []


def test_it_takes_over_what_add_put_in(command: Command, store: IndexStore, folder: Path) -> None:
    """A folder that was added is the same folder, under whatever path leads to it."""
    link = folder.parent / "link"
    link.symlink_to(folder)
    command("add", folder)
    (folder / "it.txt").unlink()

    report = command("sync", link)[1]

    assert ids(report["removed"]) == ["it"]
    assert texts(store) == ["Twelve days."]


def test_documents_that_came_otherwise_stay(command: Command, store: IndexStore, folder: Path) -> None:
    """One file, a file with an id of its own, another folder, a document over HTTP: none is the folder's to remove."""
    alone, other, sent = folder / "alone.txt", folder.parent / "other", folder.parent / "sent.txt"
    other.mkdir()
    for path in (alone, folder / "named.txt", other / "else.txt", sent):
        path.write_text(f"{path.stem}.")
    command("add", alone)
    command("add", "--document-id", "mine", folder / "named.txt")
    command("add", other)
    ingestion = Ingestion(
        FileEngine(store), FakeWatcher(), lambda: EMBEDDER, FakeEncoder, open_reader=open_plain_reader
    )
    ingestion.add("demo", [Source(sent, "sent")])
    for path in (alone, folder / "named.txt", sent, other / "else.txt"):
        path.unlink()

    report = command("sync", folder)[1]

    assert report["removed"] == []
    assert texts(store) == ["A laptop.", "Twelve days.", "alone.", "else.", "named.", "sent."]


def test_file_that_is_added_by_itself_stays_the_folders(command: Command, folder: Path) -> None:
    """To add one changed file at once does not take it out of the nightly sync."""
    command("sync", folder)
    (folder / "it.txt").write_text("Two laptops.")
    command("add", folder / "it.txt")
    (folder / "it.txt").unlink()

    assert ids(command("sync", folder)[1]["removed"]) == ["it"]


def test_dry_run_changes_nothing_and_says_what_would(
    command: Command, store: IndexStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same lists as the run after it; no version, no folder for a new tenant, no model."""

    def open_none(self: Ingestion) -> PassageEncoder:
        raise AssertionError("a model was opened")

    with monkeypatch.context() as patched:
        patched.setattr(Ingestion, "_use_encoder", open_none)
        first = command("sync", "--dry-run", folder)[1]
    assert not store.folder("demo").exists()
    command("sync", folder)
    (folder / "it.txt").write_text("Two laptops.")
    (folder / "hr" / "leave.md").unlink()
    (folder / "new.txt").write_text("New.")
    before = store.serving_name("demo")

    told = command("sync", "--dry-run", folder)[1]

    assert store.serving_name("demo") == before == told["version"]
    done = command("sync", folder)[1]
    assert (first["dry_run"], told["dry_run"], done["dry_run"]) == (True, True, False)
    assert ids(first["new"]) == ["hr-leave", "it"]
    lists = ("new", "changed", "removed", "unchanged", "failed", "skipped", "warnings")
    assert [told[each] for each in lists] == [done[each] for each in lists]


@pytest.mark.parametrize("dry_run", [["--dry-run"], []], ids=["dry run", "run"])
def test_empty_folder_removes_nothing_unless_told(
    command: Command, store: IndexStore, folder: Path, dry_run: list[str]
) -> None:
    """A volume that is not mounted is an empty folder."""
    command("sync", folder)
    for path in (folder / "it.txt", folder / "hr" / "leave.md"):
        path.unlink()

    status, report, told = command("sync", *dry_run, folder)

    assert (status, report) == (1, None)
    assert "the folder holds no file that can be read; with --allow-empty its documents are removed (2)" in told
    assert len(texts(store)) == 2
    status, report, _ = command("sync", "--allow-empty", folder)
    assert (status, ids(report["removed"]), report["documents"]) == (0, ["hr-leave", "it"], 0)


def test_folder_that_is_not_there_removes_nothing(command: Command, store: IndexStore, folder: Path) -> None:
    """Neither does a file in its place."""
    command("sync", folder)
    folder.rename(folder.parent / "moved")

    assert command("sync", "--allow-empty", folder) == (1, None, f"error: {folder} is no folder\n")
    assert len(texts(store)) == 2


def test_what_cannot_be_looked_at_counts_as_there(
    command: Command, store: IndexStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that may not be read, a broken file, a link that leads out: their documents stay as they were."""
    (folder / "link.txt").write_text("Linked.")
    command("sync", folder)
    (folder / "link.txt").rename(folder.parent / "outside.txt")
    (folder / "link.txt").symlink_to(folder.parent / "outside.txt")
    (folder / "it.txt").write_bytes(b"")
    list_folder = Path.iterdir

    def refuse(self: Path) -> Any:
        if self.name == "hr":
            raise PermissionError(13, "Permission denied")
        return list_folder(self)

    monkeypatch.setattr(Path, "iterdir", refuse)

    status, report, _ = command("sync", folder)

    assert status == 1
    assert sorted(Path(each["path"]).name for each in report["failed"]) == ["hr", "it.txt", "link.txt"]
    assert report["removed"] == []
    assert texts(store) == ["A laptop.", "Linked.", "Twelve days."]


def test_id_that_another_file_takes_over_is_a_change(command: Command, store: IndexStore, folder: Path) -> None:
    """A file that was saved in another format is the same document: changed, not removed."""
    command("sync", folder)
    (folder / "it.txt").rename(folder / "it.md")
    (folder / "it.md").write_text("Two laptops.")

    report = command("sync", folder)[1]

    assert (ids(report["changed"]), report["removed"]) == (["it"], [])
    assert texts(store) == ["Twelve days.", "Two laptops."]


def test_labels_are_those_of_the_call(command: Command, folder: Path) -> None:
    """As with `add`: given, they replace; not given, they stay."""
    command("sync", "--group", "board", folder)
    command("sync", folder)

    listed = command("list")[1]["documents"]

    assert [each["groups"] for each in listed] == [["board"], ["board"]]


def test_rollback_undoes_a_sync(command: Command, store: IndexStore, folder: Path) -> None:
    """What a wrong folder took away comes back in one command, and still belongs to its folder."""
    command("sync", folder)
    (folder / "it.txt").unlink()
    command("sync", folder)

    command("rollback")

    assert texts(store) == ["A laptop.", "Twelve days."]
    assert ids(command("sync", folder)[1]["removed"]) == ["it"]
