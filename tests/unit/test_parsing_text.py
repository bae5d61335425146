"""Plain text as people have it: pages, wrapped lines, and tables that were aligned by hand."""

import unicodedata

import pytest

from rag.parsing import plain
from rag.parsing.blocks import assemble
from rag.types import Document


def read(text: str) -> Document:
    return assemble(plain.read(text.encode()), fallback_title="t")


def test_form_feeds_part_pages() -> None:
    document = read("Một nói về A.\fHai nói về B.\f")

    assert document.text == "Một nói về A.\n\nHai nói về B."
    assert [document.text[page.start : page.end].strip() for page in document.pages] == [
        "Một nói về A.",
        "Hai nói về B.",
    ]


@pytest.mark.parametrize(
    "table",
    [
        "Tên          Tuổi   Lương\nAn           30     20 triệu\nBình                15 triệu\n",
        "Tên\tTuổi\tLương\nAn\t30\t20 triệu\nBình\t\t15 triệu\n",
        unicodedata.normalize(
            "NFD", "Tên          Tuổi   Lương\nAn           30     20 triệu\nBình                15 triệu"
        ),
    ],
)
def test_aligned_columns_are_rows_with_the_names_of_the_columns(table: str) -> None:
    """Without the columns, 15 triệu would be an age."""
    assert read(table).text == "Tên: An | Tuổi: 30 | Lương: 20 triệu\nTên: Bình | Lương: 15 triệu"


@pytest.mark.parametrize(
    "text",
    [
        "a)\tmột hai ba\nb)\tbốn năm sáu\nc)\tbảy",
        "Một câu ở đây.  Câu thứ hai.\nHai câu ở đó.  Câu kế đó.\nBa câu ở kia.  Câu cuối.",
    ],
)
def test_items_and_sentences_are_no_tables(text: str) -> None:
    expected = text.replace("\t", " ").replace("  ", " ")

    assert read(text).text == expected


def test_wrapped_lines_are_one_paragraph() -> None:
    """A line break in a sentence says nothing."""
    text = "Nhân viên phải có mặt đúng giờ\ntheo quy định của công ty và phải\nđăng ký khi ra về."

    assert read(text).text == text.replace("\n", " ")


def test_lines_that_reach_the_width_are_joined_whatever_comes_next() -> None:
    lines = [
        "All employees of the company have a right to annual leave, which the",
        "Board of Directors sets each year in January after it has heard what",
        "Ms Nguyen and the others in charge of the budget have to say about a",
        "possible change.",
    ]

    assert read("\n".join(lines)).text == " ".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        "Công ty TNHH ABC\nSố 12 phố Huế\nHà Nội",
        "Các khoản sau đây được thanh toán hằng tháng:\na) tiền ăn trưa của nhân viên\nb) tiền đi lại",
        "- nhân viên toàn thời gian của công ty\n- nhân viên bán thời gian",
        "táo\ncam\nbưởi",
        "Người liên hệ của phòng nhân sự\nđiện thoại: 0901",
    ],
)
def test_lists_and_addresses_keep_their_lines(text: str) -> None:
    assert read(text).text == text


def test_no_word_of_any_layout_is_lost() -> None:
    text = "Một  hai\n  ba\tbốn\n\n\x0bnăm\n   \nsáu\x0c\x0cbảy\n \t\n"

    assert read(text).text.replace("|", " ").replace(":", " ").split() == [
        "Một",
        "hai",
        "ba",
        "bốn",
        "năm",
        "sáu",
        "bảy",
    ]
