"""Markers: every form that a model or a document may write is recognised, and nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.text.markers import has_marker, may_begin_marker, split_markers, strip_markers, trailing_markers

MARKER_TEXT = st.lists(
    st.sampled_from(
        ["[", "]", "S", "1", "S1", "［", "９", "【", "】", "(", ")", " ", ",", "-", "*", "a", ". ", "and ", "see "]
    ),
    max_size=30,
).map("".join)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("12 days [S1]", [1]),
        ("12 days [S1, S2]", [1, 2]),
        ("12 days [S1][S2]", [1, 2]),
        ("12 days [S1] and [S2]", [1, 2]),
        ("12 days [1]", [1]),
        ("12 days [1, 2]", [1, 2]),
        ("12 days [1, S2]", [1, 2]),
        ("12 days 【S1】", [1]),
        ("12 days ［S1］", [1]),
        ("12 days ［Ｓ１２］", [12]),
        ("12 days (S1)", [1]),
        ("12 days (Source: [S1])", [1]),
        ("12 days [s1]", [1]),
        ("12 days [S 1]", [1]),
        ("12 days [S1-S3]", [1, 2, 3]),
        ("12 days [S1–3]", [1, 2, 3]),
        ("12 days [S1; S2 & S4]", [1, 2, 4]),
        ("12 days S1", [1]),
        ("12 days **[S1]**", [1]),
        ("12 days [[S1]]", [1]),
        ("12 days [^1]", [1]),
        ("12 days [S1, page 3]", [1]),
        ("12 days [Source 1]", [1]),
        ("12 days [nguồn 2]", [2]),
        ("12 days 【99】", [99]),
        ("12 days [S99]", [99]),
        ("According to S1, 12 days", [1]),
        ("Theo [S2], 12 days", [2]),
    ],
)
def test_every_form_of_a_marker_is_read_and_taken_out(text: str, numbers: list[int]) -> None:
    """The contract's forms and those that models are known to write."""
    assert split_markers(text) == ("12 days", numbers)


@pytest.mark.parametrize(
    "text",
    [
        "(1) the first",
        "in [2020] it",
        "H1N1",
        "the US1 highway",
        "[see below]",
        "S",
        "1S",
        "the DVB-S2 standard",
        "dvb‑s2",
        "a Galaxy-S8",
        "open-source 12.",
    ],
)
def test_other_brackets_and_codes_are_no_markers(text: str) -> None:
    """A list number, a year, a letter within a word, and what a hyphen makes part of one cite nothing."""
    assert not has_marker(text)
    assert split_markers(text) == (text, [])


@pytest.mark.parametrize("text", ["leave—S99.", "leave – S99", "leave -S99", "leave [S1]-S99", "leave [S1—99]"])
def test_a_dash_glues_nothing(text: str) -> None:
    """Unlike a hyphen within a word it parts what it stands between."""
    assert 99 in split_markers(text)[1]
    assert "99" not in strip_markers(text)


def test_taking_markers_out_leaves_no_gap_and_joins_no_figures() -> None:
    """What stays is a sentence, and 12 [S1] 3 does not become 123."""
    assert strip_markers("Staff [S1], too [S2], have 12[S1]3 days [S9].") == "Staff, too, have 12 3 days."


def test_a_range_without_end_is_read_as_its_ends() -> None:
    """A marker cannot make the service count to a billion."""
    assert split_markers("x [S1-S999999999]")[1] == [1, 999999999]


@given(MARKER_TEXT)
def test_nothing_that_looks_like_a_marker_survives_stripping(text: str) -> None:
    """Not even one that only the removal of another puts together."""
    assert not has_marker(strip_markers(text))


def test_markers_after_the_end_of_a_sentence_belong_to_it() -> None:
    """On the same line, or alone on the next."""
    assert trailing_markers(" [S1][S2] Next") == len(" [S1][S2]")
    assert trailing_markers("\nSource: S1\nNext") == len("\nSource: S1")
    assert trailing_markers("\n[S1] Next") == 0
    assert trailing_markers(" S1 states that") == 0


@pytest.mark.parametrize("text", ["", " ", " [", "\n[S1", " (see", " Sour", " S", "**[S1]*", " [S1]"])
def test_an_unfinished_marker_is_waited_for(text: str) -> None:
    """More text could still make it one."""
    assert may_begin_marker(text)


@pytest.mark.parametrize("text", [" Part-time", " Staff", "\n- Item", " 12", " [S1] Next", "z"])
def test_plain_text_is_not_waited_for(text: str) -> None:
    """Streaming stays sentence by sentence."""
    assert not may_begin_marker(text)
