"""Read the figures of a text as values, in any notation: `1,000`, `1.000`, `1.5 million`, `hai mươi lăm`, `ninety`.

A comma separates thousands in English and decimals in Vietnamese; a full stop does the reverse. Exactly three digits
after either are read as thousands in both languages, so that the notations of draft and document need not agree.
"""

import re
from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

_TOLERANCE: Final = 0.01  # relative: "about 11,200" for 11,160; small figures are counts, not estimates
_ROUNDING: Final = 1e-9  # relative, for floats
_LAST_YEAR: Final = 2_100.0  # up to here a figure may be a year, and must be exact

_EN_UNITS: Final = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_EN_TENS: Final = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_VI_UNITS: Final = ("không", "một", "hai", "ba", "bốn", "năm", "sáu", "bảy", "tám", "chín", "mười")
_VI_VARIANTS: Final = {"mốt": 1, "tư": 4, "lăm": 5, "nhăm": 5, "bẩy": 7}
_SMALL: Final = {
    **{word: value for value, word in enumerate(_EN_UNITS)},
    **{word: 10 * value for value, word in enumerate(_EN_TENS, start=2)},
    **{word: value for value, word in enumerate(_VI_UNITS)},
    **_VI_VARIANTS,
}
_OPEN_TENS: Final = frozenset({*_EN_TENS, "mươi", "mười"})  # a unit may follow: "twenty-five", "hai mươi lăm"
# Alone these also mean "a", "not", "year", "father", "cooked": a passage with one holds the figure, but a draft with
# one does not require it.
_AMBIGUOUS: Final = frozenset({"one", "một", "không", "zero", "năm", "tư", "mốt", "lăm", "nhăm", "ba", "chín"})
_EN_SCALES: Final = {"hundred": 1e2, "thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12}
_VI_SCALES: Final = {"trăm": 1e2, "nghìn": 1e3, "ngàn": 1e3, "triệu": 1e6, "tỷ": 1e9, "tỉ": 1e9}
_SCALES: Final = {**_EN_SCALES, **_VI_SCALES}
_TOKEN = re.compile(r"(?P<digits>\d+(?:[.,\u00a0\u202f]\d+)*)|(?P<word>[^\W\d_]+)")
_SEPARATOR = re.compile(r"[.,\u00a0\u202f]")
_LINK = re.compile(r"[\s-]{1,2}")
_MAX_DIGITS: Final = 40  # of one part of a figure; the rest is cut off, because a float must hold the value


def find_figures(text: str, *, ambiguous: bool) -> list[float]:
    """Return the figures of a text (lower case, NFC), in order; `ambiguous` includes words that often mean others."""
    return [value for value, _, _ in locate_figures(text, ambiguous=ambiguous)]


def locate_figures(text: str, *, ambiguous: bool) -> list[tuple[float, int, int]]:
    """Return the figures with their (start, end) in the text: of `1.5 million` all characters."""
    found: list[tuple[float, int, int]] = []
    tokens = list(_TOKEN.finditer(text))
    at = 0
    while at < len(tokens):
        token, end = tokens[at], at + 1
        values: list[float] = []
        if token["digits"]:
            values = _read_digits(token["digits"])
        elif token["word"] in _SMALL:
            end = _end_of_words(text, tokens, at)
            values = [float(_read_words([part["word"] for part in tokens[at:end]]))]
        is_vague = end == at + 1 and token["word"] in _AMBIGUOUS
        while values and (scale := _scale(text, tokens, end)):
            values[-1] *= scale
            is_vague = False
            end += 1
        if ambiguous or not is_vague:
            found.extend((value, tokens[at].start(), tokens[end - 1].end()) for value in values)
        at = end
    return found


class FigureSet:
    """The figures of some texts; membership allows the tolerance of an estimate."""

    def __init__(self, values: Sequence[float]) -> None:
        self._values = sorted(values)

    def __contains__(self, value: float) -> bool:
        slack = value * (_TOLERANCE if value > _LAST_YEAR else _ROUNDING)
        at = bisect_left(self._values, value - slack)
        return at < len(self._values) and self._values[at] <= value + slack


def _read_digits(digits: str) -> list[float]:
    """`1,000` → 1000; `2.5`, `2,5` → 2.5; `1.234.567,8` → 1234567.8; `01.07.2026` → its three parts."""
    parts = [part[:_MAX_DIGITS] for part in _SEPARATOR.split(digits)]
    in_thousands = len(parts[0]) <= 3 and parts[0] != "0" and all(len(part) == 3 for part in parts[1:-1])
    if in_thousands and len(parts) > 1 and len(parts[-1]) == 3:
        return [float("".join(parts))]
    changes_separator = digits[-len(parts[-1]) - 1 :][:1] != digits[len(parts[0]) :][:1]
    if len(parts) == 2 or (len(parts) > 2 and in_thousands and changes_separator):
        return [float("".join(parts[:-1]) + "." + parts[-1])]
    return [float(part) for part in parts]


def _end_of_words(text: str, tokens: Sequence[re.Match[str]], at: int) -> int:
    """Return the end of the run of number words that begins at token `at`."""
    end = at + 1
    while end < len(tokens) and _LINK.fullmatch(text, tokens[end - 1].end(), tokens[end].start()):
        before, word = tokens[end - 1]["word"], tokens[end]["word"]
        is_unit = before in _OPEN_TENS and word in _SMALL and _SMALL[word] < 10
        if not is_unit and word != "mươi":
            break
        end += 1
    return end


def _read_words(names: Sequence[str]) -> int:
    value = 0
    for name in names:
        value = value * 10 if name == "mươi" else value + _SMALL[name]
    return value


def _scale(text: str, tokens: Sequence[re.Match[str]], at: int) -> float | None:
    if at >= len(tokens) or not _LINK.fullmatch(text, tokens[at - 1].end(), tokens[at].start()):
        return None
    return _SCALES.get(tokens[at]["word"] or "")
