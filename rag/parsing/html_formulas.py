"""Write what HTML sets higher, lower or as a formula in one line, so that no figure is changed by it.

`10<sup>6</sup>` is not 106, and the mark of a footnote is no part of the price before it.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

from lxml import etree

from rag.parsing.raised import ends_in_base, to_lowered, to_raised

_NUMBER = re.compile(r"\[?\(?(\d{1,3}|\*{1,3}|[†‡§¶]|[a-z])\)?\]?")
_NOTE_CLASS = re.compile(r"foot|note|refer|cite", re.IGNORECASE)


def read_script(element: etree._Element, before: str) -> str:
    """Return a raised or lowered text as it stands in a line after `before`."""
    text = " ".join("".join(map(str, element.itertext())).split())
    after = (element.tail or "")[:1]
    if not text:
        return ""
    if element.tag == "sub":
        # `H₂O` is searched as `H2O`; between figures the small ones must be told apart.
        lowered = to_lowered(text)
        if lowered and (before[-1:].isdigit() or after.isdigit()):
            return lowered
        return f"_{text}" if before[-1:].isdigit() and text[0].isdigit() else text
    is_note = _is_note(element) or not ends_in_base(before)
    if is_note and (mark := _NUMBER.fullmatch(text)) and before.strip() and (mark[1].isdigit() or _is_note(element)):
        return f"[{mark[1]}]"
    raised = to_raised(text)
    if raised and before.strip():
        return raised
    return f"^{text}" if before[-1:].isdigit() and text[0].isdigit() else text


def _is_note(element: etree._Element) -> bool:
    signs = (element.get("class", ""), element.get("id", ""), element.get("role", ""))
    return next(element.iter("a"), None) is not None or any(map(_NOTE_CLASS.search, signs))


def read_formula(element: etree._Element) -> str:
    """Return a formula of MathML in one line: `x = (a + b)/2`."""
    parts = [read_formula(child) + (child.tail or "").rstrip() for child in element if isinstance(child.tag, str)]
    tag = etree.QName(element).localname
    if tag.startswith("annotation"):  # the same formula, in another language
        return ""
    write = _FORMS.get((tag, len(parts)))
    if write is not None and not (element.text or "").strip():
        return write(*parts)
    text = (element.text or "").strip()
    if tag == "msqrt":
        return f"√{_group(text + ''.join(parts))}"
    return f" {text} " if tag == "mo" and text and text in "+-−=×·<>≤≥±÷" else text + "".join(parts)


def _group(text: str) -> str:
    text = text.strip()
    return text if text.isalnum() else f"({text})"


def _raise(base: str, power: str) -> str:
    return base + (to_raised(power) or f"^{_group(power)}")


def _write_fraction(upper: str, lower: str) -> str:
    return f"{_group(upper)}/{_group(lower)}"


def _lower(base: str, index: str) -> str:
    return f"{base}_{_group(index)}"


def _lower_and_raise(base: str, index: str, power: str) -> str:
    return _raise(_lower(base, index), power)


def _write_root(base: str, degree: str) -> str:
    return f"{_group(base)}^(1/{degree})"


# By element and number of parts.
_FORMS: Final[Mapping[tuple[str, int], Callable[..., str]]] = {
    ("mfrac", 2): _write_fraction,
    ("msup", 2): _raise,
    ("mover", 2): _raise,
    ("msub", 2): _lower,
    ("munder", 2): _lower,
    ("msubsup", 3): _lower_and_raise,
    ("munderover", 3): _lower_and_raise,
    ("mroot", 2): _write_root,
}
