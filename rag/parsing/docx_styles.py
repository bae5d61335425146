"""Read the styles of a Word file: what a paragraph or a run has by its style, and by those that it is based on."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from lxml import etree

from rag.parsing.docx_package import is_on, number_of, qn, value_of

_HEADING_NAME = re.compile(r"heading ([1-9])", re.IGNORECASE)
_BODY_OUTLINE: Final = 9  # an outline level of nine says: no heading
_MAX_BASES: Final = 50


@dataclass(frozen=True, slots=True)
class Style:
    """What a style gives; None where it says nothing. `level` is that of a heading, 0 for the title."""

    name: str = ""
    level: int | None = None
    is_contents: bool = False
    number_id: int | None = None
    number_level: int | None = None
    is_hidden: bool | None = None
    is_struck: bool | None = None
    is_bold: bool | None = None


_NO_STYLE: Final = Style()


class Styles:
    """The styles by id; what a style does not say, the one that it is based on does."""

    def __init__(self, root: etree._Element | None) -> None:
        elements = (
            {} if root is None else {str(e.get(qn("w:styleId"), "")): e for e in root.iterchildren(qn("w:style"))}
        )
        self._elements: Mapping[str, etree._Element] = elements
        self._known: dict[str, Style] = {}
        self.default = next(
            (
                name
                for name, e in elements.items()
                if e.get(qn("w:type")) == "paragraph" and e.get(qn("w:default")) in ("1", "true", "on")
            ),
            "",
        )

    def get(self, style_id: str | None) -> Style:
        """Return a style; one that says nothing if there is no such style."""
        chain: list[str] = []
        while style_id and style_id not in self._known and style_id in self._elements and len(chain) < _MAX_BASES:
            chain.append(style_id)
            style_id = value_of(self._elements[style_id], "w:basedOn")
            if style_id in chain:
                break
        style = self._known.get(style_id or "", _NO_STYLE)
        for each in reversed(chain):
            style = self._known[each] = _read_style(self._elements[each], style)
        return style


def _read_style(element: etree._Element, base: Style) -> Style:
    name = value_of(element, "w:name") or ""
    paragraph, run = element.find(qn("w:pPr")), element.find(qn("w:rPr"))
    level = base.level
    if found := _HEADING_NAME.fullmatch(name):
        level = int(found[1])
    elif name == "Title":
        level = 0
    elif (outline := number_of(paragraph, "w:outlineLvl")) is not None:
        level = outline + 1 if outline < _BODY_OUTLINE else None
    numbering = None if paragraph is None else paragraph.find(qn("w:numPr"))
    style = replace(base, name=name, level=level, is_contents=name.lower().startswith("toc "))
    number_id, number_level = number_of(numbering, "w:numId"), number_of(numbering, "w:ilvl")
    hidden, bold = is_on(run, "w:vanish"), is_on(run, "w:b")
    struck = read_struck(run)
    return replace(
        style,
        number_id=base.number_id if number_id is None else number_id,
        number_level=base.number_level if number_level is None else number_level,
        is_hidden=base.is_hidden if hidden is None else hidden,
        is_bold=base.is_bold if bold is None else bold,
        is_struck=base.is_struck if struck is None else struck,
    )


def read_struck(run: etree._Element | None) -> bool | None:
    """Return whether run properties strike the text out, once or twice; None if they say nothing."""
    once, twice = is_on(run, "w:strike"), is_on(run, "w:dstrike")
    return None if once is None and twice is None else bool(once or twice)
