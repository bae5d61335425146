"""Read PowerPoint presentations: each slide is a page, with its title as a heading, its tables, charts, notes.

python-pptx's own list of shapes leaves out what stands in `AlternateContent`, such as formulas; the XML is walked here.
"""

import io
import re
from collections.abc import Iterator
from typing import Final

import pptx
from lxml import etree
from pptx.oxml.ns import qn
from pptx.slide import Slide

from rag.parsing.archives import check_elements, open_archive
from rag.parsing.blocks import Block, Draft
from rag.parsing.charts import read_chart
from rag.parsing.raised import shift_figures
from rag.parsing.slide_numbering import SlideNumbering
from rag.parsing.tables import Cell, render_rows

_ALTERNATIVES: Final = "{http://schemas.openxmlformats.org/markup-compatibility/2006}AlternateContent"
_DIAGRAM: Final = "{http://schemas.openxmlformats.org/drawingml/2006/diagram}"
_CHART: Final = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
_MATH_TEXT: Final = "{http://schemas.openxmlformats.org/officeDocument/2006/math}t"
_RELATION: Final = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"

_TITLES: Final = ("title", "ctrTitle")
_FURNITURE: Final = ("dt", "ftr", "sldNum", "hdr", "sldImg")
_BULLETED: Final = ("body", "obj", None)  # placeholders whose paragraphs have bullets; None: a placeholder without type
_BULLET_MARKS: Final = (qn("a:buChar"), qn("a:buBlip"))
_ON: Final = ("1", "true", "on")
_NOT_STRUCK: Final = "noStrike"
_MIN_PICTURE_SHARE: Final = 0.15  # of the slide; smaller ones are logos and signs
_NO_TITLE = re.compile(r"(?:powerpoint presentation|bản trình bày powerpoint|slide 1|presentation ?\d*)", re.IGNORECASE)


def read(data: bytes) -> Draft:
    """Read a presentation; the title is its core property, else that of the first slide.

    Hidden slides, comments, dates, footers and slide numbers are left out.
    """
    archive = open_archive(data, "PPTX", ".ppt")
    for name in archive.namelist():
        if name.lower().endswith(".xml"):
            check_elements(archive.read(name))
    presentation = pptx.Presentation(io.BytesIO(data))
    area = (presentation.slide_width or 0) * (presentation.slide_height or 0)
    blocks: list[Block] = []
    warnings: list[str] = []
    for number, slide in enumerate(presentation.slides, start=1):
        if slide.element.get("show", "1") not in _ON:
            warnings.append(f"slide {number} is hidden and not in the text")
            continue
        reader = _SlideReader(slide, number, area)
        blocks += reader.read()
        warnings += [f"slide {number}: {what}" for what in dict.fromkeys(reader.warnings)]
    title = presentation.core_properties.title or ""
    if _NO_TITLE.fullmatch(title.strip()):
        title = ""
    return Draft(blocks, title, len(presentation.slides), warnings)


