"""Write the tables of a document as lines; a table that goes on over pages keeps the names of its columns."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from rag.parsing.line import Line
from rag.parsing.pdf_page_lines import Page
from rag.parsing.pdf_tables import Table
from rag.parsing.tables import CELL_SEPARATOR, Cell, render_rows

_SAME_PLACE_PT: Final = 3.0
_DIGITS: Final = re.compile(r"\d+")


def render_tables(pages: Sequence[Page]) -> None:
    """Put the rows of each table in its place; a table that goes on over pages keeps the names of its columns."""
    rendered: dict[int, tuple[int, list[str]]] = {}
    for group in _group_tables(pages):
        parts = render([table.rows for _, table in group])
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


def _group_tables(pages: Sequence[Page]) -> list[list[tuple[int, Table]]]:
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


def _is_elsewhere(line: Line, pages: Sequence[Page]) -> bool:
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


def render(parts: Sequence[Sequence[Sequence[Cell]]]) -> list[list[str]]:
    """Return the lines of a table that goes over several pages, by page; the header of the first names all columns."""
    titles: list[str] = []
    first = [row for row in parts[0] if any(cell.text for cell in row)]
    while len(first) > 1 and len(first[0]) == 1 and first[0][0].columns > 1:  # across all columns, above their names
        titles.append(first[0][0].text)
        first = first[1:]
    header = first[: len(first) - len(render_rows(first, tells_unused=False))]
    if len(header) == len(first):
        header = []
    marked = [[replace(cell, is_header=True) for cell in row] for row in header]
    names = [[cell.text for cell in row] for row in header]
    rendered: list[list[str]] = []
    for number, part in enumerate(parts):
        rows = [row for row in part if any(cell.text for cell in row)] if number else first
        if names and [[cell.text for cell in row] for row in rows[: len(names)]] == names:
            rows = rows[len(names) :]
        if names:
            rows = [[replace(cell, is_header=False) for cell in row] for row in rows]
            rendered.append(render_rows([*marked, *rows], tells_unused=False) if rows else [])
        else:  # the first row of a later page names no columns either
            rendered.append(
                render_rows([*first, *rows], tells_unused=False)[len(first) :]
                if rendered
                else render_rows(rows, tells_unused=False)
            )
    return [[*titles, *_unused(names, rendered), *rendered[0]], *rendered[1:]]


def _unused(names: Sequence[Sequence[str]], rendered: Sequence[Sequence[str]]) -> list[str]:
    """Return the header as lines if a name in it is in no row: the column is empty, or a row has one cell alone."""
    text = "\n".join(line for lines in rendered for line in lines)
    if all(name.rstrip(":： ") in text for row in names for name in row):
        return []
    return [CELL_SEPARATOR.join(filter(None, row)) for row in names]
