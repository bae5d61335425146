"""Read Excel's workbooks, new and old: the values of their cells as the sheet shows them.

calamine reads the values and knows dates; `workbook_child` is its process. What it does not tell, such as percentages,
is read from the XML.
"""

import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from lxml import etree

from rag.errors import ParseError
from rag.parsing.archives import MAX_TAGS, OLE_SIGNATURE, ZIP_SIGNATURE, open_archive, read_xml
from rag.parsing.blocks import Block, Draft
from rag.parsing.sheets import MAX_CELLS, SHEET_LEVEL, UNNAMED_SHEET, Grid, read_grid, read_percent_format, show_number

_RELATION_ID = re.compile(r"\{.*/relationships\}id")
_REFERENCE = re.compile(r"([A-Z]{1,3})([0-9]{1,7})")
# The parts that hold text beside the cells.
_BESIDE: Final = (
    (re.compile(r"xl/(?:comments|threadedComments/).*\.xml"), "the comments on cells"),
    (re.compile(r"xl/drawings/drawing.*\.xml"), "the texts in drawings"),
)

_BUILT_IN_FORMATS: Final = {9: "0%", 10: "0.00%"}  # ECMA-376, part 1, 18.8.30

_CHILD: Final = Path(__file__).with_name("workbook_child.py")
_CHILD_TIMEOUT_S: Final = 300
_ENCRYPTED_PACKAGE: Final = "EncryptedPackage".encode("utf-16-le")  # the name of a stream: [MS-OFFCRYPTO] 2.3.4.4
# FilePass right after the beginning of a workbook, of BIFF8 or BIFF5, with WriteProtect between: [MS-XLS] 2.4.117.
_ENCRYPTED_STREAM = re.compile(
    rb"\t\x08(?:\x10\0\0\x06\x05\0.{12}|\x08\0\0\x05\x05\0.{4})(?:\x86\0\0\0)?/\0", re.DOTALL
)

Position = tuple[int, int]
Value = int | float | str | bool


@dataclass(slots=True)
class _Cells:
    """What the XML of a sheet says of its cells beside their values; positions are rows and columns from 0."""

    first: Position = (2**31, 2**31)
    last: Position = (-1, -1)
    percents: dict[Position, int] = field(default_factory=dict)  # with the number of decimals
    without_value: int = 0

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
    decimals = _read_percent_styles(archive)
    cells = {}
    for entry in archive.infolist():
        scanned = _scan_part(archive, entry.filename, decimals)
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
    return replace(_read_workbook(data, by_sheet, warnings), title=title or "")


def read_xls(data: bytes) -> Draft:
    """Read a workbook of the format that Excel wrote until 2003; many a file has its suffix and the present format."""
    if data.startswith(ZIP_SIGNATURE):
        return read_xlsx(data)
    if not data.startswith(OLE_SIGNATURE):
        raise ParseError("the file is broken: not readable as XLS")
    if _ENCRYPTED_PACKAGE in data or _ENCRYPTED_STREAM.search(data):
        raise ParseError("encrypted")
    return _read_workbook(data, {}, [])


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


def _scan_part(archive: zipfile.ZipFile, name: str, decimals: Mapping[str, int]) -> _Cells | None:
    """Return what the part says of its cells; None if it is no sheet.

    Raises: ParseError: the cells are too far apart.
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
            if number > 2 * MAX_TAGS:
                raise ParseError("too large when unpacked")
            if event == "start" and tag == "row":
                row, column = _read_number(element.get("r"), row + 2) - 1, -1
            elif event == "end" and tag == "c":
                place = _REFERENCE.fullmatch(str(element.get("r", "")))
                row, column = (int(place[2]) - 1, _read_column(place[1])) if place else (row, column + 1)
                _read_cell(cells, element, (row, column), decimals)
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


def _read_cell(cells: _Cells, element: etree._Element, place: Position, decimals: Mapping[str, int]) -> None:
    value = element.findtext("{*}v")
    if value is None and element.find("{*}is") is None and element.find("{*}f") is None:
        return
    cells.extend(*place)
    kind = str(element.get("t", "n"))
    if kind == "e" or (value is None and element.find("{*}f") is not None):
        cells.without_value += 1
    style = str(element.get("s", ""))
    if kind == "n" and style in decimals:
        cells.percents[place] = decimals[style]


def _holds_text(archive: zipfile.ZipFile, name: str) -> bool:
    root = read_xml(archive, name)
    return root is not None and any((each.text or "").strip() for each in root.iter("{*}t", "{*}text"))


def _read_workbook(data: bytes, by_sheet: Mapping[str, _Cells], warnings: Sequence[str]) -> Draft:
    told = list(warnings)
    blocks: list[Block] = []
    sheets = _read_values(data)
    for sheet in sheets:
        name = sheet["name"]
        if sheet["hidden"]:
            told.append(f"the hidden sheet “{name}” is not in the text")
            continue
        cells = by_sheet.get(name, _Cells())
        if cells.without_value:
            told.append(f"sheet “{name}”: {cells.without_value} cells have an error or no stored value")
        rows = list(read_grid(_make_grid(sheet, cells)))
        if rows and not (len(sheets) == 1 and UNNAMED_SHEET.fullmatch(name)):
            blocks.append(Block(name, SHEET_LEVEL))
        blocks += rows
    return Draft(blocks, warnings=told)


def _read_values(data: bytes) -> list[dict[str, Any]]:  # Any: JSON, as `workbook_child` describes it
    """Return the sheets.

    Raises: ParseError: broken, encrypted, too large, or too slow to read.
    """
    command = [sys.executable, "-I", str(_CHILD)]
    try:
        done = subprocess.run(  # noqa: S603  # our own script
            command, input=data, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=_CHILD_TIMEOUT_S, check=True
        )
    except subprocess.TimeoutExpired as error:
        raise ParseError("its sheets take too long to read") from error
    except subprocess.CalledProcessError as error:
        raise ParseError("the file is broken, or too large: its sheets cannot be read") from error
    reply = json.loads(done.stdout)
    if "error" in reply:
        raise ParseError(reply["error"])
    return list(reply["sheets"])


def _make_grid(sheet: Mapping[str, Any], cells: _Cells) -> Grid:
    top, left = sheet["start"]
    rows = [
        [_show(value, cells.percents.get((top + at, left + column))) for column, value in enumerate(row)]
        for at, row in enumerate(sheet["rows"])
    ]
    spans = {}
    for (first_row, first), (last_row, last) in sheet["merges"]:
        row, column = first_row - top, first - left
        if not (0 <= row < len(rows) and 0 <= column < len(rows[row])):
            continue
        if last > first:
            spans[row, column] = min(last - left, len(rows[row]) - 1)
        else:
            for at in range(row + 1, min(last_row - top + 1, len(rows))):
                rows[at][column] = rows[row][column]
    return Grid(rows, spans)


def _show(value: Value, percent_decimals: int | None) -> str:
    if isinstance(value, str):
        return " ".join(value.split())
    return str(value).upper() if isinstance(value, bool) else show_number(value, percent_decimals)
