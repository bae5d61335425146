"""Count the automatic numbers of LibreOffice's texts: "Điều 2.", "1.2", "a)" are in no text, but people cite them.

Source: OpenDocument 1.3, part 3, sections 5.3 (lists), 16.30 (list styles) and 16.34 (outline style).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from lxml import etree

from rag.parsing.list_numbers import format_number
from rag.parsing.opendocument import HEADING, PARAGRAPH, OpenDocument, name, read_count

BULLET: Final = "-"
_LEVELS: Final = 10
_MAX_START: Final = 10**6  # a list may claim to begin at a billion
_KINDS: Final = {"1": "decimal", "a": "lowerLetter", "A": "upperLetter", "i": "lowerRoman", "I": "upperRoman"}
_OUTLINE: Final = "\0outline"
_ID: Final = "{http://www.w3.org/XML/1998/namespace}id"
_TEMPLATE: Final = (
    "{urn:org:documentfoundation:names:experimental:office:xmlns:loext:1.0}num-list-format"  # since LibreOffice 7.2
)


@dataclass(frozen=True, slots=True)
class _Level:
    """How one level is numbered: `kind` is empty for none, `-` for a bullet; `template` is as in `%1%.%2%)`."""

    kind: str = ""
    template: str = ""
    start: int = 1


@dataclass(slots=True)
class ListState:
    """A list that is being read: its style, its level from 0, and the counters, which sublists share."""

    style: str
    level: int = 0
    values: list[int] = field(default_factory=list)

    def open_sublist(self, style: str) -> "ListState":
        """Return the state of a list inside of an item."""
        return ListState(style or self.style, self.level + 1, self.values)


class Numbering:
    """The lists of a document with their counters; it must be asked in the order of the text."""

    def __init__(self, document: OpenDocument) -> None:
        self._document = document
        self._styles = {key: _read_levels(style) for key, style in document.list_styles.items()}
        self._outline = ListState(_OUTLINE)
        if document.outline is not None:
            self._styles[_OUTLINE] = _read_levels(document.outline)
        self._by_id: dict[str, list[int]] = {}
        self._latest: dict[str, list[int]] = {}

    def open_list(self, element: etree._Element, parent: ListState | None) -> ListState:
        """Return the state of a list; one that continues another goes on with its counters."""
        style = str(element.get(name("text:style-name"), ""))
        if parent is not None:
            return parent.open_sublist(style)
        style = style or self._style_of_first(element)
        continued = self._by_id.get(str(element.get(name("text:continue-list"))))
        if continued is None and element.get(name("text:continue-numbering")) == "true":
            continued = self._latest.get(style)
        values: list[int] = [] if continued is None else continued
        self._latest[style] = values
        if element.get(_ID):
            self._by_id[str(element.get(_ID))] = values
        return ListState(style, 0, values)

    def _style_of_first(self, element: etree._Element) -> str:
        """Return the list style of the first paragraph's style."""
        first = next(element.iter(PARAGRAPH, HEADING), None)
        style = "" if first is None else str(first.get(name("text:style-name"), ""))
        return self._document.find_list_style(style)

    def count(self, state: ListState, start: int | None = None) -> str:
        """Count one item, and return its number or `BULLET`; empty if the list shows none."""
        levels = self._styles.get(state.style)
        if levels is None:  # a list that the file does not define
            return BULLET
        values, at = state.values, min(state.level, _LEVELS - 1)
        while len(values) < at:  # a level that was skipped shows its first number
            values.append(levels.get(len(values), _Level()).start)
        if len(values) > at:
            del values[at + 1 :]
            values[at] += 1
        else:
            values.append(levels.get(at, _Level()).start)
        if start is not None:
            values[at] = start
        return _render(levels, values)

    def count_heading(self, element: etree._Element) -> str:
        """Count a heading outside of lists, by its level."""
        if _OUTLINE not in self._styles or element.get(name("text:is-list-header")) == "true":
            return ""
        self._outline.level = read_count(element, "text:outline-level") - 1
        restart = element.get(name("text:restart-numbering")) == "true"
        return self.count(self._outline, read_start(element) or 1 if restart else None)


def read_start(element: etree._Element) -> int | None:
    """Return the number that an item or a heading begins anew with."""
    text = str(element.get(name("text:start-value"), ""))
    return min(int(text), _MAX_START) if text.isascii() and text.isdecimal() and len(text) < 10 else None


def _read_levels(style: etree._Element) -> dict[int, _Level]:
    levels = {}
    for element in style.iterchildren(tag=etree.Element):
        tag, at = etree.QName(element).localname, read_count(element, "text:level") - 1
        if tag in ("list-level-style-bullet", "list-level-style-image"):
            levels[at] = _Level(BULLET)
        elif tag in ("list-level-style-number", "outline-level-style"):
            levels[at] = _read_level(element, at)
    return levels


def _read_level(element: etree._Element, at: int) -> _Level:
    number_format = str(element.get(name("style:num-format"), ""))
    if not number_format:
        return _Level()
    shown = min(read_count(element, "text:display-levels"), at + 1)
    places = ".".join(f"%{place + 1}%" for place in range(at + 1 - shown, at + 1))
    prefix, suffix = (str(element.get(name(f"style:num-{side}fix"), "")) for side in ("pre", "suf"))
    template = element.get(_TEMPLATE)
    start = read_start(element)
    return _Level(
        _KINDS.get(number_format, "decimal"),
        f"{prefix}{places}{suffix}" if template is None else str(template),
        1 if start is None else start,
    )


def _render(levels: Mapping[int, _Level], values: list[int]) -> str:
    level = levels.get(len(values) - 1, _Level())
    if level.kind == BULLET or not level.kind:
        return level.kind
    label = level.template
    for place, value in enumerate(values):
        kind = levels.get(place, _Level()).kind
        shown = format_number(value, kind) if kind not in ("", BULLET) else ""
        label = label.replace(f"%{place + 1}%", shown)
    return " ".join(label.lstrip(".").split())  # a level without numbers is not shown
