"""What is printed on a page, beside its number: from the catalog of a PDF to the stored chunk."""

import json
from pathlib import Path
from typing import Final

import pytest

from rag.index.chunks import LINES_NAME, ChunkFile, ChunkWriter
from rag.index.files import FileEngine
from rag.index.plan import digest_document
from rag.index.store import IndexStore
from rag.index.version import TenantIndex
from rag.ingestion.ingest import Ingestion
from rag.ingestion.sources import find_sources
from rag.parsing.blocks import assemble
from rag.parsing.chunking import split
from rag.parsing.pdf import read
from rag.types import Chunk, Document, PageSpan
from tests.unit.index_fakes import EMBEDDER, FakeEncoder, FakeWatcher, open_plain_reader
from tests.unit.pdf_files import make_pdf, show_lines

# Two pages in roman, two that begin at 1, an annex from "A-7" on.
LABELS: Final = "/PageLabels<</Nums[0<</S/r>> 2<</S/D>> 4<</S/D/P(A-)/St 7>>]>>"
PAGES: Final = ("Foreword", "Contents", "Leave is twelve days", "Parking is free", "Form for leave")


def labelled_pdf(labels: str = LABELS) -> bytes:
    return make_pdf(*(show_lines(f"{text}.", f"{text} of all the staff.") for text in PAGES), catalog=labels)


def labels_of(data: bytes) -> list[str | None]:
    return [page.label for page in assemble(read(data), fallback_title="t").pages]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (LABELS, ["i", "ii", "1", "2", "A-7"]),
        ("/PageLabels<</Nums[0<</S/D>>]>>", [None] * 5),
        ("/PageLabels<</Nums[0<</S/D/St 101>>]>>", ["101", "102", "103", "104", "105"]),
        ("/PageLabels<</Nums[0<</P(\\001\\177)>>]>>", [None] * 5),
        ("/PageLabels<</Nums[0<</P(" + "x" * 200 + ")>>]>>", [None] * 5),
        ("/PageLabels 7", [None] * 5),
        ("", [None] * 5),
    ],
)
def test_a_label_is_kept_where_it_differs_from_the_page(labels: str, expected: list[str | None]) -> None:
    """Roman front matter, numbering that begins anew, prefixes; nothing where they say nothing, or too much."""
    assert labels_of(labelled_pdf(labels)) == expected


class Sizes:
    """Counts words."""

    def count(self, text: str) -> int:
        return len(text.split())


@pytest.mark.parametrize(
    ("labels", "expected"),
    [(("ii", "iii"), "ii–iii"), (("i", None), "i–2"), ((None, "1"), "1–1"), ((None, None), None)],
)
def test_a_chunk_across_pages_has_both_labels(labels: tuple[str | None, ...], expected: str | None) -> None:
    """The number stands for a page without a label."""
    text = "One rule of leave\n\nand its second half."
    pages = (PageSpan(1, 0, 19, labels[0]), PageSpan(2, 19, len(text), labels[1]))
    (span,) = split(Document("t", text, pages=pages), Sizes(), target_tokens=8, limit_tokens=20)

    assert (span.page_start, span.page_end, span.page_label) == (1, 2, expected)


def test_an_ingestion_stores_them_and_the_next_one_changes_nothing(tmp_path: Path) -> None:
    """Each chunk has its page and its label; the same file again is unchanged."""
    file = tmp_path / "handbook.pdf"
    file.write_bytes(labelled_pdf())
    store = IndexStore(tmp_path / "index")
    ingestion = Ingestion(
        FileEngine(store), FakeWatcher(), lambda: EMBEDDER, FakeEncoder, open_reader=open_plain_reader
    )
    findings = find_sources([file])
    first = ingestion.add("demo", findings.sources, findings.failed, findings.skipped)
    again = ingestion.add("demo", findings.sources, findings.failed, findings.skipped)
    stored = store.verify("demo")
    assert stored is not None
    chunks = list(TenantIndex(stored).chunk_file)

    assert first.version == again.version
    assert (chunks[0].page_start, chunks[-1].page_end) == (1, 5)
    assert chunks[0].page_label is not None
    assert chunks[0].page_label.startswith("i")
    assert chunks[-1].page_label is not None
    assert chunks[-1].page_label.endswith("A-7")


def test_a_chunk_without_a_label_is_stored_as_ever(tmp_path: Path) -> None:
    """Versions of the service that know no labels read it, and their chunks are read here."""
    chunk = Chunk("demo:doc:v1:00001", "doc", "Title", "Text", 0, 4, 3, 3, None)
    writer = ChunkWriter(tmp_path)
    writer.append([chunk])
    writer.finish()
    stored = json.loads((tmp_path / LINES_NAME).read_bytes())

    assert stored.keys() == {
        "chunk_id", "document_id", "title", "text", "start", "end", "page_start", "page_end", "heading", "context",
        "edition",
    }  # fmt: skip
    assert list(ChunkFile.load(tmp_path)) == [chunk]


def test_documents_without_labels_keep_their_digest() -> None:
    """A new version of the service embeds none of them again; one that has labels differs from the same without."""
    plain = Document("t", "Some text.", pages=(PageSpan(1, 0, 10),))
    labelled = Document("t", "Some text.", pages=(PageSpan(1, 0, 10, "i"),))

    assert digest_document(plain) == "00b1a3f45114b4cb418d286c826e33f02a31c5de2629f258e56bb9e9927c821b"
    assert digest_document(labelled) != digest_document(plain)
