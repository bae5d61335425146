"""Read what single HTML elements say: numbers, pictures, form fields, links, and whether a table holds data."""

import re
from typing import Final

from lxml import etree

_HEADINGS: Final = tuple(f"h{level}" for level in range(1, 7))
# A table without `th` that holds one of these arranges the page; its cells are not data.
_LAYOUT_SIGNS: Final = ("table", "article", "section", "main", "form", *_HEADINGS)
_NUMBER_DIGITS: Final = 5
_FILE_NAME = re.compile(r"\S+\.(?:png|jpe?g|gif|svg|webp|bmp)", re.IGNORECASE)
_SHOWN_INPUTS: Final = frozenset(("", "text", "email", "number", "date", "tel", "url", "time", "month", "search"))
_ROMAN: Final = ((100, "c"), (90, "xc"), (50, "l"), (40, "xl"), (10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"))
_MAX_SIMPLE_LETTER: Final = 26
_MAX_ROMAN: Final = 399


def read_number(value: str | None, default: int) -> int:
    """Return the value of an attribute, or the default if it is no number of a few digits."""
    value = (value or "").strip()
    digits = value.removeprefix("-")
    return int(value) if digits.isascii() and digits.isdigit() and len(digits) < _NUMBER_DIGITS else default


def write_number(number: int, form: str) -> str:
    """Return the number of an item in the form of `type`: `1`, `a`, `A`, `i` or `I`."""
    if form in ("a", "A") and 0 < number <= _MAX_SIMPLE_LETTER:
        return chr(ord(form) + number - 1)
    if form in ("i", "I") and 0 < number <= _MAX_ROMAN:
        text = ""
        for value, letters in _ROMAN:
            text += letters * (number // value)
            number %= value
        return text.upper() if form == "I" else text
    return str(number)


def holds_data(table: etree._Element) -> bool:
    """Return whether the rows of the table are data, and not the arrangement of the page."""
    if table.get("role") in ("presentation", "none"):
        return False
    rows = [row for row in table.iterdescendants("tr") if next(row.iterancestors("table")) is table]
    cells = [[cell for cell in row if cell.tag in ("td", "th")] for row in rows]
    if any(cell.tag == "th" for row in cells for cell in row):
        return True
    signs = list(table.iterdescendants(*_LAYOUT_SIGNS))
    if not signs:
        return True
    widths = {sum(max(1, read_number(cell.get("colspan"), 1)) for cell in row) for row in cells}
    is_grid = len(rows) > 1 and len(widths) == 1 and min(widths) > 1
    return is_grid and all(sign.tag in _HEADINGS and _fills_cell(sign) for sign in signs)


def _fills_cell(heading: etree._Element) -> bool:
    cell = heading.getparent()
    return (
        cell is not None
        and cell.tag in ("td", "th")
        and len(cell) == 1
        and not f"{cell.text or ''}{heading.tail or ''}".strip()
    )


def read_picture(element: etree._Element) -> str:
    """Return what a picture says: its description, unless it is a file's name or stands below as the caption too."""
    text = (element.get("alt") or "").strip()
    figure = next(element.iterancestors("figure"), None)
    captions = (
        [] if figure is None else ["".join(map(str, each.itertext())).split() for each in figure.iter("figcaption")]
    )
    return "" if _FILE_NAME.fullmatch(text) or text.split() in captions else text


def read_input(element: etree._Element) -> str:
    """Return whether a box is ticked, or what was written into a field."""
    kind = element.get("type", "").lower()
    if kind in ("checkbox", "radio"):
        return "[x] " if "checked" in element.attrib else "[ ] "
    return f" {element.get('value', '')} " if kind in _SHOWN_INPUTS else ""


def read_address(link: etree._Element) -> str:
    """Return the address that a click would write or call, if the words of the link do not say it."""
    scheme, _, address = link.get("href", "").strip().partition(":")
    address = address.partition("?")[0].strip()
    text = "".join(map(str, link.itertext()))
    if scheme.lower() == "mailto" and address and address.lower() not in text.lower():
        return f" ({address})"
    is_said = re.sub(r"\D", "", address)[-7:] in re.sub(r"\D", "", text)
    return f" ({address})" if scheme.lower() == "tel" and address and not is_said else ""
