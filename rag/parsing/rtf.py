"""Read rich text: paragraphs, headings by style, list items, tables, notes.

striprtf was rejected: it keeps hidden and deleted text, and drops footnotes and the structure of tables and headings.
Source: Rich Text Format Specification, version 1.9.1.
"""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from rag.errors import ParseError
from rag.parsing.blocks import MAX_TEXT_CHARS, Block, Draft
from rag.parsing.raised import shift_figures
from rag.parsing.tables import Cell, render_rows

_TOKEN = re.compile(
    r"\\([a-zA-Z]{1,32})(-?\d{1,10})? ?|\\'([0-9a-fA-F]{2})|\\([^a-zA-Z])|([{}])|[\r\n]+|([^\\{}\r\n]+)", re.DOTALL
)
_MAX_DEPTH: Final = 1_000
_SAME_EDGE_TWIPS: Final = 60  # between the edges of cells in one column; a millimetre

# By \fcharset; others, and 1, are in the code page of the file.
_CODE_PAGES: Final = {
    0: "cp1252", 77: "mac_roman", 128: "cp932", 129: "cp949", 134: "cp936", 136: "cp950", 161: "cp1253", 162: "cp1254",
    163: "cp1258", 177: "cp1255", 178: "cp1256", 186: "cp1257", 204: "cp1251", 222: "cp874", 238: "cp1250",
}  # fmt: skip
_FILE_CODE_PAGES: Final = {"ansi": "cp1252", "mac": "mac_roman", "pc": "cp437", "pca": "cp850"}
# Fonts of the time before Unicode, that draw Vietnamese in the places of other characters: TCVN3 and VNI.
_OLD_FONT = re.compile(r"\.vn|vni-", re.IGNORECASE)

_SYMBOLS: Final = {
    "tab": "\t", "line": "\n", "lquote": "‘", "rquote": "’", "ldblquote": "“", "rdblquote": "”", "bullet": "•",
    "endash": "–", "emdash": "—", "emspace": " ", "enspace": " ", "qmspace": " ", "nestcell": " ", "nestrow": "\n",
    "softline": "\n", "~": " ", "_": "-",
}  # fmt: skip
_DIRECTIONS: Final = {"super": 1, "sub": -1, "nosupersub": 0}
_PARAGRAPH_ENDS: Final = frozenset({"par", "sect", "page", "column"})
_LEFT_OUT: Final = frozenset(
    {
        "colortbl", "filetbl", "revtbl", "rsidtbl", "listtable", "listoverridetable", "header", "headerl", "headerr",
        "headerf", "footer", "footerl", "footerr", "footerf", "ftnsep", "ftnsepc", "ftncn", "aftnsep", "aftnsepc",
        "aftncn", "fldinst", "datafield", "xe", "tc", "txe", "rxe", "sp", "shprslt", "nonshppict", "objdata",
        "objclass", "objname", "nonesttables", "annotation", "atnid", "atnauthor", "atrfstart", "atrfend", "bkmkstart",
        "bkmkend", "themedata", "colorschememapping", "latentstyles", "datastore", "generator", "pnseclvl", "pn",
        "template", "falt", "panose", "fontemb",
    }
)  # fmt: skip
# Those that are told by `\*` to old readers, and hold text.
_HOLDING_TEXT: Final = frozenset({"footnote", "shpinst", "shppict", "endnote", "ud"})  # ud: again in Unicode
_OWN_FLOWS: Final = frozenset({"footnote", "endnote", "shptxt"})
_LIST_MARKS: Final = ("listtext", "pntext")
_BULLET_FONT = re.compile("symbol|wingdings|webdings|marlett|opensymbol|starsymbol", re.IGNORECASE)
_HEADING_STYLE = re.compile(r"heading ([1-9])", re.IGNORECASE)
_CONTENTS_STYLE: Final = "toc "
_BODY_LEVEL: Final = 9  # the value of \outlinelevel for text that is no heading


@dataclass(slots=True)
class _Group:
    """What `{` saves and `}` restores."""

    destination: str = ""
    skip: bool = False
    unicode_fallbacks: int = 1
    font: int = -1
    hidden: bool = False
    deleted: bool = False
    direction: int = 0  # of raised and lowered text


@dataclass(slots=True)
class _Row:
    cells: Sequence[str]
    edges: Sequence[int]
    continues: Sequence[bool]
    is_header: bool


