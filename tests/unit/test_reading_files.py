"""What a file can do to the process that reads it, and what it cannot do to the ingestion."""

import io
import os
import signal
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from rag.errors import ParseError
from rag.index.files import FileEngine
from rag.index.store import IndexStore
from rag.ingestion.ingest import Ingestion
from rag.ingestion.reading import ChildError, FileReader
from rag.ingestion.sources import Source
from tests.unit.index_fakes import EMBEDDER, FakeEncoder, FakeWatcher
from tests.unit.test_parsing_sheets import make_sheet

HOSTILE = (sys.executable, "-P", "-m", "tests.unit.hostile_parser")
MEMORY_BYTES = 128 * 2**20
ENDS_WITHIN_S = 60


def open_hostile(timeout_s: float = 60, renew_after_files: int = 300) -> FileReader:
    return FileReader(
        memory_bytes=MEMORY_BYTES, timeout_s=timeout_s, command=HOSTILE, renew_after_files=renew_after_files
    )


def ingestion_into(folder: Path) -> Ingestion:
    return Ingestion(
        FileEngine(IndexStore(folder)), FakeWatcher(), lambda: EMBEDDER, FakeEncoder, open_reader=open_hostile
    )


@pytest.fixture(scope="module")
def reader() -> Iterator[FileReader]:
    with open_hostile() as opened:
        yield opened


def write(folder: Path, suffix: str, text: str = "Text.") -> Path:
    path = folder / f"it{suffix}"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("suffix", "reason"),
    [
        (".crash", "the parser crashed (Segmentation fault)"),
        (".exit", "the parser crashed (exit status 3)"),
        (".killed", "the parser was killed: the machine may have too little memory"),
        (".eat", "needs more than 128 MiB of memory to read"),
        (".hide", "needs more than 128 MiB of memory to read"),
        (".lie", "the parser crashed (its answer cannot be read)"),
        (".none", "unknown type: only"),
    ],
)
def test_every_end_is_a_reason_and_the_next_file_is_read(
    reader: FileReader, tmp_path: Path, suffix: str, reason: str
) -> None:
    """A file that ends its process is named with what it did; the one after it is read as if nothing had happened."""
    with pytest.raises(ParseError) as caught:
        reader.read(write(tmp_path, suffix))

    assert str(caught.value).startswith(reason)
    assert reader.read(write(tmp_path, ".txt")).text == "Text."


def test_file_that_takes_for_ever_is_given_up(tmp_path: Path) -> None:
    """It is named with the bound of time, and its process is gone."""
    before = psutil.Process().children()
    with open_hostile(timeout_s=0.2) as impatient:
        with pytest.raises(ParseError, match=r"^took longer than 0\.2 s to read$"):
            impatient.read(write(tmp_path, ".loop"))

        assert psutil.Process().children() == before


def test_what_a_parser_prints_is_no_answer(reader: FileReader, tmp_path: Path) -> None:
    """It goes where errors go."""
    assert reader.read(write(tmp_path, ".chatter")).text == "Heard."


def test_process_is_used_again_and_renewed(tmp_path: Path) -> None:
    """A start for each file would cost more than most files; a process that is never renewed would grow."""
    path = write(tmp_path, ".process")
    with open_hostile(renew_after_files=3) as renewing:
        processes = [renewing.read(path).text for _ in range(7)]

    assert processes[0] == processes[1] == processes[2] != processes[3]
    assert len(set(processes)) == 3


def test_what_earlier_files_left_behind_is_no_reason(tmp_path: Path) -> None:
    """A file that ends a used process gets a fresh one, before it is called broken."""
    with open_hostile() as wearing:
        texts = [wearing.read(write(tmp_path, ".wear")).text for _ in range(3)]

    assert texts == ["Read."] * 3


