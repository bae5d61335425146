"""Rebuild paragraphs and headings from lines on pages: a PDF has lost them, but sizes, gaps and edges tell.

This file does not import PDFium, so its rules can be tested on lines made by hand.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from rag.parsing.blocks import Block, Glue
from rag.parsing.hyphenation import Hyphenation
from rag.parsing.line import ENDS_SENTENCE, HEADING_SIZE_RATIO, Line, usual_size
from rag.parsing.running_lines import without_running_lines

_MAX_HEADING_CHARS: Final = 160
_MAX_HEADING_LEVEL: Final = 6
_PARAGRAPH_GAP_RATIO: Final = 1.4  # of the usual distance between two baselines
_SAME_COLUMN_SHARE: Final = 0.4  # of the page's text width; a second column begins further right than this
_LEFT_STEP_PT: Final = 5.0
_BULLET = re.compile(r"[-•▪‣◦*–—\uf0b7\uf0a7]\s")
_NUMBERED = re.compile(r"\(?(?:\d{1,2}|[a-zđ])[.)]\s")
_ENDS_NO_HEADING = re.compile(r"[.,;:]$")
_SECTION = re.compile(r"(?:Điều|Chương|Mục|Phần|Article|Section|Chapter|Part)\s+(?:\d{1,4}|[IVXLC]{1,6})\b[.:]?(?!\S)")


def to_blocks(
    pages: Sequence[Sequence[Line]], *, heights: Sequence[float] = (), labels: Sequence[str] = ()
) -> list[Block]:
    """Return paragraphs and headings in reading order; a paragraph that crosses pages is one block on each page.

    `heights` and `labels` are those of the pages; a height of 0 is unknown, a label is the printed page number.
    """
    lines = without_running_lines(pages, heights or [0.0] * len(pages), labels or [""] * len(pages))
    if not lines:
        return []
    style = _Style.of(lines)
    hyphenation = Hyphenation(lines)
    blocks: list[Block] = []
    current: list[str] = []
    glue: Glue = "\n\n"
    level = 0
    for before, line in zip([None, *lines], [*lines, None], strict=True):
        line_level = style.level(before, line) if line else 0
        seam = style.seam(before, line, level, line_level) if before and line else "\n\n"
        is_new = seam != " " or line is None or before is None or before.page != line.page
        if is_new and before is not None:
            blocks.append(Block(hyphenation.repair(" ".join(current)), level, glue, before.page))
        if line is not None:
            current, glue, level = ([line.text], seam, line_level) if is_new else ([*current, line.text], glue, level)
    return blocks


@dataclass(frozen=True, slots=True)
class _Style:
    """What is usual in this document; headings and paragraph breaks differ from it."""

    body_size: float
    body_is_bold: bool
    pitch: float
    heading_sizes: Sequence[float]
    right_edges: Mapping[tuple[int, int], float]

    @classmethod
    def of(cls, lines: Sequence[Line]) -> "_Style":
        lines = [line for line in lines if not line.row] or lines
        body_size = usual_size(lines)
        bold_chars = sum(len(line.text) for line in lines if line.bold)
        heading_sizes = {line.size for line in lines if line.size >= HEADING_SIZE_RATIO * body_size}
        gaps = sorted(
            before.baseline - line.baseline
            for before, line in pairwise(lines)
            if before.page == line.page and before.baseline - line.baseline > body_size / 2
        )
        body_is_bold = 2 * bold_chars > sum(len(line.text) for line in lines)
        return cls(
            body_size=body_size,
            body_is_bold=body_is_bold,
            pitch=gaps[len(gaps) // 4] if gaps else 1.2 * body_size,  # most paragraphs have several lines, not all
            heading_sizes=sorted(heading_sizes, reverse=True),
            right_edges=_right_edges(lines, body_size, body_is_bold),
        )

    def level(self, before: Line | None, line: Line) -> int:
        """Return the level of the heading that the line belongs to; 0 if none."""
        if line.row:
            return 0
        if not 1 < len(line.text) <= _MAX_HEADING_CHARS or not any(char.isalpha() for char in line.text):
            return 0
        if line.size in self.heading_sizes:
            return min(1 + self.heading_sizes.index(line.size), _MAX_HEADING_LEVEL)
        stands_off = before is None or before.page != line.page or self._is_apart(before, line) or before.bold
        stands_off = stands_off or _SECTION.match(line.text) is not None
        if line.bold and not self.body_is_bold and stands_off and not _ENDS_NO_HEADING.search(line.text):
            return min(1 + len(self.heading_sizes), _MAX_HEADING_LEVEL)
        return 0

    def seam(self, before: Line, line: Line, level_before: int, level: int) -> Glue:
        """Return what separates two lines: a space inside a paragraph, a line break, or a blank line."""
        is_finished = ENDS_SENTENCE.search(before.text) is not None
        begins = not level and _SECTION.match(line.text) and (is_finished or self._had_room(before, line))
        if before.row or line.row or level != level_before or begins:
            return "\n" if before.row and before.row == line.row else "\n\n"
        if before.page != line.page or line.baseline > before.baseline + self.pitch:  # next page or column
            return " " if not level and not is_finished and line.text[0].islower() else "\n\n"
        if self._is_apart(before, line) or abs(before.size - line.size) > 0.12 * self.body_size:
            return "\n\n"
        if _BULLET.match(line.text) or (is_finished and _NUMBERED.match(line.text)):
            return "\n"
        if self._had_room(before, line):
            return "\n\n" if is_finished or level else "\n"
        return " "

    def _is_apart(self, before: Line, line: Line) -> bool:
        usual = self.pitch * max(1.0, line.size / self.body_size)
        return before.baseline - line.baseline > _PARAGRAPH_GAP_RATIO * usual

    def _had_room(self, before: Line, line: Line) -> bool:
        """Return whether the line's first word would have fitted on the line before; if so, the author broke it."""
        char_width = (line.right - line.left) / len(line.text)
        word_width = char_width * (len(line.text.split(maxsplit=1)[0]) + 1)
        return before.right + word_width < self.right_edges[_edge_key(before)] - char_width


def _edge_key(line: Line) -> tuple[int, int]:
    return line.page, round(line.left / _LEFT_STEP_PT)


def _right_edges(lines: Sequence[Line], body_size: float, body_is_bold: bool) -> dict[tuple[int, int], float]:
    """Return the right edge of the column of lines, by page and left position."""
    by_page: dict[int, dict[int, float]] = {}
    # The lines of a heading are often centred: they say nothing about the column.
    body = {
        _edge_key(line) for line in lines if line.size < HEADING_SIZE_RATIO * body_size and line.bold <= body_is_bold
    }
    for line in lines:
        page, left = _edge_key(line)
        columns = by_page.setdefault(page, {})
        columns[left] = max(columns.get(left, line.right), line.right)
    edges: dict[tuple[int, int], float] = {}
    for page, columns in by_page.items():
        width = max(columns.values()) - min(columns) * _LEFT_STEP_PT
        for left in columns:
            near = (
                right
                for other, right in columns.items()
                if abs(other - left) * _LEFT_STEP_PT < _SAME_COLUMN_SHARE * width
                and (other == left or (page, other) in body)
            )
            edges[page, left] = max(near, default=columns[left])
    return edges
