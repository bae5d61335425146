"""Which id a file's document has, and that it keeps it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from rag.index.files import FileEngine
from rag.index.manifest import DocumentEntry
from rag.index.store import IndexStore
from rag.ingestion.ingest import Ingestion
from rag.ingestion.reports import AddReport
from rag.ingestion.sources import DOCUMENT_ID, Source, find_sources
from rag.text.document_ids import make_former_id, make_id
from tests.unit.index_fakes import EMBEDDER, FakeEncoder, FakeWatcher, open_plain_reader, stored_texts

NAMES = [
    "Nghị định",
    "Nghì đình",
    "Nghi đinh",
    "合同",
    "契約",
    "계약",
    "договор",
    "عقد",
    "Straße",
    "😀",
    "😁",
    "e\u0301",
]


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory) -> IndexStore:
    return IndexStore(tmp_path_factory.mktemp("index"))  # not below the folder that is added: it holds JSON Lines


@pytest.fixture
def watcher() -> FakeWatcher:
    return FakeWatcher()


@pytest.fixture
def add(store: IndexStore, watcher: FakeWatcher) -> Callable[..., AddReport]:
    ingestion = Ingestion(FileEngine(store), watcher, lambda: EMBEDDER, FakeEncoder, open_reader=open_plain_reader)

    def execute(*paths: Path) -> AddReport:
        found = find_sources(paths)
        return ingestion.add("demo", found.sources, found.failed, found.skipped)

    return execute


def documents_of(store: IndexStore) -> dict[str, DocumentEntry]:
    stored = store.current("demo")
    assert stored is not None
    return {entry.document_id: entry for entry in stored.manifest.document_list}


def ids_of(report: AddReport) -> dict[str, str]:
    return {Path(each.path).name: each.document_id for each in report.added}


def add_as_before(store: IndexStore, *paths: Path) -> None:
    """Fill the index as the versions did that knew no origins and had a dash for every letter outside ASCII."""
    sources = [Source(path, make_former_id(path.stem)) for path in paths]
    Ingestion(FileEngine(store), FakeWatcher(), lambda: EMBEDDER, FakeEncoder, open_reader=open_plain_reader).add(
        "demo", sources
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("HR Policy_2026 (final)+v1.2", "HR-Policy_2026--final--v1.2"),
        ("hr/it", "hr-it"),
        ("Report – final “v2”", "Report---final--v2-"),
        ("--", "--"),
    ],
)
def test_names_that_lose_no_letter_are_as_the_contract_says(name: str, expected: str) -> None:
    """Each other character is a dash; so ids of existing indexes stay."""
    assert make_id(name) == expected == make_former_id(name)


@pytest.mark.parametrize(
    ("name", "beginning"),
    [
        ("Nghị định 13/Đề án", "Nghi-dinh-13-De-an-"),
        ("合同", ""),
        ("2026年合同 v2", "2026-v2-"),
        ("Straße Łódź", "Strasse-Lodz-"),
        ("\uff21\uff11", "A1-"),
    ],
)
def test_what_can_be_read_stays_and_a_digest_follows(name: str, beginning: str) -> None:
    """A person recognises the document, where its letters have a counterpart in ASCII."""
    digest = make_id(name).removeprefix(beginning)

    assert len(digest) == 8
    assert set(digest) <= set("0123456789abcdef")


def test_names_keep_apart_and_are_valid() -> None:
    """Two names of any script are two ids of the contract's alphabet and length, in every folder, however long."""
    names = [f"{prefix}{name}" for prefix in ("", "hr/", "x" * 200, "\u0111" * 200) for name in NAMES]

    ids = [make_id(name) for name in names]

    assert len(set(ids)) == len(names)
    assert all(DOCUMENT_ID.fullmatch(each) for each in ids)


