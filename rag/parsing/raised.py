"""Write raised and lowered figures as such, for all readers: 10² is another number than 102."""

import re
from typing import Final

_RAISED: Final = str.maketrans("0123456789+-−=()ni", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿⁱ")
_LOWERED: Final = str.maketrans("0123456789+-−=()", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎")
# One letter at most: a raised "in" is a word.
_RAISABLE = re.compile(r"(?=.)[0-9+\-−=()]*[ni]?[0-9+\-−=()]*")
_LOWERABLE = re.compile(r"[0-9+\-−=()]+")
# What is raised to a power: 10 or 2, a unit of length, or one letter; another word or figure before has a footnote.
_BASE = re.compile(r"(?:(?<![\d.,])(?:10|2)|(?<![^\W\d_])(?:[kdcmµμn]?m|ft|in|yd|s|[^\W\d_])|[)\]])\Z")


def to_raised(text: str) -> str | None:
    """Return the text in raised characters; None if Unicode has none for some of it."""
    return text.translate(_RAISED) if _RAISABLE.fullmatch(text.strip()) else None


def to_lowered(text: str) -> str | None:
    """Return the text in lowered characters; None if Unicode has none for some of it."""
    return text.translate(_LOWERED) if _LOWERABLE.fullmatch(text.strip()) else None


def ends_in_base(before: str) -> bool:
    """Return whether what is raised after this text is a power, and not the mark of a note."""
    return _BASE.search(before) is not None


def shift_figures(text: str, direction: int) -> str:
    """Return a run of text as it is printed: raised if `direction` is above 0, lowered below; words stay."""
    shifted = to_raised(text) if direction > 0 else to_lowered(text) if direction < 0 else None
    return shifted or text
