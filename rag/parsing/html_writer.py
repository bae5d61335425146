"""Turn the start and end of HTML elements into blocks: paragraphs, numbered items, terms and rows."""

import re
from dataclasses import dataclass, field
from typing import Final

from lxml import etree

from rag.parsing.blocks import Block, Glue
from rag.parsing.html_elements import holds_data, read_address, read_input, read_number, read_picture, write_number
from rag.parsing.tables import CELL_SEPARATOR, LABEL_SEPARATOR, MAX_ROWS, Cell, render_rows


def _tags(*lines: str) -> frozenset[str]:
    return frozenset(" ".join(lines).split())


_LEVELS: Final = {f"h{level}": level for level in range(1, 7)}
_BLOCKS: Final = frozenset(_LEVELS) | _tags(
    "address article aside blockquote body caption center dd details dialog dir div dl dt fieldset figcaption",
    "figure footer form header hgroup hr legend li main menu noscript ol p pre search section summary table tbody",
    "td tfoot th thead tr ul",
)
_LISTS: Final = ("ul", "ol", "menu", "dir")
_CLOSING: Final = (":", "?", "!", ".", "…", "：", "？")
_BEFORE_CHARS: Final = 20


@dataclass(slots=True)
class _List:
    """An open list: the number of its next item (None for bullets), the step to the one after, and its form."""

    number: int | None = None
    step: int = 1
    form: str = "1"
    items: int = 0

    def next_bullet(self, item: etree._Element) -> str:
        self.items += 1
        if self.number is None:
            return "- "
        number = read_number(item.get("value"), self.number)
        self.number = number + self.step
        return f"{write_number(number, item.get('type', self.form))}. "


@dataclass(slots=True)
class _Table:
    """An open table; inside a cell of another one it becomes a part of that cell's text, and `outer` holds the rest."""

    is_data: bool
    outer: list[str] | None = None
    rows: list[list[Cell]] = field(default_factory=list)
    row: list[Cell] | None = None
    span: tuple[int, int] = (1, 1)  # columns and rows of the open cell
    caption: str = ""


