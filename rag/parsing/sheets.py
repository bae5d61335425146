"""Read sheets, of CSV files and of workbooks: each row becomes a line that names its columns.

A sheet is a grid without any marks: where a table begins, and which row names its columns, is read from its looks.
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from rag.errors import ParseError
from rag.parsing import charsets
from rag.parsing.blocks import MAX_TEXT_CHARS, Block, Draft
from rag.parsing.tables import Cell, render_rows

MAX_CELLS: Final = 10_000_000  # in one sheet, between the first and the last one
SHEET_LEVEL: Final = 2
UNNAMED_SHEET = re.compile(r"(?:sheet|trang[ _]tính|table)\s?\d*", re.IGNORECASE)

_TITLE_LEVEL: Final = 3  # of the title above a table; the name of the sheet is above it
_MAX_TITLE_CHARS: Final = 120
_MAX_NAME_CHARS: Final = 60
_MIN_NAMED_COLUMNS: Final = 3  # without a header, the first of two columns names what the second holds

_DELIMITERS: Final = ",;\t|"
_NO_DELIMITER: Final = "\x1f"
_SAMPLED_CHARS: Final = 65_536
_SAMPLED_ROWS: Final = 100
_EXCEL_DELIMITER = re.compile(r"sep=(.)(?:\n|\Z)")  # a line that Excel reads and does not show

_YEAR = re.compile(r"(?:19|20)\d\d")
# Also dates, times, amounts with a sign or a unit of few letters.
_FIGURE = re.compile(r"\W*\d[\d.,:/\s%+()-]*(?:[^\W\d]{1,4}|\W{1,2})?")
_NUMBERED_NAME = re.compile(r"[^\W\d][^\d]*\s\d{1,2}")  # Quarter 1
_DIGIT = re.compile(r"\d")

# What spreadsheets keep; and how far a sum of fractions may miss the number that it shows, in parts and absolutely.
_KEPT_DIGITS: Final = 15
_SHOWN_DIGITS: Final = 11
_NOISE_SHARE: Final = Decimal("1e-12")
_NOISE: Final = Decimal("1e-7")

# Formats of numbers: ECMA-376, part 1, 18.8.31.
_FORMAT_LITERAL = re.compile(r'"[^"]*"|\\.|\[[^]]*\]')
_PERCENT_FORMAT = re.compile(r"(?:\.([0#?]+))?\s?%")
_DATE_FORMAT = re.compile(r"[dy]", re.IGNORECASE)
_DAY_ZERO: Final = datetime(1899, 12, 30)  # noqa: DTZ001  # a day of the calendar, anywhere

Row = Sequence[str]


@dataclass(slots=True)
class Grid:
    """The texts of a sheet, rows of equal length; `spans` tells the last column of the cells that cover several."""

    rows: Sequence[Row]
    spans: Mapping[tuple[int, int], int] = field(default_factory=dict)  # by row and column


def read_csv(data: bytes) -> Draft:
    """Read a table with one row a line, and its cells parted by commas, semicolons, tabs or bars."""
    text = charsets.decode(data).replace("\r\n", "\n").replace("\r", "\n")
    told = _EXCEL_DELIMITER.match(text)
    if told is not None:
        text = text[told.end() :]
    delimiter = told[1] if told is not None else _find_delimiter(text)
    warnings = []
    try:
        rows = _parse(text, delimiter)
    except csv.Error:
        # A quotation mark that is never closed swallows all lines below it; as a character of its own it loses nothing.
        rows = _split(text, delimiter)
        warnings.append("a quotation mark is not closed or stands inside a cell: all of them are read as text")
    width = max(map(len, rows), default=0)
    if len(rows) * width > MAX_CELLS:
        raise ParseError(f"its lines and columns make more than {MAX_CELLS:,} cells")
    grid = Grid([[*map(str.strip, row), *[""] * (width - len(row))] for row in rows])
    return Draft(list(read_grid(grid, starts_with_names=True)), warnings=warnings)


def _find_delimiter(text: str) -> str:
    """Return the delimiter that gives the most rows the same number of cells, two at least."""
    sample = text[:_SAMPLED_CHARS].rpartition("\n")[0] if len(text) > _SAMPLED_CHARS else text
    best, choice = (0, 0), _NO_DELIMITER
    for delimiter in _DELIMITERS:
        try:
            rows = _parse(sample, delimiter)
        except csv.Error:
            rows = _split(sample, delimiter)
        widths = [len(row) for row in rows[:_SAMPLED_ROWS] if row]
        usual = max(set(widths), key=widths.count, default=1)
        if usual > 1 and (widths.count(usual), usual) > best:
            best, choice = (widths.count(usual), usual), delimiter
    return choice


def _parse(text: str, delimiter: str) -> list[list[str]]:
    """Return the rows.

    Raises: csv.Error: the quotation marks are not in pairs.
    """
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))


def _split(text: str, delimiter: str) -> list[list[str]]:
    return [line.split(delimiter) for line in text.split("\n")]


def read_grid(grid: Grid, *, starts_with_names: bool = False) -> Iterator[Block]:
    """Yield the titles and rows of a sheet; blank rows part its tables.

    `starts_with_names`: the first row of two columns names them too, as in files that programs write.

    Raises: ParseError: too much text.
    """
    # A few bytes may say that a long text stands in a million cells.
    if sum(len(text) for row in grid.rows for text in row) > MAX_TEXT_CHARS:
        raise ParseError(f"too much text: more than {MAX_TEXT_CHARS:,} characters in a sheet")
    names: list[list[str]] = []
    for region in _find_regions(grid.rows):
        titles = _count_titles(grid.rows, region)
        yield from _read_titles([_filled(grid.rows[at])[0] for at in region[:titles]])
        body = region[titles:]
        count = _count_name_rows(grid, body, _MIN_NAMED_COLUMNS - starts_with_names)
        if count:
            names = [_spread(grid, at) for at in body[:count]]
        elif not _continues(names, [grid.rows[at] for at in body]):
            names = []
        rows = [grid.rows[at] for at in body[count:]]
        yield from _render(names, rows, has_own_names=count > 0)
        if not names and len(body) == 1 and _are_names(grid.rows[body[0]], _MIN_NAMED_COLUMNS):
            names = [list(grid.rows[body[0]])]  # a blank row below the names


def _find_regions(rows: Sequence[Row]) -> Iterator[range]:
    """Yield the stretches of rows that hold text."""
    start = 0
    for at in range(len(rows) + 1):
        if at == len(rows) or not any(rows[at]):
            if at > start:
                yield range(start, at)
            start = at + 1


def _filled(row: Row) -> list[str]:
    return [text for text in row if text]


def _count_titles(rows: Sequence[Row], region: range) -> int:
    """Count the rows of one cell above a table; 0 if there is no table."""
    return next((count for count, at in enumerate(region) if len(_filled(rows[at])) > 1), 0)


def _read_titles(texts: Sequence[str]) -> Iterator[Block]:
    for number, text in enumerate(texts):
        is_title = number == 0 and len(text) <= _MAX_TITLE_CHARS
        yield Block(text, _TITLE_LEVEL if is_title else 0, glue="\n" if number else "\n\n")


def _count_name_rows(grid: Grid, body: Sequence[int], min_columns: int) -> int:
    """Count the rows at the top that name the columns; there are several if a name stands over several columns."""
    count = 0
    while count + 1 < len(body) and _are_names(_spread(grid, body[count]), min_columns, is_top=count == 0):
        is_over_others = any((body[count], column) in grid.spans for column in range(len(grid.rows[0])))
        count += 1
        if not is_over_others:
            break
    rest = [grid.rows[at] for at in body[count:]]
    return count if count and _fits([_spread(grid, at) for at in body[:count]], rest) else 0


def _spread(grid: Grid, at: int) -> list[str]:
    """Return a row with each text in all columns that its cell covers."""
    row = list(grid.rows[at])
    for column, text in enumerate(grid.rows[at]):
        last = grid.spans.get((at, column), column)
        row[column : last + 1] = [text] * (last + 1 - column) if last > column else row[column : last + 1]
    return row


def _are_names(row: Row, min_columns: int, *, is_top: bool = True) -> bool:
    texts = _filled(row)
    return (
        len(texts) >= (min_columns if is_top else 1)
        and (not is_top or len(set(map(str.casefold, texts))) > 1)
        and all(len(text) <= _MAX_NAME_CHARS and (_YEAR.fullmatch(text) or not _is_figure(text)) for text in texts)
        and not all(map(_is_figure, texts))
    )


def _is_figure(text: str) -> bool:
    return _FIGURE.fullmatch(text) is not None


def _fits(names: Sequence[Row], rows: Sequence[Row]) -> bool:
    """Tell whether the rows are of another kind than the names above them."""
    last = names[-1]
    labels = [" ".join(filter(None, column)) for column in zip(*names, strict=True)]
    named = {at for at, label in enumerate(labels) if label}
    used = _used_columns(rows)
    if len(used - named) > 1 or len({labels[at].casefold() for at in named}) < len(named):
        return False
    has_figures_below = any(
        last[at] and not _is_figure(last[at]) and _mostly_figures([row[at] for row in rows]) for at in used & named
    )
    return has_figures_below or all(_is_plain(labels[at], [row[at] for row in rows]) for at in named)


def _is_plain(name: str, column: Sequence[str]) -> bool:
    is_year = _YEAR.fullmatch(name) is not None and _mostly_figures(column)
    return is_year or not _DIGIT.search(name) or _NUMBERED_NAME.fullmatch(name) is not None


def _mostly_figures(column: Sequence[str]) -> bool:
    texts = _filled(column)
    return 2 * sum(map(_is_figure, texts)) > len(texts)


def _used_columns(rows: Sequence[Row]) -> set[int]:
    return {at for row in rows for at, text in enumerate(row) if text}


def _continues(names: Sequence[Row], rows: Sequence[Row]) -> bool:
    """Tell whether rows below a blank one are of the table above it."""
    used = _used_columns(rows)
    return len(used) > 1 and used == _used_columns(names)


def _render(names: Sequence[Row], rows: Sequence[Row], *, has_own_names: bool) -> Iterator[Block]:
    """Yield the rows without the columns that are empty in all of them; what names nothing below is a line of its own.

    Names that stand above a former region are not said again.
    """
    columns = sorted(_used_columns(rows) | (_used_columns(names) if has_own_names else set()))
    cells = [[Cell(row[at], is_header=True) for at in columns] for row in names]
    cells += [[Cell(row[at]) for at in columns] for row in rows]
    for number, line in enumerate(render_rows(cells, tells_unused=has_own_names)):
        yield Block(line, glue="\n" if number else "\n\n")


def show_number(value: float, percent_decimals: int | None = None) -> str:
    """Return a number as a sheet shows it: 1234.5 for 1234.5000000001; as a percentage with that many decimals."""
    number, shown = Decimal(f"{value:.{_KEPT_DIGITS}g}"), Decimal(f"{value:.{_SHOWN_DIGITS}g}")
    if abs(number - shown) < min(_NOISE_SHARE * abs(number), _NOISE):
        number = shown
    if percent_decimals is not None:
        return f"{(100 * number).quantize(Decimal(1).scaleb(-percent_decimals), ROUND_HALF_UP):f}%"
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def read_percent_format(code: str) -> int | None:
    """Return the number of decimals that a format of numbers shows percentages with; None if it shows none."""
    percent = _PERCENT_FORMAT.search(_FORMAT_LITERAL.sub("", code).partition(";")[0])
    return None if percent is None else len(percent[1] or "")


def show_formatted(value: str, code: str) -> str:
    """Return a stored number as its format shows it: percentages and dates; others plain, and text as it is."""
    try:
        number = float(value)
        if _DATE_FORMAT.search(_FORMAT_LITERAL.sub("", code)) and code.lower() != "general":
            text = (_DAY_ZERO + timedelta(days=number)).isoformat(" ", "minutes")
            return text.removesuffix(" 00:00")
        return show_number(number, read_percent_format(code))
    except (ValueError, OverflowError, ArithmeticError):
        return value
