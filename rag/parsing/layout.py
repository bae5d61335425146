"""Rebuild paragraphs and headings from lines on pages: a PDF has lost them, but sizes, gaps and edges tell.

This file does not import PDFium, so its rules can be tested on lines made by hand.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from rag.parsing.blocks import Block, Glue

_HEADING_SIZE_RATIO: Final = 1.12
_MAX_HEADING_CHARS: Final = 160
_MAX_HEADING_LEVEL: Final = 6
_PARAGRAPH_GAP_RATIO: Final = 1.4  # of the usual distance between two baselines
_SAME_COLUMN_SHARE: Final = 0.4  # of the page's text width; a second column begins further right than this
_LEFT_STEP_PT: Final = 5.0
_EDGE_LINES: Final = 2  # lines at the top and the bottom of a page that may be a running header or footer
_MIN_RUNNING_PAGES: Final = 3

_BULLET = re.compile(r"[-•▪‣◦*–—\uf0b7\uf0a7]\s")
_NUMBERED = re.compile(r"\(?(?:\d{1,2}|[a-zđ])[.)]\s")
_ENDS_SENTENCE = re.compile(r"[.!?…:;。！？][\"'”’)\]]*$")
_ENDS_NO_HEADING = re.compile(r"[.,;:]$")
_NUMBER = re.compile(r"\b\d{1,4}\b")
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_BROKEN_WORD = re.compile("([^\\W\\d_]+)\ufffe([^\\W\\d_]+)")
_LINE_END_HYPHEN: Final = (
    "\ufffe"  # PDFium's character for a hyphen at the end of a line, which it joins with the next line
)


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


def to_blocks(pages: Sequence[Sequence[Line]]) -> list[Block]:
    """Return paragraphs and headings in reading order; a paragraph that crosses pages is one block on each page."""
    lines = _without_running_lines(pages)
    if not lines:
        return []
    style = _Style.of(lines)
    hyphenation = _Hyphenation(lines)
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
        body_size = _usual_size(lines)
        bold_chars = sum(len(line.text) for line in lines if line.bold)
        heading_sizes = {line.size for line in lines if line.size >= _HEADING_SIZE_RATIO * body_size}
        gaps = sorted(
            before.baseline - line.baseline
            for before, line in pairwise(lines)
            if before.page == line.page and before.baseline - line.baseline > body_size / 2
        )
        return cls(
            body_size=body_size,
            body_is_bold=2 * bold_chars > sum(len(line.text) for line in lines),
            pitch=gaps[len(gaps) // 4] if gaps else 1.2 * body_size,  # most paragraphs have several lines, not all
            heading_sizes=sorted(heading_sizes, reverse=True),
            right_edges=_right_edges(lines),
        )

    def level(self, before: Line | None, line: Line) -> int:
        """Return the level of the heading that the line belongs to; 0 if none."""
        if not 1 < len(line.text) <= _MAX_HEADING_CHARS or not any(char.isalpha() for char in line.text):
            return 0
        if line.size in self.heading_sizes:
            return min(1 + self.heading_sizes.index(line.size), _MAX_HEADING_LEVEL)
        stands_off = before is None or before.page != line.page or self._is_apart(before, line) or before.bold
        if line.bold and not self.body_is_bold and stands_off and not _ENDS_NO_HEADING.search(line.text):
            return min(1 + len(self.heading_sizes), _MAX_HEADING_LEVEL)
        return 0

    def seam(self, before: Line, line: Line, level_before: int, level: int) -> Glue:
        """Return what separates two lines: a space inside a paragraph, a line break, or a blank line."""
        is_finished = _ENDS_SENTENCE.search(before.text) is not None
        if level != level_before:
            return "\n\n"
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


def _right_edges(lines: Sequence[Line]) -> dict[tuple[int, int], float]:
    """Return the right edge of the column of lines, by page and left position."""
    by_page: dict[int, dict[int, float]] = {}
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
            )
            edges[page, left] = max(near, default=columns[left])
    return edges


def _without_running_lines(pages: Sequence[Sequence[Line]]) -> list[Line]:
    """Return all lines except running headers and footers.

    A line at the edge of a page is one if it repeats on half of the pages, or if it counts pages.
    """
    body_size = _usual_size([line for lines in pages for line in lines])
    edges = [{*lines[:_EDGE_LINES], *lines[-_EDGE_LINES:]} for lines in pages]
    same = Counter(text for edge in edges for text in {line.text for line in edge})
    numbered = Counter(key for edge in edges for key in {key for line in edge for key in _page_number_keys(line)})
    needed = max(_MIN_RUNNING_PAGES, len(pages) / 2)

    def is_running(line: Line) -> bool:
        counts_pages = line.size <= body_size and any(
            numbered[key] >= _MIN_RUNNING_PAGES for key in _page_number_keys(line)
        )
        return counts_pages or same[line.text] >= needed

    return [
        line
        for lines, edge in zip(pages, edges, strict=True)
        for line in lines
        if line not in edge or not is_running(line)
    ]


def _page_number_keys(line: Line) -> list[str]:
    """Return the text with its first and its last number relative to the page: equal on all pages if it counts them."""
    if _ENDS_SENTENCE.search(line.text):  # "Điều 3 có hiệu lực." at the top of page 3 is text
        return []
    found = list(_NUMBER.finditer(line.text))
    return [
        f"{line.text[: match.start()]}#{int(match[0]) - line.page}#{line.text[match.end() :]}"
        for match in (*found[:1], *found[1:][-1:])
    ]


def _usual_size(lines: Sequence[Line]) -> float:
    sizes: Counter[float] = Counter()
    for line in lines:
        sizes[line.size] += len(line.text)
    return sizes.most_common(1)[0][0] if sizes else 0.0


class _Hyphenation:
    """Tells hyphens added at the end of a line from those of the word, by the spelling in the rest of the document."""

    def __init__(self, lines: Sequence[Line]) -> None:
        whole = (_BROKEN_WORD.sub(" ", line.text) for line in lines)
        self._known = {word for text in whole for word in _WORD.findall(text.lower())}

    def repair(self, text: str) -> str:
        return _BROKEN_WORD.sub(self._join, text).replace(_LINE_END_HYPHEN, "-")

    def _join(self, broken: re.Match[str]) -> str:
        first, second = broken[1].lower(), broken[2].lower()
        is_compound = f"{first}-{second}" in self._known or {first, second} <= self._known
        return (
            f"{broken[1]}-{broken[2]}" if is_compound and first + second not in self._known else broken[1] + broken[2]
        )
