"""How the ingestion command handles files, and its exit status."""

import errno
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import pytest

from load.small_disk import NoSmallDiskError, empty, fill, mounted_disk
from rag.index.engine import IndexEngine
from rag.index.files import FileEngine
from rag.index.store import IndexStore
from rag.ingestion import reports
from rag.ingestion.arguments import parse_arguments
from rag.ingestion.command import run
from rag.ingestion.ingest import Ingestion
from rag.ingestion.ports import Watcher
from rag.ingestion.sources import DOCUMENT_ID, Failure, Skipped, Source, find_sources
from rag.ports import Vectors
from rag.types import ModelInfo
from tests.unit.index_fakes import (
    EMBEDDER,
    OTHER_EMBEDDER,
    FakeEncoder,
    FakeWatcher,
    FaultyDisk,
    open_plain_reader,
    stored_texts,
)


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    (folder / "hr").mkdir(parents=True)
    (folder / "hr" / "Chính sách 2026.md").write_text("# Nghỉ phép\n\nNhân viên có 12 ngày nghỉ phép năm.")
    (folder / "it.txt").write_text("Every new colleague gets a laptop.")
    return folder


class Desk:
    """An ingestion with an encoder that remembers, as one user has it before them."""

    def __init__(self, store: IndexStore, embedder: ModelInfo = EMBEDDER) -> None:
        self.store = store
        self.embedder = embedder
        self.encoders: list[FakeEncoder] = []
        self.watcher = FakeWatcher()

    def open_encoder(self) -> FakeEncoder:
        self.encoders.append(FakeEncoder(self.embedder.dimension))
        return self.encoders[-1]

    def ingestion(self, watcher: Watcher | None = None) -> Ingestion:
        return Ingestion(
            FileEngine(self.store),
            watcher or self.watcher,
            lambda: self.embedder,
            self.open_encoder,
            open_reader=open_plain_reader,
        )

    def add(self, *paths: Path) -> reports.AddReport:
        findings = find_sources(paths)
        return self.ingestion().add("demo", findings.sources, findings.failed, findings.skipped)

    @property
    def encoded(self) -> list[str]:
        return [text for encoder in self.encoders for text in encoder.encoded]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(IndexStore(tmp_path / "index"))


