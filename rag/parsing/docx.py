"""Read Word documents: paragraphs, headings by style, list items, tables. They have no pages before printing."""

import io
import re
from collections.abc import Iterator
from typing import Final

import docx
from docx.document import Document as DocxDocument
from docx.oxml.ns import qn
from lxml import etree

from rag.parsing.archives import open_archive
from rag.parsing.blocks import Block, Draft
from rag.parsing.tables import Cell, render_rows

_HEADING_STYLE = re.compile(r"heading ([1-9])", re.IGNORECASE)
_CONTENTS_STYLE: Final = "toc "
_WRAPPERS: Final = frozenset(qn(f"w:{name}") for name in ("sdt", "sdtContent", "customXml", "ins", "moveTo"))
# A text box stands in its paragraph twice, once for old readers.
_UNPRINTED: Final = frozenset(
    {"{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback", qn("w:moveFrom")}
)
_OFF: Final = ("0", "false", "off")
_INLINE: Final = {qn("w:p"): "\n", qn("w:tab"): " ", qn("w:br"): "\n", qn("w:cr"): "\n", qn("w:noBreakHyphen"): "-"}


def read(data: bytes) -> Draft:
    """Read a Word document; the title is its core property. Revisions, comments, headers and footers are left out."""
    open_archive(data, "DOCX", ".doc")
    document = docx.Document(io.BytesIO(data))
    return Draft(list(_read_blocks(document)), title=document.core_properties.title or "")


def _read_blocks(document: DocxDocument) -> Iterator[Block]:
    items = list(_iter_items(document.element.body))
    style_names = {style.style_id: style.name or "" for style in document.styles}
    names = [style_names.get(_property(item, "w:pStyle") or "", "") for item in items]
    shift = 1 if "Title" in names else 0
    in_list = False
    for item, name in zip(items, names, strict=True):
        is_bullet = False
        if item.tag == qn("w:tbl"):
            yield from _read_rows(item)
        elif heading := _HEADING_STYLE.fullmatch(name):
            yield Block(_text_of(item), min(int(heading[1]) + shift, 6))
        elif name == "Title":
            yield Block(_text_of(item), 1)
        elif not name.lower().startswith(_CONTENTS_STYLE):
            text = _text_of(item)
            is_bullet = bool(text) and _is_list_item(item, name)
            yield Block(f"- {text}" if is_bullet else text, glue="\n" if is_bullet and in_list else "\n\n")
        in_list = is_bullet


def _iter_items(container: etree._Element) -> Iterator[etree._Element]:
    """Yield paragraphs and tables in order, including those in content controls and tracked insertions."""
    for child in container:
        if child.tag in (qn("w:p"), qn("w:tbl")):
            yield child
        elif child.tag in _WRAPPERS:
            yield from _iter_items(child)


def _property(paragraph: etree._Element, name: str) -> str | None:
    """Return the value of a paragraph's property, empty if it has no value; None if the property is missing."""
    found = paragraph.find(f"{qn('w:pPr')}/{qn(name)}")
    return None if found is None else str(found.get(qn("w:val"), ""))


def _is_list_item(paragraph: etree._Element, style: str) -> bool:
    is_numbered = _property(paragraph, "w:numPr") is not None
    return is_numbered or (style.startswith("List ") and style != "List Paragraph")


def _read_rows(table: etree._Element) -> Iterator[Block]:
    rows = []
    # python-docx's `row.cells` lists a merged cell once per column: a span of a billion columns fills the memory.
    for row in table.iterchildren(qn("w:tr")):
        repeats = row.find(f"{qn('w:trPr')}/{qn('w:tblHeader')}")
        is_header = repeats is not None and repeats.get(qn("w:val"), "true") not in _OFF
        rows.append([_read_cell(cell, is_header=is_header) for cell in row.iterchildren(qn("w:tc"))])
    for at, line in enumerate(render_rows(rows)):
        yield Block(line, glue="\n" if at else "\n\n")


def _read_cell(cell: etree._Element, *, is_header: bool) -> Cell:
    span = cell.find(f"{qn('w:tcPr')}/{qn('w:gridSpan')}")
    columns = "" if span is None else str(span.get(qn("w:val"), ""))
    return Cell(_text_of(cell), int(columns) if columns.isdigit() else 1, is_header=is_header)


def _text_of(element: etree._Element) -> str:
    """Return the text as printed; python-docx's `text` leaves out tracked insertions, fields and content controls."""
    pieces: list[str] = []
    walk = etree.iterwalk(element, events=("start",))
    for _, node in walk:
        if node.tag in _UNPRINTED:
            walk.skip_subtree()
        elif node.tag == qn("w:t"):
            pieces.append(node.text or "")
        else:
            pieces.append(_INLINE.get(str(node.tag), ""))
    return "".join(pieces).strip()
