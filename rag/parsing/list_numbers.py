"""Write the numbers that lists are counted with: digits, letters, Roman and spelt-out ones.

Kinds have the names of ISO/IEC 29500-1, section 17.18.59.
"""

from typing import Final

NO_NUMBER: Final = ("none", "bullet")
_MAX_LETTERS: Final = 30  # "aaa" is 55 of 26 letters; a document may claim to start at a billion
_MAX_ROMAN: Final = 3999
_ROMANS: Final = (
    (1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl"), (10, "x"),
    (9, "ix"), (5, "v"), (4, "iv"), (1, "i"),
)  # fmt: skip
_ENGLISH: Final = (
    "Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten", "Eleven", "Twelve",
)  # fmt: skip
_ENGLISH_ORDINALS: Final = (
    "Zeroth", "First", "Second", "Third", "Fourth", "Fifth", "Sixth", "Seventh", "Eighth", "Ninth", "Tenth",
)  # fmt: skip
_VIETNAMESE: Final = ("không", "một", "hai", "ba", "bốn", "năm", "sáu", "bảy", "tám", "chín", "mười")


def format_number(value: int, kind: str) -> str:  # noqa: PLR0911 - one line for each kind of number
    """Return a number as a list of this kind writes it; kinds that are not known are written in digits."""
    if kind in ("lowerLetter", "upperLetter") and 0 < value <= 26 * _MAX_LETTERS:
        letters = chr(ord("a") + (value - 1) % 26) * ((value - 1) // 26 + 1)
        return letters if kind == "lowerLetter" else letters.upper()
    if kind in ("lowerRoman", "upperRoman") and 0 < value <= _MAX_ROMAN:
        return _roman(value) if kind == "lowerRoman" else _roman(value).upper()
    if kind in NO_NUMBER:
        return ""
    if kind == "decimalZero":
        return f"{value:02}"
    if kind == "ordinal":
        teen = 10 < value % 100 < 14
        return f"{value}{'th' if teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(value % 10, 'th')}"
    if kind == "cardinalText" and value < len(_ENGLISH):
        return _ENGLISH[value]
    if kind == "ordinalText" and value < len(_ENGLISH_ORDINALS):
        return _ENGLISH_ORDINALS[value]
    if kind == "vietnameseCounting" and value < len(_VIETNAMESE):
        return _VIETNAMESE[value]
    return str(value)


def _roman(value: int) -> str:
    pieces = []
    for worth, letters in _ROMANS:
        pieces.append(letters * (value // worth))
        value %= worth
    return "".join(pieces)
