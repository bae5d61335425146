"""Splitting deltas into sentences, however they are cut, each with its own markers; and back into tokens."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.answer.sentences import (
    MAX_SENTENCE_CHARS,
    SentenceParser,
    SourceNumbering,
    pieces,
    render_markers,
    render_sentence,
)
from rag.text.markers import has_marker, strip_markers
from rag.types import DraftSentence

FRAGMENTS = st.lists(
    st.sampled_from(
        [
            *(
                "[S1]",
                "[S",
                "1",
                "]",
                " ",
                ". ",
                ".",
                "\n",
                "\n\n",
                "S1",
                "Source: ",
                "Theo ",
                "(",
                ")",
                "[S1, S2]",
                "and ",
            ),
            *(
                "Full-time staff",
                "có 12 ngày",
                "**",
                "1. ",
                "- ",
                "Dr. ",
                "3.5",
                "。",
                "!",
                "【99】",
                "［S９］",
                "a",
                " | ",
                '{"answer": "',
                '"}',
                "\\n",
                "\\u00e0",
                "```",
                "<answer>",
                "Answer: ",
            ),
            *("…", '"', "x" * 90, "\u200b", "\r\n", "\x00", "# "),
        ]
    ),
    max_size=25,
).map("".join)


def parse(*deltas: str) -> list[DraftSentence]:
    parser = SentenceParser()
    sentences = [sentence for delta in deltas for sentence in parser.feed(delta)]
    return sentences + parser.close()


def cited(text: str) -> list[tuple[str, tuple[int, ...]]]:
    return [(sentence.text, sentence.markers) for sentence in parse(text)]


@given(st.one_of(FRAGMENTS, st.text(max_size=200)), st.lists(st.integers(0, 300), max_size=8), st.booleans())
def test_any_split_of_a_text_gives_the_same_sentences(text: str, cuts: list[int], by_character: bool) -> None:
    """A server's choice of deltas changes nothing."""
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    deltas = list(text) if by_character else [text[a:b] for a, b in pairwise(edges)]

    assert parse(*deltas) == parse(text)


@given(st.text(alphabet=st.sampled_from("abcXY 12.,!?:\n\t-–()。đ"), max_size=1500))
def test_nothing_is_lost_and_nothing_invented(text: str) -> None:
    """Without markers, the sentences are the text; only white space is made even."""
    sentences = parse(text)

    assert "".join("".join(s.lead + s.text for s in sentences).split()) == "".join(text.split())


@given(st.one_of(FRAGMENTS, st.text(max_size=300)))
def test_no_sentence_holds_a_marker_or_passes_the_bound(text: str) -> None:
    """What follows the parser need not look for markers again."""
    for sentence in parse(text):
        assert sentence.text
        assert sentence.text == sentence.text.strip()
        assert not has_marker(sentence.text)
        assert len(sentence.text) <= MAX_SENTENCE_CHARS


@pytest.mark.parametrize(
    "text",
    [
        "A has 12 days [S1]. B.",
        "A has 12 days. [S1] B.",
        "A has 12 days.[S1] B.",
        "A has 12 days.\n[S1]\nB.",
        "A has 12 days.\nSource: S1\nB.",
        "A has 12 days. S1\nB.",
        "A has 12 days. (S1). B.",
        "A has 12 days 【S1】. B.",
    ],
)
def test_a_marker_before_or_after_the_full_stop_belongs_to_that_sentence(text: str) -> None:
    """Models write both."""
    assert cited(text) == [("A has 12 days.", (1,)), ("B.", ())]


def test_a_marker_that_begins_a_line_belongs_to_that_line() -> None:
    """Small models copy the labels of their prompt."""
    assert cited("[S1] Staff have 12 days.\n[S2] Interns have 6.") == [
        ("Staff have 12 days.", (1,)),
        ("Interns have 6.", (2,)),
    ]
    assert cited("[S1]\nStaff have 12 days.") == [("Staff have 12 days.", (1,))]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Dr. Lan has 3.5 days. She left.", ["Dr. Lan has 3.5 days.", "She left."]),
        (
            "Xem Điều 5. TP. Hồ Chí Minh có 12 ngày nghỉ. Hết.",
            ["Xem Điều 5.", "TP. Hồ Chí Minh có 12 ngày nghỉ.", "Hết."],
        ),
        ("Benefits:\n- Leave\n- Meals", ["Benefits:", "- Leave", "- Meals"]),
        ("1. Staff have leave. 2. Meals are free.", ["1. Staff have leave.", "2. Meals are free."]),
        ("年休は12日です。以上。", ["年休は12日です。", "以上。"]),
        ("See v1.2.3 at example.com/a.b now! Really?", ["See v1.2.3 at example.com/a.b now!", "Really?"]),
    ],
)
def test_full_stops_that_end_no_sentence_part_none(text: str, sentences: list[str]) -> None:
    """Abbreviations, decimals, list numbers, addresses; Vietnamese and CJK."""
    assert [sentence.text for sentence in parse(text)] == sentences


