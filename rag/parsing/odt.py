"""Read text documents of LibreOffice: headings, paragraphs, list items, tables, notes and frames."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from lxml import etree

from rag.parsing.blocks import Block, Draft
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


class _Reader:
    def __init__(self, document: OpenDocument) -> None:
        self.unread: Counter[str] = Counter()
        self._document = document
        titles = (each for each in document.body.iter(PARAGRAPH) if self._is_title(each))
        self._shift = int(next(titles, None) is not None)

    def read(self, container: etree._Element, bullet: str = "") -> Iterator[Block]:
        """Yield the blocks in a container, in order; `bullet` stands before each paragraph of a list."""
        for child in container.iterchildren(tag=etree.Element):
            tag = str(child.tag)
            if tag in _LEFT_OUT:
                continue
            if self._document.is_hidden(child):
                self.unread["hidden or struck-out parts"] += 1
            elif tag in (HEADING, PARAGRAPH):
                yield self._read_paragraph(child, bullet)
                yield from self._read_beside(child)
            elif tag == TABLE:
                yield from self._read_table(child)
                yield from self._read_beside(child)
            elif tag == _LIST:
                for number, block in enumerate(self.read(child, "- ")):
                    is_next = (number or bullet) and block.text.startswith("- ")
                    yield Block(block.text, block.level, "\n" if is_next else block.glue)
            elif tag.startswith(DRAWING):
                yield from self._read_drawing(child)
            else:
                yield from self.read(child, bullet)

    def _read_paragraph(self, element: etree._Element, bullet: str) -> Block:
        text = self._document.text_of(element)
        if any(each is not element and self._document.is_hidden(each) for each in element.iter(name("text:span"))):
            self.unread["hidden or struck-out parts"] += 1
        if element.tag == HEADING:
            return Block(text, min(read_count(element, "text:outline-level") + self._shift, 6))
        if self._is_title(element):
            return Block(text, 1)
        return Block(bullet + text if text else "")

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
                    self._document.text_of(cell),
                    read_count(cell, "table:number-columns-spanned"),
                    read_count(cell, "table:number-rows-spanned"),
                    is_header=is_header,
                )
                cells += [read] * min(read_count(cell, "table:number-columns-repeated"), MAX_SPAN)
            rows += [cells] * min(read_count(row, "table:number-rows-repeated"), MAX_SPAN)
        for at, line in enumerate(render_rows(rows)):
            yield Block(line, glue="\n" if at else "\n\n")

    def _iter_rows(self, container: etree._Element) -> Iterator[etree._Element]:
        for child in container.iterchildren(tag=etree.Element):
            if child.tag == ROW:
                yield child
            elif child.tag not in (TABLE, CELL):
                yield from self._iter_rows(child)
