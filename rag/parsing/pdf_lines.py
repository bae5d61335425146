"""Build the lines of a page from its words: superscripts, columns painted row by row, tables without rules."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from rag.parsing.line import Line
from rag.parsing.pdf_content import Piece
from rag.parsing.raised import to_lowered, to_raised

_SAME_LINE: Final = 0.5  # of the text size, between two baselines
_BACK_STEP: Final = 0.5  # of the text size: a word that starts further left than this begins a line
_RAISED: Final = 0.15  # of the text size, above the baseline
_SMALLER: Final = 0.85  # of the line's text size
_WIDE_GAP: Final = 1.2  # of the text size
_ALIGNED_PT: Final = 3.0
_MIN_ROWS: Final = 3
_MIN_TABLE_COLUMNS: Final = 3
_PROSE_WORDS: Final = 3.0  # for each line of a column
_PROSE_FILL: Final = 0.55  # of the column's width
_FLOWING: Final = 0.5  # of its lines; asked of three columns and more, which are tables more often than prose
_FIELD_ROW: Final = 10**9  # above all numbers of tables: the lines of a form are kept apart like rows

_LETTER = re.compile(r"[^\W\d_]")


@dataclass(frozen=True, slots=True)
class Segment:
    """Words of one line without a wide gap between them."""

    pieces: Sequence[Piece]

    @property
    def left(self) -> float:
        return self.pieces[0].left

    @property
    def right(self) -> float:
        return max(piece.right for piece in self.pieces)

    @property
    def text(self) -> str:
        return join_text(self.pieces)


Row = Sequence[Segment]


@dataclass(frozen=True, slots=True)
class OpenTable:
    """Rows of a table without rules, as aligned cells."""

    rows: Sequence[Row]


def split_rows(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """Return the words by line, in their order."""
    rows: list[list[Piece]] = []
    main: Piece | None = None  # of the last line
    for piece in pieces:
        if main and _continues(rows[-1][-1], main, piece):
            rows[-1].append(piece)
            main = piece if piece.size > main.size else main
        else:
            rows.append([piece])
            main = piece
    return rows


def _continues(before: Piece, main: Piece, piece: Piece) -> bool:
    size = max(main.size, piece.size)
    if piece.box[0] < before.box[2] - _BACK_STEP * size:
        return False
    reach = _SAME_LINE * size
    return abs(piece.baseline - main.baseline) <= reach or abs(piece.baseline - before.baseline) <= reach


def _main(row: Sequence[Piece]) -> Piece:
    """Return the piece that has the line's size and baseline: the largest, of these the first."""
    return max(row, key=lambda piece: piece.size)


def join_text(row: Sequence[Piece]) -> str:
    """Return the text of a line; what is raised or lowered is written so, where Unicode has a character for it."""
    main = _main(row)
    parts: list[str] = []
    after_script = False
    for at, piece in enumerate(row):
        text, is_script = piece.text, False
        if at and piece.size <= _SMALLER * main.size and piece is not main:
            shift = piece.baseline - main.baseline
            is_script = shift > _RAISED * main.size or -shift > 0.05 * main.size
            shifted = (to_raised(text) if shift > 0 else to_lowered(text)) if is_script else None
            if shifted:
                text = shifted
            elif is_script and shift > 0 and parts and parts[-1][-1:].isalnum() and text[:1].isalnum():
                parts.append(" ")  # a mark of a footnote is no part of the word or the figure
        is_spaced = piece.is_spaced or (at > 0 and piece.left - row[at - 1].right > 0.6 * main.size)
        if after_script and is_spaced and not text[:1].isalnum() and piece.left - row[at - 1].right < 0.1 * main.size:
            is_spaced = False  # PDFium ends the line at a superscript, and what follows stands close to it
        if at and is_spaced and not (is_script and piece.left - row[at - 1].right < 0.1 * main.size):
            parts.append(" ")
        parts.append(text)
        after_script = is_script
    return "".join(parts)


def read_order(rows: Sequence[Sequence[Piece]]) -> Iterator[Segment | OpenTable]:
    """Yield the lines of a page: columns painted row by row come one after the other, and aligned cells as a table."""
    cut = [_cut(row) for row in rows]
    at = 0
    while at < len(cut):
        end = _columns_end(cut, at)
        if end > at:
            yield from _unweave(cut[at:end])
            at = end
            continue
        end = _table_end(cut, at)
        if end > at:
            yield OpenTable(cut[at:end])
            at = end
            continue
        yield Segment(rows[at])
        at += 1


def to_line(segment: Segment, page: int) -> Line:
    main = _main(segment.pieces)
    return Line(
        text=segment.text,
        page=page,
        size=_letter_size(segment.pieces),
        bold=_is_bold(segment.pieces),
        left=segment.left,
        right=segment.right,
        baseline=main.baseline,
        row=_FIELD_ROW + page if any(piece.is_field for piece in segment.pieces) else 0,
    )


