"""Read PDF: the words of each page with their positions, from which `layout` rebuilds paragraphs and headings.

pypdf was rejected. PDFium is the parser of a browser, gives the position of each character, and marks hyphens that were
added at the end of a line. What of a page is not in the text is said in the warnings of the document.
"""

import ctypes
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from rag.errors import ParseError
from rag.parsing import layout, pdf_forms, pdf_lines, pdf_page, pdf_tables
from rag.parsing.blocks import MAX_TEXT_CHARS, Draft
from rag.parsing.layout import Line
from rag.parsing.pdf_page import PageContent, Piece
from rag.parsing.pdf_tables import Table
from rag.parsing.tables import Cell

_MAX_PAGES: Final = 5_000
_SIGNATURE_WITHIN_BYTES: Final = 1024  # where readers look for %PDF-: Adobe's implementation note 13
_MAX_UNREADABLE_SHARE: Final = 0.3  # of a page's characters; beyond it, what is left is no text either
_FEW_UNREADABLE: Final = 20  # bullets in a font without Unicode
_PICTURE_SHARE: Final = 0.5  # of the page: what it shows is the page
_MARGIN_SHARE: Final = 0.12  # of the page's height
_STAMP_CHARS: Final = 300
_SMALL_PRINT_PT: Final = 9.0
_LITTLE_TEXT_CHARS: Final = 200
_MAX_NAMED: Final = 5  # attached files
_MAX_WARNINGS: Final = 50
_QUOTED_CHARS: Final = 60
_SAME_PLACE_PT: Final = 3.0
_PLACEHOLDER_PAGES: Final = 2  # an XFA placeholder has no more

_PRODUCER_TITLE = re.compile(r"^Microsoft (?:Word|PowerPoint) - |\.(?:docx?|pptx?|pdf|odt|tex|indd)$", re.IGNORECASE)
_DIGITS: Final = re.compile(r"\d+")
_NO_TITLE: Final = frozenset({"untitled", "untitled document", "title", "(anonymous)", "(unspecified)"})
# What Adobe's LiveCycle writes on the page that other readers show instead of the form.
_XFA_PLACEHOLDER: Final = re.compile(r"Please wait\.\.\.|If this message is not eventually replaced", re.IGNORECASE)


@dataclass(slots=True)
class _Page:
    """A page between its reading and its layout: lines, and tables that stand at the place of one of them."""

    number: int
    width: float
    height: float
    lines: list[Line] = field(default_factory=list)
    tables: dict[int, Table] = field(default_factory=dict)  # by the `row` of the line that stands for it
    is_picture: bool = False  # images or dark areas cover most of it


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
        notes = _Notes()
        pages = _read_pages(document, notes)
        title = _clean_title(document.get_metadata_value("Title"))
        attachments = _read_attachments(document)
        labels = [_read_label(document, at) for at in range(page_count)]
    except pdfium.PdfiumError as error:
        raise ParseError("the file is broken: a page cannot be read") from error
    finally:
        document.close()
    _refuse_placeholder(pages, form_type)
    _drop_stamps(pages, notes)
    if not any(page.lines for page in pages):
        raise ParseError(notes.refusal(page_count))
    _render_tables(pages)
    blocks = layout.to_blocks([page.lines for page in pages], heights=[page.height for page in pages], labels=labels)
    return Draft(blocks, title, page_count, [*notes.warnings(), *attachments], labels)


class _Notes:
    """What of the pages is not in the text, by reason."""

    UNREADABLE: Final = "the characters have no known meaning, so the text is left out"
    IMAGE: Final = "an image without a text layer"

    def __init__(self) -> None:
        self._pages: dict[str, list[int]] = {}

    def add(self, reason: str, page: int) -> None:
        pages = self._pages.setdefault(reason, [])
        if page not in pages:
            pages.append(page)

    def refusal(self, page_count: int) -> str:
        """Return why the whole document is refused."""
        if self.UNREADABLE in self._pages and self.IMAGE not in self._pages:
            return "its text is unreadable: the characters have no known meaning"
        return f"scanned: {page_count} page{'s' * (page_count != 1)} without a text layer"

    def warnings(self) -> list[str]:
        """Return one line for each reason, in the order of the first page."""
        ordered = sorted(self._pages.items(), key=lambda item: min(item[1]))
        lines = [f"{_name_pages(sorted(pages))}: {reason}" for reason, pages in ordered]
        more = len(lines) - _MAX_WARNINGS
        return [*lines[:_MAX_WARNINGS], f"{more} more of these"] if more > 0 else lines


