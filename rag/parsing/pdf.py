"""Read PDF: the words of each page with their positions, from which `layout` rebuilds paragraphs and headings.

pypdf was rejected. PDFium is the parser of a browser, gives the position of each character, and marks hyphens that were
added at the end of a line. What of a page is not in the text is said in the warnings of the document.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from rag.errors import ParseError
from rag.parsing import layout, pdf_forms, pdf_page
from rag.parsing.blocks import MAX_TEXT_CHARS, Draft
from rag.parsing.pdf_catalog import clean_title, read_attachments, read_label
from rag.parsing.pdf_content import PageContent
from rag.parsing.pdf_notes import Notes, quote
from rag.parsing.pdf_page_lines import Page, add_text
from rag.parsing.pdf_table_pages import render_tables

_MAX_PAGES: Final = 5_000
_SIGNATURE_WITHIN_BYTES: Final = 1024  # where readers look for %PDF-: Adobe's implementation note 13
_MAX_UNREADABLE_SHARE: Final = 0.3  # of a page's characters; beyond it, what is left is no text either
_FEW_UNREADABLE: Final = 20  # bullets in a font without Unicode
_PICTURE_SHARE: Final = 0.5  # of the page: what it shows is the page
_MARGIN_SHARE: Final = 0.12  # of the page's height
_STAMP_CHARS: Final = 300
_SMALL_PRINT_PT: Final = 9.0
_LITTLE_TEXT_CHARS: Final = 200
_PLACEHOLDER_PAGES: Final = 2  # an XFA placeholder has no more
# What Adobe's LiveCycle writes on the page that other readers show instead of the form.
_XFA_PLACEHOLDER: Final = re.compile(r"Please wait\.\.\.|If this message is not eventually replaced", re.IGNORECASE)


def read(data: bytes) -> Draft:
    """Read a PDF; the title is that of the metadata. Running headers, footers and page numbers are left out.

    Raises: ParseError: encrypted, broken, without readable text, an XFA form, or with too many pages.
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
        form_type = document.get_formtype()
        if form_type in (pdfium_c.FORMTYPE_ACRO_FORM, pdfium_c.FORMTYPE_XFA_FOREGROUND):
            document.init_forms()
        notes = Notes()
        pages = _read_pages(document, notes)
        title = clean_title(document.get_metadata_value("Title"))
        attachments = read_attachments(document)
        labels = [read_label(document, at) for at in range(page_count)]
    except pdfium.PdfiumError as error:
        raise ParseError("the file is broken: a page cannot be read") from error
    finally:
        document.close()
    _refuse_placeholder(pages, form_type)
    _drop_stamps(pages, notes)
    if not any(page.lines for page in pages):
        raise ParseError(notes.refusal(page_count))
    render_tables(pages)
    blocks = layout.to_blocks([page.lines for page in pages], heights=[page.height for page in pages], labels=labels)
    return Draft(blocks, title, page_count, [*notes.warnings(), *attachments], labels)


def _read_pages(document: pdfium.PdfDocument, notes: Notes) -> list[Page]:
    pages: list[Page] = []
    chars = 0
    for at in range(len(document)):
        page = document[at]
        try:
            content = pdf_page.read_page(page)
            fields = [replace(own, box=content.place(own.box)) for own in pdf_forms.read_fields(document, page)]
        except ValueError as error:
            raise ParseError(f"too much text: {error}") from error
        finally:
            page.close()
        pages.append(_build_page(content, fields, at + 1, notes))
        chars += sum(len(piece.text) for piece in content.pieces)
        if chars > MAX_TEXT_CHARS:
            raise ParseError(f"too much text: more than {MAX_TEXT_CHARS:,} characters")
    return pages


def _build_page(content: PageContent, fields: Sequence[pdf_forms.Field], number: int, notes: Notes) -> Page:
    page = Page(number, content.width, content.height)
    pictures = [*content.images, *content.panels]
    page.is_picture = content.share(pictures) >= _PICTURE_SHARE
    chars = sum(len(piece.text) for piece in (*content.pieces, *content.turned))
    if content.unreadable > _MAX_UNREADABLE_SHARE * (content.unreadable + chars):
        notes.add(notes.UNREADABLE, number)
        return page
    if content.unreadable > _FEW_UNREADABLE:
        notes.add("some characters have no known meaning and are left out", number)
    if content.hidden:
        notes.add("text that the page does not show is left out", number)
    if content.struck:
        notes.add("struck-out text is left out", number)
    if content.slanted:
        notes.add(f"slanted text is left out: {quote(content.slanted)}", number)
    if any(own.is_comment for own in fields):
        notes.add("comments are left out", number)
    fields = [own for own in fields if not own.is_comment]
    if fields:
        content = replace(content, pieces=pdf_forms.add_fields(content.pieces, fields))
    add_text(page, content, notes)
    if not page.lines and content.images:
        notes.add(notes.IMAGE, number)
    elif not page.lines and content.object_count and not content.hidden:
        notes.add("drawings without a text layer", number)
    return page


def _refuse_placeholder(pages: Sequence[Page], form_type: int) -> None:
    """Refuse the page that stands for an XFA form, which only Adobe's reader can show."""
    is_xfa = form_type in (pdfium_c.FORMTYPE_XFA_FULL, pdfium_c.FORMTYPE_XFA_FOREGROUND)
    text = " ".join(line.text for page in pages[:_PLACEHOLDER_PAGES] for line in page.lines)
    if is_xfa and len(pages) <= _PLACEHOLDER_PAGES and _XFA_PLACEHOLDER.search(text):
        raise ParseError("an XFA form: its text is shown by Adobe's reader alone; save it as a plain PDF")


def _drop_stamps(pages: Sequence[Page], notes: Notes) -> None:
    """Take a page for scanned if all of its text is a stamp in the margin beside a picture of the page."""
    marginal = {page.number: page for page in pages if page.is_picture and page.lines and _is_marginal(page)}
    repeats = Counter(line.text for page in marginal.values() for line in page.lines)
    for page in pages:
        if not page.is_picture or not page.lines:
            continue
        text = " ".join(line.text for line in page.lines)
        if page.number in marginal and all(
            repeats[line.text] > 1 or line.size <= _SMALL_PRINT_PT for line in page.lines
        ):
            page.lines.clear()
            notes.add(notes.IMAGE, page.number)
            notes.add(f"the words beside the image are left out: {quote(text)}", page.number)
        elif len(text) <= _LITTLE_TEXT_CHARS and not page.tables:
            notes.add("a large image, which may show text that is not read", page.number)


def _is_marginal(page: Page) -> bool:
    margin = _MARGIN_SHARE * page.height
    return (
        not page.tables
        and sum(len(line.text) for line in page.lines) <= _STAMP_CHARS
        and all(line.baseline <= margin or line.baseline >= page.height - margin for line in page.lines)
    )
