"""Markdown as people write it: nothing of it is dropped without a word."""

import pytest

from rag.errors import ParseError
from rag.parsing import markdown
from rag.parsing.blocks import assemble
from rag.types import Document


def read(source: str) -> Document:
    return assemble(markdown.read(source.encode()), fallback_title="t")


def test_lists_are_read_at_any_depth() -> None:
    """The parser drops what is nested deeper than its setting."""
    document = read("\n".join(f"{'  ' * depth}- cấp {depth}" for depth in range(60)))

    assert document.text.split("\n") == [f"- cấp {depth}" for depth in range(60)]


def test_lists_without_end_are_refused() -> None:
    with pytest.raises(ParseError, match="its lists or quotations are nested too deep"):
        read("\n".join(f"{'  ' * depth}- cấp" for depth in range(1000)))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("3. ba\n4. bốn\n\nxen\n\n5. năm", "3. ba\n4. bốn\n\nxen\n\n5. năm"),
        ("- [ ] chưa\n- [x] xong", "- [ ] chưa\n- [x] xong"),
        ("Có[^1] và[^a].\n\n[^1]: Miễn-phí\n[^a]: Hai từ", "Có[1] và[a].\n\n[1] Miễn-phí\n\n[a] Hai từ"),
        ("Diện tích 2*3*4 m", "Diện tích 2*3*4 m"),
        ("Thay <ten-cua-ban> và <email> vào.", "Thay <ten-cua-ban> và <email> vào."),
        ("a <b>đậm</b> H<sub>2</sub>O 10<sup>6</sup>", "a đậm H2O 10⁶"),
        ("A | B\n--|--\n1 | x \\| y", "A: 1 | B: x|y"),
        ("```python\nx = 1\n\ny = 2\n```", "x = 1\ny = 2"),
        ("Thuật ngữ\n: Định nghĩa", "Thuật ngữ : Định nghĩa"),
        ("<details><summary>FAQ</summary>\n\nTrả lời.\n\n</details>", "FAQ\n\nTrả lời."),
        ("1. một\n   - con\n     1. cháu\n2. hai\n\n   đoạn", "1. một\n- con\n1. cháu\n2. hai\n\nđoạn"),
    ],
)
def test_what_is_written_is_read(source: str, expected: str) -> None:
    assert read(source).text == expected


def test_struck_out_text_is_left_out_and_told() -> None:
    document = read("~~500k~~ 400k")

    assert document.text == "400k"
    assert document.warnings == ("not in the text: 1 struck-out passage",)


@pytest.mark.parametrize(
    ("source", "title"),
    [
        ('---\ntitle: "Sổ tay: nhân viên"\ntags: [a, b]\ndate: 2026-01-01\n---\n# C\nNội dung.', "Sổ tay: nhân viên"),
        ('+++\ntitle = "Sổ tay"\ndraft = false\n+++\n# C\nNội dung.', "Sổ tay"),
        ("---\ntags:\n  - a\n- b\n# ghi chú\n---\n# C\nNội dung.", "C"),
    ],
)
def test_front_matter_gives_the_title_and_no_text(source: str, title: str) -> None:
    document = read(source)

    assert document.title == title
    assert document.text == "C\n\nNội dung."


@pytest.mark.parametrize("source", ["---\nMột đoạn văn.\n\n---\nHai.", "+++\nMột đoạn văn.\n+++\nHai."])
def test_text_between_two_rules_is_no_front_matter(source: str) -> None:
    """It would be dropped."""
    text = read(source).text

    assert "Một đoạn văn." in text
    assert "Hai." in text


def test_headings_by_underlines_keep_their_levels() -> None:
    headings = read("Tiêu đề\n=======\n\nPhần\n----\n\nx").headings

    assert [(heading.level, heading.text) for heading in headings] == [(1, "Tiêu đề"), (2, "Phần")]
