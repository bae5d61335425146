"""Write raised and lowered figures as such: 10² is another number than 102."""

import re
from typing import Final

_RAISED: Final = str.maketrans("0123456789+-−n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻ⁿ")
_LOWERED: Final = str.maketrans("0123456789+-−", "₀₁₂₃₄₅₆₇₈₉₊₋₋")
_RAISABLE = re.compile(r"[+\-−]?[0-9n]+[+\-−]?")
_LOWERABLE = re.compile(r"[+\-−]?[0-9]+[+\-−]?")


def shift_figures(text: str, direction: int) -> str:
    """Return a run of text as it is printed: raised if `direction` is above 0, lowered below; words stay."""
    if direction > 0 and _RAISABLE.fullmatch(text.strip()):
        return text.translate(_RAISED)
    return text.translate(_LOWERED) if direction < 0 and _LOWERABLE.fullmatch(text.strip()) else text
