"""Collect the paragraphs and tables of one flow of rich text: of the text itself, of a note, or of a text box."""

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from rag.parsing.blocks import Block
from rag.parsing.rtf_words import PARAGRAPH_ENDS
from rag.parsing.tables import Cell, render_rows

_SAME_EDGE_TWIPS: Final = 60  # between the edges of cells in one column; a millimetre
_HEADING_STYLE = re.compile(r"heading ([1-9])", re.IGNORECASE)
_CONTENTS_STYLE: Final = "toc "
_BODY_LEVEL: Final = 9  # the value of \outlinelevel for text that is no heading


@dataclass(slots=True)
class _Row:
    cells: Sequence[str]
    edges: Sequence[int]
    continues: Sequence[bool]
    is_header: bool


@dataclass(slots=True)
class Flow:
    """A run of paragraphs and tables: the text itself, a note, or a text box."""

    blocks: list[tuple[str, Block]] = field(default_factory=list)  # with the name of the style
    beside: list[tuple[str, Block]] = field(default_factory=list)  # notes and boxes of the open paragraph or table
    pieces: list[str] = field(default_factory=list)
    cells: list[str] = field(default_factory=list)
    rows: list[_Row] = field(default_factory=list)
    style: int = 0
    outline: int = _BODY_LEVEL
    in_table: bool = False
    in_list: bool = False
    mark: list[str] | None = None  # the number or bullet of the open paragraph, as old readers print it
    follows_item: bool = False
    edges: list[int] = field(default_factory=list)
    continues: list[bool] = field(default_factory=list)
    cell_continues: bool = False
    is_header: bool = False

    def obey(self, word: str, number: int | None, style_names: Mapping[int, str]) -> None:
        """Take a control word of paragraphs and tables."""
        match word:
            case "pard":
                self.style, self.outline, self.in_table, self.in_list = 0, _BODY_LEVEL, False, False
            case "s":
                self.style = number or 0
            case "outlinelevel":
                self.outline = _BODY_LEVEL if number is None else number
            case "ls":
                self.in_list = bool(number)
            case "intbl":
                self.in_table = True
            case "cell":
                self.cells.append("".join(self.pieces))
                self.pieces.clear()
            case "row":
                self.rows.append(_Row(self.cells, self.edges, self.continues, self.is_header))
                self.cells = []
            case "trowd":
                self.edges, self.continues, self.is_header, self.cell_continues = [], [], False, False
            case "trhdr":
                self.is_header = True
            case "clvmrg":
                self.cell_continues = True
            case "cellx":
                self.edges.append(number or 0)
                self.continues.append(self.cell_continues)
                self.cell_continues = False
            case _ if word in PARAGRAPH_ENDS:
                self.end_paragraph(style_names)

    def end_paragraph(self, style_names: Mapping[int, str]) -> None:
        """Add the open paragraph; inside a table it is a line of the cell."""
        if self.in_table:
            self.pieces.append("\n")
            return
        if self.rows or self.cells:
            self.end_table()
        text = _join(self.pieces)
        self.pieces.clear()
        style = style_names.get(self.style, "")
        heading = _HEADING_STYLE.fullmatch(style)
        level = int(heading[1]) if heading else self.outline + 1 if self.outline < _BODY_LEVEL else 0
        if text and not style.lower().startswith(_CONTENTS_STYLE):
            is_item = (self.in_list or self.mark is not None) and not level
            number = _read_number("".join(self.mark or ()))
            if number or is_item:
                text = f"{number or '-'} {text}"
            is_next = is_item and self.follows_item and not self.beside
            self.blocks.append((style, Block(text, min(level, 6), "\n" if is_next else "\n\n")))
            self.follows_item = is_item
        self.mark = None
        self.blocks += self.beside
        self.beside = []

    def end_table(self) -> None:
        """Add the open table, and what stands beside it."""
        if self.cells or (self.in_table and any(map(str.strip, self.pieces))):  # a row without its end
            self.rows.append(_Row([*self.cells, "".join(self.pieces)], self.edges, self.continues, self.is_header))
            self.pieces.clear()
        for at, line in enumerate(render_rows(_lay_out(self.rows))):
            self.blocks.append(("", Block(line, glue="\n" if at else "\n\n")))
        self.blocks += self.beside
        self.beside, self.rows, self.cells = [], [], []


def _read_number(mark: str) -> str:
    """Return the number that a mark shows; empty if it is a bullet, which Word also draws as the letter o."""
    text = " ".join(mark.split())
    return text if text != "o" and any(map(str.isalnum, text)) else ""


def _join(pieces: Sequence[str]) -> str:
    """Return the text; characters outside the first plane stand in two pieces."""
    return "".join(pieces).encode("utf-16", "surrogatepass").decode("utf-16", "replace").strip()


def _lay_out(rows: Sequence[_Row]) -> Iterator[list[Cell]]:
    """Yield the cells with the number of columns that each covers; a cell that goes on from above has its text."""
    edges: list[int] = []
    for edge in sorted({edge for row in rows for edge in row.edges}):
        if not edges or edge - edges[-1] > _SAME_EDGE_TWIPS:
            edges.append(edge)
    above: dict[int, str] = {}  # by the number of the column
    for row in rows:
        cells = []
        column = 0
        for at, raw in enumerate(row.cells):
            text = _join([raw])
            end = _column_of(row.edges[at], edges) if at < len(row.edges) else column + 1
            if not text and at < len(row.continues) and row.continues[at]:
                text = above.get(column, "")
            above[column] = text
            cells.append(Cell(text, max(1, end - column), is_header=row.is_header))
            column = max(column + 1, end)
        yield cells


def _column_of(edge: int, edges: Sequence[int]) -> int:
    return bisect_right(edges, edge)
