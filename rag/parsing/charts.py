"""Read the charts of presentations and documents: they keep the figures that they show, beside the names of these.

Source: ISO/IEC 29500-1, 21.2 (DrawingML, charts).
"""

from collections.abc import Callable
from typing import Final

from lxml import etree

from rag.parsing.sheets import show_formatted
from rag.parsing.tables import Cell, render_rows

_CHART: Final = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
_MAX_DIGITS: Final = 11


def read_chart(root: etree._Element, text_of: Callable[[etree._Element], str]) -> tuple[list[str], list[str]]:
    """Return the titles of a chart and its axes, and a row for each category with the names of the series."""
    titles = [text for title in root.iter(f"{_CHART}title") if (text := text_of(title))]
    series = list(root.iter(f"{_CHART}ser"))
    names = [" ".join(_points(each, "tx").values()) for each in series]
    categories: dict[int, str] = {}
    values = []
    for each in series:
        categories = {**_points(each, "cat"), **_points(each, "xVal"), **categories}
        values.append(_points(each, "val") or _points(each, "yVal"))
    header = [Cell(text, is_header=True) for text in ("", *names)]
    indexes = sorted({index for points in (categories, *values) for index in points})
    rows = [[Cell(points.get(index, "")) for points in (categories, *values)] for index in indexes]
    return titles, render_rows([header, *rows]) if rows else []


def _points(series: etree._Element, name: str) -> dict[int, str]:
    """Return the values of a series that are stored in the chart, by their numbers."""
    found: dict[int, str] = {}
    for holder in series.iterchildren(f"{_CHART}{name}"):
        code = holder.findtext(f".//{_CHART}formatCode") or ""
        for point in holder.iter(f"{_CHART}pt"):
            text = point.findtext(f"{_CHART}v") or ""
            if holder.find(f".//{_CHART}numCache") is not None:
                text = show_formatted(text, point.get("formatCode", code))
            number = _read_number(point.get("idx"))
            found[number] = f"{found[number]} {text}" if number in found else text  # categories of several levels
    return found


def _read_number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS else 0