def _letter_size(pieces: Sequence[Piece]) -> float:
    """Return the size that most of the line has; a bullet often differs from its line."""
    sizes: dict[float, int] = {}
    for piece in pieces:
        sizes[piece.size] = sizes.get(piece.size, 0) + sum(char.isalnum() for char in piece.text)
    return max(sizes, key=lambda size: (sizes[size], size))


def _is_bold(pieces: Sequence[Piece]) -> bool:
    words = [piece for piece in pieces if any(char.isalnum() for char in piece.text)] or list(pieces)
    return words[0].bold and words[-1].bold


def _cut(row: Sequence[Piece]) -> list[Segment]:
    size = _main(row).size
    segments: list[list[Piece]] = [[row[0]]]
    for before, piece in pairwise(row):
        if piece.left - before.right > _WIDE_GAP * size:
            segments.append([piece])
        else:
            segments[-1].append(piece)
    return [Segment(pieces) for pieces in segments]


# Columns ------------------------------------------------------------------------------------------------------------


def _columns_end(rows: Sequence[Row], start: int) -> int:
    """Return the end of the rows from `start` that are columns of prose painted row by row; `start` if none."""
    edges = [segment.left for segment in rows[start]]
    if len(edges) == 1:
        return start
    end, full = start, 0
    for at in range(start, len(rows)):
        row = rows[at]
        if not _goes_down(rows[at - 1], row, at > start) or not _fits(row, edges):
            break
        full += len(row) == len(edges)
        end = at + 1
    while end > start and len(rows[end - 1]) == 1 and full < _MIN_ROWS:
        end -= 1
    columns = _columns(rows[start:end], edges)
    is_text = all(map(_is_prose, columns)) and (len(edges) < _MIN_TABLE_COLUMNS or all(map(_flows_on, columns)))
    return end if full >= _MIN_ROWS and is_text else start


def _fits(row: Row, edges: Sequence[float]) -> bool:
    """Return whether each part of the row is in a column of its own; those of a full row stand at the edges."""
    places = [_column_of(segment, edges) for segment in row]
    is_full = len(row) == len(edges)
    return (
        all(before < after for before, after in pairwise(places))
        and all(segment.right < edge for segment, place in zip(row, places, strict=True) for edge in edges[place + 1 :])
        and (not is_full or all(abs(row[at].left - edges[at]) <= _ALIGNED_PT for at in range(1, len(row))))
        and (len(row) == 1 or row[0].left >= edges[0] - _ALIGNED_PT)
    )


def _column_of(segment: Segment, edges: Sequence[float]) -> int:
    """Return the last column that begins where the segment does, or left of it."""
    return max(sum(segment.left >= edge - _ALIGNED_PT for edge in edges) - 1, 0)


def _goes_down(before: Row, row: Row, has_before: bool) -> bool:
    if not has_before:
        return True
    step = before[0].pieces[0].baseline - row[0].pieces[0].baseline
    return 0 < step <= 4 * row[0].pieces[0].size


def _columns(rows: Sequence[Row], edges: Sequence[float]) -> list[list[Segment]]:
    columns: list[list[Segment]] = [[] for _ in edges]
    for segment in (segment for row in rows for segment in row):
        columns[_column_of(segment, edges)].append(segment)
    return columns


def _is_prose(column: Sequence[Segment]) -> bool:
    if len(column) < _MIN_ROWS:
        return False
    width = max(segment.right for segment in column) - min(segment.left for segment in column)
    fills = sorted((segment.right - segment.left) / (width or 1.0) for segment in column)
    words = sum(len(segment.text.split()) for segment in column) / len(column)
    letters = sum(len(_LETTER.findall(segment.text)) for segment in column)
    chars = sum(len(segment.text) for segment in column)
    return words >= _PROSE_WORDS and fills[len(fills) // 2] >= _PROSE_FILL and 2 * letters >= chars


def _flows_on(column: Sequence[Segment]) -> bool:
    """Return whether most lines go on with the sentence of the line before; cells of a table begin anew."""
    return sum(segment.text[:1].islower() for segment in column[1:]) >= _FLOWING * (len(column) - 1)


def _unweave(rows: Sequence[Row]) -> Iterator[Segment]:
    for column in _columns(rows, [segment.left for segment in rows[0]]):
        yield from column


# Tables without rules -----------------------------------------------------------------------------------------------


def _table_end(rows: Sequence[Row], start: int) -> int:
    """Return the end of the rows from `start` whose cells stand below each other; `start` if there are too few."""
    first = rows[start]
    if len(first) < _MIN_TABLE_COLUMNS:
        return start
    end = start + 1
    while end < len(rows) and len(rows[end]) == len(first) and _goes_down(rows[end - 1], rows[end], True):
        if not all(_is_aligned(above, cell) for above, cell in zip(rows[end - 1], rows[end], strict=True)):
            break
        end += 1
    return end if end - start >= _MIN_ROWS else start


def _is_aligned(above: Segment, cell: Segment) -> bool:
    return (
        abs(above.left - cell.left) <= _ALIGNED_PT
        or abs(above.right - cell.right) <= _ALIGNED_PT
        or abs(above.left + above.right - cell.left - cell.right) <= 2 * _ALIGNED_PT
    )