def test_both_files_are_found(add: Callable[..., AddReport], store: IndexStore, tmp_path: Path) -> None:
    """Names that differ in their marks only: both texts are in the index."""
    (tmp_path / "Nghị định.txt").write_text("One.")
    (tmp_path / "Nghì đình.txt").write_text("Two.")

    report = add(tmp_path)

    assert report.failed == []
    assert sorted(stored_texts(store).values()) == ["One.", "Two."]


def test_document_keeps_the_id_that_it_had_before(
    add: Callable[..., AddReport], store: IndexStore, tmp_path: Path
) -> None:
    """An index of the time before digests gets no second copy: changed or not, the file stays the document it was."""
    path = tmp_path / "Nghị định.txt"
    path.write_text("One.")
    add_as_before(store, path)

    assert ids_of(add(tmp_path)) == {path.name: make_former_id(path.stem)}
    path.write_text("Two.")
    assert ids_of(add(tmp_path)) == {path.name: make_former_id(path.stem)}
    assert list(stored_texts(store).values()) == ["Two."]


def test_former_id_goes_to_nobody_if_two_claim_it(
    add: Callable[..., AddReport], store: IndexStore, tmp_path: Path
) -> None:
    """Which of the two it was is unknown: both go in under ids of their own, and nothing is overwritten."""
    for name, text in (("Nghị định", "One."), ("Nghì đình", "Two.")):
        (tmp_path / f"{name}.txt").write_text(text)
    add_as_before(store, tmp_path / "Nghị định.txt")

    report = add(tmp_path)

    assert make_former_id("Nghị định") not in ids_of(report).values()
    assert sorted(stored_texts(store).values()) == ["One.", "One.", "Two."]


def test_former_id_is_not_taken_from_its_file(add: Callable[..., AddReport], store: IndexStore, tmp_path: Path) -> None:
    """Once the first file has it, the second one, added by itself, gets its own."""
    first, second = tmp_path / "Nghị định.txt", tmp_path / "Nghì đình.txt"
    first.write_text("One.")
    add_as_before(store, first)
    add(first)
    second.write_text("Two.")

    add(second)

    assert sorted(stored_texts(store).values()) == ["One.", "Two."]


@pytest.mark.parametrize("at_once", [True, False], ids=["with the folder", "by itself"])
def test_file_beside_it_with_another_suffix_takes_no_id_away(
    add: Callable[..., AddReport], store: IndexStore, tmp_path: Path, at_once: bool
) -> None:
    """A file keeps the id under which it stands in the index, though the newcomer comes first in the alphabet."""
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "it.txt").write_text("One.")
    add(folder)
    (folder / "it.md").write_text("Two.")

    report = add(folder if at_once else folder / "it.md")

    assert ids_of(report)["it.md"] == "it.md"
    assert documents_of(store)["it"].document_version == 1
    assert sorted(stored_texts(store).values()) == ["One.", "Two."]


def test_id_is_free_again_if_its_file_is_gone(add: Callable[..., AddReport], store: IndexStore, tmp_path: Path) -> None:
    """A document that was saved in another format is the next version of itself."""
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "it.txt").write_text("One.")
    add(folder)
    (folder / "it.txt").rename(folder / "it.md")
    (folder / "it.md").write_text("Two.")

    assert ids_of(add(folder)) == {"it.md": "it"}
    assert documents_of(store)["it"].document_version == 2


def test_document_of_another_file_is_replaced_with_a_warning(
    add: Callable[..., AddReport], watcher: FakeWatcher, tmp_path: Path
) -> None:
    """The same path below another folder is the same document: whoever did not mean that is told."""
    for name, text in (("a", "One."), ("b", "Two.")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "it.txt").write_text(text)
    first = add(tmp_path / "a")

    second = add(tmp_path / "b")

    assert first.warnings == []
    (warned,) = second.warnings
    assert warned.path == str(tmp_path / "b" / "it.txt")
    assert warned.warning == f"its document it replaces that of {tmp_path / 'a' / 'it.txt'}"
    assert any(line.startswith("warning: ") for line in watcher.lines)
