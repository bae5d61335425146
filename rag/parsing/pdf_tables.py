"""Find the tables that rules draw on a page, and write their rows so that each is understood alone.

The cells are found as in Nurminen's thesis, "Algorithmic Extraction of Data in Tables in PDF" (Tampere, 2013), which
Tabula and pdfplumber follow: the crossings of horizontal and vertical rules are the corners of cells.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from rag.parsing.pdf_drawings import Box
from rag.parsing.pdf_lines import join_text, split_rows
from rag.parsing.pdf_page import Piece
from rag.parsing.tables import CELL_SEPARATOR, Cell, render_rows

_SNAP_PT: Final = 3.0
_MAX_CROSSINGS: Final = 250_000
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
            abs(mine - other) <= 2 * _SNAP_PT for mine, other in zip(self.columns, before.columns, strict=True)
        )


@dataclass(slots=True)
class _Rule:
    """A rule at `at`, from `start` to `end` on the other axis."""

    at: float
    start: float
    end: float


@dataclass(slots=True)
class _Grid:
    """Rules that touch each other."""

    flat: list[_Rule]
    upright: list[_Rule]


def find_tables(rules: Sequence[Box], pieces: Sequence[Piece], turned: Sequence[Piece]) -> list[tuple[Table, set[int]]]:
    """Return the tables from the top of the page down, each with the numbers of the pieces in it.

    The numbers count `pieces`, then `turned`.
    """
    flat = _merge([_Rule((b + t) / 2, left, right) for left, b, right, t in rules if right - left >= t - b])
    upright = _merge([_Rule((left + r) / 2, b, t) for left, b, r, t in rules if r - left < t - b])
    if not flat or not upright or len(flat) * len(upright) > _MAX_CROSSINGS:
        return []
    everything = [*pieces, *turned]
    found = [_fill(grid, everything, len(pieces)) for grid in _connect(flat, upright)]
    tables = sorted((entry for entry in found if entry), key=lambda entry: -entry[0].box[3])
    taken: set[int] = set()
    kept: list[tuple[Table, set[int]]] = []
    for table, members in tables:
        if not members & taken:  # a grid inside a cell: the outer one has its text
            kept.append((table, members))
            taken |= members
    return kept


def _merge(rules: Sequence[_Rule]) -> list[_Rule]:
    """Bring rules at nearly the same position together, and join those that touch."""
    positions: list[float] = []
    for at in sorted(rule.at for rule in rules):
        if not positions or at - positions[-1] > _SNAP_PT:
            positions.append(at)
    merged: list[_Rule] = []
    ordered = sorted(rules, key=lambda rule: rule.at)
    number = 0
    groups: list[list[_Rule]] = [[] for _ in positions]
    for rule in ordered:
        while number + 1 < len(positions) and rule.at >= positions[number + 1]:
            number += 1
        groups[number].append(rule)
    for position, group in zip(positions, groups, strict=True):
        last: _Rule | None = None
        for rule in sorted(group, key=lambda rule: rule.start):
            if last and rule.start <= last.end + _SNAP_PT:
                last.end = max(last.end, rule.end)
            else:
                last = _Rule(position, rule.start, rule.end)
                merged.append(last)
    return merged


def _connect(flat: Sequence[_Rule], upright: Sequence[_Rule]) -> list[_Grid]:
    """Return the rules by the grid that they form; the largest grid first."""
    owner: dict[int, _Grid] = {}
    for horizontal in flat:
        own = _Grid([horizontal], [])
        owner[id(horizontal)] = own
        for vertical in upright:
            if (
                horizontal.start - _SNAP_PT <= vertical.at <= horizontal.end + _SNAP_PT
                and vertical.start - _SNAP_PT <= horizontal.at <= vertical.end + _SNAP_PT
            ):
                other = owner.get(id(vertical))
                if other is None:
                    own.upright.append(vertical)
                    owner[id(vertical)] = own
                elif other is not own:
                    small, large = sorted((own, other), key=lambda grid: len(grid.flat) + len(grid.upright))
                    large.flat += small.flat
                    large.upright += small.upright
                    for rule in (*small.flat, *small.upright):
                        owner[id(rule)] = large
                    own = large
    grids = {id(grid): grid for grid in owner.values() if grid.upright}
    return list(grids.values())


def _fill(grid: _Grid, pieces: Sequence[Piece], upright_count: int) -> tuple[Table, set[int]] | None:
    """Return the table of a grid, or None if it is a frame or a drawing."""
    xs = _edges(grid.upright, grid.flat)
    ys = _edges(grid.flat, grid.upright)[::-1]
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
    owners, spans = _span(grid, xs, ys)
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


def _add_rows(grid: _Grid, xs: Sequence[float], ys: Sequence[float], pieces: Sequence[Piece]) -> list[float]:
    """Return the edges of the rows, with those that have no rule: lines of text at the same heights in all cells.

    A rule of no width stands for each, so that no cell covers two of the rows.
    """
    added: list[float] = [ys[0]]
    for top, bottom in pairwise(ys):
        inside = [piece for piece in pieces if bottom < piece.center[1] < top and xs[0] <= piece.center[0] <= xs[-1]]
        for edge in _line_edges(inside, xs):
            added.append(edge)
            grid.flat.append(_Rule(edge, xs[0], xs[-1]))
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
    if any(not any(abs(one - other) <= _SNAP_PT for other in first) for own in lines.values() for one in own):
        return []
    figures = [column for column in equal if _HAS_DIGIT.search("".join(piece.text for piece in cells[column]))]
    if count == 2 and len(figures) < len(cells) / 2:  # the names of columns often have two lines each
        return []
    height = max(piece.size for piece in pieces)
    return [above - 0.25 * min(height, above - below) for above, below in pairwise(first)]


def _baselines(pieces: Sequence[Piece]) -> list[float]:
    found: list[float] = []
    for baseline in sorted((piece.baseline for piece in pieces), reverse=True):
        if not found or found[-1] - baseline > _SNAP_PT:
            found.append(baseline)
    return found


def _are_level(own: Sequence[float], other: Sequence[float]) -> bool:
    return len(own) == len(other) and all(abs(a - b) <= _SNAP_PT for a, b in zip(own, other, strict=True))


def _cell_text(level: Sequence[Piece], every: Sequence[Piece]) -> str:
    lines = [join_text(row) for row in split_rows(level)] + [piece.text for piece in every[len(level) :]]
    return " ".join(lines).replace("\ufffe ", "\ufffe")


def _edges(across: Sequence[_Rule], along: Sequence[_Rule]) -> list[float]:
    """Return the positions of the rules `across`, and the ends of those `along` that go on beyond them."""
    positions = sorted({rule.at for rule in across})
    start, end = min(rule.start for rule in along), max(rule.end for rule in along)
    if positions[0] - start > 3 * _SNAP_PT:
        positions.insert(0, start)
    if end - positions[-1] > 3 * _SNAP_PT:
        positions.append(end)
    return positions


def _span(
    grid: _Grid, xs: Sequence[float], ys: Sequence[float]
) -> tuple[dict[tuple[int, int], tuple[int, int]], dict[tuple[int, int], tuple[int, int]]]:
    """Return which cell covers each place of the grid, and how many rows and columns each cell covers."""
    columns, rows = len(xs) - 1, len(ys) - 1

    def is_ruled(rules: Sequence[_Rule], at: float, middle: float) -> bool:
        return any(abs(rule.at - at) < 0.01 and rule.start <= middle <= rule.end for rule in rules)

    upright = {x: [rule for rule in grid.upright if rule.at == x] for x in xs}
    flat = {y: [rule for rule in grid.flat if rule.at == y] for y in ys}
    owners: dict[tuple[int, int], tuple[int, int]] = {}
    spans: dict[tuple[int, int], tuple[int, int]] = {}
    for row in range(rows):
        for column in range(columns):
            if (row, column) in owners:
                continue
            right = column + 1
            middle = (ys[row] + ys[row + 1]) / 2
            while (
                right < columns and (row, right) not in owners and not is_ruled(upright[xs[right]], xs[right], middle)
            ):
                right += 1
            below = row + 1
            while below < rows and not any(
                (below, at) in owners or is_ruled(flat[ys[below]], ys[below], (xs[at] + xs[at + 1]) / 2)
                for at in range(column, right)
            ):
                below += 1
            spans[row, column] = below - row, right - column
            for covered_row in range(row, below):
                for covered in range(column, right):
                    owners[covered_row, covered] = row, column
    return owners, spans


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
