"""Render the rows of a table as lines that are understood alone: each cell with the name of its column.

A row is found, quoted and shown to the generator alone, as its header may be in another chunk. So it is labelled:
`Sparrow X2 | 7,500 Pa` becomes `Model: Sparrow X2 | Suction power: 7,500 Pa`.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rag.errors import ParseError
from rag.parsing.blocks import MAX_TEXT_CHARS

CELL_SEPARATOR: Final = " | "
LABEL_SEPARATOR: Final = ": "
MAX_SPAN: Final = 64  # a cell may claim to cover a billion columns
MAX_ROWS: Final = 65_534  # HTML standard, 4.9.11: what a cell can cover
_MAX_LABEL_CHARS: Final = 60  # a longer cell at the top is text, not the name of a column
_KEY_VALUE_CELLS: Final = 2
_DIGIT = re.compile(r"\d")
_BAR = re.compile(r" ?\| ?")  # a bar in a cell must not look like the end of the cell


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell, covering `columns` by `rows`; `is_header` if the format marks it as a header."""

    text: str
    columns: int = 1
    rows: int = 1
    is_header: bool = False


def render_rows(rows: Iterable[Sequence[Cell]], *, tells_unused: bool = True) -> list[str]:
    """Return one line for each row that holds text, with the names of the columns in it, if there are any.

    A row of one cell over all columns is a title: it stands for itself, and the names of the columns may come below.
    Another row of names further down names the columns from there on.

    If it `tells_unused`, the names of columns that no row says are a line of their own; one part of a table does not.

    Raises: ParseError: a text that is repeated, in each row that it covers or names, becomes too much.
    """
    grid = [row for row in _lay_out(rows) if any(cell.text for cell in row)]
    lines: list[str] = []
    at = 0
    while at < len(grid) and _is_title(grid[at], len(grid)):
        lines.append(next(cell.text for cell in grid[at] if cell.text))
        at += 1
    header_rows = _count_header_rows(grid[at:])
    if header_rows == len(grid) - at:
        return lines + [_join(_once(row)) for row in grid[at:]]
    labels = _read_labels(grid[at : at + header_rows])
    at += header_rows
    if tells_unused:
        lines += _unsaid(grid[at:], labels)
    chars = 0
    while at < len(grid):
        names = _count_names_below(grid, at)
        if names:
            labels = _read_labels(grid[at : at + names])
        else:
            lines.append(_render(grid[at], labels))
            chars += len(lines[-1])
            if chars > MAX_TEXT_CHARS:
                raise ParseError(f"too much text: more than {MAX_TEXT_CHARS:,} characters in a table")
        at += names or 1
    return lines


def _is_title(row: Sequence[Cell], rows: int) -> bool:
    """Return whether the row is one cell over all columns, two at least, with other rows below."""
    first = next(cell for cell in row if cell.text)
    return rows > 1 and first.columns == len(row) > 1 and first is row[0]


def _count_names_below(grid: Sequence[Sequence[Cell]], at: int) -> int:
    """Count the rows from here on that the format marks as headers, with several names and rows below."""
    end = at
    while end < len(grid) and all(cell.is_header for cell in grid[end]) and not _is_title(grid[end], len(grid)):
        end += 1
    return end - at if end < len(grid) and any(len(list(_once(row))) > 1 for row in grid[at:end]) else 0


def _once(row: Sequence[Cell]) -> Iterator[str]:
    """Yield the texts of a row, that of a cell over several columns once."""
    at = 0
    while at < len(row):
        yield row[at].text
        at += max(1, row[at].columns)


def _unsaid(rows: Sequence[Sequence[Cell]], labels: Sequence[str]) -> list[str]:
    """Return, as one line, the names of the columns that no row says: nothing stands below them, or it stands alone."""
    several = [row for row in rows if sum(1 for cell in row if cell.text) > 1]
    said = {
        column
        for row in several
        for at, cell in enumerate(row)
        if cell.text
        for column in range(at, at + max(1, cell.columns))
    }
    names = {labels[at] for at in said if at < len(labels)}
    unsaid = list(dict.fromkeys(name for name in labels if name and name not in names))
    return [_join(unsaid)] if unsaid else []


def _lay_out(rows: Iterable[Sequence[Cell]]) -> list[list[Cell]]:
    """Return each row with a cell in every column.

    A cell that covers several rows is repeated in each. One that covers several columns stands in the first, or in all
    if it is a header.
    """
    grid: list[list[Cell]] = []
    hanging: dict[int, tuple[int, Cell]] = {}  # by column: the number of rows still covered, and the cell
    for row in rows:
        line: list[Cell] = []
        for cell in [*row, None]:
            while len(line) in hanging:
                left, above = hanging.pop(len(line))
                if left > 1:
                    hanging[len(line)] = (left - 1, above)
                line.append(above)
            if cell is None:
                break
            text = _BAR.sub("|", " ".join(cell.text.split()))
            width = max(1, min(cell.columns, MAX_SPAN))
            for at in range(width):
                is_shown = at == 0 or cell.is_header
                placed = Cell(text if is_shown else "", width if at == 0 else 1, is_header=cell.is_header)
                if cell.rows > 1:
                    hanging[len(line)] = (min(cell.rows, MAX_ROWS) - 1, placed)
                line.append(placed)
        grid.append(line)
    return grid


def _count_header_rows(grid: Sequence[Sequence[Cell]]) -> int:
    """Count the rows at the top that name the columns: those marked as headers, else one that looks like a header."""
    said = next((at for at, row in enumerate(grid) if not all(cell.is_header for cell in row)), len(grid))
    if said or not grid:
        return said
    first = [cell.text for cell in grid[0]]
    looks_like_one = (
        len(grid) > 1
        and len(first) > _KEY_VALUE_CELLS  # without a header, the first of two columns names what the second holds
        and len({text.casefold() for text in first}) == len(first)
        and all(text and len(text) <= _MAX_LABEL_CHARS and not _DIGIT.search(text) for text in first)
        and all(len(row) <= len(first) for row in grid)
    )
    return int(looks_like_one)


def _read_labels(header: Sequence[Sequence[Cell]]) -> list[str]:
    """Return the name of each column; several header rows are joined from top to bottom, without repeats."""
    width = max(map(len, header), default=0)
    columns = [[row[at].text for row in header if at < len(row)] for at in range(width)]
    return [" ".join(dict.fromkeys(filter(None, column))) for column in columns]


def _render(row: Sequence[Cell], labels: Sequence[str]) -> str:
    if _is_title(row, 2):
        return next(cell.text for cell in row if cell.text)
    filled = [(cell, at) for at, cell in enumerate(row) if cell.text]
    if not labels and len(filled) == _KEY_VALUE_CELLS == len(row) and len(row[0].text) <= _MAX_LABEL_CHARS:
        return _label(row[0].text, row[1].text)
    if len(filled) == 1:
        return filled[0][0].text  # a title inside the table
    names = [", ".join(dict.fromkeys(filter(None, labels[at : at + cell.columns]))) for cell, at in filled]
    cells = [cell.text for cell, _ in filled]
    return _join(_label(name, cell) if name and name != cell else cell for name, cell in zip(names, cells, strict=True))


def _label(name: str, cell: str) -> str:
    return name.rstrip(":： ") + LABEL_SEPARATOR + cell


def _join(cells: Iterable[str]) -> str:
    return CELL_SEPARATOR.join(filter(None, cells))
