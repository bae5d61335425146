"""Read text documents of LibreOffice: headings, paragraphs, list items, tables, notes and frames."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from lxml import etree

from rag.parsing.blocks import Block, Draft
from rag.parsing.odt_numbering import BULLET, ListState, Numbering, read_start
from rag.parsing.opendocument import (
    ANNOTATION,
    CELL,
    DRAWING,
    HEADING,
    NOTE,
    PARAGRAPH,
    ROW,
    TABLE,
    OpenDocument,
    name,
    open_document,
    read_count,
)
from rag.parsing.tables import MAX_SPAN, Cell, render_rows

_TITLE_STYLE: Final = "Title"
_LIST: Final = name("text:list")
_ITEM: Final = name("text:list-item")
_LIST_HEADER: Final = name("text:list-header")
_HEADER_ROWS: Final = name("table:table-header-rows")
_NOTE_BODY: Final = name("text:note-body")
_FRAME: Final = name("draw:frame")
_PICTURE: Final = name("draw:image")
_OBJECTS: Final = (name("draw:object"), name("draw:object-ole"))
_LEFT_OUT: Final = frozenset(
    name(f"text:{index}")
    for index in (
        "tracked-changes",
        "table-of-content",
        "illustration-index",
        "table-index",
        "object-index",
        "user-index",
        "alphabetical-index",
        "sequence-decls",
        "variable-decls",
        "user-field-decls",
    )
) | {ANNOTATION, name("office:forms")}


def read(data: bytes) -> Draft:
    """Read a text document; the title is that of its properties.

    Deleted text, comments, indexes, headers and footers are left out.
    """
    document = open_document(data, "text")
    reader = _Reader(document)
    blocks = list(reader.read(document.body))
    warnings = [f"{what}: {count}, whose text is not read" for what, count in sorted(reader.unread.items())]
    return Draft(blocks, document.title, warnings=warnings)


@dataclass(slots=True)
class _Item:
    """An item of a list; its first paragraph is counted, and has the number before it."""

    state: ListState
    is_counted: bool
    start: int | None


class _Reader:
    def __init__(self, document: OpenDocument) -> None:
        self.unread: Counter[str] = Counter()
        self._document = document
        self._numbering = Numbering(document)
        titles = (each for each in document.body.iter(PARAGRAPH) if self._is_title(each))
        self._shift = int(next(titles, None) is not None)

    def read(self, container: etree._Element, item: _Item | None = None) -> Iterator[Block]:
        """Yield the blocks in a container, in order; `item` is the item of a list that it is."""
        for child in container.iterchildren(tag=etree.Element):
            tag = str(child.tag)
            if tag in _LEFT_OUT:
                continue
            if self._document.is_hidden(child):
                self.unread["hidden or struck-out parts"] += 1
            elif tag in (HEADING, PARAGRAPH):
                yield self._read_paragraph(child, self._count(child, item))
                yield from self._read_beside(child)
            elif tag == TABLE:
                yield from self._read_table(child)
                yield from self._read_beside(child)
            elif tag == _LIST:
                for number, block in enumerate(self._read_list(child, item)):
                    yield block if number or item is not None else replace(block, glue="\n\n")
            elif tag.startswith(DRAWING):
                yield from self._read_drawing(child)
            else:
                yield from self.read(child, item)

    def _read_list(self, element: etree._Element, parent: _Item | None) -> Iterator[Block]:
        for each, item in self._iter_items(element, parent):
            yield from self.read(each, item)

    def _iter_items(self, element: etree._Element, parent: _Item | None) -> Iterator[tuple[etree._Element, _Item]]:
        state = self._numbering.open_list(element, None if parent is None else parent.state)
        for each in element.iterchildren(_ITEM, _LIST_HEADER):
            yield each, _Item(state, each.tag == _ITEM, read_start(each))

    def _count(self, paragraph: etree._Element, item: _Item | None) -> str:
        """Return the number or bullet that stands before a paragraph; empty if there is none."""
        is_heading = paragraph.tag == HEADING
        if item is None:
            return self._numbering.count_heading(paragraph) if is_heading else ""
        if not item.is_counted:
            return ""
        item.is_counted = False
        label = self._numbering.count(item.state, item.start)
        return "" if is_heading and label == BULLET else label

    def _read_paragraph(self, element: etree._Element, label: str) -> Block:
        text = self._document.text_of(element)
        if any(each is not element and self._document.is_hidden(each) for each in element.iter(name("text:span"))):
            self.unread["hidden or struck-out parts"] += 1
        text = f"{label} {text}" if label and text else text
        if element.tag == HEADING:
            return Block(text, min(read_count(element, "text:outline-level") + self._shift, 6))
        if self._is_title(element):
            return Block(text, 1)
        return Block(text, glue="\n" if label else "\n\n")

    def _is_title(self, paragraph: etree._Element) -> bool:
        style = str(paragraph.get(name("text:style-name"), ""))
        return _TITLE_STYLE in (style, self._document.parents.get(style))

    def _read_beside(self, element: etree._Element) -> Iterator[Block]:
        """Yield the notes and frames that are anchored in an element."""
        walk = etree.iterwalk(element, events=("start",))
        for _, node in walk:
            if node is element:
                continue
            if node.tag == NOTE:
                walk.skip_subtree()
                for body in node.iterchildren(_NOTE_BODY):
                    yield from self.read(body)
            elif str(node.tag).startswith(DRAWING):
                walk.skip_subtree()
                yield from self._read_drawing(node)

    def _read_drawing(self, drawing: etree._Element) -> Iterator[Block]:
        if drawing.tag == _FRAME and any(True for _ in drawing.iterchildren(*_OBJECTS)):
            self.unread["embedded objects"] += 1
        elif drawing.tag == _PICTURE:
            self.unread["pictures"] += 1
        else:
            yield from self.read(drawing)

    def _read_table(self, table: etree._Element) -> Iterator[Block]:
        rows = []
        for row in self._iter_rows(table):
            is_header = next(row.iterancestors(_HEADER_ROWS, TABLE)).tag == _HEADER_ROWS
            cells: list[Cell] = []
            for cell in row.iterchildren(CELL):  # those that another one covers are left to the layout
                read = Cell(
                    self._read_cell(cell),
                    read_count(cell, "table:number-columns-spanned"),
                    read_count(cell, "table:number-rows-spanned"),
                    is_header=is_header,
                )
                cells += [read] * min(read_count(cell, "table:number-columns-repeated"), MAX_SPAN)
            rows += [cells] * min(read_count(row, "table:number-rows-repeated"), MAX_SPAN)
        for at, line in enumerate(render_rows(rows)):
            yield Block(line, glue="\n" if at else "\n\n")

    def _read_cell(self, cell: etree._Element) -> str:
        if next(cell.iterchildren(_LIST), None) is None:
            return self._document.text_of(cell)
        return "\n".join(filter(None, self._read_lines(cell, None)))

    def _read_lines(self, container: etree._Element, item: _Item | None) -> Iterator[str]:
        """Yield the lines of a cell with their numbers; a number without text counts the rows."""
        for child in container.iterchildren(tag=etree.Element):
            if child.tag == _LIST and not self._document.is_hidden(child):
                for each, inner in self._iter_items(child, item):
                    yield from self._read_lines(each, inner)
            elif child.tag in (HEADING, PARAGRAPH):
                label, text = self._count(child, item), self._document.text_of(child)
                yield f"{label} {text}".strip() if text or label != BULLET else ""
            else:
                yield self._document.text_of(child)

    def _iter_rows(self, container: etree._Element) -> Iterator[etree._Element]:
        for child in container.iterchildren(tag=etree.Element):
            if child.tag == ROW:
                yield child
            elif child.tag not in (TABLE, CELL):
                yield from self._iter_rows(child)
