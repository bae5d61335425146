"""Raised and lowered figures: one rule for all readers."""

import pytest

from rag.parsing.raised import ends_in_base, shift_figures, to_lowered, to_raised


@pytest.mark.parametrize(
    ("text", "raised"),
    [
        ("6", "⁶"),
        ("-2", "⁻²"),
        ("2+", "²⁺"),
        ("n", "ⁿ"),
        ("n-1", "ⁿ⁻¹"),
        ("(2)", "⁽²⁾"),
        ("in", None),
        ("th", None),
        ("", None),
    ],
)
def test_what_unicode_has_is_raised_and_words_are_not(text: str, raised: str | None) -> None:
    """A power is another number than the digits in a line; a raised word stays a word."""
    assert to_raised(text) == raised


def test_what_unicode_lacks_stays_in_a_run() -> None:
    """Nothing is lost."""
    assert [shift_figures(text, 1) for text in ("2", "st")] == ["²", "st"]
    assert [shift_figures(text, -1) for text in ("2", "max")] == ["₂", "max"]
    assert (shift_figures("2", 0), to_lowered("n")) == ("2", None)


@pytest.mark.parametrize(
    ("before", "is_base"), [("10", True), ("5 m", True), ("x", True), ("(a+b)", True), ("110", False), ("price", False)]
)
def test_a_power_has_a_base_and_a_note_has_a_word(before: str, is_base: bool) -> None:
    """10⁶ and m² are powers; what is raised after a word or a price is the mark of a note."""
    assert ends_in_base(before) == is_base
