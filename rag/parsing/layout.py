"""Rebuild paragraphs and headings from lines on pages: a PDF has lost them, but sizes, gaps and edges tell.

This file does not import PDFium, so its rules can be tested on lines made by hand.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence, Set
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
_EDGE_ROWS: Final = 3  # at the top and the bottom of a page, which may be a running header or footer
_MARGIN_SHARE: Final = 0.15  # of the page's height: a running header or footer stands in it
_STANDS_OFF_RATIO: Final = 1.4  # of the usual distance between two baselines
_MAX_PITCH_RATIO: Final = 2.2  # of the text size: where pages have a line or two, the usual distance is unknown
_SMALL_RATIO: Final = 0.9  # of the text size: smaller lines at the edge of a page need not stand off
_SAME_PLACE_PT: Final = 3.0
_MIN_RUNNING_PAGES: Final = 3

_BULLET = re.compile(r"[-•▪‣◦*–—\uf0b7\uf0a7]\s")
_NUMBERED = re.compile(r"\(?(?:\d{1,2}|[a-zđ])[.)]\s")
_ENDS_SENTENCE = re.compile(r"[.!?…:;。！？][\"'”’)\]]*$")
_ENDS_NO_HEADING = re.compile(r"[.,;:]$")
_SECTION = re.compile(r"(?:Điều|Chương|Mục|Phần|Article|Section|Chapter|Part)\s+(?:\d{1,4}|[IVXLC]{1,6})\b[.:]?(?!\S)")
_COUNTED = re.compile(
    r"(?:Điều|Chương|Mục|Phần|Bài|Câu|Bước|Phụ lục|Bảng|Hình|Tuần|Ngày|Article|Section|Chapter|Part|Lesson|Unit|Week"
    r"|Day|Question|Step|Annex|Appendix|Table|Figure|Example|Exercise)\s+\d{1,4}\b",
    re.IGNORECASE,
)
_PAGE_NUMBER = re.compile(
    r"[-–—\s]*(?:(?:trang|page|p\.|seite|tr\.)\s*)?(?:\d{1,4}|[ivxlc]{1,7})(?:\s*(?:/|of|von|trên)\s*\d{1,4})?[-–—\s]*",
    re.IGNORECASE,
)
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
    row: int = 0  # the number of the table that the line is a row of; 0: no table


def to_blocks(
    pages: Sequence[Sequence[Line]], *, heights: Sequence[float] = (), labels: Sequence[str] = ()
) -> list[Block]:
    """Return paragraphs and headings in reading order; a paragraph that crosses pages is one block on each page.

    `heights` and `labels` are those of the pages; a height of 0 is unknown, a label is the printed page number.
    """
    lines = _without_running_lines(pages, heights or [0.0] * len(pages), labels or [""] * len(pages))
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
        lines = [line for line in lines if not line.row] or lines
        body_size = _usual_size(lines)
        bold_chars = sum(len(line.text) for line in lines if line.bold)
        heading_sizes = {line.size for line in lines if line.size >= _HEADING_SIZE_RATIO * body_size}
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
        is_finished = _ENDS_SENTENCE.search(before.text) is not None
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
        _edge_key(line) for line in lines if line.size < _HEADING_SIZE_RATIO * body_size and line.bold <= body_is_bold
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


def _without_running_lines(
    pages: Sequence[Sequence[Line]], heights: Sequence[float], labels: Sequence[str]
) -> list[Line]:
    """Return all lines except running headers and footers; a page keeps its lines if it has no others.

    A line is one by its place: it is among the highest or the lowest of its page, and other pages have the same text at
    the same height, or a text that counts the pages. The same text must stand off from the body, or be smaller.
    """
    body_size = _usual_size([line for lines in pages for line in lines])
    steps = sorted(above - below for lines in pages for above, below in pairwise(_levels(lines)))
    pitch = min(steps[len(steps) // 4] if steps else body_size, _MAX_PITCH_RATIO * body_size)
    edges = [_Edges.of(lines, height, body_size, pitch) for lines, height in zip(pages, heights, strict=True)]
    same: dict[tuple[str, int], set[int]] = {}
    numbered: dict[tuple[str, int], set[int]] = {}
    for number, edge in enumerate(edges):
        for line in edge.near:
            for place in _places(line):
                for key in _page_number_keys(line, is_apart=line in edge.apart):
                    numbered.setdefault((key, place), set()).add(number)
        for line in edge.apart:
            for place in _places(line):
                same.setdefault((line.text, place), set()).add(number)

    def is_running(line: Line, number: int) -> bool:
        edge = edges[number]
        place = _place(line)
        if line in edge.near and line.size <= body_size:
            if any(
                len(numbered[key, place]) >= _MIN_RUNNING_PAGES
                for key in _page_number_keys(line, is_apart=line in edge.apart)
            ):
                return True
            is_number = _PAGE_NUMBER.fullmatch(line.text) or line.text.strip("-–— ") == labels[number]
            if is_number and line in edge.apart and len(pages) > 1:
                return labels[number] in line.text if labels[number] else str(number + 1) in line.text
        if line not in edge.apart:
            return False
        found_on = same[line.text, place]
        is_title = line.size >= _HEADING_SIZE_RATIO * body_size and any(
            other.baseline < line.baseline for other in pages[number]
        )
        if is_title and (len(pages) < 2 * _MIN_RUNNING_PAGES or number == min(found_on)):
            return False  # it is kept where it is first seen
        return _is_repeated(found_on, number, len(pages))

    kept: list[Line] = []
    for number, lines in enumerate(pages):
        rest = [line for line in lines if line.row or not is_running(line, number)]
        kept += _in_order(rest or [line for line in lines if not _PAGE_NUMBER.fullmatch(line.text)] or lines)
    return kept


def _is_repeated(found_on: Set[int], page: int, page_count: int) -> bool:
    """Return whether the pages around `page` show the line, each or every second one."""
    if len(found_on) >= max(_MIN_RUNNING_PAGES, page_count / 2):
        return True
    if page_count < 2 * _MIN_RUNNING_PAGES:  # in so few pages: on all of them, or on all odd or even ones
        return any(
            len(side) > 1 and found_on >= side
            for step in (1, 2)
            for side in [set(range(page % step, page_count, step))]
        )
    for step in (1, 2):
        run = 1
        for direction in (-step, step):
            at = page + direction
            while at in found_on:
                run, at = run + 1, at + direction
        if run >= _MIN_RUNNING_PAGES:
            return True
    return False


def _place(line: Line) -> int:
    return round(line.baseline / _SAME_PLACE_PT)


def _places(line: Line) -> tuple[int, int, int]:
    """Return the heights that count as the same as the line's."""
    return _place(line) - 1, _place(line), _place(line) + 1