@dataclass(slots=True)
class _Flow:
    """A run of paragraphs and tables: the text itself, a note, or a text box."""

    blocks: list[tuple[str, Block]] = field(default_factory=list)  # with the name of the style
    beside: list[tuple[str, Block]] = field(default_factory=list)  # notes and boxes of the open paragraph or table
    pieces: list[str] = field(default_factory=list)
    cells: list[str] = field(default_factory=list)
    rows: list[_Row] = field(default_factory=list)
    style: int = 0
    outline: int = _BODY_LEVEL
    in_table: bool = False
    in_list: bool = False
    mark: list[str] | None = None  # the number or bullet of the open paragraph, as old readers print it
    follows_item: bool = False
    edges: list[int] = field(default_factory=list)
    continues: list[bool] = field(default_factory=list)
    cell_continues: bool = False
    is_header: bool = False


def read(data: bytes) -> Draft:
    """Read rich text; the title is that of its properties.

    Deleted text, comments, headers, footers and tables of contents are left out.

    Raises: ParseError: no rich text, or in fonts that have characters of their own.
    """
    text = data.decode("latin-1").lstrip("\ufeff\xef\xbb\xbf \r\n\t")
    if not text.startswith("{\\rtf"):
        raise ParseError("the file is broken: not readable as RTF")
    reader = _Reader()
    reader.read(text)
    return Draft(reader.blocks(), reader.title, warnings=reader.warnings())