class TestSources:
    def test_folder_is_walked_in_order_with_paths_as_ids(self, documents: Path) -> None:
        """The id is the path below the folder without its suffix; characters that ids cannot have become `-`."""
        findings = find_sources([documents])

        assert [source.document_id for source in findings.sources] == ["hr-Chinh-sach-2026-4e6ec4cd", "it"]

    def test_decomposed_file_names_give_the_same_id(self, tmp_path: Path) -> None:
        """macOS writes names decomposed; the same file has one id on every machine."""
        (tmp_path / "ha\u0300.md").touch()

        assert find_sources([tmp_path]).sources[0].document_id == "ha-f20e9705"

    def test_file_has_its_stem_as_id(self, documents: Path) -> None:
        """A file that is given itself is not below a folder."""
        (source,) = find_sources([documents / "it.txt"]).sources

        assert (source.path, source.document_id) == (documents / "it.txt", "it")

    def test_hidden_and_unknown_files_in_folders_are_left_out(self, documents: Path) -> None:
        """What is hidden, or left there by a system or an office program, is worth no word; the rest is told."""
        (documents / ".git").mkdir()
        (documents / ".git" / "notes.md").touch()
        (documents / "__MACOSX").mkdir()
        (documents / "__MACOSX" / "notes.md").touch()
        for name in (".hidden.md", ".DS_Store", ".~lock.it.odt#", "~$report.docx", "Thumbs.db", "Desktop.ini"):
            (documents / name).touch()
        (documents / "photo.jpg").touch()

        findings = find_sources([documents])

        assert len(findings.sources) == 2
        assert findings.skipped == [Skipped(str(documents / "photo.jpg"), "not a kind of file that can be read")]
        assert findings.failed == []

    def test_links_out_of_the_folder_are_not_followed(self, documents: Path, tmp_path: Path) -> None:
        """A file, a folder, and a link to a link: each is named with its reason; what is inside is still read."""
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "secret.txt").write_text("The password of the door is 1234.")
        (documents / "file.txt").symlink_to(outside / "secret.txt")
        (documents / "folder").symlink_to(outside)
        (documents / "hr" / "again.txt").symlink_to(documents / "file.txt")
        (documents / "inside.txt").symlink_to("it.txt")

        findings = find_sources([documents])

        reason = "it is a link that leads out of the folder"
        paths = [documents / "file.txt", documents / "folder", documents / "hr" / "again.txt"]
        assert findings.failed == [Failure(str(path), reason) for path in paths]
        assert [source.document_id for source in findings.sources] == ["hr-Chinh-sach-2026-4e6ec4cd", "inside", "it"]

    def test_a_link_that_is_given_itself_is_followed(self, documents: Path, tmp_path: Path) -> None:
        """Who runs the command has named it."""
        (tmp_path / "link").symlink_to(documents)

        assert len(find_sources([tmp_path / "link"]).sources) == 2

    def test_links_are_followed_once(self, documents: Path) -> None:
        """A link that leads back up does not lead round and round."""
        (documents / "loop").symlink_to(documents)
        (documents / "hr" / "up").symlink_to("..")

        assert len(find_sources([documents]).sources) == 2

    def test_files_that_differ_in_the_suffix_are_two_documents(self, documents: Path) -> None:
        """No file is left out because another has its name: the later one has its suffix in its id."""
        (documents / "it.md").write_text("Another text.")

        findings = find_sources([documents])

        assert [source.document_id for source in findings.sources[1:]] == ["it", "it.txt"]
        assert findings.failed == []

    def test_file_without_an_id_of_its_own_fails(self, tmp_path: Path) -> None:
        """Two files never overwrite one another in silence, whatever they are called."""
        for name in ("a b.md", "a+b.md", "a=b.md"):
            (tmp_path / name).touch()

        findings = find_sources([tmp_path])

        assert [source.document_id for source in findings.sources] == ["a-b", "a-b.md"]
        assert findings.failed == [Failure(str(tmp_path / "a=b.md"), "another file of this call has its document id")]

    def test_empty_folder_fails(self, tmp_path: Path) -> None:
        """Who names the wrong folder is told so."""
        (tmp_path / "photo.jpg").touch()

        assert find_sources([tmp_path]).failed == [Failure(str(tmp_path), "the folder holds no file that can be read")]

    def test_links_to_themselves_and_to_nothing_are_named(self, documents: Path) -> None:
        """One bad link harms nothing else."""
        (documents / "self.txt").symlink_to("self.txt")
        (documents / "nothing.txt").symlink_to("gone.txt")

        findings = find_sources([documents, documents / "self.txt"])

        assert findings.failed == [Failure(str(documents / "self.txt"), "it is a link that leads to itself")]
        assert "nothing" in [source.document_id for source in findings.sources]

    def test_folders_may_be_nested_deeper_than_calls(self, tmp_path: Path) -> None:
        """A depth that no recursion reaches is walked."""
        folder = tmp_path
        for _ in range(sys.getrecursionlimit() + 100):
            folder /= "d"
            folder.mkdir()
        (folder / "it.txt").touch()

        try:
            (source,) = find_sources([tmp_path]).sources
        finally:
            subprocess.run(["rm", "-r", tmp_path / "d"], check=True)  # pytest's own clearing up does not reach so deep

        assert DOCUMENT_ID.fullmatch(source.document_id)

    def test_file_that_is_given_twice_is_read_once(self, documents: Path) -> None:
        """The folder and a file in it: the same file, the same id, no rival."""
        findings = find_sources([documents, documents / "it.txt"])

        assert [source.document_id for source in findings.sources] == ["hr-Chinh-sach-2026-4e6ec4cd", "it"]
        assert findings.failed == []

    def test_id_that_would_be_too_long_is_shortened(self, tmp_path: Path) -> None:
        """An id has at most 128 characters; a digest keeps apart what begins alike."""
        for name in ("x" * 129, "x" * 130, "y" * 128):
            (tmp_path / f"{name}.md").touch()

        ids = [source.document_id for source in find_sources([tmp_path]).sources]

        assert ids[2] == "y" * 128
        assert len(set(ids)) == 3
        assert all(DOCUMENT_ID.fullmatch(each) and each.startswith(("x" * 100, "y")) for each in ids)


