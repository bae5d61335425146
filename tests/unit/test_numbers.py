"""Numbers: the same value however it is written, in English and Vietnamese."""

import pytest

from rag.verification.numbers import FigureSet, find_figures


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1,000 and 1.000", [1000, 1000]),
        ("1.234.567,8 and 1,234,567.8", [1234567.8, 1234567.8]),
        ("2.5 or 2,5 or 0.125", [2.5, 2.5, 0.125]),
        ("1.5 million, 1,5 triệu", [1_500_000, 1_500_000]),
        ("one hundred thousand", [100_000]),
        ("ba trăm", [300]),
        ("twelve, twenty-five, ninety", [12, 25, 90]),
        ("mười hai, hai mươi lăm, năm mươi", [12, 25, 50]),
        ("năm 2026", [2026]),
        ("01.07.2026", [1, 7, 2026]),
        ("7:30, the 1990s, 12th", [7, 30, 1990, 12]),
        ("no one, một ngày", []),
    ],
)
def test_figures_are_read_as_values(text: str, values: list[float]) -> None:
    """1,000 is 1000; 1.5 million is 1500000; words count up to ninety."""
    assert find_figures(text, ambiguous=False) == pytest.approx(values)


def test_a_word_that_often_means_another_answers_but_does_not_ask() -> None:
    """`năm` is five and year: a passage may mean five by it, a draft need not."""
    assert find_figures("năm ngày", ambiguous=True) == [5]
    assert find_figures("năm ngày", ambiguous=False) == []


@pytest.mark.parametrize(
    ("value", "is_held"),
    [(11_160, True), (11_200, True), (11_500, False), (1998, True), (1999, False), (12, True), (12.1, False)],
)
def test_only_large_figures_may_be_rounded(value: float, is_held: bool) -> None:
    """One per cent, but not of a year or a count."""
    assert (value in FigureSet([12, 1998, 11_160])) is is_held


def test_a_figure_of_any_length_is_read() -> None:
    """A document cannot make the check fail."""
    assert len(find_figures("9" * 5000 + " million", ambiguous=True)) == 1
