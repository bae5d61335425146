"""Read what a PDF says of itself: its title, what is printed on its pages, the names of attached files."""

import ctypes
import re
from typing import Final

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from rag.parsing.pdf_notes import quote

_MAX_NAMED: Final = 5  # attached files
_PRODUCER_TITLE = re.compile(r"^Microsoft (?:Word|PowerPoint) - |\.(?:docx?|pptx?|pdf|odt|tex|indd)$", re.IGNORECASE)
_NO_TITLE: Final = frozenset({"untitled", "untitled document", "title", "(anonymous)", "(unspecified)"})


def clean_title(title: str) -> str:
    title = _PRODUCER_TITLE.sub("", title.strip("\ufeff\x00 "))
    return "" if title.lower() in _NO_TITLE else title


def read_label(document: pdfium.PdfDocument, at: int) -> str:
    buffer = ctypes.create_string_buffer(64)
    size = pdfium_c.FPDF_GetPageLabel(document, at, buffer, len(buffer))
    return buffer.raw[: size - 2].decode("utf-16-le", errors="ignore") if 2 < size <= len(buffer) else ""


def read_attachments(document: pdfium.PdfDocument) -> list[str]:
    """Return the warning that names the files attached to the document, if there are any."""
    count = document.count_attachments()
    names = [document.get_attachment(at).get_name() for at in range(min(count, _MAX_NAMED))]
    more = f" and {count - _MAX_NAMED} more" if count > _MAX_NAMED else ""
    return [f"attached files are not read: {', '.join(map(quote, names))}{more}"] if count else []
