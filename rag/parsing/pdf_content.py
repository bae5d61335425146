"""Hold what one page of a PDF shows: words, rules and images with their positions, as the page is read."""

from collections.abc import Sequence
from dataclasses import dataclass

from rag.parsing.pdf_drawings import Box, area, clip


@dataclass(frozen=True, slots=True)
class Piece:
    """A word or a part of one, in one font; positions in points, as the page is read, origin at the bottom left.

    `is_spaced`: white space stands before it. `is_field`: it was filled into a form.
    """

    text: str
    box: Box
    baseline: float
    size: float
    bold: bool
    is_spaced: bool
    is_field: bool = False

    @property
    def left(self) -> float:
        return self.box[0]

    @property
    def right(self) -> float:
        return self.box[2]

    @property
    def center(self) -> tuple[float, float]:
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2


@dataclass(frozen=True, slots=True)
class PageContent:
    """What a page shows. `turned` and `slanted` are texts in another direction than most of the page's.

    `rules` are thin straight lines, as boxes. `hidden`, `struck`, `unreadable` count characters left out.
    """

    width: float
    height: float
    turn: int  # quarter turns of the text, counter-clockwise
    origin: tuple[float, float]
    pieces: list[Piece]
    turned: list[Piece]
    slanted: str
    rules: list[Box]
    images: list[Box]
    panels: list[Box]  # dark areas
    object_count: int
    hidden: int
    struck: int
    unreadable: int

    def place(self, box: Box) -> Box:
        """Return a box of the page's own coordinates as the page is read."""
        return turn_box(box, self.turn, self.origin, (self.width, self.height))

    def share(self, boxes: Sequence[Box]) -> float:
        """Return the share of the page that the boxes cover, if they do not overlap."""
        page = 0.0, 0.0, self.width, self.height
        return sum(area(clip(box, page)) for box in boxes) / (area(page) or 1.0)


def turn_box(box: Box, turn: int, origin: tuple[float, float], size: tuple[float, float]) -> Box:
    """Return the box seen by a reader who turned the page so that the text is upright; `size` is that reader's."""
    left, bottom, right, top = box[0] - origin[0], box[1] - origin[1], box[2] - origin[0], box[3] - origin[1]
    width, height = size
    if turn == 1:
        return bottom, height - right, top, height - left
    if turn == 2:
        return width - right, height - top, width - left, height - bottom
    if turn == 3:
        return width - top, left, width - bottom, right
    return left, bottom, right, top
