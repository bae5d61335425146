"""Read PDF by a docling-serve: its Markdown, page by page."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Protocol

import pypdfium2 as pdfium

from rag.errors import ParseError
from rag.parsing import markdown
from rag.parsing.blocks import Block, Draft

# What Docling writes for what it does not put into words.
_UNREAD: Final = {"<!-- image -->": "pictures", "<!-- formula-not-decoded -->": "formulas"}
_SIGNATURE: Final = b"%PDF-"
_SIGNATURE_WITHIN_BYTES: Final = 1024
_MARK = re.compile("|".join(map(re.escape, _UNREAD)))


class Converter(Protocol):
    """A server that reads PDF."""

    def convert(self, data: bytes) -> Sequence[str]:
        """Return the text in Markdown, a piece for each page on which something begins."""
        ...


class DoclingPdf:
    """A reader of PDF, as those of `rag.parsing`."""

    def __init__(self, converter: Converter) -> None:
        self._converter = converter

    def read(self, data: bytes) -> Draft:
        """Read a PDF; pages are told if there are as many pieces as pages: empty pages give none.

        Raises: ParseError: no PDF, encrypted, or the server did not read it.
        """
        if _SIGNATURE not in data[:_SIGNATURE_WITHIN_BYTES]:
            raise ParseError("the file is broken: not readable as PDF")
        pieces = self._converter.convert(data)
        has_pages = len(pieces) == _count_pages(data)
        blocks: list[Block] = []
        unread: Counter[str] = Counter()
        for number, piece in enumerate(pieces, start=1):
            unread.update(_UNREAD[mark] for mark in _MARK.findall(piece))
            found = markdown.read(piece.encode()).blocks if piece.strip() else []
            blocks += [replace(block, page=number) for block in found] if has_pages else found
        warnings = [f"{what}: {count}, whose text is not read" for what, count in sorted(unread.items())]
        if not has_pages:
            warnings.append("the numbers of its pages are not known: its citations have none")
        return Draft(blocks, page_count=len(pieces) if has_pages else 0, warnings=warnings)


def _count_pages(data: bytes) -> int:
    try:
        document = pdfium.PdfDocument(data)
    except pdfium.PdfiumError:
        return 0
    try:
        return len(document)
    finally:
        document.close()
