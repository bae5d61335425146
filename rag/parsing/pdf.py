"""Read PDF: the lines of each page with their positions, from which `layout` rebuilds paragraphs and headings.

pypdf was rejected. PDFium is the parser of a browser, gives the position of each line, and marks hyphens that were
added at the end of a line. Including `layout` it took a third to a fifth of pypdf's time on two manuals.
"""

import ctypes
import math
import re
from collections.abc import Iterator
from typing import Final

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from rag.errors import ParseError
from rag.parsing import layout
from rag.parsing.blocks import Draft

_MAX_PAGES: Final = 5_000
_SIGNATURE_WITHIN_BYTES: Final = 1024  # where readers look for %PDF-: Adobe's implementation note 13
_LINE_BREAK: Final = "\r\n"  # PDFium's

_PRODUCER_TITLE = re.compile(r"^Microsoft (?:Word|PowerPoint) - |\.(?:docx?|pptx?|pdf|odt|tex|indd)$", re.IGNORECASE)
_NO_TITLE: Final = frozenset({"untitled", "untitled document", "title"})


def read(data: bytes) -> Draft:
    """Read a PDF; the title is that of the metadata. Running headers, footers and page numbers are left out.

    Raises: ParseError: encrypted, broken, without a text layer, or with too many pages.
    """
    if b"%PDF-" not in data[:_SIGNATURE_WITHIN_BYTES]:
        raise ParseError("the file is broken: not readable as PDF")
    try:
        document = pdfium.PdfDocument(data)
    except pdfium.PdfiumError as error:
        if error.err_code in (pdfium_c.FPDF_ERR_PASSWORD, pdfium_c.FPDF_ERR_SECURITY):
            raise ParseError("encrypted: it opens only with a password") from error
        raise ParseError("the file is broken: not readable as PDF") from error
    try:
        page_count = len(document)
        if page_count > _MAX_PAGES:
            raise ParseError(f"too many pages: {page_count:,}, at most {_MAX_PAGES:,} can be read")
        pages = [list(_read_lines(document[index], index + 1)) for index in range(page_count)]
        title = _clean_title(document.get_metadata_value("Title"))
    except pdfium.PdfiumError as error:
        raise ParseError("the file is broken: a page cannot be read") from error
    finally:
        document.close()
    if not any(pages):
        raise ParseError(f"scanned: {page_count} page{'s' * (page_count != 1)} without a text layer")
    return Draft(layout.to_blocks(pages), title, page_count)


def _clean_title(title: str) -> str:
    title = _PRODUCER_TITLE.sub("", title.strip("\ufeff\x00 "))
    return "" if title.lower() in _NO_TITLE else title


def _read_lines(page: pdfium.PdfPage, number: int) -> Iterator[layout.Line]:
    textpage = page.get_textpage()
    try:
        start = 0
        for raw in textpage.get_text_range().split(_LINE_BREAK):
            text = raw.strip()
            if text:
                first = start + raw.index(text)
                yield _measure(textpage, text, number, first, first + len(text) - 1)
            start += len(raw) + len(_LINE_BREAK)
    finally:
        textpage.close()
        page.close()


def _measure(textpage: pdfium.PdfTextPage, text: str, page: int, first: int, last: int) -> layout.Line:
    """Measure a line by a few of its characters; `first` and `last` are offsets in the extracted text."""
    # A bullet often differs from its line in font and height, so these are read from the first letter.
    first_letter = first + next((at for at, char in enumerate(text) if char.isalnum()), 0)
    first_char, letter, last_char = (
        max(0, pdfium_c.FPDFText_GetCharIndexFromTextIndex(textpage, at)) for at in (first, first_letter, last)
    )
    x, y = ctypes.c_double(), ctypes.c_double()
    pdfium_c.FPDFText_GetCharOrigin(textpage, letter, x, y)
    matrix = pdfium_c.FS_MATRIX()
    has_matrix = pdfium_c.FPDFText_GetMatrix(textpage, letter, matrix)
    # Many producers set a font size of 1 and scale by the matrix.
    scale = math.hypot(matrix.b, matrix.d) if has_matrix else 1.0
    return layout.Line(
        text=text,
        page=page,
        size=round(pdfium_c.FPDFText_GetFontSize(textpage, letter) * (scale or 1.0), 1),
        bold=_is_bold(textpage, letter) and _is_bold(textpage, last_char),
        left=textpage.get_charbox(first_char, loose=True)[0],
        right=textpage.get_charbox(last_char, loose=True)[2],
        baseline=y.value,
    )


def _is_bold(textpage: pdfium.PdfTextPage, char: int) -> bool:
    name = ctypes.create_string_buffer(128)
    length = pdfium_c.FPDFText_GetFontInfo(textpage, char, name, len(name), ctypes.c_int())
    return 0 < length <= len(name) and b"bold" in name.value.lower()
