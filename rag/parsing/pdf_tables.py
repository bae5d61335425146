"""Find the tables that rules draw on a page, with the text of their cells."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from rag.parsing.pdf_content import Piece
from rag.parsing.pdf_drawings import Box
from rag.parsing.pdf_grid import MAX_CROSSINGS, SNAP_PT, Grid, Rule, connect_rules, find_edges, merge_rules, span_cells
from rag.parsing.pdf_lines import join_text, split_rows
from rag.parsing.tables import Cell

_MAX_CELLS: Final = 20_000
_MAX_CELL_CHARS: Final = 1_000  # a longer cell is a column of the page, not of a table
_MIN_FILLED: Final = 3
_MIN_SPLIT_CELLS: Final = 3  # of a row that is split by its lines of text
_SPLIT_SHARE: Final = 0.7  # of these cells have all of the lines
_HAS_DIGIT: Final = re.compile(r"\d")


@dataclass(frozen=True, slots=True)
class Table:
    """A table on one page; `columns` are the positions of its vertical rules, from left to right."""

    box: Box
    columns: Sequence[float]
    rows: Sequence[Sequence[Cell]]

    def continues(self, before: "Table") -> bool:
        """Return whether the table has the columns of the one before."""
        return len(self.columns) == len(before.columns) and all(
            abs(mine - other) <= 2 * SNAP_PT for mine, other in zip(self.columns, before.columns, strict=True)
        )


def find_tables(rules: Sequence[Box], pieces: Sequence[Piece], turned: Sequence[Piece]) -> list[tuple[Table, set[int]]]:
    """Return the tables from the top of the page down, each with the numbers of the pieces in it.

    The numbers count `pieces`, then `turned`.
    """
    flat = merge_rules([Rule((b + t) / 2, left, right) for left, b, right, t in rules if right - left >= t - b])
    upright = merge_rules([Rule((left + r) / 2, b, t) for left, b, r, t in rules if r - left < t - b])
    if not flat or not upright or len(flat) * len(upright) > MAX_CROSSINGS:
        return []
    everything = [*pieces, *turned]
    found = [_fill(grid, everything, len(pieces)) for grid in connect_rules(flat, upright)]
    tables = sorted((entry for entry in found if entry), key=lambda entry: -entry[0].box[3])
    taken: set[int] = set()
    kept: list[tuple[Table, set[int]]] = []
    for table, members in tables:
        if not members & taken:  # a grid inside a cell: the outer one has its text
            kept.append((table, members))
            taken |= members
    return kept


def _fill(grid: Grid, pieces: Sequence[Piece], upright_count: int) -> tuple[Table, set[int]] | None:
    """Return the table of a grid, or None if it is a frame or a drawing."""
    xs = find_edges(grid.upright, grid.flat)
    ys = find_edges(grid.flat, grid.upright)[::-1]
    if len(xs) > _MIN_SPLIT_CELLS:
        ys = _add_rows(grid, xs, ys, pieces)
    columns, rows = len(xs) - 1, len(ys) - 1
    if columns < 2 or rows < 2 or columns * rows > _MAX_CELLS:
        return None
    box = xs[0], ys[-1], xs[-1], ys[0]
    inside: dict[tuple[int, int], list[int]] = {}
    for number, piece in enumerate(pieces):
        x, y = piece.center
        if box[0] <= x <= box[2] and box[1] <= y <= box[3]:
            column = next(at for at in range(columns) if x <= xs[at + 1])
            row = next(at for at in range(rows) if y >= ys[at + 1])
            inside.setdefault((row, column), []).append(number)
    owners, spans = span_cells(grid, xs, ys)
    members: dict[tuple[int, int], list[int]] = {}
    for place, numbers in inside.items():
        members.setdefault(owners[place], []).extend(numbers)
    texts: dict[tuple[int, int], str] = {}
    bold: set[tuple[int, int]] = set()
    for place, numbers in members.items():
        cell = [pieces[number] for number in sorted(numbers)]
        texts[place] = _cell_text(cell[: sum(number < upright_count for number in numbers)], cell)
        if all(piece.bold for piece in cell):
            bold.add(place)
    filled = sum(1 for text in texts.values() if text)
    if filled < _MIN_FILLED or max(map(len, texts.values())) > _MAX_CELL_CHARS or 5 * filled < len(spans):
        return None
    lines = [
        [
            Cell(texts.get(place, ""), columns=spans[place][1], rows=spans[place][0])
            for place in sorted(spans)
            if place[0] == row
        ]
        for row in range(rows)
    ]
    return Table(box, xs, _mark_bold_header(lines, spans, texts, bold)), {n for ns in members.values() for n in ns}


def _add_rows(grid: Grid, xs: Sequence[float], ys: Sequence[float], pieces: Sequence[Piece]) -> list[float]:
    """Return the edges of the rows, with those that have no rule: lines of text at the same heights in all cells.

    A rule of no width stands for each, so that no cell covers two of the rows.
    """
    added: list[float] = [ys[0]]
    for top, bottom in pairwise(ys):
        inside = [piece for piece in pieces if bottom < piece.center[1] < top and xs[0] <= piece.center[0] <= xs[-1]]
        for edge in _line_edges(inside, xs):
            added.append(edge)
            grid.flat.append(Rule(edge, xs[0], xs[-1]))
        added.append(bottom)
    return added


def _line_edges(pieces: Sequence[Piece], xs: Sequence[float]) -> list[float]:
    """Return the heights between the lines of a row whose cells all have the same lines; none if a cell is wrapped."""
    cells: dict[int, list[Piece]] = {}
    for piece in pieces:
        cells.setdefault(next(at for at in range(len(xs) - 1) if piece.center[0] <= xs[at + 1]), []).append(piece)
    if len(cells) < _MIN_SPLIT_CELLS:
        return []
    lines = {column: _baselines(cell) for column, cell in cells.items()}
    first = lines[min(lines)]
    count = len(first)
    equal = [column for column, own in lines.items() if _are_level(own, first)]
    if count < 2 or len(equal) < _SPLIT_SHARE * len(cells):
        return []
    if any(not any(abs(one - other) <= SNAP_PT for other in first) for own in lines.values() for one in own):
        return []
    figures = [column for column in equal if _HAS_DIGIT.search("".join(piece.text for piece in cells[column]))]
    if count == 2 and len(figures) < len(cells) / 2:  # the names of columns often have two lines each
        return []
    height = max(piece.size for piece in pieces)
    return [above - 0.25 * min(height, above - below) for above, below in pairwise(first)]


def _baselines(pieces: Sequence[Piece]) -> list[float]:
    found: list[float] = []
    for baseline in sorted((piece.baseline for piece in pieces), reverse=True):
        if not found or found[-1] - baseline > SNAP_PT:
            found.append(baseline)
    return found


def _are_level(own: Sequence[float], other: Sequence[float]) -> bool:
    return len(own) == len(other) and all(abs(a - b) <= SNAP_PT for a, b in zip(own, other, strict=True))


def _cell_text(level: Sequence[Piece], every: Sequence[Piece]) -> str:
    lines = [join_text(row) for row in split_rows(level)] + [piece.text for piece in every[len(level) :]]
    return " ".join(lines).replace("\ufffe ", "\ufffe")


def _mark_bold_header(
    lines: Sequence[Sequence[Cell]],
    spans: dict[tuple[int, int], tuple[int, int]],
    texts: dict[tuple[int, int], str],
    bold: set[tuple[int, int]],
) -> list[list[Cell]]:
    """Mark the bold rows at the top as the header, if the rows below are not bold."""
    header = 0
    for row in range(len(lines)):
        filled = [place for place in spans if place[0] == row and texts.get(place)]
        if len(filled) < 2 or not all(place in bold for place in filled):
            break
        header = row + 1
    if header == len(lines):
        header = 0
    return [
        [replace(cell, is_header=True) if row < header else cell for cell in line] for row, line in enumerate(lines)
    ]