@dataclass(slots=True)
class Writer:
    """Collects blocks; `open`, `add` and `close` are called in the order of the page."""

    blocks: list[Block] = field(default_factory=list)
    _pieces: list[str] = field(default_factory=list)
    _lists: list[_List] = field(default_factory=list)
    _tables: list[_Table] = field(default_factory=list)
    _terms: list[str] = field(default_factory=list)  # of a description list, until their description comes
    _bullet: str = ""
    _run: bool = False  # the block before belongs to the same list or table
    _preformatted: int = 0

    @property
    def before(self) -> str:
        """Return the last characters of the open block."""
        return "".join(self._pieces[-_BEFORE_CHARS:])[-_BEFORE_CHARS:]

    @property
    def _row(self) -> list[Cell] | None:
        return self._tables[-1].row if self._tables else None

    def open(self, element: etree._Element) -> None:
        tag = str(element.tag)
        if tag == "br":
            self._pieces.append(" " if self._row is not None else "\n")
        elif tag == "img":
            self.add(read_picture(element))
        elif tag == "input":
            self.add(read_input(element))
        elif tag == "q":
            self._pieces.append("“")
        elif "-" in tag:  # an element of the page's own: nearly always a block
            self._pieces.append(" ")
        elif tag == "table":
            self._open_table(element)
        elif tag == "tr" and self._tables and self._tables[-1].is_data:
            self._open_row()
        elif self._row is not None:
            self._open_in_cell(element, tag)
        elif tag in _BLOCKS:
            self._open_block(element, tag)

    def add(self, text: str | None) -> None:
        if text:
            self._pieces.append(text if self._preformatted else re.sub(r"\s+", " ", text))

    def close(self, element: etree._Element) -> None:
        tag = str(element.tag)
        if tag == "a":
            self.add(read_address(element))
        elif tag == "q":
            self._pieces.append("”")
        elif "-" in tag:
            self._pieces.append(" ")
        elif tag == "table" and self._tables:
            self._close_table()
        elif self._row is not None:
            self._close_in_cell(tag)
        elif tag == "dt":
            self._keep_term()
        elif tag in _BLOCKS:
            self._close_block(tag)

    def flush(self, level: int = 0) -> None:
        """End the open block, if there is one."""
        text = "".join(self._pieces)
        self._pieces.clear()
        if not text.strip():
            return
        if not self._preformatted:
            text = "\n".join(line.strip() for line in text.split("\n"))
        text = text.strip("\n")
        if self._terms:
            terms = ", ".join(self._terms)
            self._terms.clear()
            if self._bullet or level:
                self.blocks.append(Block(terms if terms.endswith(_CLOSING) else f"{terms}:"))
            else:
                text = _label(terms, text)
        glue: Glue = "\n" if self._bullet and self._run and not level else "\n\n"
        self.blocks.append(Block(self._bullet + text, level, glue))
        self._bullet = ""
        self._run = bool(self._lists)

    def _keep_term(self) -> None:
        self._terms += filter(None, [" ".join("".join(self._pieces).split())])
        self._pieces.clear()

    def finish(self) -> None:
        """End the open block, and say the terms that nothing described."""
        self.flush()
        if self._terms:
            self.blocks.append(Block(", ".join(self._terms)))
            self._terms.clear()

    def _open_block(self, element: etree._Element, tag: str) -> None:
        parent = element.getparent()
        if tag in ("dt", "dd") and parent is not None and parent.tag == "dt":  # which nobody closed
            self._keep_term()
        self.flush()
        if tag in _LISTS:
            self._run = self._run and bool(self._lists)
            self._lists.append(_open_list(element, tag))
        elif tag == "li":
            self._bullet = self._lists[-1].next_bullet(element) if self._lists else "- "
        elif tag == "pre":
            self._preformatted += 1

    def _close_block(self, tag: str) -> None:
        self.flush(_LEVELS.get(tag, 0))
        if tag == "pre":
            self._preformatted -= 1
        elif tag in _LISTS and self._lists:
            self._lists.pop()
        elif tag == "li":
            self._bullet = ""
        elif tag == "dl":
            self.finish()

    def _open_table(self, element: etree._Element) -> None:
        if self._row is not None:
            self._tables.append(_Table(is_data=True, outer=self._pieces))
            self._pieces = []
            return
        self.finish()
        self._tables.append(_Table(holds_data(element)))
        self._run = False

    def _open_row(self) -> None:
        table = self._tables[-1]
        if table.outer is None:
            self.flush()
        else:
            table.caption += "".join(self._pieces).strip()
            self._pieces.clear()
        table.row = []

    def _open_in_cell(self, element: etree._Element, tag: str) -> None:
        if tag in ("td", "th"):
            self._keep_stray_text()
            self._tables[-1].span = (
                read_number(element.get("colspan"), 1),
                read_number(element.get("rowspan"), 1) or MAX_ROWS,  # 0: down to the end of the table
            )
            self._pieces.clear()
        elif tag in _LISTS:
            self._lists.append(_open_list(element, tag))
            self._pieces.append(" ")
        elif tag == "li" and self._lists:
            bullet = self._lists[-1].next_bullet(element)
            self._pieces = ["".join(self._pieces).rstrip()]
            self._pieces.append(("; " if self._lists[-1].items > 1 else " ") + bullet.removeprefix("- "))
        elif tag in _BLOCKS:
            self._pieces.append(" ")

    def _close_in_cell(self, tag: str) -> None:
        table = self._tables[-1]
        if tag == "tr" and table.row is not None:
            self._keep_stray_text()
            table.rows.append(table.row)
            table.row = None
        elif tag in ("td", "th") and table.row is not None:
            table.row.append(Cell("".join(self._pieces), *table.span, is_header=tag == "th"))
            self._pieces.clear()
        elif tag in _LISTS and self._lists:
            self._lists.pop()
            self._pieces.append(" ")
        elif tag == "dt":
            self._pieces.append(": ")
        elif tag in _BLOCKS:
            self._pieces.append(" ")

    def _keep_stray_text(self) -> None:
        """Make a cell of text that stands in a row outside of cells."""
        text = "".join(self._pieces)
        self._pieces.clear()
        if text.strip() and self._row is not None:
            self._row.append(Cell(text))

    def _close_table(self) -> None:
        table = self._tables.pop()
        if table.outer is not None:
            lines = [line.replace(CELL_SEPARATOR, ", ") for line in render_rows(table.rows)]
            rest = "".join(self._pieces).strip()  # a table without rows
            said = (
                _label(table.caption, "; ".join(lines))
                if table.caption and lines
                else table.caption or "; ".join(lines)
            )
            self._pieces = [*table.outer, " ", said, rest, " "]
            return
        self.flush()
        for at, line in enumerate(render_rows(table.rows)):
            self.blocks.append(Block(line, glue="\n" if at else "\n\n"))
        self._run = False


def _label(name: str, text: str) -> str:
    return f"{name} {text}" if name.endswith(_CLOSING) else name + LABEL_SEPARATOR + text


def _open_list(element: etree._Element, tag: str) -> _List:
    if tag != "ol":
        return _List()
    is_reversed = "reversed" in element.attrib
    first = sum(1 for child in element if child.tag == "li") if is_reversed else 1
    return _List(read_number(element.get("start"), first), -1 if is_reversed else 1, element.get("type", "1"))
