"""Read web pages for what a person would see: headings, paragraphs, list items and table rows.

selectolax was rejected: Lexbor's tree building is quadratic in the depth (100,000 open `<div>` took 36 s). lxml's
libxml2 stops at a bounded depth and reports it.
"""

import re
from dataclasses import dataclass, field
from typing import Final

from lxml import etree

from rag.errors import ParseError
from rag.parsing import charsets
from rag.parsing.blocks import Block, Draft, Glue
from rag.parsing.tables import Cell, render_rows

_DECLARED_CHARSET = re.compile(
    rb"<(?:meta|\?xml)[^>]{0,300}(?:charset|encoding)\s*=\s*[\"']?([\w.:-]{1,40})", re.IGNORECASE
)
_SNIFFED_BYTES: Final = 4096  # HTML standard, 13.2.3.2: declared within the first 1024 bytes; some pages do it later


def _tags(*lines: str) -> frozenset[str]:
    return frozenset(" ".join(lines).split())


_LEFT_OUT: Final = _tags(
    "head script style noscript template nav svg iframe object canvas audio video button select textarea datalist",
)
_OWNERS_OF_FOOTERS: Final = ("article", "main", "section", "blockquote")  # else it is the site's: copyright and links
_HIDING_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_LEVELS: Final = {f"h{level}": level for level in range(1, 7)}
_BLOCKS: Final = frozenset(_LEVELS) | _tags(
    "body address article aside blockquote caption center dd details dialog div dl dt fieldset figcaption figure",
    "footer form header hr legend li main ol p pre section summary table tbody td tfoot th thead tr ul",
)
# A table that holds one of `_LAYOUT_SIGNS` arranges the page; its cells are not data.
_SPAN_DIGITS: Final = 5
_LAYOUT_SIGNS: Final = ("table", "article", "section", "main", "form", *_LEVELS)


def read(data: bytes) -> Draft:
    """Read a page, in any encoding that `plain.decode` knows or the page declares."""
    declared = _DECLARED_CHARSET.search(data, 0, _SNIFFED_BYTES)
    return read_text(charsets.decode(data, declared.group(1).decode("ascii", "replace") if declared else None))


def read_text(markup: str) -> Draft:
    """Return the blocks of a page or a fragment.

    Raises: ParseError: nested deeper than libxml2 goes; deeper content would be lost silently.
    """
    parser = etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, huge_tree=True)
    root = etree.fromstring(markup.encode("utf-8"), parser)
    if root is None:
        return Draft([])
    if any(entry.type_name == "ERR_RESOURCE_LIMIT" or "depth" in entry.message for entry in parser.error_log):
        raise ParseError("its elements are nested too deep")
    writer = _Writer()
    walk = etree.iterwalk(root, events=("start", "end"))
    for event, element in walk:
        if event == "start" and _is_left_out(element):
            walk.skip_subtree()
        elif event == "start":
            writer.open(element)
            writer.add(element.text)
        else:
            if not _is_left_out(element):
                writer.close(str(element.tag))
            writer.add(element.tail)
    writer.flush()
    return Draft(writer.blocks, title=root.findtext("head/title") or "")


def _is_left_out(element: etree._Element) -> bool:
    attributes = element.attrib
    return (
        element.tag in _LEFT_OUT
        or "hidden" in attributes
        or attributes.get("aria-hidden") == "true"
        or attributes.get("role") == "navigation"
        or (element.tag == "footer" and next(element.iterancestors(*_OWNERS_OF_FOOTERS), None) is None)
        or ("style" in attributes and _HIDING_STYLE.search(str(attributes["style"])) is not None)
    )


def _read_span(value: str | None) -> int:
    return int(value) if value and value.isascii() and value.isdigit() and len(value) < _SPAN_DIGITS else 1


@dataclass(slots=True)
class _Writer:
    """Turns the start and end of elements into blocks."""

    blocks: list[Block] = field(default_factory=list)
    _pieces: list[str] = field(default_factory=list)
    _lists: list[int | None] = field(default_factory=list)  # open lists: the number of the last item; None for bullets
    _tables: list[bool] = field(default_factory=list)  # open tables: whether their rows are data
    _rows: list[list[Cell]] = field(default_factory=list)  # of the open data table; no other table is inside it
    _row: list[Cell] | None = None
    _span: tuple[int, int] = (1, 1)  # columns and rows of the open cell
    _bullet: str = ""
    _run: bool = False  # the block before belongs to the same list or table
    _preformatted: int = 0

    def open(self, element: etree._Element) -> None:
        tag = str(element.tag)
        if tag == "br":
            self._pieces.append(" " if self._row is not None else "\n")
        elif tag == "img":
            self.add(element.get("alt"))
        elif tag == "table":
            self.flush()
            is_layout = any(child is not element for child in element.iter(*_LAYOUT_SIGNS))
            self._tables.append(not is_layout)
            self._run = False
        elif tag == "tr" and self._tables and self._tables[-1]:
            self.flush()
            self._row = []
        elif self._row is not None:
            if tag in ("td", "th"):
                self._span = (_read_span(element.get("colspan")), _read_span(element.get("rowspan")))
            self._pieces.append(" " if tag in _BLOCKS else "")
        elif tag in _BLOCKS:
            self._open_block(tag)

    def _open_block(self, tag: str) -> None:
        self.flush()
        if tag in ("ul", "ol"):
            self._run = self._run and bool(self._lists)
            self._lists.append(0 if tag == "ol" else None)
        elif tag == "li":
            number = self._lists[-1] if self._lists else None
            if number is not None:
                self._lists[-1] = number + 1
            self._bullet = "- " if number is None else f"{number + 1}. "
        elif tag == "pre":
            self._preformatted += 1

    def add(self, text: str | None) -> None:
        if text:
            self._pieces.append(text if self._preformatted else re.sub(r"\s+", " ", text))

    def close(self, tag: str) -> None:
        if tag == "tr" and self._row is not None:
            self._rows.append(self._row)
            self._row = None
            self._pieces.clear()
        elif self._row is not None:
            if tag in ("td", "th"):
                self._row.append(Cell("".join(self._pieces), *self._span, is_header=tag == "th"))
                self._pieces.clear()
        elif tag in _BLOCKS:
            self.flush(_LEVELS.get(tag, 0))
            if tag == "pre":
                self._preformatted -= 1
            elif tag in ("ul", "ol") and self._lists:
                self._lists.pop()
            elif tag == "li":
                self._bullet = ""
        if tag == "table" and self._tables.pop():
            self._close_table()

    def _close_table(self) -> None:
        for at, line in enumerate(render_rows(self._rows)):
            self.blocks.append(Block(line, glue="\n" if at else "\n\n"))
        self._rows.clear()
        self._run = False

    def flush(self, level: int = 0) -> None:
        """End the open block, if there is one."""
        text = "".join(self._pieces)
        self._pieces.clear()
        if not text.strip():
            return
        if not self._preformatted:
            text = "\n".join(line.strip() for line in text.split("\n"))
        glue: Glue = "\n" if self._bullet and self._run and not level else "\n\n"
        self.blocks.append(Block(self._bullet + text.strip("\n"), level, glue))
        self._bullet = ""
        self._run = bool(self._lists)
