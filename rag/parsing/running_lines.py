"""Leave out the running headers and footers of pages, and the numbers of the pages.

This file does not import PDFium, so its rules can be tested on lines made by hand.
"""

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from rag.parsing.line import ENDS_SENTENCE, HEADING_SIZE_RATIO, Line, usual_size

_EDGE_ROWS: Final = 3  # at the top and the bottom of a page, which may be a running header or footer
_MARGIN_SHARE: Final = 0.15  # of the page's height: a running header or footer stands in it
_STANDS_OFF_RATIO: Final = 1.4  # of the usual distance between two baselines
_MAX_PITCH_RATIO: Final = 2.2  # of the text size: where pages have a line or two, the usual distance is unknown
_SMALL_RATIO: Final = 0.9  # of the text size: smaller lines at the edge of a page need not stand off
_SAME_PLACE_PT: Final = 3.0
_MIN_RUNNING_PAGES: Final = 3
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


def without_running_lines(
    pages: Sequence[Sequence[Line]], heights: Sequence[float], labels: Sequence[str]
) -> list[Line]:
    """Return all lines except running headers and footers; a page keeps its lines if it has no others.

    A line is one by its place: it is among the highest or the lowest of its page, and other pages have the same text at
    the same height, or a text that counts the pages. The same text must stand off from the body, or be smaller.
    """
    body_size = usual_size([line for lines in pages for line in lines])
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
        is_title = line.size >= HEADING_SIZE_RATIO * body_size and any(
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
    if ENDS_SENTENCE.search(line.text):  # "Điều 3 có hiệu lực." at the top of page 3 is text
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