def _name_pages(pages: Sequence[int]) -> str:
    """Return `page 3` or `pages 2, 5-7`."""
    runs: list[list[int]] = []
    for page in pages:
        if runs and page == runs[-1][-1] + 1:
            runs[-1].append(page)
        else:
            runs.append([page])
    names = ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
    return f"page{'s' * (len(pages) > 1)} {names}"


def _clean_title(title: str) -> str:
    title = _PRODUCER_TITLE.sub("", title.strip("\ufeff\x00 "))
    return "" if title.lower() in _NO_TITLE else title


def _read_label(document: pdfium.PdfDocument, at: int) -> str:
    buffer = ctypes.create_string_buffer(64)
    size = pdfium_c.FPDF_GetPageLabel(document, at, buffer, len(buffer))
    return buffer.raw[: size - 2].decode("utf-16-le", errors="ignore") if 2 < size <= len(buffer) else ""


def _read_attachments(document: pdfium.PdfDocument) -> list[str]:
    """Return the warning that names the files attached to the document, if there are any."""
    count = document.count_attachments()
    names = [document.get_attachment(at).get_name() for at in range(min(count, _MAX_NAMED))]
    more = f" and {count - _MAX_NAMED} more" if count > _MAX_NAMED else ""
    return [f"attached files are not read: {', '.join(map(_quote, names))}{more}"] if count else []


def _read_pages(document: pdfium.PdfDocument, notes: _Notes) -> list[_Page]:
    pages: list[_Page] = []
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


def _build_page(content: PageContent, fields: Sequence[pdf_forms.Field], number: int, notes: _Notes) -> _Page:
    page = _Page(number, content.width, content.height)
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
        notes.add(f"slanted text is left out: {_quote(content.slanted)}", number)
    if any(own.is_comment for own in fields):
        notes.add("comments are left out", number)
    fields = [own for own in fields if not own.is_comment]
    if fields:
        content = replace(content, pieces=pdf_forms.add_fields(content.pieces, fields))
    _add_text(page, content, notes)
    if not page.lines and content.images:
        notes.add(notes.IMAGE, number)
    elif not page.lines and content.object_count and not content.hidden:
        notes.add("drawings without a text layer", number)
    return page


def _quote(text: str) -> str:
    return f'"{text[:_QUOTED_CHARS]}{"…" * (len(text) > _QUOTED_CHARS)}"'


def _add_text(page: _Page, content: PageContent, notes: _Notes) -> None:
    """Add the lines of the page, with one line in the place of each table."""
    tables = pdf_tables.find_tables(content.rules, content.pieces, content.turned) if content.rules else []
    owner = {number: at for at, (_, members) in enumerate(tables) for number in members}
    begun: set[int] = set()
    run: list[Piece] = []
    for number, piece in enumerate(content.pieces):
        if number not in owner:
            run.append(piece)
            continue
        if owner[number] not in begun:
            begun.add(owner[number])
            _add_lines(page, run)
            run = []
            _add_table(page, tables[owner[number]][0])
    _add_lines(page, run)
    left = min((piece.left for piece in content.pieces), default=0.0)
    right = max((piece.right for piece in content.pieces), default=0.0)
    for number, piece in enumerate(content.turned, len(content.pieces)):
        if number in owner:
            continue
        if content.pieces and (piece.right <= left or piece.left >= right):
            notes.add(f"text along the margin is left out: {_quote(piece.text)}", page.number)
        else:
            page.lines.append(pdf_lines.to_line(pdf_lines.Segment([piece]), page.number))


def _add_lines(page: _Page, pieces: Sequence[Piece]) -> None:
    start = len(page.lines)
    for item in pdf_lines.read_order(pdf_lines.split_rows(pieces)):
        if isinstance(item, pdf_lines.Segment):
            page.lines.append(pdf_lines.to_line(item, page.number))
            continue
        cells = [[Cell(segment.text) for segment in row] for row in item.rows]
        tops = [piece for row in item.rows for segment in row for piece in segment.pieces]
        box = (
            min(piece.left for piece in tops), min(piece.box[1] for piece in tops),
            max(piece.right for piece in tops), max(piece.box[3] for piece in tops),
        )  # fmt: skip
        _add_table(page, Table(box, [segment.left for segment in item.rows[0]], cells))
    _join_hyphens(page.lines, start)


