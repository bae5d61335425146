"""Read plain text: its pages, paragraphs, headings and the tables that were aligned by hand."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from rag.parsing.blocks import Block, Draft
from rag.parsing.charsets import decode
from rag.parsing.tables import Cell, render_rows

_HEADING = re.compile(r"[^\S\n]*\(?\w[^\n]{0,78}[^\s.,;:!?…]\s*")
_PARAGRAPH_BREAK = re.compile(r"\n(?:[^\S\n]*\n)+")

# Columns are parted by a tab, or by two spaces at least.
_CELL = re.compile(r"\S+(?: \S+)*")
_MIN_ROWS: Final = 2
_MIN_COLUMNS: Final = 3
_MIN_ROWS_OF_TWO: Final = 3  # of two columns
_MAX_CELL_CHARS: Final = 60

# A line that begins something of its own: an item, a numbered or a labelled line, a quotation, an article of a law.
_OWN_LINE = re.compile(
    r"\s*(?:[-*+•‣◦▪●○–—>|#]|\(?(?:\d{1,3}|[a-zđ]|[ivxIVX]{1,5}|[A-ZĐ])[.):]|\d+(?:\.\d+)+|\[|"
    r"(?:Điều|Chương|Mục|Phần|Khoản|Phụ lục|Article|Section|Chapter|Part)\s|[^\W\d_][\w /()-]{0,30}:(?:\s|$))"
)
_CLOSED = re.compile(r"[.:;!?…|][\"”’)\]]*\s*$")
_WIDE_GAP = re.compile(r"\S(?: {2,}|\t)\S")
_MIN_WRAPPED_CHARS: Final = 20
_MIN_WIDTH: Final = 40
_MAX_WIDTH: Final = 130
_FULL_SHARE: Final = 0.85
_MIN_FULL_LINES: Final = 3


def read(data: bytes) -> Draft:
    """Read plain text: blank lines separate paragraphs, a form feed separates pages, other line breaks stay.

    Lines that were wrapped at a width are joined. A short line that does not end in punctuation, and has text below it,
    is a heading.
    """
    text = unicodedata.normalize("NFC", decode(data)).replace("\r\n", "\n").replace("\r", "\n").strip("\f")
    pages = text.split("\f")
    paragraphs = [
        (paragraph, number)
        for number, page in enumerate(pages, 1)
        for part in _PARAGRAPH_BREAK.split(page)
        if (paragraph := part.strip("\n")).strip()
    ]
    is_heading = [_HEADING.fullmatch(paragraph) is not None for paragraph, _ in paragraphs]
    width = _measure_width([paragraph for paragraph, _ in paragraphs])
    blocks: list[Block] = []
    for at, (paragraph, page) in enumerate(paragraphs):
        # Followed by another such line it is rather an item of a list; only the title may stand above a heading.
        leads = at + 1 < len(paragraphs) and (at == 0 or not is_heading[at + 1])
        level = 0 if not (is_heading[at] and leads) else 1 if at == 0 else 2
        number = page if len(pages) > 1 else 0
        if level:
            blocks.append(Block(paragraph, level, page=number))
        else:
            lines = _read_paragraph([line for line in paragraph.split("\n") if line.strip()], width)
            blocks += [Block(line, glue="\n" if below else "\n\n", page=number) for below, line in enumerate(lines)]
    return Draft(blocks, page_count=len(pages) if len(pages) > 1 else 0)


def _read_paragraph(lines: Sequence[str], width: int) -> Iterator[str]:
    """Yield the lines of a paragraph: rows of a table with their names, wrapped lines as one, others as they are."""
    rows = _read_table(lines)
    if rows:
        yield from render_rows(rows)
        return
    joined = lines[0]
    for before, line in pairwise(lines):
        if _is_wrapped(before, line, width):
            joined = f"{joined.rstrip()} {line.strip()}"
        else:
            yield joined
            joined = line
    yield joined


# Wrapped lines ------------------------------------------------------------------------------------------------------


def _measure_width(paragraphs: Sequence[str]) -> int:
    """Return the width at which the lines of the text were wrapped; 0 if too few of them reach the same one."""
    lengths = [len(line.rstrip()) for paragraph in paragraphs for line in paragraph.split("\n")[:-1]]
    width = max(lengths, default=0)
    full = sum(length >= _FULL_SHARE * width for length in lengths)
    return width if _MIN_WIDTH <= width <= _MAX_WIDTH and full >= max(_MIN_FULL_LINES, len(lengths) // 2) else 0


def _is_wrapped(before: str, line: str, width: int) -> bool:
    """Return whether the line goes on with the sentence of the line before, which ended because the page did."""
    if _OWN_LINE.match(line) or _WIDE_GAP.search(before.strip()) or _WIDE_GAP.search(line.strip()):
        return False
    first_word = line.split(maxsplit=1)[0]
    if width and len(before.rstrip()) + 1 + len(first_word) > width:
        return True
    goes_on = first_word[0].islower() and not _CLOSED.search(before)
    return goes_on and len(before.strip()) >= _MIN_WRAPPED_CHARS and before.strip().count(" ") >= 3


# Tables -------------------------------------------------------------------------------------------------------------


def _read_table(lines: Sequence[str]) -> list[list[Cell]]:
    """Return the rows of a table that tabs or spaces align; none if the lines are something else."""
    if any("\t" in line.strip() for line in lines):
        rows = [[cell.strip() for cell in line.rstrip().split("\t")] for line in lines]
        width = len(rows[0])
        is_table = all(1 < len(row) <= width for row in rows)
    else:
        rows = _read_aligned(lines)
        is_table = bool(rows)
        width = len(rows[0]) if rows else 0
    min_rows = _MIN_ROWS if width >= _MIN_COLUMNS else _MIN_ROWS_OF_TWO
    is_short = all(len(cell) <= _MAX_CELL_CHARS for row in rows for cell in row)
    # `a)` and a tab, then its text; or two spaces after a full stop.
    is_prose = any(_OWN_LINE.fullmatch(row[0]) or row[0].endswith((".", "!", "?")) for row in rows if row and row[0])
    if not is_table or width < 2 or len(rows) < min_rows or not is_short or is_prose:
        return []
    return [[Cell(cell) for cell in [*row, *[""] * (width - len(row))]] for row in rows]


def _read_aligned(lines: Sequence[str]) -> list[list[str]]:
    """Return the cells of lines whose columns begin, or end, at the same places as in the first line; else none."""
    columns = [(found.start(), found.end()) for found in _CELL.finditer(lines[0])]
    rows = []
    for line in lines:
        cells = [""] * len(columns)
        for found in _CELL.finditer(line):
            at = _find_column(columns, found.start(), found.end())
            if at is None or cells[at]:
                return []
            cells[at] = found.group()
        rows.append(cells)
    return rows


def _find_column(columns: Sequence[tuple[int, int]], start: int, end: int) -> int | None:
    """Return the column that a cell stands in: with the start or the end of its name, or over it alone."""
    aligned = [at for at, (left, right) in enumerate(columns) if start == left or end == right]
    over = [at for at, (left, right) in enumerate(columns) if start < right and end > left]
    chosen = aligned or over
    return chosen[0] if len(chosen) == 1 and over in ([], chosen) else None
