"""Read Excel's workbooks, new and old: the values of their cells as the sheet shows them.

calamine reads the values and knows dates. It keeps a place in memory for each cell between the first and the last one,
so that two cells in far corners end the process; where the cells stand is therefore read before it reads them.
"""

import io
import re
import struct
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from typing import Final

import olefile
from lxml import etree
from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum

from rag.errors import ParseError
from rag.parsing.archives import OLE_SIGNATURE, open_archive, read_xml
from rag.parsing.blocks import MAX_TEXT_CHARS, Block, Draft
from rag.parsing.sheets import MAX_CELLS, SHEET_LEVEL, UNNAMED_SHEET, Grid, read_grid, read_percent_format, show_number

_MAIN: Final = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_STRICT_MAIN: Final = "{http://purl.oclc.org/ooxml/spreadsheetml/main}"
_RELATION_ID = re.compile(r"\{.*/relationships\}id")
_REFERENCE = re.compile(r"([A-Z]{1,3})([0-9]{1,7})")
# The parts that hold text beside the cells.
_BESIDE: Final = (
    (re.compile(r"xl/(?:comments|threadedComments/).*\.xml"), "the comments on cells"),
    (re.compile(r"xl/drawings/drawing.*\.xml"), "the texts in drawings"),
)

_BUILT_IN_FORMATS: Final = {9: "0%", 10: "0.00%"}  # ECMA-376, part 1, 18.8.30

# [MS-XLS] 2.3: records that hold cells, and those that begin a sheet or encrypt the workbook.
_CELL_RECORDS: Final = frozenset({0x0006, 0x00BD, 0x00FD, 0x0201, 0x0203, 0x0204, 0x0205, 0x027E})
_WIDE_RECORDS: Final = frozenset({0x00BD, 0x00BE})
_BEGIN_RECORD: Final = 0x0809
_FILEPASS_RECORD: Final = 0x002F

Position = tuple[int, int]
Value = int | float | str | bool | time | date | datetime | timedelta


@dataclass(slots=True)
class _Cells:
    """What the XML of a sheet says of its cells beside their values; positions are rows and columns from 0."""

    first: Position = (2**31, 2**31)
    last: Position = (-1, -1)
    percents: dict[Position, int] = field(default_factory=dict)  # with the number of decimals
    without_value: int = 0
    chars: int = 0

    def extend(self, row: int, column: int) -> None:
        """Count a cell in.

        Raises: ParseError: the cells are too far apart.
        """
        self.first = (min(self.first[0], row), min(self.first[1], column))
        self.last = (max(self.last[0], row), max(self.last[1], column))
        if (self.last[0] - self.first[0] + 1) * (self.last[1] - self.first[1] + 1) > MAX_CELLS:
            raise ParseError(f"a sheet spans more than {MAX_CELLS:,} cells")


def read_xlsx(data: bytes) -> Draft:
    """Read a workbook of the present format; the title is its core property.

    Comments, drawings and hidden sheets are left out and named.
    """
    archive = open_archive(data, "XLSX", ".xls")
    decimals, lengths = _read_percent_styles(archive), _read_string_lengths(archive)
    cells = {}
    for entry in archive.infolist():
        scanned = _scan_part(archive, entry.filename, decimals, lengths)
        if scanned is not None:
            cells[entry.filename] = scanned
    warnings = [
        f"{what} are not in the text"
        for pattern, what in _BESIDE
        if any(pattern.fullmatch(name) and _holds_text(archive, name) for name in archive.namelist())
    ]
    by_sheet = {name: cells[part] for name, part in _find_sheets(archive).items() if part in cells}
    properties = read_xml(archive, "docProps/core.xml")
    title = None if properties is None else properties.findtext("{http://purl.org/dc/elements/1.1/}title")
    return replace(_read_workbook(_repack(archive), by_sheet, warnings), title=title or "")


def read_xls(data: bytes) -> Draft:
    """Read a workbook of the format that Excel wrote until 2003."""
    if not data.startswith(OLE_SIGNATURE):
        raise ParseError("the file is broken: not readable as XLS")
    with olefile.OleFileIO(io.BytesIO(data)) as file:
        if file.exists("EncryptedPackage"):
            raise ParseError("encrypted")
        name = next((name for name in ("Workbook", "Book") if file.exists(name)), None)
        if name is None:
            raise ParseError("the file is broken: not readable as XLS")
        _check_records(file.openstream(name).read())
    return _read_workbook(data, {}, [])


