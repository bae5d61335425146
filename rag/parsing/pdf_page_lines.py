"""Put the lines of a page in their order, with one line in the place of each table."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from rag.parsing import pdf_lines, pdf_tables
from rag.parsing.line import Line
from rag.parsing.pdf_content import PageContent, Piece
from rag.parsing.pdf_notes import Notes, quote
from rag.parsing.pdf_tables import Table
from rag.parsing.tables import Cell


@dataclass(slots=True)
class Page:
    """A page between its reading and its layout: lines, and tables that stand at the place of one of them."""

    number: int
    width: float
    height: float
    lines: list[Line] = field(default_factory=list)
    tables: dict[int, Table] = field(default_factory=dict)  # by the `row` of the line that stands for it
    is_picture: bool = False  # images or dark areas cover most of it


def add_text(page: Page, content: PageContent, notes: Notes) -> None:
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
            notes.add(f"text along the margin is left out: {quote(piece.text)}", page.number)
        else:
            page.lines.append(pdf_lines.to_line(pdf_lines.Segment([piece]), page.number))


def _add_lines(page: Page, pieces: Sequence[Piece]) -> None:
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


def _add_table(page: Page, table: Table) -> None:
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
