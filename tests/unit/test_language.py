"""Words, sentences and language of Vietnamese and English text."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.text.language import detect_language, sentence_spans, words

# Characters at which the rules look, so that random text meets them often.
TRICKY = st.text(st.sampled_from(list("aAđĐộ1 .\n\n?!…。\"')]|-#[S,:*\t\u00a0\u0301")), max_size=80)


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Nghỉ phép năm, 12 ngày!", ["nghỉ", "phép", "năm", "12", "ngày"]),
        ("1,000 USD; 2.5%; 12.000.000 đồng.", ["1,000", "usd", "2.5", "12.000.000", "đồng"]),
        ("Don't use the company's full-time S3", ["don't", "use", "the", "company", "full", "time", "s3"]),
        ("doc_hr_2026", ["doc", "hr", "2026"]),
        ("… — |", []),
    ],
)
def test_words_keep_diacritics_numbers_and_contractions_whole(text: str, expected: list[str]) -> None:
    """A number, a syllable with its marks and a contraction are one word each; punctuation is none."""
    assert words(text) == expected


def test_words_of_composed_and_decomposed_text_are_equal() -> None:
    """The index and the question may come in different normal forms; their words must meet."""
    text = "Nhân viên được nghỉ phép"

    assert words(unicodedata.normalize("NFD", text)) == words(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("Có 12 ngày. Hết năm thì thôi.", ["Có 12 ngày.", "Hết năm thì thôi."], id="plain"),
        pytest.param("Tăng 3,5 % tới 12.000.000 đồng. Hết.", ["Tăng 3,5 % tới 12.000.000 đồng.", "Hết."], id="numbers"),
        pytest.param("Ở TP. Hồ Chí Minh. Có Q. 1.", ["Ở TP. Hồ Chí Minh.", "Có Q. 1."], id="places"),
        pytest.param("PGS.TS. An và Th.S Bình. Xem tr. 12.", ["PGS.TS. An và Th.S Bình.", "Xem tr. 12."], id="titles"),
        pytest.param("Ăn, ở, v.v. Công ty trả.", ["Ăn, ở, v.v.", "Công ty trả."], id="v.v. may end"),
        pytest.param("Mr. An met Dr. Lee. They left.", ["Mr. An met Dr. Lee.", "They left."], id="english titles"),
        pytest.param(
            "The U.S. Navy won. In the U.S. The law.", ["The U.S. Navy won.", "In the U.S.", "The law."], id="U.S."
        ),
        pytest.param(
            "See No. 5, e.g. Hue. He said no. Then?", ["See No. 5, e.g. Hue.", "He said no.", "Then?"], id="no"
        ),
        pytest.param("By J. K. Rowling. Read it.", ["By J. K. Rowling.", "Read it."], id="initials"),
        pytest.param("Well... maybe. Well… Yes.", ["Well... maybe.", "Well…", "Yes."], id="ellipsis"),
        pytest.param('"Why?" he asked. "Go." Then?!', ['"Why?" he asked.', '"Go."', "Then?!"], id="quotes"),
        pytest.param("(Xem trang 5.) Tiếp.", ["(Xem trang 5.)", "Tiếp."], id="brackets"),
        pytest.param(
            "See https://a.vn/x.html?q=1. Open b.pdf.", ["See https://a.vn/x.html?q=1.", "Open b.pdf."], id="urls"
        ),
        pytest.param("年假有十二天。病假？另算！", ["年假有十二天。", "病假？", "另算！"], id="cjk"),
        pytest.param("Điều 5. Nghỉ phép. 1. Một. Hai.", ["Điều 5. Nghỉ phép.", "1. Một.", "Hai."], id="enumerators"),
        pytest.param(
            "iOS is out. eSIM works? what? no!", ["iOS is out.", "eSIM works?", "what?", "no!"], id="small letters"
        ),
        pytest.param("Có 12 ngày. [S1] Còn nữa.[2] Hết.", ["Có 12 ngày. [S1]", "Còn nữa.[2]", "Hết."], id="references"),
    ],
)
def test_sentences_end_where_a_reader_ends_them(text: str, expected: list[str]) -> None:
    """A stop ends a sentence unless it belongs to an abbreviation, a number, a name or an address."""
    assert sentences(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Theo NĐ. 145/2020/NĐ-CP thì mức lương tối thiểu tăng.",
        "Ông Ng. Văn An ký hợp đồng với ThS. Bình và GS. TSKH. Lê Văn D.",
        "Cổ đông của CTCP. Sữa Việt Nam được chia cổ tức.",
        "Cơ quan BHXH. Việt Nam giải quyết.",
        "UBND. Thành phố Huế ban hành văn bản.",
        "Trụ sở tại P. Bến Nghé, Q. 1, TP. Hồ Chí Minh.",
        "KT. GIÁM ĐỐC",
        "Đ/c. Nguyễn Văn Bảy chủ trì.",
        "V/v. Khen thưởng nhân viên.",
        "MST. 0101234567 cấp ngày 1/1/2020, ĐT. 0123 456 789.",
        "See No. 5, Art. IV, para. 2 and cl. 4, e.g. Hue, incl. VAT.",
    ],
)
def test_no_sentence_ends_with_an_abbreviation_before_a_name_or_a_number(text: str) -> None:
    """Half a sentence says something else, or nothing."""
    assert sentences(text) == [text]


@pytest.mark.parametrize(
    "text",
    [
        "Nhân viên đóng BHXH.|Người lao động được trả lương.",
        "Nhân viên đóng BHXH.|Doanh nghiệp phải báo cáo.",
        "Theo quy định của BHXH.|12 tháng sau mới được hưởng.",
        "Nộp hồ sơ tại UBND.|Ông Nam sẽ hướng dẫn.",
        "Đây là loại hình CTCP.|Cổ đông góp vốn.",
        "Thực hiện theo NĐ.|Doanh nghiệp tự chịu trách nhiệm.",
        "Việc này do TGĐ.|Các phòng ban phối hợp.",
        "Gọi số ĐT.|Nhân viên sẽ trả lời.",
        "Giá chưa gồm VAT.|Hà Nội miễn phí giao hàng.",
        "He said no.|I left.",
    ],
)
def test_a_sentence_may_end_with_capital_letters(text: str) -> None:
    """They are words like others unless a name or a number follows."""
    assert sentences(text.replace("|", " ")) == text.split("|")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("một dòng\nbị ngắt. Hai", ["một dòng\nbị ngắt.", "Hai"], id="a wrapped line does not end it"),
        pytest.param("Tiêu đề\r\n\r\nVăn bản", ["Tiêu đề", "Văn bản"], id="a blank line ends it"),
        pytest.param("Gồm:\n- một\n- hai\n1. ba", ["Gồm:", "- một", "- hai", "1. ba"], id="list items"),
        pytest.param("# Đầu\nThân", ["# Đầu", "Thân"], id="a heading line"),
        pytest.param("a | b\nc | d\nVăn", ["a | b", "c | d", "Văn"], id="rows of a table"),
    ],
)
def test_layout_ends_sentences_too(text: str, expected: list[str]) -> None:
    """Headings, items and rows have no full stop, and must not flow into what follows them."""
    assert sentences(text) == expected


@given(st.one_of(st.text(), TRICKY))
def test_every_character_but_white_space_is_in_one_trimmed_span(text: str) -> None:
    """Nothing of a document may be lost or stand in two sentences, whatever the text."""
    spans = sentence_spans(text)

    position = 0
    for start, end in spans:
        assert not text[position:start].strip()
        assert text[start:end] == text[start:end].strip() != ""
        position = end
    assert not text[position:].strip()


@given(TRICKY.filter(lambda text: "|" not in text), TRICKY.filter(lambda text: "|" not in text))
def test_text_that_comes_later_moves_only_the_last_two_spans(text: str, more: str) -> None:
    """A streamed draft is cut while it grows: what was sent must stay a sentence."""
    settled = sentence_spans(text)[:-2]

    assert sentence_spans(text + more)[: len(settled)] == settled


@pytest.mark.parametrize("unit", ["a.", ". ", "Q. ", '"', "[1]", "- a\n", "\n", "1.", " | "])
def test_monotonous_text_is_split_in_one_pass(unit: str) -> None:
    """A file of one repeated character must not hang the ingestion; quadratic rules would take minutes."""
    text = unit * (300_000 // len(unit))

    spans = sentence_spans(text)

    assert spans == sorted(spans)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Nhân viên full-time có bao nhiêu ngày nghỉ phép năm?", "vi"),
        ("nhan vien co bao nhieu ngay nghi phep", "vi"),
        ("an toàn thông tin", "vi"),
        ("How many days of annual leave are there?", "en"),
        ("annual leave policy", "en"),
        ("Who is Nguyễn Văn An?", "en"),
        ("Quelle est la politique de congé ?", "other"),
        ("Wie viele Urlaubstage habe ich?", "other"),
        ("年假有几天", "other"),
        ("Сколько дней отпуска?", "other"),
        ("12 / 5", "other"),
        ("", "other"),
    ],
)
def test_language_of_a_question_is_told_from_a_few_words(text: str, expected: str) -> None:
    """Names of one language in a question of another do not change it; what is neither is not guessed."""
    assert detect_language(text) == expected


@given(st.text())
def test_language_and_words_are_total(text: str) -> None:
    """Whatever a client sends, there is an answer."""
    assert detect_language(text) in {"vi", "en", "other"}
    assert all(word and not any(char.isspace() for char in word) for word in words(text))
