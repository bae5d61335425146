"""Count the automatic numbers of a Word file: "Điều 2.", "1.2.3", "a)" are in no text, but people cite them.

Source: ISO/IEC 29500-1, section 17.9.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from lxml import etree

from rag.parsing.docx_package import is_on, number_of, qn, value_of
from rag.parsing.docx_styles import Style, Styles
from rag.parsing.list_numbers import NO_NUMBER, format_number

BULLET: Final = "-"
_LEVELS: Final = 9
_MAX_LINKS: Final = 5


@dataclass(frozen=True, slots=True)
class Level:
    """How one level of a list is numbered; `restart` as in `w:lvlRestart`, None if any higher level restarts it."""

    start: int = 1
    format: str = "decimal"
    text: str = ""
    restart: int | None = None
    is_legal: bool = False
    style: str = ""


@dataclass(slots=True)
class _List:
    """An instance of a list: its levels, where it starts anew, and the counters that it shares with others."""

    levels: Mapping[int, Level]
    starts: Mapping[int, int]
    counters: "_Counters"
    begun: set[int] = field(default_factory=set)


@dataclass(slots=True)
class _Counters:
    values: list[int | None] = field(default_factory=lambda: [None] * _LEVELS)


class Numbering:
    """The lists of a document, with their counters; it must be asked for each paragraph in the order of the text."""

    def __init__(self, root: etree._Element | None, styles: Styles) -> None:
        self._styles = styles
        self._lists: dict[int, _List] = {}
        if root is None:
            return
        abstracts = {e.get(qn("w:abstractNumId")): e for e in root.iterchildren(qn("w:abstractNum"))}
        instances = {number: e for e in root.iterchildren(qn("w:num")) if (number := _number(e, "w:numId")) is not None}
        levels: dict[str | None, dict[int, Level]] = {}
        counters: dict[str | None, _Counters] = {}
        for number, element in instances.items():
            abstract_id = self._resolve(value_of(element, "w:abstractNumId"), abstracts, instances)
            if abstract_id not in levels:
                levels[abstract_id] = _read_levels(abstracts.get(abstract_id))
                counters[abstract_id] = _Counters()
            own, starts = _read_overrides(element)
            self._lists[number] = _List({**levels[abstract_id], **own}, starts, counters[abstract_id])

    def _resolve(
        self,
        abstract_id: str | None,
        abstracts: Mapping[str | None, etree._Element],
        instances: Mapping[int, etree._Element],
    ) -> str | None:
        """Follow a list that is defined by a numbering style."""
        for _ in range(_MAX_LINKS):
            linked = value_of(abstracts.get(abstract_id), "w:numStyleLink")
            number_id = self._styles.get(linked).number_id if linked else None
            if number_id is None or number_id not in instances:
                break
            abstract_id = value_of(instances[number_id], "w:abstractNumId")
        return abstract_id

    def next_label(self, properties: etree._Element | None, style_id: str, style: Style) -> str | None:
        """Return the number of the paragraph and count it, `BULLET` for a bullet; None if it is not in a list."""
        numbering = None if properties is None else properties.find(qn("w:numPr"))
        number_id, level = number_of(numbering, "w:numId"), number_of(numbering, "w:ilvl")
        number_id = style.number_id if number_id is None else number_id
        if not number_id:
            return None
        found = self._lists.get(number_id)
        if level is None:
            by_style = (at for at, each in found.levels.items() if each.style == style_id) if found else iter(())
            level = next(by_style, style.number_level or 0)
        if found is None:  # a list that the file does not define
            return BULLET
        return _count(found, min(level, _LEVELS - 1))


def _number(element: etree._Element, attribute: str) -> int | None:
    value = str(element.get(qn(attribute), ""))
    return int(value) if value.isascii() and value.isdigit() and len(value) <= 9 else None


def _read_levels(parent: etree._Element | None) -> dict[int, Level]:
    children = () if parent is None else parent.iterchildren(qn("w:lvl"))
    return {at: _read_level(e) for e in children if (at := _number(e, "w:ilvl")) is not None and at < _LEVELS}


def _read_level(element: etree._Element) -> Level:
    fallback = element.find(f"{qn('mc:AlternateContent')}/{qn('mc:Fallback')}")
    start = number_of(element, "w:start")
    return Level(
        start=0 if start is None else start,
        format=value_of(element, "w:numFmt") or value_of(fallback, "w:numFmt") or "decimal",
        text=value_of(element, "w:lvlText") or "",
        restart=number_of(element, "w:lvlRestart"),
        is_legal=bool(is_on(element, "w:isLgl")),
        style=value_of(element, "w:pStyle") or "",
    )


def _read_overrides(element: etree._Element) -> tuple[dict[int, Level], dict[int, int]]:
    own: dict[int, Level] = {}
    starts: dict[int, int] = {}
    for override in element.iterchildren(qn("w:lvlOverride")):
        at = _number(override, "w:ilvl")
        if at is None or at >= _LEVELS:
            continue
        level = override.find(qn("w:lvl"))
        if level is not None:
            own[at] = _read_level(level)
        start = number_of(override, "w:startOverride")
        if start is not None:
            starts[at] = start
    return own, starts


def _count(each: _List, at: int) -> str:
    values = each.counters.values
    for higher in range(at):
        if values[higher] is None:  # a level that was skipped shows its first number
            values[higher] = _start(each, higher)
    if at in each.starts and at not in each.begun:
        values[at] = each.starts[at]
    else:
        value = values[at]
        values[at] = _start(each, at) if value is None else value + 1
    each.begun.add(at)
    for lower in range(at + 1, _LEVELS):
        restart = each.levels.get(lower, Level()).restart
        if restart is None or at < restart:
            values[lower] = None
    return _render(each, at)


def _start(each: _List, at: int) -> int:
    return each.starts.get(at, each.levels.get(at, Level()).start)


def _render(each: _List, at: int) -> str:
    level = each.levels.get(at, Level())
    if level.format in NO_NUMBER:
        return BULLET if level.format == "bullet" else _without_places(level.text)
    label = level.text
    for place in range(at + 1):
        mark = f"%{place + 1}"
        if mark in label:
            kind = "decimal" if level.is_legal else each.levels.get(place, Level()).format
            if kind.endswith("Text") and not level.text.isascii():  # Word counts in the language of the text
                kind = "decimal"
            label = label.replace(mark, format_number(each.counters.values[place] or 0, kind))
    return label.strip()


def _without_places(text: str) -> str:
    """Return the text of a level without numbers, if it has a text of its own: "Ghi chú:"."""
    return "" if "%" in text else text.strip()
