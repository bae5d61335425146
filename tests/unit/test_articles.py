"""Headings of laws, rules and contracts: found without styles, nested, and told from references."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.parsing import parse
from rag.parsing.articles import mark_articles
from rag.parsing.blocks import Block, Draft, assemble
from rag.parsing.chunking import split

BODY = "Người lao động làm việc theo quy định của công ty."


class WordCounter:
    def count(self, text: str) -> int:
        return len(text.split())


def headings(*texts: str, levels: Sequence[int] = ()) -> list[tuple[int, str]]:
    """The headings that are found in paragraphs of text."""
    marked = mark_articles(
        [Block(text, level) for text, level in zip(texts, [*levels, *[0] * len(texts)], strict=False)]
    )
    return [(block.level, block.text) for block in marked if block.level]


def words(blocks: Sequence[Block]) -> list[str]:
    return " ".join(block.text for block in blocks).split()


@pytest.mark.parametrize(
    "line",
    [
        "Điều 5. Thời giờ làm việc",
        "Điều 5: Thời giờ làm việc",
        "ĐIỀU 5. THỜI GIỜ LÀM VIỆC",
        "Điều 12a. Nghỉ hằng năm",
        "Khoản 2. Trường hợp khác",
        "Chương II - Tiền lương",
        "Chương II TIỀN LƯƠNG",
        "Mục 1. Quy định chung",
        "Phần thứ nhất",
        "Phụ lục I. Bảng lương",
        "Article 7. Working time",
        "Article 7 Working time",
        "ARTICLE IV",
        "Section 3.2 - Overtime",
        "Chapter IV: Pay",
        "§ 12 Annual leave",
    ],
)
def test_a_line_that_is_a_heading_of_a_law_is_one(line: str) -> None:
    """No style says so in text files, and often none in Word files and pages."""
    assert [text for _, text in headings(BODY, line, BODY)] == [line]


@pytest.mark.parametrize(
    "line",
    [
        "Khoản 2 Điều 5 của Luật này quy định về thời giờ làm việc.",
        "Điều 5 của Luật này không áp dụng cho người giúp việc.",
        "Điều 5 Bộ luật Lao động quy định khác.",
        "Theo Điều 5. Người lao động được nghỉ.",
        "Article 7 applies to all staff.",
        "Section 3 of this agreement",
        "Section 4 Act",
        "- Điều 5. Thời giờ làm việc",
        "Điều 5: 12 ngày | Điều 6: 14 ngày",
        "Điều 5. Thời giờ làm việc ........ 12",
        "điều 5. thời giờ làm việc",
        "Điều kiện 5. Nghỉ phép",
        "“Điều 5. Thời giờ làm việc",
    ],
)
def test_a_reference_is_no_heading(line: str) -> None:
    """Neither is a row, an entry of contents, or an article that is quoted."""
    assert headings(BODY, line, BODY) == []


@pytest.mark.parametrize(
    "text",
    [
        "Việc nghỉ phép theo quy định tại\nĐiều 5. Người sử dụng lao động có trách nhiệm thông báo.",
        "Việc này không thuộc Khoản 1,\nKhoản 2. Các trường hợp khác do giám đốc quyết định.",
        "Nhân viên nghỉ theo quy định nêu trong phần sau của\nĐiều 7",
        "Nhân viên được nghỉ, trừ trường hợp quy định tại Khoản 2\nĐiều 14. Việc nghỉ phải báo trước.",
        "The rules on leave are in\nSection 3. Overtime is paid as stated there.",
        "Trường hợp khẩn cấp nhân viên được phép vắng mặt như nêu ở phần\nĐiều 9 Nội quy này.",
    ],
)
def test_a_reference_at_the_start_of_a_wrapped_line_is_no_heading(text: str) -> None:
    """The sentence above it is not finished."""
    assert headings(text) == []


def test_articles_in_one_block_of_lines_are_parted() -> None:
    """Text files often have no blank line between articles."""
    found = headings("Điều 1. Phạm vi\nNội quy này áp dụng chung.\nĐiều 2. Đối tượng\n1. Nhân viên.\n2. Thực tập sinh.")

    assert found == [(2, "Điều 1. Phạm vi"), (2, "Điều 2. Đối tượng")]


def test_the_next_article_follows_a_line_without_a_full_stop() -> None:
    """The numbers go on one by one: better evidence than a missing stop."""
    found = headings("Điều 1. Phạm vi\na) Cơ quan nhà nước\nĐiều 2. Đối tượng\nMọi nhân viên.")

    assert [text for _, text in found] == ["Điều 1. Phạm vi", "Điều 2. Đối tượng"]


def test_a_block_that_begins_with_an_item_may_hold_headings() -> None:
    """A blank line stands anywhere in text files."""
    assert headings("1. Một.\n2. Hai.\nĐiều 3. Hiệu lực\nTừ hôm nay.") == [(2, "Điều 3. Hiệu lực")]


@pytest.mark.parametrize("width", range(40, 121, 4))
def test_headings_are_the_same_however_the_lines_are_wrapped(width: int) -> None:
    """References then stand at the start of some lines, and titles go on in the next one."""
    text = (
        "Chương III. HỢP ĐỒNG\n"
        "Điều 13. Giao kết hợp đồng lao động và nghĩa vụ cung cấp thông tin của các bên trong thời gian thử việc\n"
        "1. Hợp đồng là sự thỏa thuận về việc làm có trả công theo quy định tại Điều 5 và Điều 6 của Bộ luật này, trừ"
        " trường hợp quy định tại Khoản 2 Điều 14. Việc giao kết phải bằng văn bản theo Mục 2. Điều 20 không áp dụng.\n"
        "Điều 14. Hình thức\n"
        "Hợp đồng được làm thành 02 bản theo khoản 1 Điều này. Khoản 2 Điều 13 không áp dụng với thực tập sinh."
    )
    wrapped = "\n".join("\n".join(textwrap.wrap(line, width)) for line in text.split("\n"))

    labels = [" ".join(found.split()[:2]) for _, found in headings(wrapped)]

    assert labels == ["Chương III.", "Điều 13.", "Điều 14."]


def test_parts_nest_from_the_highest_down() -> None:
    """A chunk is named by all that is above it."""
    found = headings(
        "Phần thứ nhất\nQUY ĐỊNH CHUNG",
        "Chương I. Nguyên tắc",
        "Mục 1. Tuyển dụng",
        "Điều 1. Hồ sơ",
        BODY,
        "Điều 2. Thi",
        BODY,
    )

    assert [level for level, _ in found] == [2, 3, 4, 5, 5]
    assert found[0] == (2, "Phần thứ nhất QUY ĐỊNH CHUNG")


def test_sections_stand_below_articles_if_the_first_article_stands_first() -> None:
    """Contracts and European regulations order them differently."""
    contract = headings("ARTICLE IV", BODY, "Section 4.1. Pay", BODY)
    regulation = headings("Section 1. Scope", "Article 1. Pay", BODY)

    assert [level for level, _ in contract] == [2, 3]
    assert [level for level, _ in regulation] == [2, 3]


def test_a_heading_that_goes_on_as_text_ends_with_its_label() -> None:
    """A sentence inside a heading could not be quoted."""
    text = "Điều 5. 1. Người lao động làm việc không quá 8 giờ trong một ngày và 48 giờ trong một tuần."
    marked = mark_articles([Block(text)])

    assert [(block.level, block.text) for block in marked] == [(2, "Điều 5."), (0, text.removeprefix("Điều 5. "))]


def test_a_title_may_stand_below_its_label_and_go_on_in_the_next_line() -> None:
    """As laws are printed."""
    found = headings(
        "Chương I",
        "QUY ĐỊNH CHUNG",
        BODY,
        "Điều 3. Quyền của người lao động chưa thành\nniên và người cao tuổi\n1. Một.",
        BODY,
    )

    assert [text for _, text in found] == [
        "Chương I QUY ĐỊNH CHUNG",
        "Điều 3. Quyền của người lao động chưa thành niên và người cao tuổi",
    ]


def test_a_table_of_contents_is_text() -> None:
    """Its last entry would be the heading of whatever comes next."""
    listed = [f"Điều {number}. Tên" for number in range(1, 5)]

    assert headings(*listed, BODY, "Điều 1. Tên", BODY) == [(2, "Điều 4. Tên"), (2, "Điều 1. Tên")]
    assert headings(*listed, "Chương I", "Điều 1. Tên", BODY) == [(2, "Chương I"), (3, "Điều 1. Tên")]


def test_levels_of_the_author_are_kept() -> None:
    """Styles that nest are better than any rule."""
    texts = ("Quy chế", "Chương I. Chung", "Điều 1. Phạm vi", BODY, "Điều 2. Đối tượng", BODY)

    assert headings(*texts, levels=(1, 2, 4)) == [(1, "Quy chế"), (2, texts[1]), (4, texts[2]), (4, texts[4])]


def test_a_document_without_such_headings_stays_as_it_is() -> None:
    """Its chunks do not move."""
    blocks = [Block("Tên", 1), Block("Mục đích của tài liệu."), Block("Phần mềm và phần cứng", 2), Block("a | b")]

    assert mark_articles(blocks) == blocks


def test_a_chunk_knows_its_article(tmp_path: Path) -> None:
    """The number of the article is in no sentence of its text."""
    path = tmp_path / "a.txt"
    articles = [f"Điều {number}. Tên {number}\n" + "\n".join([BODY] * 30) for number in range(1, 4)]
    path.write_text("NỘI QUY\n\nChương I\nQUY ĐỊNH CHUNG\n\n" + "\n".join(articles), encoding="utf-8")

    spans = split(parse(path), WordCounter(), limit_tokens=500)

    assert {span.heading for span in spans if "Tên" not in span.text} == {f"Điều {n}. Tên {n}" for n in range(1, 4)}
    assert all(span.context.startswith("Chương I QUY ĐỊNH CHUNG") for span in spans[1:])


LINES = (
    "Điều 5. Nghỉ phép", "Điều 6", "Chương I", "QUY ĐỊNH CHUNG", "Điều 7. 1. Người lao động.", "được nghỉ phép năm",
    "Section 3: Pay", "1. Một.", "- hai", "a | b", "tại", "Khoản 2 Điều 5 của Luật", "§ 12 Leave", "", "Phần thứ nhất",
)  # fmt: skip


@given(
    st.lists(
        st.builds(
            Block,
            text=st.lists(st.sampled_from(LINES), min_size=1, max_size=5).map("\n".join),
            level=st.sampled_from([0, 0, 0, 1, 2, 3]),
            glue=st.sampled_from(["\n\n", "\n", " "]),
        ),
        max_size=12,
    ),
    st.booleans(),
)
def test_no_word_is_lost_or_said_twice(blocks: list[Block], has_styles: bool) -> None:
    """Whatever is taken for a heading."""
    marked = mark_articles(blocks, has_styles=has_styles)

    assert words(marked) == words(blocks)
    assert all(0 <= block.level <= 6 for block in marked)


def test_a_law_of_fifty_thousand_articles_is_read_in_one_pass() -> None:
    """Quadratic rules would take minutes."""
    blocks = [Block("\n".join(f"Điều {number}. Tên\nMột câu." for number in range(9_000)))] * 5
    blocks += [Block(f"Điều {number}. Tên") for number in range(9_000)]

    assert len(assemble(Draft(mark_articles(blocks)), fallback_title="t").headings) >= 45_000