def _check_records(stream: bytes) -> None:
    """Check where the cells stand.

    Raises: ParseError: encrypted, or the cells are too far apart.
    """
    cells = _Cells()
    at = 0
    while at + 4 <= len(stream):
        kind, length = struct.unpack_from("<HH", stream, at)
        at += 4
        if kind == _FILEPASS_RECORD:
            raise ParseError("encrypted")
        if kind == _BEGIN_RECORD:
            cells = _Cells()
        elif kind in _CELL_RECORDS and length >= 4:
            row, column = struct.unpack_from("<HH", stream, at) if at + 4 <= len(stream) else (0, 0)
            cells.extend(row, column)
            if kind in _WIDE_RECORDS and at + length <= len(stream):
                cells.extend(row, struct.unpack_from("<H", stream, at + length - 2)[0])
        at += length


def _repack(archive: zipfile.ZipFile) -> bytes:
    """Return an archive of the XML alone: its stated sizes, by which it was checked, bind no other reader of it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as checked:
        for name in dict.fromkeys(archive.namelist()):
            if name.lower().endswith((".xml", ".rels")):
                checked.writestr(name, archive.read(name))
    return file.getvalue()


def _find_sheets(archive: zipfile.ZipFile) -> dict[str, str]:
    """Return the part of each sheet by its name."""
    workbook, relations = read_xml(archive, "xl/workbook.xml"), read_xml(archive, "xl/_rels/workbook.xml.rels")
    if workbook is None or relations is None:
        return {}
    targets = {str(each.get("Id")): str(each.get("Target")) for each in relations.iter("{*}Relationship")}
    sheets = {}
    for sheet in workbook.iter("{*}sheet"):
        key = next((str(value) for name, value in sheet.attrib.items() if _RELATION_ID.fullmatch(str(name))), "")
        target = targets.get(key, "")
        sheets[str(sheet.get("name"))] = target[1:] if target.startswith("/") else f"xl/{target}"
    return sheets


def _read_percent_styles(archive: zipfile.ZipFile) -> dict[str, int]:
    """Return the number of decimals by style, for those that show percentages."""
    styles = read_xml(archive, "xl/styles.xml")
    if styles is None:
        return {}
    formats = dict(_BUILT_IN_FORMATS)
    for each in styles.iter("{*}numFmt"):
        number = str(each.get("numFmtId", ""))
        if number.isdecimal():
            formats[int(number)] = str(each.get("formatCode", ""))
    decimals = {}
    for index, style in enumerate(styles.iterfind("{*}cellXfs/{*}xf")):
        number = str(style.get("numFmtId", ""))
        shown = read_percent_format(formats.get(int(number) if number.isdecimal() else 0, ""))
        if shown is not None:
            decimals[str(index)] = shown
    return decimals


def _read_string_lengths(archive: zipfile.ZipFile) -> list[int]:
    strings = read_xml(archive, "xl/sharedStrings.xml")
    if strings is None:
        return []
    return [sum(len(text.text or "") for text in each.iter("{*}t")) for each in strings.iterchildren("{*}si")]


def _scan_part(
    archive: zipfile.ZipFile, name: str, decimals: Mapping[str, int], lengths: Sequence[int]
) -> _Cells | None:
    """Return what the part says of its cells; None if it is no sheet.

    Raises: ParseError: the cells are too far apart, or repeat too much text.
    """
    if not name.lower().endswith(".xml"):
        return None
    with archive.open(name) as file:
        cells = _Cells()
        row, column = -1, -1
        walk = etree.iterparse(file, events=("start", "end"), resolve_entities=False, no_network=True, load_dtd=False)
        for number, (event, element) in enumerate(walk):
            tag = str(element.tag).rpartition("}")[2]
            if number == 0 and tag != "worksheet":
                return None
            if event == "start" and tag == "row":
                row, column = _read_number(element.get("r"), row + 2) - 1, -1
            elif event == "end" and tag == "c":
                place = _REFERENCE.fullmatch(str(element.get("r", "")))
                row, column = (int(place[2]) - 1, _read_column(place[1])) if place else (row, column + 1)
                _read_cell(cells, element, (row, column), decimals, lengths)
            elif event == "end" and tag == "row":
                element.clear()
    return cells


def _read_number(text: str | None, default: int) -> int:
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 9 else default


def _read_column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = 26 * number + ord(letter) - ord("A") + 1
    return number - 1


def _read_cell(
    cells: _Cells, element: etree._Element, place: Position, decimals: Mapping[str, int], lengths: Sequence[int]
) -> None:
    value = element.findtext("{*}v")
    if value is None and element.find("{*}is") is None and element.find("{*}f") is None:
        return
    cells.extend(*place)
    kind = str(element.get("t", "n"))
    if kind == "e" or (value is None and element.find("{*}f") is not None):
        cells.without_value += 1
    if kind == "s":
        index = _read_number(value, len(lengths))
        cells.chars += lengths[index] if index < len(lengths) else 0
        if cells.chars > MAX_TEXT_CHARS:
            raise ParseError(f"too much text: more than {MAX_TEXT_CHARS:,} characters in a sheet")
    style = str(element.get("s", ""))
    if kind == "n" and style in decimals:
        cells.percents[place] = decimals[style]


def _holds_text(archive: zipfile.ZipFile, name: str) -> bool:
    root = read_xml(archive, name)
    return root is not None and any((each.text or "").strip() for each in root.iter("{*}t", "{*}text"))


def _read_workbook(data: bytes, by_sheet: Mapping[str, _Cells], warnings: Sequence[str]) -> Draft:
    told = list(warnings)
    blocks: list[Block] = []
    try:
        with CalamineWorkbook.from_filelike(io.BytesIO(data)) as workbook:
            sheets = [each for each in workbook.sheets_metadata if each.typ == SheetTypeEnum.WorkSheet]
            for each in sheets:
                if each.visible != SheetVisibleEnum.Visible:
                    told.append(f"the hidden sheet “{each.name}” is not in the text")
                    continue
                cells = by_sheet.get(each.name, _Cells())
                if cells.without_value:
                    told.append(f"sheet “{each.name}”: {cells.without_value} cells have an error or no stored value")
                rows = list(_read_sheet(workbook.get_sheet_by_name(each.name), cells))
                if rows and not (len(sheets) == 1 and UNNAMED_SHEET.fullmatch(each.name)):
                    blocks.append(Block(each.name, SHEET_LEVEL))
                blocks += rows
    except CalamineError as error:
        raise ParseError("the file is broken: its sheets cannot be read") from error
    except BaseException as error:  # a panic of the library is no Exception, and its class cannot be imported
        if type(error).__name__ != "PanicException":
            raise
        raise ParseError("the file is broken: its sheets cannot be read") from error
    return Draft(blocks, warnings=told)


def _read_sheet(sheet: CalamineSheet, cells: _Cells) -> Iterator[Block]:
    if sheet.start is None:
        return
    top, left = sheet.start
    rows = [
        [_show(value, cells.percents.get((top + at, left + column))) for column, value in enumerate(row)]
        for at, row in enumerate(sheet.to_python())
    ]
    spans = {}
    for (first_row, first), (last_row, last) in sheet.merged_cell_ranges or ():
        row, column = first_row - top, first - left
        if not (0 <= row < len(rows) and 0 <= column < len(rows[row])):
            continue
        if last > first:
            spans[row, column] = min(last - left, len(rows[row]) - 1)
        else:
            for at in range(row + 1, min(last_row - top + 1, len(rows))):
                rows[at][column] = rows[row][column]
    yield from read_grid(Grid(rows, spans))


def _show(value: Value, percent_decimals: int | None = None) -> str:
    """Return the text of a value: dates as in ISO 8601, numbers with the digits that Excel keeps, without exponents."""
    match value:
        case str():
            return " ".join(value.split())
        case bool():
            return str(value).upper()
        case int() | float():
            return show_number(value, percent_decimals)
        case datetime() | time():
            text = value.isoformat(timespec="minutes" if value.second == 0 else "seconds")
            return text.replace("T", " ")
        case timedelta():
            minutes, seconds = divmod(round(value.total_seconds()), 60)
            return f"{minutes // 60}:{minutes % 60:02}" + (f":{seconds:02}" if seconds else "")
        case _:
            return value.isoformat()