def test_parser_does_not_see_the_environment(
    reader: FileReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys of the service are no business of what reads strangers' files."""
    monkeypatch.setenv("RAG_GENERATOR_API_KEY", "secret")
    with open_hostile() as fresh:
        names = fresh.read(write(tmp_path, ".environment")).text.split()

    assert "PATH" in names
    assert not [name for name in names if name.startswith("RAG_")]


def test_the_same_document_arrives(tmp_path: Path) -> None:
    """Title, headings, pages and text are those that the parser gave; a path may hold any bytes."""
    path = tmp_path / os.fsdecode(b"caf\xe9 \xf0\x9f\x98\x80\n.md")
    path.write_text("# Nghỉ phép\n\nNhân viên có 12 ngày nghỉ phép năm. 😀")
    with FileReader() as plain:
        document = plain.read(path)

    assert (document.title, [heading.text for heading in document.headings]) == ("Nghỉ phép", ["Nghỉ phép"])
    assert document.text.endswith("nghỉ phép năm. 😀")


def test_workbook_is_read_by_a_process_of_the_process(reader: FileReader, tmp_path: Path) -> None:
    """The bound on the child is none on what its parsers start: that has a larger one of its own."""
    path = tmp_path / "days.xlsx"
    path.write_bytes(make_sheet([["Name", "Days"], ["Leave", 12]]))

    assert "12" in reader.read(path).text


def test_process_that_does_not_start_is_no_fault_of_the_file(tmp_path: Path) -> None:
    """It is an error of the whole operation: every other file would fail too."""
    with FileReader(command=(sys.executable, "-c", "raise SystemExit(1)")) as broken, pytest.raises(ChildError):
        broken.read(write(tmp_path, ".txt"))


def make_bomb(path: Path) -> None:
    """A Word document of some kilobytes that unpacks to more than is ever read."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        with archive.open("word/document.xml", "w") as entry:
            entry.write(b"<w:document>")
            for _ in range(80):
                entry.write(b" " * 2**20)
    assert path.stat().st_size < 2**18


def make_entity_bomb() -> bytes:
    """An XML document, a billion laughs."""
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    document = f'<!DOCTYPE d [<!ENTITY l0 "ha">{entities}]><d>&l9;</d>'
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("[Content_Types].xml", document)
        archive.writestr("word/document.xml", document)
    return buffer.getvalue()


def make_pdf_bomb(path: Path) -> None:
    """A page whose content, packed twice into some kilobytes, has more bytes than there may be memory."""
    content = zlib.compress(zlib.compress(b" " * (MEMORY_BYTES + 2**25), 9), 9)
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 100 100]/Contents 4 0 R>>",
        b"<</Filter[/FlateDecode/FlateDecode]/Length %d>>stream\n%b\nendstream" % (len(content), content),
    ]
    body = b"%PDF-1.4\n" + b"".join(b"%d 0 obj%b endobj\n" % each for each in enumerate(objects, start=1))
    path.write_bytes(body + b"trailer<</Root 1 0 R/Size 5>>")
    assert path.stat().st_size < 2**14


def test_pdf_bomb_is_named(reader: FileReader, tmp_path: Path) -> None:
    """PDFium ends its process where it gets no memory, without a word."""
    make_pdf_bomb(tmp_path / "bomb.pdf")

    with pytest.raises(ParseError, match=r"^needs more than 128 MiB of memory to read$"):
        reader.read(tmp_path / "bomb.pdf")


def test_a_folder_with_bombs_goes_in_without_them(tmp_path: Path) -> None:
    """Bombs are named, and do not grow the process that ingests; all other files are in the index."""
    names = [f"{number:03}" for number in range(40)]
    for name in names:
        (tmp_path / f"{name}.txt").write_text(f"Text {name}.")
    make_bomb(tmp_path / "bomb.docx")
    (tmp_path / "laughs.docx").write_bytes(make_entity_bomb())
    for suffix in (".crash", ".eat", ".exit"):
        write(tmp_path, suffix)
    sources = [Source(path, path.name) for path in sorted(tmp_path.iterdir())]

    report = ingestion_into(tmp_path / "index").add("demo", sources)

    assert [each.document_id for each in report.added] == [f"{name}.txt" for name in names]
    assert sorted(Path(each.path).name for each in report.failed) == [
        "bomb.docx",
        "it.crash",
        "it.eat",
        "it.exit",
        "laughs.docx",
    ]
    assert report.documents == len(names)


# A shell that runs the tests in the background has them, and what they start, ignore Ctrl-C.
PARENT = """
import signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)
from tests.unit.test_reading_files import ingestion_into
from rag.ingestion.sources import Source
folder = Path(sys.argv[1])
ingestion_into(folder / "index").add("demo", [Source(folder / name, name) for name in ("new.txt", "it.wait")])
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_child_outlives_its_parent(tmp_path: Path, number: signal.Signals) -> None:
    """However the ingestion ends, in the middle of a file, what reads for it ends too, and the old version serves."""
    (tmp_path / "new.txt").write_text("New.")
    before = ingestion_into(tmp_path / "index").add("demo", [Source(write(tmp_path, ".txt"), "old")])
    os.mkfifo(tmp_path / "told")
    write(tmp_path, ".wait", str(tmp_path / "told"))
    with subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], stderr=subprocess.DEVNULL) as parent:
        child = psutil.Process(int((tmp_path / "told").read_text()))
        parent.send_signal(number)
        parent.wait(ENDS_WITHIN_S)

        child.wait(ENDS_WITHIN_S)
    stored = IndexStore(tmp_path / "index").verify("demo")
    assert stored is not None
    assert stored.name == before.version


def test_child_loads_no_model_library() -> None:
    """It starts in half a second, and takes 60 MB, because it holds the parsers alone."""
    libraries = ("torch", "transformers", "bentoml", "faiss", "httpx", "starlette")
    program = f"import sys, rag.ingestion.child; print([m for m in {libraries} if m in sys.modules])"

    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert ended.stdout.strip() == "[]"