@dataclass(frozen=True, slots=True)
class _Edges:
    """The lines at the top and the bottom of a page; those `apart` stand off from the body or are smaller."""

    near: Set[Line]
    apart: Set[Line]

    @classmethod
    def of(cls, lines: Sequence[Line], height: float, body_size: float, pitch: float) -> "_Edges":
        near: set[Line] = set()
        apart: set[Line] = set()
        levels = _levels(lines)
        for is_top in (True, False):
            side = levels if is_top else levels[::-1]
            stands_off = False
            for at, level in enumerate(side[:_EDGE_ROWS]):
                row = {line for line in lines if not line.row and abs(line.baseline - level) < _SAME_PLACE_PT}
                is_in_margin = level >= (1 - _MARGIN_SHARE) * height if is_top else level <= _MARGIN_SHARE * height
                if len(row) == 0 or (height and not is_in_margin):
                    break
                near |= row
                if not stands_off:  # else the body has begun
                    block_end = next(
                        (n for n in range(at, len(side) - 1) if abs(side[n] - side[n + 1]) > _STANDS_OFF_RATIO * pitch),
                        len(side),
                    )
                    if block_end < _EDGE_ROWS:
                        apart |= row
                        stands_off = block_end == at
                apart |= {line for line in row if line.size <= _SMALL_RATIO * body_size}
        return cls(near, apart)


def _levels(lines: Sequence[Line]) -> list[float]:
    """Return the heights of the baselines, from the top down."""
    levels: list[float] = []
    for baseline in sorted((line.baseline for line in lines), reverse=True):
        if not levels or levels[-1] - baseline >= _SAME_PLACE_PT:
            levels.append(baseline)
    return levels


def _in_order(lines: Sequence[Line]) -> list[Line]:
    """Return the lines of a page with the highest first and the lowest last, if they stand off from all others."""
    levels = _levels(lines)
    if len(levels) < _EDGE_ROWS:
        return list(lines)
    ordered = list(lines)
    for line in lines:
        away = 2 * _MAX_PITCH_RATIO * line.size
        if line.row:
            continue
        if line.baseline == levels[-1] and levels[-2] - levels[-1] > away:
            ordered.remove(line)
            ordered.append(line)
        elif line.baseline == levels[0] and levels[0] - levels[1] > away:
            ordered.remove(line)
            ordered.insert(0, line)
    return ordered


def _page_number_keys(line: Line, *, is_apart: bool = False) -> list[str]:
    """Return the text with its first and its last number relative to the page: equal on all pages if it counts them.

    In a line that stands off from the body, the other numbers may differ: they count chapters.
    """
    if _ENDS_SENTENCE.search(line.text):  # "Điều 3 có hiệu lực." at the top of page 3 is text
        return []
    found = list(_NUMBER.finditer(line.text))
    has_others = len(found) > 1
    if _COUNTED.match(line.text):  # "Lesson 3" on page 3 is a heading, and counts lessons
        found = found[1:]
    keys: list[str] = []
    for match in (*found[:1], *found[1:][-1:]):
        before, after = line.text[: match.start()], line.text[match.end() :]
        key = f"{before}#{int(match[0]) - line.page}#{after}"
        keys.append(key)
        if is_apart and has_others:
            keys.append(f"{_NUMBER.sub('*', before)}#{int(match[0]) - line.page}#{_NUMBER.sub('*', after)}")
    return keys


def _usual_size(lines: Sequence[Line]) -> float:
    sizes: Counter[float] = Counter()
    for line in [line for line in lines if not line.row] or lines:
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