class TestAdd:
    def test_files_become_chunks(self, desk: Desk, documents: Path) -> None:
        """Parsed, cut, embedded, stored under ids of the contract's form, and counted."""
        report = desk.add(documents)

        assert [(added.document_id, added.chunks) for added in report.added] == [
            ("hr-Chinh-sach-2026-4e6ec4cd", 1),
            ("it", 1),
        ]
        assert (report.failed, report.documents, report.chunks) == ([], 2, 2)
        assert stored_texts(desk.store)["demo:it:v1:00001"] == "Every new colleague gets a laptop."
        assert report.version == desk.store.serving_name("demo")

    def test_broken_files_are_named_and_the_others_go_in(self, desk: Desk, documents: Path) -> None:
        """One bad file harms nothing else."""
        (documents / "broken.pdf").write_bytes(b"%PDF-1.7 nothing")
        (documents / "empty.txt").touch()

        report = desk.add(documents, documents / "missing.md", documents / "it.txt")

        assert [Path(failure.path).name for failure in report.failed] == ["broken.pdf", "empty.txt", "missing.md"]
        assert all(failure.reason for failure in report.failed)
        assert report.documents == 2

    def test_broken_new_state_of_a_document_keeps_the_old_one(self, desk: Desk, documents: Path) -> None:
        """A document is replaced by what can be read, not by nothing."""
        desk.add(documents)
        (documents / "it.txt").write_bytes(b"")

        report = desk.add(documents)

        assert len(report.failed) == 1
        assert stored_texts(desk.store)["demo:it:v1:00001"] == "Every new colleague gets a laptop."

    def test_unchanged_documents_open_no_encoder(self, desk: Desk, documents: Path) -> None:
        """Run again, everything is listed as added, and nothing is cut, embedded or written."""
        first = desk.add(documents)
        desk.encoders.clear()

        again = desk.add(documents)

        assert (again.added, again.version) == (first.added, first.version)
        assert desk.encoders == []

    def test_only_the_changed_document_is_embedded(self, desk: Desk, documents: Path) -> None:
        """Its chunks get new ids, the others keep theirs; a chunk is embedded with the title of its document."""
        desk.add(documents)
        desk.encoders.clear()
        (documents / "it.txt").write_text("Every new colleague gets two laptops.")

        desk.add(documents)

        assert desk.encoded == ["it\nEvery new colleague gets two laptops."]
        assert sorted(stored_texts(desk.store)) == ["demo:hr-Chinh-sach-2026-4e6ec4cd:v1:00001", "demo:it:v2:00001"]

    def test_another_title_is_a_change(self, desk: Desk, documents: Path) -> None:
        """The title stands in every chunk, so the document gets its next version."""
        source = documents / "it.txt"
        desk.ingestion().add("demo", [Source(source, "it")])

        desk.ingestion().add("demo", [Source(source, "it", "Rules of IT")])

        assert list(stored_texts(desk.store)) == ["demo:it:v2:00001"]
        assert desk.ingestion().list_documents("demo").documents == [reports.Listed("it", "Rules of IT", 2, 1, (), {})]

    def test_other_embedder_embeds_all_and_says_so(self, desk: Desk, documents: Path) -> None:
        """After a change of the model everything is embedded from the stored texts, the files not at hand included."""
        desk.add(documents)
        other = Desk(desk.store, OTHER_EMBEDDER)

        other.add(documents / "it.txt")

        assert len(other.encoded) == 2
        assert any("another embedder" in line for line in other.watcher.lines)
        assert sorted(stored_texts(desk.store)) == ["demo:hr-Chinh-sach-2026-4e6ec4cd:v1:00001", "demo:it:v1:00001"]

    def test_chunks_are_embedded_in_bounded_groups(
        self, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Groups bound the memory of a large run; every chunk is in one of them, across documents, and is counted."""
        monkeypatch.setattr("rag.index.update.GROUP_CHUNKS", 3)
        sizes: list[int] = []

        class GroupedEncoder(FakeEncoder):
            def encode_passages(self, texts: Sequence[str], on_batch: Callable[[int], None] | None = None) -> Vectors:
                sizes.append(len(texts))
                return super().encode_passages(texts, on_batch)

        sources = []
        for number in range(7):
            (tmp_path / f"{number}.txt").write_text(f"Text number {number}.")
            sources.append(Source(tmp_path / f"{number}.txt", str(number)))
        ingestion = Ingestion(
            FileEngine(desk.store), desk.watcher, lambda: EMBEDDER, GroupedEncoder, open_reader=open_plain_reader
        )

        report = ingestion.add("demo", sources)

        assert sizes == [3, 3, 1]
        assert desk.watcher.done == {"reading": 7, "embedding": 7}
        assert report.chunks == 7

    def test_nothing_readable_makes_no_index(self, desk: Desk, tmp_path: Path) -> None:
        """A tenant whose only file is broken still has no index."""
        (tmp_path / "empty.md").touch()

        report = desk.add(tmp_path / "empty.md")

        assert (report.version, report.documents, report.chunks) == (None, 0, 0)


class TestOthers:
    def test_removed_document_is_gone_without_an_embedder(self, desk: Desk, documents: Path) -> None:
        """Its chunks are found no more; the others are carried over, and no model is opened for it."""
        desk.add(documents)
        desk.encoders.clear()
        other = Desk(desk.store, OTHER_EMBEDDER)

        report = other.ingestion().remove("demo", "it")

        assert report is not None
        assert (report.documents, report.chunks) == (1, 1)
        assert list(stored_texts(desk.store)) == ["demo:hr-Chinh-sach-2026-4e6ec4cd:v1:00001"]
        assert other.encoders == []

    @pytest.mark.parametrize("indexed", [True, False])
    def test_removing_what_is_not_there_changes_nothing(self, desk: Desk, documents: Path, indexed: bool) -> None:
        """No document of this id, or no index at all: nothing is written."""
        if indexed:
            desk.add(documents)
        before = desk.store.serving_name("demo")

        assert desk.ingestion().remove("demo", "unknown") is None
        assert desk.store.serving_name("demo") == before
        assert desk.store.folder("demo").exists() == indexed

    def test_list_of_no_index_is_empty(self, desk: Desk) -> None:
        """A tenant without an index has no documents."""
        assert desk.ingestion().list_documents("demo") == reports.ListReport("demo", None, [])

    def test_check_finds_nothing_in_a_whole_index(self, desk: Desk, documents: Path) -> None:
        """Checksums and embedder are as they should be."""
        desk.add(documents)

        assert desk.ingestion().check("demo").problems == []

    def test_check_names_damage(self, desk: Desk, documents: Path) -> None:
        """A changed byte is found, and the file is named."""
        report = desk.add(documents)
        path = desk.store.folder("demo") / "versions" / str(report.version) / "chunks.jsonl"
        path.write_bytes(path.read_bytes().replace(b"laptop", b"LAPTOP"))

        assert desk.ingestion().check("demo").problems == ["chunks.jsonl has other content than was sealed"]

    def test_check_names_another_embedder(self, desk: Desk, documents: Path) -> None:
        """An index that the set embedder cannot search is off, though every byte is right."""
        desk.add(documents)

        (problem,) = Desk(desk.store, OTHER_EMBEDDER).ingestion().check("demo").problems

        assert "r1" in problem
        assert "r2" in problem

    def test_check_of_no_index_is_a_problem(self, desk: Desk) -> None:
        """Whoever checks expects an index."""
        assert desk.ingestion().check("demo").problems == ["there is no index"]


class TestCommand:
    @pytest.fixture
    def command(self, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> Callable[..., tuple[int, Any, str]]:
        desk = Desk(IndexStore(tmp_path / "index"))

        def execute(*argv: object) -> tuple[int, Any, str]:
            arguments = parse_arguments([str(each) for each in argv])
            status = run(arguments, FileEngine(desk.store), lambda _, watcher: desk.ingestion(watcher))
            captured = capfdbinary.readouterr()
            return status, json.loads(captured.out) if captured.out else None, captured.err.decode()

        return execute

    def test_add_prints_one_object_of_the_contract(
        self, command: Callable[..., tuple[int, Any, str]], documents: Path
    ) -> None:
        """stdout is the result and nothing else; progress is on stderr."""
        status, report, progress = command("add", "--tenant", "demo", documents)

        assert status == 0
        assert list(report) == [
            "tenant",
            "version",
            "added",
            "failed",
            "skipped",
            "warnings",
            "documents",
            "chunks",
            "seconds",
        ]
        assert list(report["added"][0]) == ["path", "document_id", "chunks"]
        assert "embedding" in progress

    def test_failed_file_is_in_the_object_and_in_the_status(
        self, command: Callable[..., tuple[int, Any, str]], documents: Path
    ) -> None:
        """The others go in, and a script sees that not all did."""
        status, report, progress = command("add", "--tenant", "demo", documents, documents / "photo.jpg")

        assert status == 1
        assert list(report["failed"][0]) == ["path", "reason"]
        assert report["documents"] == 2
        assert "photo.jpg" in progress

    def test_skipped_file_and_warning_are_in_the_object(
        self, command: Callable[..., tuple[int, Any, str]], documents: Path
    ) -> None:
        """What is not in the index is told to scripts; a skipped file is in the status too, for it may be missed."""
        (documents / "photo.jpg").touch()

        status, report, progress = command("add", "--tenant", "demo", documents)

        reason = "not a kind of file that can be read"
        assert status == 1
        assert report["skipped"] == [{"path": str(documents / "photo.jpg"), "reason": reason}]
        assert f"skipped: {documents / 'photo.jpg'}: {reason}" in progress

    def test_empty_folder_ends_with_1(self, command: Callable[..., tuple[int, Any, str]], tmp_path: Path) -> None:
        """A script that adds the wrong folder does not go on."""
        (tmp_path / "empty").mkdir()

        status, report, _ = command("add", "--tenant", "demo", tmp_path / "empty")

        assert status == 1
        assert report["failed"][0]["reason"] == "the folder holds no file that can be read"

    def test_one_file_can_be_named(self, command: Callable[..., tuple[int, Any, str]], documents: Path) -> None:
        """Id and title from the command line; the title is kept as it is written."""
        command("add", "--tenant", "demo", "--document-id", "doc_hr", "--title", "Sổ tay", documents / "it.txt")

        status, report, _ = command("list", "--tenant", "demo")

        assert status == 0
        listed = {"document_id": "doc_hr", "title": "Sổ tay", "document_version": 1, "chunks": 1}
        assert report["documents"] == [{**listed, "groups": [], "metadata": {}}]
        assert list(report) == ["tenant", "version", "documents"]

    @pytest.mark.parametrize(
        "labels",
        [("--group", "board", "--group", " audit ", "--group", "board"), ("--groups", "board, audit ,board")],
        ids=["one by one", "at once"],
    )
    def test_groups_and_metadata_are_those_of_all_files_of_the_call(
        self, command: Callable[..., tuple[int, Any, str]], documents: Path, labels: tuple[str, ...]
    ) -> None:
        """Each once, sorted, as people see them; `list` shows them and `check` finds them in order."""
        metadata = (
            "--metadata",
            "year=2026",
            "--metadata",
            "kind=b=c",
            "--metadata",
            "kind=Phê",
            "--metadata",
            "kind=b=c",
        )
        command("add", "--tenant", "demo", *labels, *metadata, documents)

        listed = command("list", "--tenant", "demo")[1]["documents"]

        assert [each["groups"] for each in listed] == [["audit", "board"]] * 2
        assert [each["metadata"] for each in listed] == [{"kind": ["Phê", "b=c"], "year": ["2026"]}] * 2
        assert command("check", "--tenant", "demo")[0] == 0

    def test_what_is_not_given_stays(self, command: Callable[..., tuple[int, Any, str]], documents: Path) -> None:
        """A file that is added again, changed or not, does not open to all because the groups were not repeated."""

        def add(*options: str) -> tuple[Any, Any, Any]:
            report = command("add", "--tenant", "demo", *options, documents / "it.txt")[1]
            (listed,) = command("list", "--tenant", "demo")[1]["documents"]
            return listed["groups"], listed["metadata"], report["version"]

        first = add("--group", "board", "--metadata", "year=2025")
        assert add() == first
        (documents / "it.txt").write_text("Every new colleague gets two laptops.")
        assert add()[:2] == first[:2]
        assert add("--group", "audit")[:2] == (["audit"], {"year": ["2025"]})
        assert add("--metadata", "kind=a")[:2] == (["audit"], {"kind": ["a"]})
        assert add("--no-groups")[:2] == ([], {"kind": ["a"]})
        assert add("--no-metadata")[:2] == ([], {})

    def test_other_groups_embed_nothing(self, desk: Desk, documents: Path) -> None:
        """The text is the same: a new version, and no work for the model; the same groups again are no change."""

        def add(*groups: str) -> str | None:
            return desk.ingestion().add("demo", [Source(documents / "it.txt", "it", groups=groups)]).version

        first = add("board")
        desk.encoders.clear()

        assert add("audit") != first
        assert add("audit") == add("audit")
        assert desk.encoded == []
        assert list(stored_texts(desk.store)) == ["demo:it:v1:00001"]

    def test_remove_and_check_end_as_they_should(
        self, command: Callable[..., tuple[int, Any, str]], documents: Path
    ) -> None:
        """0 where it is done or in order, 1 where it is not."""
        command("add", "--tenant", "demo", documents)

        assert command("check", "--tenant", "demo")[0] == 0
        assert command("remove", "--tenant", "demo", "--document-id", "it")[0] == 0
        assert command("remove", "--tenant", "demo", "--document-id", "it")[:2] == (1, None)
        assert command("check", "--tenant", "other")[0] == 1

    def test_rollback_prints_what_serves_again(
        self, command: Callable[..., tuple[int, Any, str]], documents: Path
    ) -> None:
        """The new version, the one whose content it has, and what that holds."""
        good = command("add", "--tenant", "demo", documents)[1]["version"]
        command("remove", "--tenant", "demo", "--document-id", "it")

        status, report, _ = command("rollback", "--tenant", "demo")

        assert status == 0
        assert list(report) == ["tenant", "version", "restored", "documents", "chunks"]
        assert report["version"] == command("list", "--tenant", "demo")[1]["version"] != good
        assert (report["restored"], report["documents"], report["chunks"]) == (good, 2, 2)
        assert command("check", "--tenant", "demo")[0] == 0

    def test_rollback_to_nothing_is_one_line(
        self, command: Callable[..., tuple[int, Any, str]], documents: Path
    ) -> None:
        """A tenant without an index, and one with its first version."""
        without = command("rollback", "--tenant", "demo")
        command("add", "--tenant", "demo", documents)

        first = command("rollback", "--tenant", "demo")

        assert without == (1, None, "error: there is no index\n")
        assert first == (1, None, "error: there is no version before the one that serves\n")

    def test_rollback_to_damage_is_one_line(
        self, command: Callable[..., tuple[int, Any, str]], documents: Path, tmp_path: Path
    ) -> None:
        """It names the version and the file, and does not advise to remove the index: the one that serves is whole."""
        old = command("add", "--tenant", "demo", documents)[1]["version"]
        command("remove", "--tenant", "demo", "--document-id", "it")
        (tmp_path / "index" / "tenant-demo" / "versions" / old / "chunks.jsonl").unlink()

        ended = command("rollback", "--tenant", "demo")

        assert ended == (1, None, f"error: the version before, {old}, is damaged: chunks.jsonl is missing\n")
        assert command("check", "--tenant", "demo")[0] == 0

    @pytest.mark.parametrize(
        "argv",
        [
            [],
            ["add", "--tenant", "demo"],
            ["add", "--tenant", "a/b", "x.md"],
            ["add", "--tenant", "", "x.md"],
            ["add", "--tenant", "demo", "--document-id", "a b", "x.md"],
            ["add", "--tenant", "demo", "--document-id", "x" * 129, "x.md"],
            ["add", "--tenant", "demo", "--document-id", "x", "x.md", "y.md"],
            ["add", "--tenant", "demo", "--group", " ", "x.md"],
            ["add", "--tenant", "demo", "--group", "x" * 129, "x.md"],
            ["add", "--tenant", "demo", "--groups", ",", "x.md"],
            ["sync", "--tenant", "demo"],
            ["sync", "--tenant", "demo", "a", "b"],
            ["sync", "--tenant", "demo", "--document-id", "a", "a"],
            ["sync", "--tenant", "demo", "--metadata", "year", "a"],
            ["add", "--tenant", "demo", "--group", "a\nb", "x.md"],
            ["add", "--tenant", "demo", "--group", "a", "--no-groups", "x.md"],
            ["add", "--tenant", "demo", *(f"--group={number}" for number in range(51)), "x.md"],
            ["add", "--tenant", "demo", "--metadata", "year", "x.md"],
            ["add", "--tenant", "demo", "--metadata", "=2026", "x.md"],
            ["add", "--tenant", "demo", "--metadata", "a b=2026", "x.md"],
            ["add", "--tenant", "demo", "--metadata", "year\n=2026", "x.md"],
            ["add", "--tenant", "demo", "--metadata", "year= ", "x.md"],
            ["add", "--tenant", "demo", "--metadata", "year=" + "x" * 257, "x.md"],
            ["add", "--tenant", "demo", "--metadata", "year=1", "--no-metadata", "x.md"],
            ["add", "--tenant", "demo", *(f"--metadata=k{number}=v" for number in range(17)), "x.md"],
            ["add", "--tenant", "demo", *(f"--metadata=k={number}" for number in range(51)), "x.md"],
            ["add", "--tenant", "demo", "--title", "x", "/"],
            ["add", "--tenant", "demo", "--title", " ", "x.md"],
            ["remove", "--tenant", "demo"],
            ["rollback"],
            ["rollback", "--tenant", "demo", "000001-00000000"],
            ["list"],
        ],
    )
    def test_wrong_usage_ends_with_2(self, argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        """Before anything is read or written."""
        with pytest.raises(SystemExit) as caught:
            parse_arguments(argv)

        assert caught.value.code == 2
        assert "error:" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("fault", "status", "word"),
        [
            (KeyboardInterrupt(), 130, "interrupted"),
            (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), 1, "No space left"),
        ],
        ids=["interrupt", "full disk"],
    )
    def test_failure_is_one_line_and_the_old_version_serves(
        self,
        desk: Desk,
        documents: Path,
        fault: BaseException,
        status: int,
        word: str,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """No traceback: one line says what happened, and the index is as it was."""
        before = desk.add(documents / "it.txt")

        class FailingEncoder(FakeEncoder):
            def encode_passages(self, texts: Sequence[str], on_batch: Callable[[int], None] | None = None) -> Vectors:
                raise fault

        def make(engine: IndexEngine, watcher: Watcher) -> Ingestion:
            return Ingestion(engine, watcher, lambda: EMBEDDER, FailingEncoder, open_reader=open_plain_reader)

        arguments = parse_arguments(["add", "--tenant", "demo", str(documents)])
        capsys.readouterr()
        ended = run(arguments, FileEngine(desk.store), make)
        captured = capsys.readouterr()

        assert ended == status
        assert captured.out == ""
        assert word in captured.err.splitlines()[-1]
        assert "Traceback" not in captured.err
        assert desk.store.serving_name("demo") == before.version

    def test_damaged_index_is_one_line_that_says_what_to_do(
        self, command: Callable[..., tuple[int, Any, str]], documents: Path, tmp_path: Path
    ) -> None:
        """Nothing is taken out of damage; `add` says what it starts from instead, and what is lost."""
        command("add", "--tenant", "demo", documents)
        (tmp_path / "index" / "tenant-demo" / "CURRENT").write_text("nonsense")

        removed = command("remove", "--tenant", "demo", "--document-id", "it")
        added = command("add", "--tenant", "demo", documents)

        assert removed[:2] == (1, None)
        assert "`rollback` and `add`" in removed[2]
        assert (added[0], added[1]["documents"]) == (0, 2)
        assert "CURRENT names no version" in added[2]
        assert "this starts from 000001-" in added[2]

    def test_name_that_is_no_text_is_printed(
        self, command: Callable[..., tuple[int, Any, str]], tmp_path: Path
    ) -> None:
        """File names are bytes; one that is no UTF-8 neither stops the run nor spoils the JSON."""
        (tmp_path / os.fsdecode(b"caf\xe9.txt")).write_text("Coffee.")

        status, report, _ = command("add", "--tenant", "demo", tmp_path)

        assert status == 0
        assert report["added"][0]["document_id"] == "caf-udce9"


def test_full_disk_while_writing_keeps_the_old_version(desk: Desk, documents: Path, tmp_path: Path) -> None:
    """The same through the whole command: no space on the index's own disk."""
    before = desk.add(documents / "it.txt")
    full = Desk(IndexStore(tmp_path / "index", FaultyDisk(5)))

    with pytest.raises(OSError, match="No space left"):
        full.add(documents)

    assert desk.store.serving_name("demo") == before.version


def test_a_disk_that_fills_up_at_any_point_is_told_and_harms_nothing(desk: Desk, documents: Path) -> None:
    """With a page more of space each time, until there is enough: all of a version is written, or none."""
    disk = desk.store.folder("demo").parent
    for number in range(20):
        text = "\n\n".join(f"Rule {number}: part {part} has {part + number} days of leave." for part in range(40))
        (documents / f"{number}.txt").write_text(text)
    try:
        with mounted_disk(disk, 4 << 20):
            first = desk.add(documents / "it.txt").version
            failed = list(_add_with_ever_more_space(disk, documents))
            store = IndexStore(disk)

            assert len(failed) >= 10
            for status, told, version, left in failed:
                assert (status, told) == (1, "error: No space left on device: the index is as it was")
                assert version == first
                assert left == {"CURRENT", "LOCK", "versions", first}
            stored = store.verify("demo")
            assert stored is not None
            assert stored.manifest.documents == 22
    except NoSmallDiskError as error:
        pytest.skip(str(error))


def _add_with_ever_more_space(disk: Path, documents: Path) -> Iterator[tuple[int, str, str | None, set[str]]]:
    """Yields: for each failure the status, the last line, the serving version, and the names in the tenant's folder."""

    def make(engine: IndexEngine, watcher: Watcher) -> Ingestion:
        return Ingestion(engine, watcher, lambda: EMBEDDER, FakeEncoder, open_reader=open_plain_reader)

    arguments = parse_arguments(["add", "--tenant", "demo", str(documents)])
    for pages in range(400):
        fill(disk, but_bytes=pages << 12)
        printed = io.StringIO()
        with redirect_stderr(printed):
            status = run(arguments, FileEngine(IndexStore(disk)), make)
        empty(disk)
        if not status:
            return
        store = IndexStore(disk)
        folder = store.folder("demo")
        left = {path.name for path in (*folder.iterdir(), *(folder / "versions").iterdir())}
        yield status, printed.getvalue().splitlines()[-1], store.serving_name("demo"), left


def test_command_line_loads_no_model_library() -> None:
    """`list`, `remove` and `check` start in a second because torch and transformers are not imported for them."""
    program = "import sys, rag.ingestion.command; print([m for m in ('torch', 'transformers') if m in sys.modules])"

    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert ended.stdout.strip() == "[]"
