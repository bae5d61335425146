"""Read a file with the library that is usual for its kind, and nothing on top: all text that the library gives.

Each is the plainest use: what it shows of hidden sheets, deleted text or running headers is shown, so that nothing
which a file holds is missing here by intent.
"""

import csv
import email
import email.policy
import json
from collections.abc import Callable, Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final


def read_by_library(path: Path) -> str:
    """Return the text of a file by the library of its kind.

    Raises: ValueError: there is none for this kind.
    """
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise ValueError("no library for this kind")
    return "\n".join(str(piece) for piece in read(path) if piece is not None)


def _read_docx(path: Path) -> Iterator[Any]:
    import docx  # noqa: PLC0415  # each library is imported where its kind is read

    document = docx.Document(str(path))
    for paragraph in document.paragraphs:
        yield paragraph.text
    for table in document.tables:
        for row in table.rows:
            yield from (cell.text for cell in row.cells)


def _read_pptx(path: Path) -> Iterator[Any]:
    import pptx  # noqa: PLC0415

    for slide in pptx.Presentation(str(path)).slides:
        for shape in slide.shapes:
            if shape.has_text_frame:
                yield shape.text_frame.text
            if shape.has_table:
                for row in shape.table.rows:
                    yield from (cell.text for cell in row.cells)
        if slide.has_notes_slide:
            yield slide.notes_slide.notes_text_frame.text if slide.notes_slide.notes_text_frame else None


def _read_xlsx(path: Path) -> Iterator[Any]:
    import openpyxl  # noqa: PLC0415

    for sheet in openpyxl.load_workbook(path, data_only=True).worksheets:
        yield sheet.title
        for row in sheet.iter_rows(values_only=True):
            yield from row


def _read_xls(path: Path) -> Iterator[Any]:
    import xlrd  # noqa: PLC0415

    for sheet in xlrd.open_workbook(path).sheets():
        yield sheet.name
        for row in range(sheet.nrows):
            yield from sheet.row_values(row)


def _read_opendocument(path: Path) -> Iterator[Any]:
    from odf import opendocument, table, teletype, text  # type: ignore[import-not-found]  # noqa: PLC0415

    document = opendocument.load(str(path))
    for sheet in document.getElementsByType(table.Table):
        yield sheet.getAttribute("name")
    for kind in (text.H, text.P):
        for element in document.body.getElementsByType(kind):
            yield teletype.extractText(element)


def _read_rtf(path: Path) -> Iterator[Any]:
    from striprtf.striprtf import rtf_to_text  # type: ignore[import-not-found]  # noqa: PLC0415

    yield rtf_to_text(path.read_bytes().decode("latin-1"), errors="ignore")


def _read_epub(path: Path) -> Iterator[Any]:
    import ebooklib  # type: ignore[import-not-found]  # noqa: PLC0415
    from ebooklib import epub  # noqa: PLC0415

    for item in epub.read_epub(path).get_items_of_type(ebooklib.ITEM_DOCUMENT):
        yield _strip(item.get_content().decode("utf-8", "replace"))


def _read_eml(path: Path) -> Iterator[Any]:
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    yield from (message[name] for name in ("subject", "from", "to", "cc"))
    for part in message.walk():
        if part.get_content_maintype() == "text" and not part.get_filename():
            content = part.get_content()
            yield _strip(content) if part.get_content_subtype() == "html" else content
        elif part.get_filename():
            yield part.get_filename()


def _read_csv(path: Path) -> Iterator[Any]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        dialect = csv.excel_tab if path.suffix.lower() == ".tsv" else csv.Sniffer().sniff(file.read(65536), ",;\t|")
        file.seek(0)
        for row in csv.reader(file, dialect):
            yield from row


def _read_jsonl(path: Path) -> Iterator[Any]:
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip():
            record = json.loads(line)
            yield from (record.get(name) for name in ("title", "text", "content", "body"))


class _Stripper(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self._skipped = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._skipped += tag in ("script", "style", "title")

    def handle_endtag(self, tag: str) -> None:
        self._skipped -= tag in ("script", "style", "title")

    def handle_data(self, data: str) -> None:
        if not self._skipped:
            self.pieces.append(data)


def _strip(page: str) -> str:
    stripper = _Stripper()
    stripper.feed(page)
    return " ".join(stripper.pieces)


_READERS: Final[Mapping[str, Callable[[Path], Iterator[Any]]]] = MappingProxyType(
    {
        ".docx": _read_docx,
        ".docm": _read_docx,
        ".pptx": _read_pptx,
        ".xlsx": _read_xlsx,
        ".xlsm": _read_xlsx,
        ".xls": _read_xls,
        ".ods": _read_opendocument,
        ".odt": _read_opendocument,
        ".rtf": _read_rtf,
        ".epub": _read_epub,
        ".eml": _read_eml,
        ".csv": _read_csv,
        ".tsv": _read_csv,
        ".jsonl": _read_jsonl,
        ".ndjson": _read_jsonl,
    }
)