class _SlideReader:
    def __init__(self, slide: Slide, number: int, slide_area: int) -> None:
        self.warnings: list[str] = []
        self._slide = slide
        self._number = number
        self._slide_area = slide_area

    def read(self) -> Iterator[Block]:
        """Yield the title, then the other shapes in the order of the file, which is that of screen readers."""
        if any(map(_is_struck, self._slide.element.iter(qn("a:rPr")))):
            self.warnings.append("struck-out text is not in the text")
        shapes = list(self._iter_shapes(self._slide.shapes.element))
        titles = [shape for shape in shapes if _placeholder(shape) in _TITLES and _text_of(shape)]
        for shape in titles:
            yield self._block(" ".join(_text_of(shape).split()), level=1 if self._number == 1 else 2)
        for shape in shapes:
            if shape not in titles:
                yield from self._read_shape(shape)
        if self._slide.has_notes_slide:
            for shape in self._iter_shapes(self._slide.notes_slide.shapes.element):
                if _placeholder(shape) == "body":
                    yield from self._read_paragraphs(shape, has_bullets=False)

    def _block(self, text: str, *, level: int = 0, is_next: bool = False) -> Block:
        return Block(text, level, "\n" if is_next else "\n\n", page=self._number)

    def _iter_shapes(self, container: etree._Element) -> Iterator[etree._Element]:
        """Yield the visible shapes, those of groups too."""
        for child in container.iterchildren(tag=etree.Element):
            properties = child.find(f"*/{qn('p:cNvPr')}")
            if properties is not None and properties.get("hidden") in _ON:
                self.warnings.append("a hidden shape is not in the text")
            elif child.tag == qn("p:grpSp"):
                yield from self._iter_shapes(child)
            elif child.tag == _ALTERNATIVES:
                choice = next(child.iterchildren(tag=etree.Element), None)
                if choice is not None:
                    yield from self._iter_shapes(choice)
            elif child.tag in (qn("p:sp"), qn("p:graphicFrame"), qn("p:pic"), qn("p:cxnSp")):
                yield child
            elif child.tag == qn("p:contentPart"):
                self.warnings.append("what is drawn by hand is not read")

    def _read_shape(self, shape: etree._Element) -> Iterator[Block]:
        kind = _placeholder(shape)
        if kind in _FURNITURE:
            return
        if shape.tag == qn("p:pic"):
            self._note_picture(shape)
        elif shape.tag == qn("p:graphicFrame"):
            yield from self._read_frame(shape)
        else:
            yield from self._read_paragraphs(shape, has_bullets=_is_placeholder(shape) and kind in _BULLETED)

    def _note_picture(self, picture: etree._Element) -> None:
        if picture.find(f".//{qn('a:videoFile')}") is not None or picture.find(f".//{qn('a:audioFile')}") is not None:
            self.warnings.append("a recording is not read")
            return
        extent = picture.find(f"{qn('p:spPr')}/{qn('a:xfrm')}/{qn('a:ext')}")
        width, height = (_read_number(extent.get(side) if extent is not None else None) for side in ("cx", "cy"))
        if extent is None or width * height >= _MIN_PICTURE_SHARE * self._slide_area:
            self.warnings.append("a picture, whose text is not read")

    def _read_paragraphs(self, shape: etree._Element, *, has_bullets: bool) -> Iterator[Block]:
        texts = [(_text_of(each), each) for each in shape.iter(qn("a:p"))]
        filled = [(text, each) for text, each in texts if text]
        numbering = SlideNumbering()
        for at, (text, paragraph) in enumerate(filled):
            is_item = _has_bullet(paragraph, default=has_bullets and len(filled) > 1)
            mark = numbering.count(paragraph) or "-" * is_item
            yield self._block(f"{mark} {text}" if mark else text, is_next=at > 0)

    def _read_frame(self, frame: etree._Element) -> Iterator[Block]:
        table = frame.find(f".//{qn('a:tbl')}")
        diagram = frame.find(f".//{_DIAGRAM}relIds")
        chart = frame.find(f".//{_CHART}chart")
        if table is not None:
            yield from self._read_table(table)
        elif diagram is not None:
            yield from self._read_diagram(str(diagram.get(f"{_RELATION}dm", "")))
        elif chart is not None:
            yield from self._read_chart(str(chart.get(f"{_RELATION}id", "")))
        else:
            self.warnings.append("an embedded object is not read")

    def _read_table(self, table: etree._Element) -> Iterator[Block]:
        properties = table.find(qn("a:tblPr"))
        names_columns = properties is not None and properties.get("firstRow") in _ON
        rows = []
        for number, row in enumerate(table.iterchildren(qn("a:tr"))):
            cells = [cell for cell in row.iterchildren(qn("a:tc")) if not _is_covered(cell)]
            rows.append(
                [
                    Cell(
                        _text_of(cell),
                        _read_number(cell.get("gridSpan"), 1),
                        _read_number(cell.get("rowSpan"), 1),
                        is_header=names_columns and number == 0,
                    )
                    for cell in cells
                ]
            )
        yield from self._render(rows)

    def _render(self, rows: list[list[Cell]]) -> Iterator[Block]:
        for at, line in enumerate(render_rows(rows)):
            yield self._block(line, is_next=at > 0)

    def _read_part(self, relation: str) -> etree._Element | None:
        """Return the root of a part that the slide refers to; None, with a warning, if it cannot be read."""
        try:
            part = self._slide.part.related_part(relation)
            return etree.fromstring(part.blob, etree.XMLParser(resolve_entities=False, no_network=True))
        except (KeyError, etree.XMLSyntaxError):
            self.warnings.append("a diagram or chart cannot be read")
            return None

    def _read_diagram(self, relation: str) -> Iterator[Block]:
        root = self._read_part(relation)
        points = [] if root is None else list(root.iter(f"{_DIAGRAM}pt"))
        texts = [_text_of(body) for point in points for body in point.iterchildren(f"{_DIAGRAM}t")]
        for at, text in enumerate(filter(None, texts)):
            yield self._block(text, is_next=at > 0)

    def _read_chart(self, relation: str) -> Iterator[Block]:
        """Yield the titles, and the values that the chart keeps, with a line for each category."""
        root = self._read_part(relation)
        if root is None:
            return
        titles, rows = read_chart(root, _text_of)
        for title in titles:
            yield self._block(title)
        for at, row in enumerate(rows):
            yield self._block(row, is_next=at > 0)


def _placeholder(shape: etree._Element) -> str | None:
    element = shape.find(f"*/{qn('p:nvPr')}/{qn('p:ph')}")
    return None if element is None else element.get("type")


def _is_placeholder(shape: etree._Element) -> bool:
    return shape.find(f"*/{qn('p:nvPr')}/{qn('p:ph')}") is not None


def _has_bullet(paragraph: etree._Element, *, default: bool) -> bool:
    properties = paragraph.find(qn("a:pPr"))
    if properties is None:
        return default
    if properties.find(qn("a:buNone")) is not None:
        return False
    return default or any(properties.find(mark) is not None for mark in _BULLET_MARKS)


def _is_covered(cell: etree._Element) -> bool:
    return cell.get("hMerge") in _ON or cell.get("vMerge") in _ON


def _read_number(text: str | None, default: int = 0) -> int:
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 12 else default


def _text_of(element: etree._Element) -> str:
    """Return the text of all paragraphs in an element, fields and formulas too, without what is struck out."""
    pieces = []
    for node in element.iter(qn("a:p"), qn("a:t"), qn("a:br"), _MATH_TEXT):
        if node.tag in (qn("a:p"), qn("a:br")):
            pieces.append("\n")
        else:
            run = node.getparent()
            properties = None if run is None else run.find(qn("a:rPr"))
            if not _is_struck(properties):
                baseline = str(properties.get("baseline", "0")) if properties is not None else "0"
                direction = -1 if baseline.startswith("-") else int(baseline.strip("0%") != "")
                pieces.append(shift_figures(node.text or "", direction))
    return "".join(pieces).strip()


def _is_struck(properties: etree._Element | None) -> bool:
    return properties is not None and properties.get("strike", _NOT_STRUCK) != _NOT_STRUCK
