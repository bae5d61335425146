"""Count the automatic numbers of a slide's paragraphs: "1.", "b)" are in no text.

Source: ECMA-376, part 1, sections 21.1.2.4.1 (`buAutoNum`) and 20.1.10.61 (its types).
"""

import re
from typing import Final

from lxml import etree
from pptx.oxml.ns import qn

from rag.parsing.list_numbers import format_number

_TYPE = re.compile(r"(alphaLc|alphaUc|arabic|romanLc|romanUc)(ParenBoth|ParenR|Period|Plain)")
_KINDS: Final = {
    "alphaLc": "lowerLetter", "alphaUc": "upperLetter", "arabic": "decimal", "romanLc": "lowerRoman",
    "romanUc": "upperRoman",
}  # fmt: skip
_FORMS: Final = {"ParenBoth": "({})", "ParenR": "{})", "Period": "{}.", "Plain": "{}"}
_DEFAULT_TYPE: Final = "arabicPeriod"  # also for circles and the numerals of other scripts


class SlideNumbering:
    """The counters of one shape; it must be asked for each paragraph with text, in their order."""

    def __init__(self) -> None:
        self._open: dict[int, tuple[str, int, int]] = {}  # by level: the type, the first and the latest number

    def count(self, paragraph: etree._Element) -> str:
        """Return the number of a paragraph, and count it; empty if it has none of its own."""
        properties = paragraph.find(qn("a:pPr"))
        level = _read_number(None if properties is None else properties.get("lvl"), 0)
        mark = None if properties is None else properties.find(qn("a:buAutoNum"))
        self._open = {at: kept for at, kept in self._open.items() if at <= level}
        if mark is None:  # another mark ends the count of its level
            self._open.pop(level, None)
            return ""
        kind, start = str(mark.get("type", _DEFAULT_TYPE)), _read_number(mark.get("startAt"), 1)
        known = self._open.get(level)
        number = known[2] + 1 if known is not None and known[:2] == (kind, start) else start
        self._open[level] = (kind, start, number)
        found = _TYPE.fullmatch(kind) or _TYPE.fullmatch(_DEFAULT_TYPE)
        assert found is not None
        return _FORMS[found[2]].format(format_number(number, _KINDS[found[1]]))


def _read_number(text: str | None, default: int) -> int:
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 6 else default
