"""Read LibreOffice's sheets. calamine was rejected: it lays out what a cell says is repeated a billion times."""

import re
from collections.abc import Iterator
from typing import Final

from lxml import etree

from rag.errors import ParseError
from rag.parsing.blocks import Block, Draft
from rag.parsing.opendocument import (
    ANNOTATION,
    CELL,
    COVERED_CELL,
    DRAWING,
    PARAGRAPH,
    ROW,
    TABLE,
    OpenDocument,
    name,
    open_document,
    read_count,
)
from rag.parsing.sheets import MAX_CELLS, SHEET_LEVEL, UNNAMED_SHEET, Grid, read_grid, show_number

_VALUE_TYPE: Final = name("office:value-type")
_DURATION = re.compile(r"PT(\d+)H(\d+)M(\d+)(?:[.,]\d+)?S")
_MAX_ROWS: Final = 2**20  # LibreOffice's
_MAX_BLANK_ROWS: Final = 1  # any number of them parts two tables


def read(data: bytes) -> Draft:
    """Read a spreadsheet; comments, drawings and hidden sheets are left out and named."""
    document = open_document(data, "spreadsheet")
    sheets = list(document.body.iterchildren(TABLE))
    warnings = []
    blocks: list[Block] = []
    if next(document.body.iter(ANNOTATION), None) is not None:
        warnings.append("the comments on cells are not in the text")
    drawings = (each for each in document.body.iter(PARAGRAPH) if _is_in_drawing(each))
    if any("".join(map(str, each.itertext())).strip() for each in drawings):
        warnings.append("the text of drawings is not in the text")
    for sheet in sheets:
        title = str(sheet.get(name("table:name"), ""))
        if document.is_hidden(sheet):
            warnings.append(f"the hidden sheet “{title}” is not in the text")
            continue
        rows = list(read_grid(_read_sheet(document, sheet)))
        if rows and not (len(sheets) == 1 and UNNAMED_SHEET.fullmatch(title)):
            blocks.append(Block(title, SHEET_LEVEL))
        blocks += rows
    return Draft(blocks, document.title, warnings=warnings)


def _is_in_drawing(paragraph: etree._Element) -> bool:
    return any(str(above.tag).startswith(DRAWING) for above in paragraph.iterancestors())


def _read_sheet(document: OpenDocument, sheet: etree._Element) -> Grid:
    rows: list[list[str]] = []
    spans: dict[tuple[int, int], int] = {}
    hanging: dict[int, tuple[int, str]] = {}  # by column: the number of rows still covered, and the text
    width = 0
    for row in sheet.iter(ROW):
        texts: list[str] = []
        blank = 0
        for cell in row.iterchildren(CELL, COVERED_CELL):
            text = _show(document, cell) if cell.tag == CELL else ""
            column, count = len(texts) + blank, read_count(cell, "table:number-columns-repeated")
            left, above = hanging.get(column, (0, ""))
            if cell.tag == COVERED_CELL and left:
                text = above
            if not text:
                blank += count
                continue
            columns, covered = (read_count(cell, f"table:number-{what}-spanned") for what in ("columns", "rows"))
            _check(len(rows) + 1, column + count)
            texts += [*[""] * blank, *[text] * count]
            blank = 0
            if columns > 1:
                spans[len(rows), column] = column + columns - 1
            elif covered > 1:
                hanging[column] = (covered, text)
        count = read_count(row, "table:number-rows-repeated")
        if not texts:
            count = min(count, _MAX_BLANK_ROWS)
        hanging = {at: (left - count, text) for at, (left, text) in hanging.items() if left > count}
        width = max(width, len(texts))
        _check(len(rows) + count, width)
        rows += [texts] * count
    spans = {(at, column): min(last, width - 1) for (at, column), last in spans.items()}
    return Grid([[*row, *[""] * (width - len(row))] for row in rows], spans)


def _check(height: int, width: int) -> None:
    if height > _MAX_ROWS or height * width > MAX_CELLS:
        raise ParseError(f"a sheet spans more than {MAX_CELLS:,} cells")


def _show(document: OpenDocument, cell: etree._Element) -> str:
    """Return the text of a cell: dates as in ISO 8601, percentages and money as shown, other numbers plain."""
    shown = " ".join(" ".join(_read_lines(document, cell)).split())
    match cell.get(_VALUE_TYPE):
        case "float":
            return _show_number(str(cell.get(name("office:value"), "")), shown)
        case "date":
            text = str(cell.get(name("office:date-value"), shown))
            return text.replace("T", " ").removesuffix(" 00:00:00")
        case "time":
            duration = _DURATION.fullmatch(str(cell.get(name("office:time-value"), "")))
            if duration is None:
                return shown
            hours, minutes, seconds = map(int, duration.groups())
            return f"{hours:02}:{minutes:02}" + (f":{seconds:02}" if seconds else "")
        case "boolean":
            return str(cell.get(name("office:boolean-value"), shown)).upper()
        case _:
            return shown or str(cell.get(name("office:string-value"), cell.get(name("office:value"), "")))


def _read_lines(document: OpenDocument, cell: etree._Element) -> Iterator[str]:
    for paragraph in cell.iterchildren(PARAGRAPH):
        yield document.text_of(paragraph)


def _show_number(value: str, shown: str) -> str:
    try:
        return show_number(float(value))
    except ValueError:
        return shown
