"""Read rich text: paragraphs, headings by style, list items, tables, notes.

striprtf was rejected: it keeps hidden and deleted text, and drops footnotes and the structure of tables and headings.
Source: Rich Text Format Specification, version 1.9.1.
"""

import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import Final

from rag.errors import ParseError
from rag.parsing.blocks import MAX_TEXT_CHARS, Block, Draft
from rag.parsing.raised import shift_figures
from rag.parsing.rtf_flow import Flow
from rag.parsing.rtf_words import (
    CODE_PAGES,
    DIRECTIONS,
    FILE_CODE_PAGES,
    HOLDING_TEXT,
    LEFT_OUT,
    LIST_MARKS,
    OWN_FLOWS,
    SYMBOLS,
)

_TOKEN = re.compile(
    r"\\([a-zA-Z]{1,32})(-?\d{1,10})? ?|\\'([0-9a-fA-F]{2})|\\([^a-zA-Z])|([{}])|[\r\n]+|([^\\{}\r\n]+)", re.DOTALL
)
_MAX_DEPTH: Final = 1_000

# Fonts of the time before Unicode, that draw Vietnamese in the places of other characters: TCVN3 and VNI.
_OLD_FONT = re.compile(r"\.vn|vni-", re.IGNORECASE)
_BULLET_FONT = re.compile("symbol|wingdings|webdings|marlett|opensymbol|starsymbol", re.IGNORECASE)


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
        self._flows = [Flow()]
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
        self._flows[0].end_paragraph(self._style_names)
        self._flows[0].end_table()
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
        if is_starred and word not in HOLDING_TEXT and not group.skip:
            group.skip = True
            if word == "moMath":
                self._unread["formulas"] += 1
        elif group.skip:
            return
        elif word in LEFT_OUT:
            group.skip = True
        elif word in ("pict", "object"):
            self._unread["pictures and embedded objects"] += 1
            group.skip = True
        elif word in ("fonttbl", "stylesheet", "info", "title", *LIST_MARKS):
            self._enter(group, word)
        elif group.destination in ("fonttbl", "stylesheet"):
            self._define(group.destination, word, number)
        elif word in OWN_FLOWS:
            group.direction = 0  # the mark of the note is raised, not its text
            self._flows.append(Flow())
            self._flow_depths.append(len(self._groups) - 1)
        elif not self._format_characters(group, word, number) and group.destination not in LIST_MARKS:
            self._flows[-1].obey(word, number, self._style_names)

    def _enter(self, group: _Group, word: str) -> None:
        if word in LIST_MARKS:
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
            self._font_code_pages[self._entry] = CODE_PAGES.get(number, "")
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
        elif word in DIRECTIONS:
            group.direction = DIRECTIONS[word] if is_on else 0
        elif word == "deleted":
            group.deleted = is_on
        elif word in FILE_CODE_PAGES:
            self._code_page = FILE_CODE_PAGES[word]
        elif word == "ansicpg" and number:
            self._code_page = f"cp{number}"
        elif word in SYMBOLS:
            self._add(SYMBOLS[word])
        else:
            return False
        return True

    def _obey_symbol(self, symbol: str) -> None:
        if symbol == "*":
            self._is_starred = True
        elif self._to_skip:
            self._to_skip -= 1
        elif symbol in "\r\n" and not self._groups[-1].skip:
            self._flows[-1].end_paragraph(self._style_names)
        elif symbol in "\\{}":
            self._add_bytes(symbol.encode())
        elif symbol in SYMBOLS:
            self._add(SYMBOLS[symbol])

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
        elif group.destination in LIST_MARKS:
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
        flow.end_paragraph(self._style_names)
        flow.end_table()
        self._flows[-1].beside += flow.blocks
