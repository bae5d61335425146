"""A row of a table becomes a line that can be understood without the header above it."""

import pytest

from rag.errors import ParseError
from rag.parsing.tables import Cell, render_rows


def row(*texts: str, header: bool = False) -> list[Cell]:
    return [Cell(text, is_header=header) for text in texts]


def test_each_cell_comes_with_the_name_of_its_column() -> None:
    """The header may be in another chunk."""
    rows = [row("Model", "Power", header=True), row("X2", "7,500 Pa"), row("X1", "")]

    assert render_rows(rows) == ["Model: X2 | Power: 7,500 Pa", "X1"]


def test_a_header_that_no_format_marks_is_known_by_its_looks() -> None:
    """Short, distinct, without figures, over three columns or more."""
    rows = [row("Model", "Power", "Weight"), row("X2", "7,500 Pa", "3 kg")]

    assert render_rows(rows) == ["Model: X2 | Power: 7,500 Pa | Weight: 3 kg"]
    assert render_rows([row("1", "2", "3"), row("4", "5", "6")]) == ["1 | 2 | 3", "4 | 5 | 6"]


def test_two_columns_without_a_header_are_names_and_values() -> None:
    """`Contact: Ms Lan`."""
    assert render_rows([row("Contact", "Ms Lan"), row("Phone:", "118")]) == ["Contact: Ms Lan", "Phone: 118"]


def test_a_spanning_header_names_all_its_columns() -> None:
    """Two rows of names are read from top to bottom."""
    rows = [
        [Cell("Grade", rows=2, is_header=True), Cell("Pay", columns=2, is_header=True)],
        row("North", "South", header=True),
        row("1", "10", "9"),
    ]

    assert render_rows(rows) == ["Grade: 1 | Pay North: 10 | Pay South: 9"]


def test_a_cell_over_several_rows_is_said_in_each() -> None:
    """Each row is read alone."""
    rows = [row("Area", "Days", header=True), [Cell("City", rows=2), Cell("2")], row("3")]

    assert render_rows(rows) == ["Area: City | Days: 2", "Area: City | Days: 3"]


def test_a_span_of_a_billion_is_bounded() -> None:
    """A document must not fill the memory."""
    lines = render_rows([[Cell("a", columns=10**9, rows=10**9)], row("b")])

    assert sum(map(len, lines)) < 1000


def test_a_header_without_rows_stays() -> None:
    """No text is lost."""
    assert render_rows([row("Model", "Power", header=True)]) == ["Model | Power"]


def test_the_name_of_a_column_without_values_stays() -> None:
    """An empty form has columns too."""
    rows = [row("Model", "Power", "Notes", header=True), row("X2", "7,500 Pa", "")]

    assert render_rows(rows) == ["Notes", "Model: X2 | Power: 7,500 Pa"]


def test_a_long_name_above_many_rows_is_refused() -> None:
    """A megabyte that stands in a hundred thousand lines fills the memory."""
    rows = [row("x" * 999_999, "y", header=True), *[row("1", "2")] * 100_000]

    with pytest.raises(ParseError, match="too much text"):
        render_rows(rows)
