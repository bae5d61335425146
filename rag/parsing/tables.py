"""Render the rows of a table as lines that are understood alone: each cell with the name of its column.

A row is found, quoted and shown to the generator alone, as its header may be in another chunk. So it is labelled:
`Sparrow X2 | 7,500 Pa` becomes `Model: Sparrow X2 | Suction power: 7,500 Pa`.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from rag.errors import ParseError
from rag.parsing.blocks import MAX_TEXT_CHARS

CELL_SEPARATOR: Final = " | "
LABEL_SEPARATOR: Final = ": "
MAX_SPAN: Final = 64  # a cell may claim to cover a billion columns
_MAX_LABEL_CHARS: Final = 60  # a longer cell at the top is text, not the name of a column
_KEY_VALUE_CELLS: Final = 2
_DIGIT = re.compile(r"\d")


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell, covering `columns` by `rows`; `is_header` if the format marks it as a header."""

    text: str
    columns: int = 1
    rows: int = 1
    is_header: bool = False


def render_rows(rows: Iterable[Sequence[Cell]]) -> list[str]:
    """Return one line for each row that holds text, with the names of the columns in it, if there are any.

    Raises: ParseError: a text that is repeated, in each row that it covers or names, becomes too much.
    """
    grid = [row for row in _lay_out(rows) if any(cell.text for cell in row)]
    header_rows = _count_header_rows(grid)
    if header_rows == len(grid):
        return [_join(cell.text for cell in row) for row in grid]
    labels = _read_labels(grid[:header_rows])
    lines = []
    chars = 0
    for row in grid[header_rows:]:
        lines.append(_render([cell.text for cell in row], labels))
        chars += len(lines[-1])
        if chars > MAX_TEXT_CHARS:
            raise ParseError(f"too much text: more than {MAX_TEXT_CHARS:,} characters in a table")
    return lines


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
            text = " ".join(cell.text.split())
            for at in range(max(1, min(cell.columns, MAX_SPAN))):
                placed = Cell(text if at == 0 or cell.is_header else "", is_header=cell.is_header)
                if cell.rows > 1:
                    hanging[len(line)] = (min(cell.rows, MAX_SPAN) - 1, placed)
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


def _render(cells: Sequence[str], labels: Sequence[str]) -> str:
    filled = [(cell, labels[at] if at < len(labels) else "") for at, cell in enumerate(cells) if cell]
    if not labels and len(filled) == _KEY_VALUE_CELLS == len(cells) and len(cells[0]) <= _MAX_LABEL_CHARS:
        return _label(*cells)
    if len(filled) == 1:
        return filled[0][0]  # a title inside the table
    return _join(_label(name, cell) if name and name != cell else cell for cell, name in filled)


def _label(name: str, cell: str) -> str:
    return name.rstrip(":： ") + LABEL_SEPARATOR + cell


def _join(cells: Iterable[str]) -> str:
    return CELL_SEPARATOR.join(filter(None, cells))
