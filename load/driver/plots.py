"""Draw plots as SVG without a library, so that the report works offline and follows the reader's colour scheme."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from load.driver.markup import Markup, join, tag
from load.driver.scales import Scale, make_scale, show_tick

# About as wide as a phone, so that text stays legible there.
WIDTH: Final = 440
HEIGHT: Final = 260
_LEFT: Final = 46
_RIGHT: Final = 12
_TOP: Final = 46  # two lines of legend; the title is above the plot
_BOTTOM: Final = 40
_LETTER: Final = 7.0  # mean width, for the legend
_ROW: Final = 40
_ROW_LEFT: Final = 96

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Series:
    """A line of a plot; `colour` is a class of the style sheet."""

    name: str
    points: Sequence[Point]
    colour: str
    is_dashed: bool = False


def plot_lines(about: str, series: Sequence[Series], *, x: str, y: str, is_log: bool = False) -> Markup:
    """Plot lines over a common x axis; `is_log` makes that logarithmic."""
    points = [point for each in series for point in each.points]
    across = make_scale([point[0] for point in points], _LEFT, WIDTH - _RIGHT, is_log=is_log)
    up = make_scale([point[1] for point in points], HEIGHT - _BOTTOM, _TOP)
    lines = [
        tag(
            "polyline",
            points=" ".join(f"{across.place(at):.1f},{up.place(value):.1f}" for at, value in each.points),
            class_=f"line {each.colour}{' dashed' if each.is_dashed else ''}",
        )
        for each in series
    ]
    dots = [
        tag("circle", cx=across.place(at), cy=up.place(value), r=2.5, class_=f"dot {each.colour}")
        for each in series
        if len(each.points) <= 12 and not each.is_dashed
        for at, value in each.points
    ]
    legend = _draw_legend({each.name: each.colour for each in series})
    return _frame(about, HEIGHT, _draw_axes(across, up, x, y), *lines, *dots, legend)


def plot_stack(
    about: str, layers: Mapping[str, Sequence[float]], colours: Mapping[str, str], *, width_s: float
) -> Markup:
    """Plot stacked columns over time, each `width_s` wide, with one layer for each name."""
    columns = list(zip(*layers.values(), strict=True))
    across = Scale(0.0, (len(columns) or 1) * width_s, _LEFT, WIDTH - _RIGHT)
    up = make_scale([sum(column) for column in columns], HEIGHT - _BOTTOM, _TOP)
    boxes = []
    for number, column in enumerate(columns):
        left, right = across.place(number * width_s), across.place((number + 1) * width_s)
        total = 0.0
        for name, value in zip(layers, column, strict=True):
            if value:
                top, bottom = up.place(total + value), up.place(total)
                place = {"x": left + 0.5, "y": top, "width": max(right - left - 1, 0.5), "height": bottom - top}
                boxes.append(tag("rect", **place, class_=f"area {colours[name]}"))
            total += value
    legend = _draw_legend({name: colours[name] for name in layers})
    return _frame(about, HEIGHT, _draw_axes(across, up, "seconds", f"requests in {width_s:g} s"), *boxes, legend)


def plot_bars(about: str, rows: Mapping[str, tuple[float, float]], *, names: tuple[str, str], x: str) -> Markup:
    """Plot two bars for each row, the first drawn over the thicker second one."""
    height = _TOP + _ROW * len(rows) + _BOTTOM
    across = make_scale([value for pair in rows.values() for value in pair], _ROW_LEFT, WIDTH - _RIGHT)
    parts = [_draw_across(across, height, x)]
    for number, (name, pair) in enumerate(rows.items()):
        top = float(_TOP + _ROW * number + 6)
        middle = {"y": top + _ROW / 2 - 2, "class_": "label"}
        parts.append(tag("text", name, x=_ROW_LEFT - 6, text_anchor="end", **middle))
        for value, colour, inset in ((pair[1], "c1", 0), (pair[0], "c0", 6)):
            place = {"x": across.start, "y": top + inset, "width": across.place(value) - across.start}
            parts.append(tag("rect", **place, height=_ROW - 12 - 2 * inset, class_=f"area {colour}"))
    legend = _draw_legend(dict(zip(names, ("c0", "c1"), strict=True)))
    return _frame(about, height, *parts, legend)


def _frame(about: str, height: int, *parts: Markup) -> Markup:
    box = f"0 0 {WIDTH} {height}"
    return tag("svg", tag("title", about), *parts, viewBox=box, role="img", xmlns="http://www.w3.org/2000/svg")


def _draw_axes(across: Scale, up: Scale, x: str, y: str) -> Markup:
    parts = []
    for value in up.ticks():
        place = up.place(value)
        parts.append(tag("line", x1=across.start, x2=across.end, y1=place, y2=place, class_="grid"))
        parts.append(tag("text", show_tick(value), x=across.start - 6, y=place + 4, text_anchor="end", class_="tick"))
    title = tag("text", y, x=4, y=_TOP - 12, class_="label")
    return join(*parts, title, _draw_across(across, HEIGHT, x))


def _draw_across(across: Scale, height: int, title: str) -> Markup:
    floor = height - _BOTTOM
    parts = [tag("line", x1=across.start, x2=across.end, y1=floor, y2=floor, class_="axis")]
    for value in across.ticks():
        place = across.place(value)
        parts.append(tag("line", x1=place, x2=place, y1=floor, y2=floor + 4, class_="axis"))
        parts.append(tag("text", show_tick(value), x=place, y=floor + 17, text_anchor="middle", class_="tick"))
    middle = (across.start + across.end) / 2
    return join(*parts, tag("text", title, x=middle, y=height - 6, text_anchor="middle", class_="label"))


def _draw_legend(colours: Mapping[str, str]) -> Markup:
    parts, left = [], 4.0
    for name, colour in colours.items():
        parts.append(tag("rect", x=left, y=6, width=10, height=10, class_=f"area {colour}"))
        parts.append(tag("text", name, x=left + 14, y=15, class_="label"))
        left += 14 + _LETTER * len(name) + 12
    return join(*parts)
