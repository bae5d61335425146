"""Read Word documents: paragraphs, headings, list items with their numbers, tables; they have no pages."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise
from typing import Final

from lxml import etree

from rag.errors import ParseError
from rag.parsing.blocks import MAX_TEXT_CHARS, Block, Draft
from rag.parsing.charts import read_chart
from rag.parsing.docx_headings import MAX_LEVEL, Item, mark_bold_headings
from rag.parsing.docx_math import EQUATIONS, linear
from rag.parsing.docx_numbering import BULLET, Numbering
from rag.parsing.docx_package import Package, Relation, number_of, qn, value_of
from rag.parsing.docx_styles import Style, Styles
from rag.parsing.docx_tables import iter_within, read_cells, read_table
from rag.parsing.docx_text import Paragraph, Source, flat_text, read_paragraph
from rag.parsing.tables import CELL_SEPARATOR
from rag.text.language import begins_own_line

_MAX_DEPTH: Final = 12  # of tables in tables and boxes in boxes; what is deeper keeps its text and loses its layout
_BODY_OUTLINE: Final = 9
_FOREIGN: Final = {qn("w:altChunk"): "embedded document", qn("w:subDoc"): "embedded document"}
_PARAGRAPH: Final = qn("w:p")
_TABLE: Final = qn("w:tbl")
_SEPARATES_FIGURES: Final = "; "

_LEFT_OUT: Final = {
    "struck-out passage": ("is left out: struck text is not in force", "are left out: struck text is not in force"),
    "hidden passage": ("is left out", "are left out"),
    "deletion": ("in tracked changes is left out, as if accepted", "in tracked changes are left out, as if accepted"),
    "picture": ("is not read", "are not read"),
    "chart": ("is not read", "are not read"),
    "diagram": ("is not read", "are not read"),
    "embedded object": ("is not read", "are not read"),
    "embedded document": ("is not read", "are not read"),
}


def read(data: bytes) -> Draft:
    """Read a Word document; the title is its core property. Comments, contents, headers and footers are left out.

    Raises:
        ParseError: it is encrypted, too large, nested too deep, or declares entities.
        Exception: it is broken.
    """
    package = Package(data)
    root_relations = package.relations("")
    main = next((each.target for each in root_relations.values() if each.kind == "officeDocument"), "word/document.xml")
    document = package.parse(main)
    body = None if document is None else document.find(qn("w:body"))
    if body is None:
        raise ParseError("the file is broken: not readable as DOCX")
    relations = package.relations(main)
    parts = {each.kind: each.target for each in relations.values()}
    styles = Styles(package.parse(parts.get("styles", "")))
    source = Source(styles, _read_notes(package, parts), _read_drawings(package, relations))
    reader = _Body(source, Numbering(package.parse(parts.get("numbering", "")), styles))
    blocks = mark_bold_headings(list(reader.read(body)))
    core = next((each.target for each in root_relations.values() if each.kind == "core-properties"), "")
    properties = package.parse(core)
    title = "" if properties is None else properties.findtext(qn("dc:title")) or ""
    return Draft(blocks, title=title, warnings=_warnings(source))


def _read_notes(package: Package, parts: dict[str, str]) -> dict[tuple[str, str], etree._Element]:
    notes = {}
    for kind, tag in (("footnotes", "w:footnote"), ("endnotes", "w:endnote")):
        root = package.parse(parts.get(kind, ""))
        for note in () if root is None else root.iterchildren(qn(tag)):
            notes[kind, str(note.get(qn("w:id"), ""))] = note
    return notes


def _read_drawings(package: Package, relations: Mapping[str, Relation]) -> dict[str, list[str]]:
    """Return the texts of the shapes of each diagram, and titles and rows of each chart; a broken chart has none."""
    drawings = {}
    for key, relation in relations.items():
        if relation.kind == "diagramData" and (root := package.parse(relation.target)) is not None:
            drawings[key] = [text for shape in root.iter(qn("dgm:pt")) if (text := _drawn_text(shape).strip())]
        elif relation.kind == "chart":
            with contextlib.suppress(etree.XMLSyntaxError):
                root = package.parse(relation.target)
                titles, rows = ([], []) if root is None else read_chart(root, _drawn_text)
                drawings[key] = [*titles, "\n".join(rows)] if rows else []
    return drawings


def _drawn_text(element: etree._Element) -> str:
    return " ".join(part.text or "" for part in element.iter(qn("a:t")))


def _warnings(source: Source) -> tuple[str, ...]:
    return tuple(
        f"{count} {kind}{'s' if count > 1 else ''} {_LEFT_OUT[kind][count > 1]}"
        for kind in _LEFT_OUT
        if (count := source.left_out[kind])
    )


@dataclass(slots=True)
class _Body:
    """Turns paragraphs and tables into blocks, in one pass: the numbers of lists are counted on the way."""

    source: Source
    numbering: Numbering
    _has_title: bool = False
    _in_list: bool = False
    _chars: int = 0
    _carried: list[Paragraph] = field(default_factory=list)  # paragraphs whose end is deleted by a tracked change

    def read(self, container: etree._Element, depth: int = 0) -> Iterator[Block]:
        """Yield the blocks of the body, of a text box, or of a cell that lays out the page."""
        if depth == 0:
            used = {value_of(each.find(qn("w:pPr")), "w:pStyle") for each in iter_within(container, _PARAGRAPH)}
            self._has_title = any(self.source.styles.get(each).level == 0 for each in used)
        for item in iter_within(container, _PARAGRAPH, _TABLE, *EQUATIONS, *_FOREIGN):
            if item.tag == _PARAGRAPH:
                if len(item) or self._carried:
                    yield from self._read_paragraph(item, depth)
                else:
                    self._in_list = False
                continue
            yield from self._finish_carried(depth)
            self._in_list = False
            if item.tag == _TABLE:
                yield from self._read_table(item, depth)
            elif item.tag in EQUATIONS:
                yield self._count(Block(linear(item)))
            else:
                self.source.left_out[_FOREIGN[str(item.tag)]] += 1
        yield from self._finish_carried(depth)
        self._in_list = False

    def _style_of(self, paragraph: etree._Element) -> tuple[str, Style]:
        style_id = value_of(paragraph.find(qn("w:pPr")), "w:pStyle") or self.source.styles.default
        return style_id, self.source.styles.get(style_id)

    def _read_paragraph(self, element: etree._Element, depth: int) -> Iterator[Block]:
        properties = element.find(qn("w:pPr"))
        style_id, style = self._style_of(element)
        level = self._level_of(properties, style)
        paragraph = read_paragraph(element, style, self.source, has_notes_inside=level is None)
        if _is_joined(properties):
            self._carried.append(paragraph)
            return
        paragraph = self._join(paragraph)
        label = self.numbering.next_label(properties, style_id, style)
        if style.is_contents:
            return
        is_item = label is not None or _is_list_style(properties, style)
        if level is not None:
            yield self._count(Item(_labelled("" if label == BULLET else label, paragraph.text), level))
        else:
            text = _labelled(label if label or not is_item else BULLET, paragraph.text)
            is_run = is_item and self._in_list and begins_own_line(text)
            yield self._count(
                Item(text, glue="\n" if is_run else "\n\n", is_bold=paragraph.is_bold and label != BULLET)
            )
        self._in_list = is_item and level is None and bool(paragraph.text)
        yield from self._read_attached(paragraph, depth)

    def _level_of(self, properties: etree._Element | None, style: Style) -> int | None:
        """Return the level of the heading that the paragraph is; None if it is none."""
        outline = number_of(properties, "w:outlineLvl")
        if style.level == 0:
            return 1
        if style.level is None and (outline is None or outline >= _BODY_OUTLINE):
            return None
        level = style.level if style.level is not None else (outline or 0) + 1
        return min(level + self._has_title, MAX_LEVEL)

    def _join(self, paragraph: Paragraph) -> Paragraph:
        if not self._carried:
            return paragraph
        pieces = [*self._carried, paragraph]
        self._carried = []
        return Paragraph(
            " ".join(each.text for each in pieces if each.text),
            all(each.is_bold for each in pieces if each.text),
            list(chain.from_iterable(each.notes for each in pieces)),
            list(chain.from_iterable(each.boxes for each in pieces)),
        )

    def _finish_carried(self, depth: int) -> Iterator[Block]:
        if self._carried:
            paragraph = self._join(self._carried.pop())
            yield self._count(Item(paragraph.text, is_bold=paragraph.is_bold))
            yield from self._read_attached(paragraph, depth)

    def _read_attached(self, paragraph: Paragraph, depth: int) -> Iterator[Block]:
        for note in paragraph.notes:
            yield self._count(Block(note))
        for box in paragraph.boxes:
            self._in_list = False
            if depth < _MAX_DEPTH:
                yield from self.read(box, depth + 1)
            else:
                yield self._count(Block(flat_text(box)))

    def _read_table(self, table: etree._Element, depth: int) -> Iterator[Block]:
        if depth >= _MAX_DEPTH:
            yield self._count(Block(flat_text(table)))
            return
        cells = read_cells(table)
        if all(len(row) <= 1 for row in cells) and any(_is_layout(cell) for row in cells for cell in row):
            for row in cells:
                for cell in row:
                    yield from self.read(cell, depth + 1)
            return
        for at, line in enumerate(read_table(table, lambda cell: self._read_cell(cell, depth + 1))):
            yield self._count(Block(line, glue="\n" if at else "\n\n"))

    def _read_cell(self, cell: etree._Element, depth: int) -> str:
        """Return the text of a cell in one line; the rows of a table in it are parted by semicolons."""
        if depth >= _MAX_DEPTH:
            return flat_text(cell)
        pieces: list[str] = []
        for item in iter_within(cell, _PARAGRAPH, _TABLE, *EQUATIONS, *_FOREIGN):
            if item.tag == _TABLE:
                rows = read_table(item, lambda inner: self._read_cell(inner, depth + 1))
                pieces.append("; ".join(row.replace(CELL_SEPARATOR, ", ") for row in rows))
            elif item.tag == _PARAGRAPH:
                pieces += self._read_cell_paragraph(item, depth)
            elif item.tag in EQUATIONS:
                pieces.append(linear(item).strip())
            else:
                self.source.left_out[_FOREIGN[str(item.tag)]] += 1
        return _join_pieces([piece for piece in pieces if piece])

    def _read_cell_paragraph(self, element: etree._Element, depth: int) -> list[str]:
        properties = element.find(qn("w:pPr"))
        style_id, style = self._style_of(element)
        paragraph = read_paragraph(element, style, self.source)
        label = self.numbering.next_label(properties, style_id, style) if not _is_joined(properties) else None
        # A number without text counts the rows.
        text = _labelled(label, paragraph.text) if paragraph.text or label in (None, BULLET) else label or ""
        boxes = [flat_text(box) if depth >= _MAX_DEPTH else self._read_cell(box, depth + 1) for box in paragraph.boxes]
        return [text, *paragraph.notes, *boxes]

    def _count(self, block: Block) -> Block:
        self._chars += len(block.text)
        if self._chars > 2 * MAX_TEXT_CHARS:  # cells that are repeated in many rows could fill the memory
            raise ParseError(f"too much text: more than {MAX_TEXT_CHARS:,} characters")
        return block


def _is_joined(properties: etree._Element | None) -> bool:
    """Return whether a tracked change deletes the end of the paragraph, so that the next one goes on in it."""
    mark = None if properties is None else properties.find(qn("w:rPr"))
    return mark is not None and (mark.find(qn("w:del")) is not None or mark.find(qn("w:moveFrom")) is not None)


def _is_list_style(properties: etree._Element | None, style: Style) -> bool:
    is_numbered = properties is not None and properties.find(qn("w:numPr")) is not None
    return not is_numbered and style.name.startswith("List ") and style.name != "List Paragraph"


def _labelled(label: str | None, text: str) -> str:
    if not label or not text:
        return text
    is_figure = label[-1].isdigit() and text[0].isdigit()  # "1" and "500 dong" are not 1 500 dong
    return f"{label}. {text}" if is_figure else f"{label} {text}"


def _is_layout(cell: etree._Element) -> bool:
    """Return whether a cell holds several paragraphs, or a table: a frame around text, and no data."""
    if next(iter_within(cell, _TABLE), None) is not None:
        return True
    filled = (each for each in iter_within(cell, _PARAGRAPH) if next(each.iter(qn("w:t")), None) is not None)
    return next(filled, None) is not None and next(filled, None) is not None


def _join_pieces(pieces: Sequence[str]) -> str:
    """Join the paragraphs of a cell; two figures one below the other stay two."""
    joined = pieces[0] if pieces else ""
    parts = [joined]
    for before, piece in pairwise(pieces):
        parts += (_SEPARATES_FIGURES if before[-1].isdigit() and piece[0].isdigit() else " ", piece)
    return "".join(parts)
