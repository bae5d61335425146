"""Turn files into documents: one reader per format, one way to fail.

Whatever a file holds, the outcome is a `Document`, or a `ParseError` with a reason that a person can act on. The
readers return blocks; `blocks.assemble` turns them into text with offsets, so that no reader counts characters.
"""

import re
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from rag.errors import ParseError
from rag.parsing import docx, epub, html, jsonl, mail, markdown, ods, odt, pdf, plain, rtf, sheets, slides, workbooks
from rag.parsing.articles import mark_articles
from rag.parsing.blocks import Block, Draft, assemble, restore
from rag.parsing.official_titles import first_own_heading, is_preamble, official_title
from rag.types import Document

__all__ = ["MAX_FILE_BYTES", "READERS", "SUFFIXES", "Reader", "parse"]

MAX_FILE_BYTES: Final = 50 * 2**20

Reader = Callable[[bytes], Draft]

READERS: Final[Mapping[str, Reader]] = {
    ".pdf": pdf.read,
    ".html": html.read,
    ".htm": html.read,
    ".md": markdown.read,
    ".markdown": markdown.read,
    ".txt": plain.read,
    ".docx": docx.read,
    ".docm": docx.read,
    ".pptx": slides.read,
    ".odt": odt.read,
    ".rtf": rtf.read,
    ".epub": epub.read,
    ".eml": mail.read,
    ".xlsx": workbooks.read_xlsx,
    ".xlsm": workbooks.read_xlsx,
    ".xls": workbooks.read_xls,
    ".ods": ods.read,
    ".csv": sheets.read_csv,
    ".tsv": sheets.read_csv,
    ".jsonl": jsonl.read,
    ".ndjson": jsonl.read,
}
SUFFIXES: Final = frozenset(READERS)
_WITHOUT_STYLES: Final = (".pdf", ".txt", ".eml")  # their headings are known by their looks
_WITHOUT_ARTICLES: Final = (".xlsx", ".xlsm", ".xls", ".ods", ".csv", ".tsv", ".jsonl", ".ndjson")


def parse(path: Path, readers: Mapping[str, Reader] = READERS) -> Document:
    """Read one file; its suffix determines the format, and so the reader.

    Raises: ParseError: the file cannot become a document; with one reason, without the path.
    """
    read = readers.get(path.suffix.lower())
    if read is None:
        raise ParseError(f"unknown type: only {', '.join(sorted(SUFFIXES))} can be read")
    data = _read_bytes(path)
    try:
        draft = read(data)
    except ParseError:
        raise
    except Exception as error:  # third-party parsers, which document no set of exceptions
        raise ParseError(f"the file is broken: not readable as {path.suffix.lower()[1:].upper()}") from error
    suffix = path.suffix.lower()
    blocks: Sequence[Block] = restore(draft.blocks)
    if suffix not in _WITHOUT_ARTICLES:  # a row of a sheet is no heading
        blocks = mark_articles(blocks, has_styles=suffix not in _WITHOUT_STYLES)
    fallback = re.sub(r"[\s_-]+", " ", path.stem).strip() or path.stem
    title = _choose_title(draft.title, blocks, fallback)
    return assemble(replace(draft, blocks=blocks, title=title), fallback_title=fallback)


def _choose_title(title: str, blocks: Sequence[Block], fallback: str) -> str:
    """Return the title that a document states; "" leaves it to its first heading."""
    official = official_title(blocks) if not title or is_preamble(title) else None
    return title if official is None else official or first_own_heading(blocks) or fallback


def _read_bytes(path: Path) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # checked before opening: a named pipe would block for ever
            raise ParseError("not a regular file")
        if status.st_size > MAX_FILE_BYTES:
            raise ParseError(
                f"too large: {status.st_size / 2**20:.0f} MiB, at most {MAX_FILE_BYTES // 2**20} MiB can be read"
            )
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError as error:
        raise ParseError("the file does not exist") from error
    except PermissionError as error:
        raise ParseError("no permission to read the file") from error
    except OSError as error:
        raise ParseError(f"the file cannot be read: {error.strerror or 'input/output error'}") from error
    if not data.strip():
        raise ParseError("the file is empty")
    if len(data) > MAX_FILE_BYTES:
        raise ParseError("too large: it grew while it was read")
    return data
