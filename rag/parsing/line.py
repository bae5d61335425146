"""Hold one line of a page, from which paragraphs and headings are rebuilt."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

HEADING_SIZE_RATIO: Final = 1.12
ENDS_SENTENCE = re.compile(r"[.!?…:;。！？][\"'”’)\]]*$")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a page; sizes and positions in points, with the origin at the bottom left."""

    text: str
    page: int
    size: float
    bold: bool
    left: float
    right: float
    baseline: float
    row: int = 0  # the number of the table that the line is a row of; 0: no table


def usual_size(lines: Sequence[Line]) -> float:
    sizes: Counter[float] = Counter()
    for line in [line for line in lines if not line.row] or lines:
        sizes[line.size] += len(line.text)
    return sizes.most_common(1)[0][0] if sizes else 0.0
