"""Find the grids that the rules of a page form, and which places of a grid each cell covers.

Source: Nurminen, "Algorithmic Extraction of Data in Tables in PDF" (Tampere, 2013), which Tabula and pdfplumber follow:
the crossings of horizontal and vertical rules are the corners of cells.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

SNAP_PT: Final = 3.0
MAX_CROSSINGS: Final = 250_000


@dataclass(slots=True)
class Rule:
    """A rule at `at`, from `start` to `end` on the other axis."""

    at: float
    start: float
    end: float


@dataclass(slots=True)
class Grid:
    """Rules that touch each other."""

    flat: list[Rule]
    upright: list[Rule]


def merge_rules(rules: Sequence[Rule]) -> list[Rule]:
    """Bring rules at nearly the same position together, and join those that touch."""
    positions: list[float] = []
    for at in sorted(rule.at for rule in rules):
        if not positions or at - positions[-1] > SNAP_PT:
            positions.append(at)
    merged: list[Rule] = []
    ordered = sorted(rules, key=lambda rule: rule.at)
    number = 0
    groups: list[list[Rule]] = [[] for _ in positions]
    for rule in ordered:
        while number + 1 < len(positions) and rule.at >= positions[number + 1]:
            number += 1
        groups[number].append(rule)
    for position, group in zip(positions, groups, strict=True):
        last: Rule | None = None
        for rule in sorted(group, key=lambda rule: rule.start):
            if last and rule.start <= last.end + SNAP_PT:
                last.end = max(last.end, rule.end)
            else:
                last = Rule(position, rule.start, rule.end)
                merged.append(last)
    return merged


def connect_rules(flat: Sequence[Rule], upright: Sequence[Rule]) -> list[Grid]:
    """Return the rules by the grid that they form; the largest grid first."""
    owner: dict[int, Grid] = {}
    for horizontal in flat:
        own = Grid([horizontal], [])
        owner[id(horizontal)] = own
        for vertical in upright:
            if (
                horizontal.start - SNAP_PT <= vertical.at <= horizontal.end + SNAP_PT
                and vertical.start - SNAP_PT <= horizontal.at <= vertical.end + SNAP_PT
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


def find_edges(across: Sequence[Rule], along: Sequence[Rule]) -> list[float]:
    """Return the positions of the rules `across`, and the ends of those `along` that go on beyond them."""
    positions = sorted({rule.at for rule in across})
    start, end = min(rule.start for rule in along), max(rule.end for rule in along)
    if positions[0] - start > 3 * SNAP_PT:
        positions.insert(0, start)
    if end - positions[-1] > 3 * SNAP_PT:
        positions.append(end)
    return positions


def span_cells(
    grid: Grid, xs: Sequence[float], ys: Sequence[float]
) -> tuple[dict[tuple[int, int], tuple[int, int]], dict[tuple[int, int], tuple[int, int]]]:
    """Return which cell covers each place of the grid, and how many rows and columns each cell covers."""
    columns, rows = len(xs) - 1, len(ys) - 1

    def is_ruled(rules: Sequence[Rule], at: float, middle: float) -> bool:
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