class _Reader:
    def __init__(self) -> None:
        self.title = ""
        self._unread: Counter[str] = Counter()
        self._is_cut = False
        self._groups = [_Group()]
        self._flows = [_Flow()]
        self._flow_depths = [0]
        self._code_page = "cp1252"
        self._font_code_pages: dict[int, str] = {}
        self._font_names: dict[int, str] = {}
        self._style_names: dict[int, str] = {}
        self._entry = 0  # of the font table or style sheet
        self._entry_name: list[str] = []
        self._bytes = bytearray()
        self._to_skip = 0  # characters that stand for the one before, for readers without Unicode
        self._is_starred = False
        self._chars = 0

    def read(self, text: str) -> None:
        """Read the whole file."""
        at = 0
        while (token := _TOKEN.match(text, at)) is not None:
            at = token.end()
            word, number, code, symbol, brace, plain = token.groups()
            if brace:
                self._to_skip = 0
                self._flush_bytes()
                self._open() if brace == "{" else self._close()
                if len(self._groups) == 1:
                    return
            elif word == "bin":
                at += max(0, int(number or 0))
            elif word is not None:
                self._flush_bytes()
                self._obey(word, None if number is None else int(number))
            elif code is not None:
                self._add_bytes(bytes.fromhex(code))
            elif symbol is not None:
                self._flush_bytes()
                self._obey_symbol(symbol)
            elif plain is not None:
                self._add_bytes(plain.encode("latin-1"))
        self._is_cut = True
        self._flush_bytes()

    def blocks(self) -> list[Block]:
        """Return the blocks, with the titles as headings of the first level."""
        while len(self._flows) > 1:
            self._end_flow()
        self._end_paragraph(self._flows[0])
        self._end_table(self._flows[0])
        found = self._flows[0].blocks
        shift = int(any(style == "Title" for style, _ in found))
        return [
            replace(block, level=1)
            if style == "Title"
            else replace(block, level=min(block.level + shift, 6))
            if block.level
            else block
            for style, block in found
        ]

    def warnings(self) -> list[str]:
        """Return what of the file is not in the text."""
        told = [f"{what}: {count}, whose text is not read" for what, count in sorted(self._unread.items())]
        return [*told, *(["the file is cut off: its end is missing"] if self._is_cut else [])]

    def _open(self) -> None:
        if len(self._groups) > _MAX_DEPTH:
            raise ParseError("its groups are nested too deep")
        self._groups.append(replace(self._groups[-1]))
        self._is_starred = False

    def _close(self) -> None:
        group = self._groups.pop()
        if len(self._flows) > 1 and len(self._groups) <= self._flow_depths[-1]:
            self._end_flow()
        if group.destination in ("fonttbl", "stylesheet"):
            self._end_entry(group.destination)

    def _obey(self, word: str, number: int | None) -> None:
        group = self._groups[-1]
        is_starred, self._is_starred = self._is_starred, False
        if self._to_skip:
            self._to_skip -= 1
            return
        if is_starred and word not in _HOLDING_TEXT and not group.skip:
            group.skip = True
            if word == "moMath":
                self._unread["formulas"] += 1
        elif group.skip:
            return
        elif word in _LEFT_OUT:
            group.skip = True
        elif word in ("pict", "object"):
            self._unread["pictures and embedded objects"] += 1
            group.skip = True
        elif word in ("fonttbl", "stylesheet", "info", "title", *_LIST_MARKS):
            self._enter(group, word)
        elif group.destination in ("fonttbl", "stylesheet"):
            self._define(group.destination, word, number)
        elif word in _OWN_FLOWS:
            group.direction = 0  # the mark of the note is raised, not its text
            self._flows.append(_Flow())
            self._flow_depths.append(len(self._groups) - 1)
        elif not self._format_characters(group, word, number) and group.destination not in _LIST_MARKS:
            self._format_paragraph(self._flows[-1], word, number)

    def _enter(self, group: _Group, word: str) -> None:
        if word in _LIST_MARKS:
            self._flows[-1].mark = []
            group.destination = word
        elif word != "title" or group.destination == "info":
            group.destination = word
            self._entry = 0
            if word == "title":
                self.title = ""  # what comes again in Unicode stands for what was there

    def _define(self, table: str, word: str, number: int | None) -> None:
        if word == ("f" if table == "fonttbl" else "s") and number is not None:
            self._entry = number
        elif word == "fcharset" and number is not None:
            self._font_code_pages[self._entry] = _CODE_PAGES.get(number, "")
        elif word == "cpg" and number is not None:
            self._font_code_pages[self._entry] = f"cp{number}"
        elif word == "u" and number is not None:
            self._add(chr(number % 0x10000))

    def _end_entry(self, table: str) -> None:
        name = "".join(self._entry_name).strip()
        self._entry_name.clear()
        if name:
            (self._font_names if table == "fonttbl" else self._style_names)[self._entry] = name
        self._entry = 0

    def _format_characters(self, group: _Group, word: str, number: int | None) -> bool:
        is_on = number != 0
        if word == "u" and number is not None:
            self._add(chr(number % 0x10000))
            self._to_skip = group.unicode_fallbacks
        elif word == "uc":
            group.unicode_fallbacks = max(0, number or 0)
        elif word == "f":
            group.font = -1 if number is None else number
        elif word == "plain":
            group.hidden = group.deleted = False
            group.direction = 0
        elif word in ("v", "strike", "striked"):  # struck text is not in force
            group.hidden = is_on
        elif word in _DIRECTIONS:
            group.direction = _DIRECTIONS[word] if is_on else 0
        elif word == "deleted":
            group.deleted = is_on
        elif word in _FILE_CODE_PAGES:
            self._code_page = _FILE_CODE_PAGES[word]
        elif word == "ansicpg" and number:
            self._code_page = f"cp{number}"
        elif word in _SYMBOLS:
            self._add(_SYMBOLS[word])
        else:
            return False
        return True

    def _format_paragraph(self, flow: _Flow, word: str, number: int | None) -> None:
        match word:
            case "pard":
                flow.style, flow.outline, flow.in_table, flow.in_list = 0, _BODY_LEVEL, False, False
            case "s":
                flow.style = number or 0
            case "outlinelevel":
                flow.outline = _BODY_LEVEL if number is None else number
            case "ls":
                flow.in_list = bool(number)
            case "intbl":
                flow.in_table = True
            case "cell":
                flow.cells.append("".join(flow.pieces))
                flow.pieces.clear()
            case "row":
                flow.rows.append(_Row(flow.cells, flow.edges, flow.continues, flow.is_header))
                flow.cells = []
            case "trowd":
                flow.edges, flow.continues, flow.is_header, flow.cell_continues = [], [], False, False
            case "trhdr":
                flow.is_header = True
            case "clvmrg":
                flow.cell_continues = True
            case "cellx":
                flow.edges.append(number or 0)
                flow.continues.append(flow.cell_continues)
                flow.cell_continues = False
            case _ if word in _PARAGRAPH_ENDS:
                self._end_paragraph(flow)

    def _obey_symbol(self, symbol: str) -> None:
        if symbol == "*":
            self._is_starred = True
        elif self._to_skip:
            self._to_skip -= 1
        elif symbol in "\r\n" and not self._groups[-1].skip:
            self._end_paragraph(self._flows[-1])
        elif symbol in "\\{}":
            self._add_bytes(symbol.encode())
        elif symbol in _SYMBOLS:
            self._add(_SYMBOLS[symbol])

    def _add_bytes(self, raw: bytes) -> None:
        skipped = min(self._to_skip, len(raw))
        self._to_skip -= skipped
        self._bytes += raw[skipped:]

    def _flush_bytes(self) -> None:
        if not self._bytes:
            return
        raw = bytes(self._bytes)
        self._bytes.clear()
        if not self._groups[-1].skip:
            page = self._font_code_pages.get(self._groups[-1].font) or self._code_page
            try:
                self._add(raw.decode(page, "replace"))
            except LookupError:
                self._add(raw.decode("cp1252", "replace"))

    def _add(self, text: str) -> None:
        group = self._groups[-1]
        if group.skip or group.deleted:
            return
        if group.destination in ("fonttbl", "stylesheet"):
            for part in re.split("(;)", text):
                self._end_entry(group.destination) if part == ";" else self._entry_name.append(part)
        elif group.destination == "title":
            self.title += text
        elif group.hidden:
            self._unread.update(["hidden or struck-out parts"] if text.strip() else [])
        elif group.destination in _LIST_MARKS:
            self._add_mark(group, text)
        elif group.destination != "info":
            if not text.isascii() and _OLD_FONT.match(self._font_names.get(group.font, "")):
                raise ParseError("its text is in a font of the time before Unicode: save it with Unicode fonts")
            self._chars += len(text)
            if self._chars > MAX_TEXT_CHARS:
                raise ParseError(f"too much text: more than {MAX_TEXT_CHARS:,} characters")
            self._flows[-1].pieces.append(shift_figures(text, group.direction))

    def _add_mark(self, group: _Group, text: str) -> None:
        """Add to the number of a list; in the fonts of bullets, letters draw dots and arrows."""
        mark = self._flows[-1].mark
        if mark is not None and not _BULLET_FONT.match(self._font_names.get(group.font, "")):
            mark.append(text)

    def _end_flow(self) -> None:
        flow = self._flows.pop()
        self._flow_depths.pop()
        self._end_paragraph(flow)
        self._end_table(flow)
        self._flows[-1].beside += flow.blocks

    def _end_paragraph(self, flow: _Flow) -> None:
        if flow.in_table:
            flow.pieces.append("\n")
            return
        if flow.rows or flow.cells:
            self._end_table(flow)
        text = _join(flow.pieces)
        flow.pieces.clear()
        style = self._style_names.get(flow.style, "")
        heading = _HEADING_STYLE.fullmatch(style)
        level = int(heading[1]) if heading else flow.outline + 1 if flow.outline < _BODY_LEVEL else 0
        if text and not style.lower().startswith(_CONTENTS_STYLE):
            is_item = (flow.in_list or flow.mark is not None) and not level
            number = _read_number("".join(flow.mark or ()))
            if number or is_item:
                text = f"{number or '-'} {text}"
            is_next = is_item and flow.follows_item and not flow.beside
            flow.blocks.append((style, Block(text, min(level, 6), "\n" if is_next else "\n\n")))
            flow.follows_item = is_item
        flow.mark = None
        flow.blocks += flow.beside
        flow.beside = []

    def _end_table(self, flow: _Flow) -> None:
        if flow.cells or (flow.in_table and any(map(str.strip, flow.pieces))):  # a row without its end
            flow.rows.append(_Row([*flow.cells, "".join(flow.pieces)], flow.edges, flow.continues, flow.is_header))
            flow.pieces.clear()
        for at, line in enumerate(render_rows(_lay_out(flow.rows))):
            flow.blocks.append(("", Block(line, glue="\n" if at else "\n\n")))
        flow.blocks += flow.beside
        flow.beside, flow.rows, flow.cells = [], [], []