def _add_table(page: _Page, table: Table) -> None:
    row = page.number * 10_000 + len(page.tables) + 1
    page.tables[row] = table
    page.lines.append(Line("", page.number, 0.0, False, table.box[0], table.box[2], table.box[3], row))


def _join_hyphens(lines: list[Line], start: int) -> None:
    """Bring the rest of a word that was broken at the end of a line up to it."""
    at = start
    while at + 1 < len(lines):
        if lines[at].text.endswith("\ufffe") and not lines[at + 1].row:
            word, _, rest = lines[at + 1].text.partition(" ")
            lines[at] = replace(lines[at], text=lines[at].text + word)
            if rest:
                lines[at + 1] = replace(lines[at + 1], text=rest)
            else:
                del lines[at + 1]
                continue
        at += 1


def _refuse_placeholder(pages: Sequence[_Page], form_type: int) -> None:
    """Refuse the page that stands for an XFA form, which only Adobe's reader can show."""
    is_xfa = form_type in (pdfium_c.FORMTYPE_XFA_FULL, pdfium_c.FORMTYPE_XFA_FOREGROUND)
    text = " ".join(line.text for page in pages[:_PLACEHOLDER_PAGES] for line in page.lines)
    if is_xfa and len(pages) <= _PLACEHOLDER_PAGES and _XFA_PLACEHOLDER.search(text):
        raise ParseError("an XFA form: its text is shown by Adobe's reader alone; save it as a plain PDF")


def _drop_stamps(pages: Sequence[_Page], notes: _Notes) -> None:
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
            notes.add(f"the words beside the image are left out: {_quote(text)}", page.number)
        elif len(text) <= _LITTLE_TEXT_CHARS and not page.tables:
            notes.add("a large image, which may show text that is not read", page.number)


def _is_marginal(page: _Page) -> bool:
    margin = _MARGIN_SHARE * page.height
    return (
        not page.tables
        and sum(len(line.text) for line in page.lines) <= _STAMP_CHARS
        and all(line.baseline <= margin or line.baseline >= page.height - margin for line in page.lines)
    )


# Tables -------------------------------------------------------------------------------------------------------------


def _render_tables(pages: Sequence[_Page]) -> None:
    """Put the rows of each table in its place; a table that goes on over pages keeps the names of its columns."""
    rendered: dict[int, tuple[int, list[str]]] = {}
    for group in _group_tables(pages):
        parts = pdf_tables.render([table.rows for _, table in group])
        for (row, _), texts in zip(group, parts, strict=True):
            rendered[row] = group[0][0], texts
    for page in pages:
        lines: list[Line] = []
        for line in page.lines:
            if line.row in rendered:
                group_row, texts = rendered[line.row]
                lines += [replace(line, text=text, row=group_row) for text in texts]
            else:
                lines.append(line)
        page.lines = lines


def _group_tables(pages: Sequence[_Page]) -> list[list[tuple[int, Table]]]:
    groups: list[list[tuple[int, Table]]] = []
    open_table: Table | None = None
    for page in pages:
        for at, (row, table) in enumerate(page.tables.items()):
            above = [line for line in page.lines if line.baseline > table.box[3] and not line.row]
            is_first = at == 0 and all(_is_elsewhere(line, pages) for line in above)
            if open_table and is_first and table.continues(open_table) and not _names_anew(table, groups[-1][0][1]):
                groups[-1].append((row, table))
            else:
                groups.append([(row, table)])
            below = [line for line in page.lines if line.baseline < table.box[1] and not line.row]
            is_last = at == len(page.tables) - 1 and all(_is_elsewhere(line, pages) for line in below)
            open_table = table if is_last else None
        if not page.tables:
            open_table = None
    return groups


def _is_elsewhere(line: Line, pages: Sequence[_Page]) -> bool:
    """Return whether a page nearby has the line at the same height, with the same or other numbers."""
    words = _DIGITS.sub("", line.text)
    near = (page for page in pages[max(0, line.page - 3) : line.page + 2] if page.number != line.page)
    return any(
        abs(other.baseline - line.baseline) <= _SAME_PLACE_PT and _DIGITS.sub("", other.text) == words
        for page in near
        for other in page.lines
        if not other.row
    )


def _names_anew(table: Table, first: Table) -> bool:
    """Return whether the table has a header of its own, unlike that of the table before."""
    header, before = ([cell.text for cell in part.rows[0]] for part in (table, first))
    return all(cell.is_header for cell in table.rows[0] if cell.text) and header != before