def test_leads_keep_lines_and_paragraphs() -> None:
    """The answer is laid out as the draft was."""
    assert [s.lead for s in parse("One two. Three four.\nFive six.\n\n\nSeven.")] == ["", " ", "\n", "\n\n"]


def test_a_sentence_is_handed_back_once_the_next_word_is_there() -> None:
    """Streaming waits for no more than it must."""
    parser = SentenceParser()

    assert parser.feed("Staff have 12 days") == []
    assert parser.feed(" [S1].") == []
    assert parser.feed(" Part-time ") == [DraftSentence("Staff have 12 days.", (1,))]


def test_an_endless_sentence_is_cut_at_white_space() -> None:
    """The parser's memory and the check's work are bounded."""
    sentences = parse("word " * 1000)

    assert all(set(s.text.split()) == {"word"} for s in sentences)
    assert max(len(s.text) for s in sentences) <= MAX_SENTENCE_CHARS


def test_invisible_characters_hide_no_marker() -> None:
    """`[S<zero width space>99]` reads as [S99] to the eye."""
    assert cited("Staff have leave [S\u200b99].") == [("Staff have leave.", (99,))]


def test_sources_are_numbered_in_the_order_of_their_first_marker() -> None:
    """S1 … Sn without gaps, whatever the passages' numbers."""
    numbering = SourceNumbering()

    assert 4 not in numbering
    assert [numbering.assign(passage) for passage in (4, 2, 4, 7)] == [1, 2, 1, 3]
    assert 4 in numbering


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("Nhân viên full-time có 12 ngày nghỉ phép năm.", "Nhân viên full-time có 12 ngày nghỉ phép năm [S1][S2]."),
        ("No stop", "No stop [S1][S2]"),
        ("He said “yes.”", "He said “yes [S1][S2].”"),
        ("12日です。", "12日です [S1][S2]。"),
        ("...", "... [S1][S2]"),
    ],
)
def test_markers_stand_before_the_final_punctuation(text: str, rendered: str) -> None:
    """As in the contract's example."""
    assert render_sentence(text, [1, 2]) == rendered


def test_no_number_no_marker() -> None:
    """A marked sentence without sources goes out as it is."""
    assert render_sentence("A sentence.", []) == "A sentence."
    assert render_markers([1, 2]) == "[S1][S2]"


@given(st.text(max_size=300), st.lists(st.integers(1, 99), max_size=3))
def test_pieces_are_the_text_and_split_no_marker(text: str, numbers: list[int]) -> None:
    """The concatenation of all token events is the answer."""
    rendered = render_sentence(text, numbers)
    parts = pieces(rendered)

    assert "".join(parts) == rendered
    assert sum(len(re.findall(r"\[S\d+\]", part)) for part in parts) == len(re.findall(r"\[S\d+\]", rendered))


@given(st.lists(st.sampled_from(["a", "days,", "nghỉ", "[S1]."]), min_size=6).map(" ".join))
def test_six_words_are_at_least_two_pieces(text: str) -> None:
    """A client sees the answer grow."""
    assert len(pieces(text)) >= 2


@pytest.mark.parametrize(
    ("draft", "sentences"),
    [
        (
            r'{"answer": "Staff have \"12\" days [S1].\nC\u00f3 6 ng\u00e0y [S2]."}',
            [('Staff have "12" days.', (1,)), ("Có 6 ngày.", (2,))],
        ),
        ('```json\n{ "Response" : "12 days [S1]", "sources": ["S1"]}\n```', [("12 days", (1,))]),
        ('{"answer": "12 days [S1]', [("12 days", (1,))]),
        ("<answer>12 days [S1]. They expire [S2].</answer>", [("12 days.", (1,)), ("They expire.", (2,))]),
        ("```\n12 days [S1].\n```", [("12 days.", (1,))]),
        ("```12 days [S1].```", [("12 days.", (1,))]),
        ("**Answer:** 12 days [S1].", [("12 days.", (1,))]),
        ("Trả lời: 12 ngày [S1].", [("12 ngày.", (1,))]),
    ],
)
def test_what_is_wrapped_around_an_answer_is_taken_off(
    draft: str, sentences: list[tuple[str, tuple[int, ...]]]
) -> None:
    """JSON, tags, fences and labels are for programs; wherever the pieces are cut."""
    assert cited(draft) == sentences
    assert parse(*draft) == parse(draft)


@pytest.mark.parametrize("draft", ['{"a": 1} is an object [S1].', "{", "`code` is short.", "Result: 12 days.", '{"'])
def test_other_braces_and_fences_stay(draft: str) -> None:
    """They may be what was asked for."""
    assert parse(draft)[0].text == strip_markers(draft)
    assert parse(*draft) == parse(draft)


@pytest.mark.parametrize("draft", [" " * 90, "`" * 90, '{ "' + " " * 90])
def test_nothing_is_held_back_for_long(draft: str) -> None:
    """What does not become an object within some characters is the text itself."""
    parser = SentenceParser()
    parser.feed(draft)

    assert parser.feed(" Staff have 12 days [S1]. Next")
