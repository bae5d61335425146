"""Tell the words that a page shows from those that are invisible, white, covered, beside it or struck out."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rag.parsing.pdf_content import Piece
from rag.parsing.pdf_drawings import MAX_OBJECTS, MIN_RULE_PT, RULE_THICKNESS_PT, Box, Drawings, area, clip, holds
from rag.parsing.pdf_words import Font

_MIN_TEXT_PT: Final = 1.5
_OCR_IMAGE_SHARE: Final = 0.2  # of the page: invisible text over an image of this size is what OCR read from it
_TILED_SHARE: Final = 0.5
_STRIKE_BAND: Final = (0.12, 0.5)  # of the text size, above the baseline: lower is underlined, higher is overlined


@dataclass(frozen=True, slots=True)
class Ground:
    """What the words stand on: the page, the images that may be scans, and the areas that cover, in their order."""

    page: Box
    scans: list[Box]
    covers: list[tuple[Box, int]]


def is_hidden(font: Font, box: Box, drawings: Drawings, ground: Ground) -> bool:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    if not holds(ground.page, x, y) or 0 < font.size < _MIN_TEXT_PT:
        return True
    if font.is_invisible:
        return not any(holds(image, x, y) for image in ground.scans)
    if font.is_white and drawings.count <= MAX_OBJECTS:
        return not (
            any(holds(image, x, y) for image in drawings.images)
            or any(holds(fill, x, y) for fill, *_ in drawings.fills)
        )
    return any(
        order > font.order and holds(cover, x, y) and cover[0] <= box[0] + 1 and cover[2] >= box[2] - 1
        for cover, order in ground.covers
    )


def find_scans(images: Sequence[Box], page: Box) -> list[Box]:
    """Return the images that may be scans: large ones, or the strips and tiles that cover the page together."""
    shares = [area(clip(box, page)) / (area(page) or 1.0) for box in images]
    if sum(shares) >= _TILED_SHARE:
        return list(images)
    return [box for box, share in zip(images, shares, strict=True) if share >= _OCR_IMAGE_SHARE]


def without_struck(pieces: Sequence[Piece], rules: Sequence[Box]) -> tuple[list[Piece], int]:
    """Return the pieces without a line through their middle, and the number of characters of the others."""
    flat = [rule for rule in rules if rule[3] - rule[1] <= RULE_THICKNESS_PT and rule[2] - rule[0] > MIN_RULE_PT / 2]
    flat.sort(key=_height_of)
    low, high = _STRIKE_BAND
    kept: list[Piece] = []
    struck = 0
    for piece in pieces:
        start = bisect_left(flat, piece.baseline + low * piece.size, key=_height_of)
        end = bisect_right(flat, piece.baseline + high * piece.size, key=_height_of)
        if any(_strikes(rule, piece, pieces) for rule in flat[start:end]):
            struck += len(piece.text)
        else:
            kept.append(piece)
    return kept, struck


def _height_of(rule: Box) -> float:
    return (rule[1] + rule[3]) / 2


def _strikes(rule: Box, piece: Piece, pieces: Sequence[Piece]) -> bool:
    """Return whether a rule at the height of a piece's middle strikes the piece out."""
    overlap = min(rule[2], piece.right) - max(rule[0], piece.left)
    if overlap < 0.8 * (piece.right - piece.left):
        return False
    # The rule of a table or form goes on where there is no text.
    line = [other for other in pieces if abs(other.baseline - piece.baseline) < piece.size / 4]
    slack = piece.size / 2
    return any(abs(other.left - rule[0]) <= slack for other in line) and any(
        abs(other.right - rule[2]) <= slack for other in line
    )
