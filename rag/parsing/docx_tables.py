"""Lay out the tables of a Word file: merged cells, content controls around cells and rows, headers of several rows."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from lxml import etree

from rag.parsing.docx_package import is_on, number_of, qn, value_of
from rag.parsing.docx_text import ALTERNATIVES
from rag.parsing.tables import MAX_SPAN, Cell, render_rows

_WRAPPERS: Final = frozenset(
    {*(qn(f"w:{name}") for name in ("sdt", "sdtContent", "customXml", "ins", "moveTo", "smartTag")),
     qn("mc:AlternateContent")}
)  # fmt: skip
_MAX_HEADER_ROWS: Final = 4
_MAX_HEADER_CHARS: Final = 60
_MAX_REPEATED_CHARS: Final = 300  # of a cell over many rows, which is said in each
_CONTINUES: Final = ("", "continue")
_NAMES = re.compile(r".*[^\W\d_]|(?:19|20)\d\d$|\(\d{1,2}\)$", re.DOTALL)

ReadCell = Callable[[etree._Element], str]


def iter_within(container: etree._Element, *tags: str) -> Iterator[etree._Element]:
    """Yield children of these kinds in order, also those in content controls and tracked insertions."""
    stack = [iter(container)]
    while stack:
        child = next(stack[-1], None)
        if child is None:
            stack.pop()
        elif child.tag in tags:
            yield child
        elif child.tag in _WRAPPERS or (child.tag in ALTERNATIVES and child.getprevious() is None):
            stack.append(iter(child))


def read_cells(table: etree._Element) -> list[list[etree._Element]]:
    """Return the cells of each row, without rows that are deleted by a tracked change."""
    return [list(iter_within(row, qn("w:tc"))) for row in iter_within(table, qn("w:tr")) if not _is_deleted(row)]


def read_table(table: etree._Element, read_cell: ReadCell) -> list[str]:
    """Return one line for each row, with the names of the columns in it."""
    above: dict[int, Cell] = {}
    rows = [_read_row(row, above, read_cell) for row in iter_within(table, qn("w:tr")) if not _is_deleted(row)]
    rows = [row for row in rows if any(cell.text for cell in row)]
    title = []
    if len(rows) > 1 and len(rows[0]) == 1 and len(rows[1]) > 1 and not rows[0][0].is_header:
        title = [" ".join(rows[0][0].text.split())]  # a row over all columns above the header
        rows = rows[1:]
    return title + render_rows(_mark_header(rows))


def _is_deleted(row: etree._Element) -> bool:
    properties = row.find(qn("w:trPr"))
    return properties is not None and properties.find(qn("w:del")) is not None


def _read_row(row: etree._Element, above: dict[int, Cell], read_cell: ReadCell) -> list[Cell]:
    """Return the cells of a row; `above` holds by column the cells that may go on in the next row."""
    properties = row.find(qn("w:trPr"))
    is_header = bool(is_on(properties, "w:tblHeader"))
    before = min(number_of(properties, "w:gridBefore") or 0, MAX_SPAN)
    cells = [Cell("", before, is_header=is_header)] if before else []
    column = before
    open_cells: dict[int, Cell] = {}
    for element in iter_within(row, qn("w:tc")):
        own = element.find(qn("w:tcPr"))
        # A span may claim a billion columns.
        columns = max(1, min(number_of(own, "w:gridSpan") or 1, MAX_SPAN))
        merge = value_of(own, "w:vMerge")
        if value_of(own, "w:hMerge") in _CONTINUES and cells:
            cells[-1] = replace(cells[-1], columns=min(cells[-1].columns + columns, MAX_SPAN))
            column += columns
            continue
        is_gone = own is not None and own.find(qn("w:cellDel")) is not None
        text = "" if is_gone else read_cell(element)
        if merge in _CONTINUES and column in above and not text:
            text = above[column].text if len(above[column].text) <= _MAX_REPEATED_CHARS else ""
            open_cells[column] = above[column]
        cell = Cell(text, columns, is_header=is_header)
        if merge is not None:
            open_cells.setdefault(column, cell)
        cells.append(cell)
        column += columns
    above.clear()
    above.update(open_cells)
    return cells


def _mark_header(rows: list[list[Cell]]) -> list[list[Cell]]:
    """Mark the rows at the top as header if cells over several columns are named in detail by the row below."""
    count = 1
    while count < min(len(rows), _MAX_HEADER_ROWS) and _is_detailed(rows[count - 1], rows[count]):
        count += 1
    if count == 1 or count == len(rows) or rows[0][0].is_header:
        return rows
    return [[replace(cell, is_header=at < count) for cell in row] for at, row in enumerate(rows)]


def _is_detailed(row: Sequence[Cell], below: Sequence[Cell]) -> bool:
    if (
        len(row) < 2
        or all(cell.columns == 1 for cell in row)
        or sum(c.columns for c in row) != sum(c.columns for c in below)
    ):
        return False
    if not all(_NAMES.match(cell.text) for cell in row if cell.columns > 1):
        return False
    texts = [cell.text for cell in (*row, *below) if cell.text]
    if any(len(text) > _MAX_HEADER_CHARS or not _NAMES.match(text) for text in texts):
        return False
    columns = [cell for cell in below for _ in range(cell.columns)]
    at = 0
    for cell in row:
        details = columns[at : at + cell.columns]
        at += cell.columns
        if cell.columns > 1 and not (all(each.text for each in details) and len({id(each) for each in details}) > 1):
            return False
    return True
