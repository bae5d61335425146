"""The text quoted for a statement: verbatim, with as much context as it needs to be understood."""

from collections.abc import Sequence

import pytest

from rag.types import Chunk, Passage
from rag.verification.sources import quotables, read_source
from rag.verification.statements import read_statements
from rag.verification.support import read_claim


def flat_idf(words: Sequence[str]) -> list[float]:
    return [1.0] * len(words)


def make_chunk(text: str, heading: str | None = None) -> Chunk:
    return Chunk("demo:doc:v1:00001", "doc", "Handbook", text, 0, len(text), None, None, heading)


def sent(text: str, *, asked: str = "What is it?", seeks_list: bool = False) -> list[str]:
    """What goes out for each statement that can be quoted."""
    claim = read_claim(asked, flat_idf)
    found = [
        each.quote(claim, seeks_list=seeks_list) for each in quotables([read_source(Passage(1, make_chunk(text)))])
    ]
    return [quotation.sent for _, quotation in filter(None, found)]


LIST = "Not covered:\n\n- damage by water\n- theft"
LONG_ITEMS = [
    f"damage number {n} that somebody did to the machine by some means or other that nobody foresaw" for n in range(12)
]


class TestLists:
    """An item says nothing without what introduces it."""

    def test_a_lead_goes_out_with_its_items(self) -> None:
        """Whichever of them is what answers."""
        assert set(sent(LIST)) == {LIST}

    def test_a_heading_goes_out_with_the_items_under_it(self) -> None:
        """A question for the cases under a heading gives the items."""
        text = "What is not covered\n\n- damage by water\n- theft"

        assert sent(text)[0] == text

    def test_an_item_that_is_a_sentence_stands_alone_unless_a_list_is_sought(self) -> None:
        """`Full-time staff get 12 days.` needs nothing else."""
        text = "Leave:\n\n- Full-time staff get 12 days a year.\n- Part-time staff get 6 days a year."

        assert sent(text)[1:] == ["Full-time staff get 12 days a year.", "Part-time staff get 6 days a year."]
        assert set(sent(text, seeks_list=True)) == {text}

    def test_an_item_of_a_long_list_goes_out_after_its_lead(self) -> None:
        """Half a list would look whole."""
        text = "Not covered:\n\n" + "\n".join(f"- {item}" for item in LONG_ITEMS)

        assert sent(text)[0] == f"Not covered: {LONG_ITEMS[0]}"

    @pytest.mark.parametrize("text", ["The benefits are:", "Annual leave", "Model | Power", "1. "])
    def test_what_says_nothing_alone_is_never_quoted(self, text: str) -> None:
        """A lead without its items, a heading, a row of column names, a stray number."""
        assert sent(text) == []


class TestRows:
    """A table row goes out with the names of its columns."""

    ROW = "Model: Sparrow X2 | Suction power: 7,500 Pa | Weight: 3 kg"

    def test_the_cell_that_is_asked_for(self) -> None:
        """And what the row is about."""
        assert sent(self.ROW, asked="What suction power does the Sparrow X2 have?") == [
            "Sparrow X2: Suction power 7,500 Pa"
        ]

    def test_the_column_that_is_asked_for_where_products_are_columns(self) -> None:
        """`Birk D8`, and not `Birk D8 Eco`, of which nothing is asked."""
        row = "Noise | Birk D8: 69 dB | Birk D8 Eco: 61 dB | Alder: 64 dB"

        assert sent(row, asked="How loud is the Birk D8?") == ["Noise: Birk D8 69 dB"]
        assert sent(row, asked="How loud is the Birk D8 Eco?") == ["Noise: Birk D8 Eco 61 dB"]

    def test_the_whole_row_where_no_column_is_named(self) -> None:
        """All of it is true of what the row is about."""
        assert sent(self.ROW, asked="Tell me of it") == [self.ROW]


def test_a_sentence_that_points_back_comes_with_the_one_before() -> None:
    """`They lapse in March.`"""
    text = "Staff have 12 days of leave. They lapse in March. Meals are free for all."

    assert sent(text) == [
        "Staff have 12 days of leave.",
        "Staff have 12 days of leave. They lapse in March.",
        "Meals are free for all.",
    ]


def test_items_know_what_stands_above_them() -> None:
    """Headings and leads say what they are about."""
    statements = read_statements(make_chunk("Warranty\n\nNot covered:\n\n- water\n- theft"))

    assert [each.kind for each in statements] == ["heading", "lead", "item", "item"]
    assert [statements[place].text for place in statements[3].above] == ["Warranty", "Not covered:"]


def test_a_sentence_of_several_lines_goes_out_as_one() -> None:
    """A text file ends its lines where they were full; the quotation itself stays verbatim."""
    text = "The lead writes to customers and to\nthe management, every 30 minutes."

    assert sent(text) == ["The lead writes to customers and to the management, every 30 minutes."]