def _read_number(mark: str) -> str:
    """Return the number that a mark shows; empty if it is a bullet, which Word also draws as the letter o."""
    text = " ".join(mark.split())
    return text if text != "o" and any(map(str.isalnum, text)) else ""


def _join(pieces: Sequence[str]) -> str:
    """Return the text; characters outside the first plane stand in two pieces."""
    return "".join(pieces).encode("utf-16", "surrogatepass").decode("utf-16", "replace").strip()


def _lay_out(rows: Sequence[_Row]) -> Iterator[list[Cell]]:
    """Yield the cells with the number of columns that each covers; a cell that goes on from above has its text."""
    edges: list[int] = []
    for edge in sorted({edge for row in rows for edge in row.edges}):
        if not edges or edge - edges[-1] > _SAME_EDGE_TWIPS:
            edges.append(edge)
    above: dict[int, str] = {}  # by the number of the column
    for row in rows:
        cells = []
        column = 0
        for at, raw in enumerate(row.cells):
            text = _join([raw])
            end = _column_of(row.edges[at], edges) if at < len(row.edges) else column + 1
            if not text and at < len(row.continues) and row.continues[at]:
                text = above.get(column, "")
            above[column] = text
            cells.append(Cell(text, max(1, end - column), is_header=row.is_header))
            column = max(column + 1, end)
        yield cells


def _column_of(edge: int, edges: Sequence[int]) -> int:
    return bisect_right(edges, edge)
