"""A question is read in the words of the index that it is asked of, however it was typed."""

import asyncio
import unicodedata

import pytest

from rag.index.vocabulary import is_one_slip
from rag.question.reading import Reading, is_small_talk, read_question
from rag.question.spelling import _ASKED_AS
from tests.fakes import FakeIndex

LEAVE = "Nhân viên chính thức có 12 ngày nghỉ phép năm. Lương được trả vào ngày 5. Công ty hỗ trợ tiền ăn trưa."
KEYS = "Khóa học an toàn kéo dài hai buổi. Nhà hòa giải làm việc tại tầng 2."
REFUND = "A refund is paid within 14 days. The holiday allowance is 25 days for the workshop."
INDEX = FakeIndex(LEAVE, KEYS, REFUND)


def read(question: str, index: FakeIndex = INDEX) -> Reading:
    return asyncio.run(read_question(question, index))


class TestDiacritics:
    """Phones and chats leave them out; the documents have them."""

    @pytest.mark.parametrize(
        ("typed", "meant"),
        [
            ("nhan vien co bao nhieu ngay nghi phep nam", "nhân viên có bao nhiêu ngày nghỉ phép năm"),
            ("luong duoc tra vao ngay nao?", "lương được trả vào ngày nào?"),
            ("Nhan vien co tien an trua khong", "Nhân viên có tiền ăn trưa không"),
        ],
    )
    def test_they_are_restored_by_the_words_that_stand_together(self, typed: str, meant: str) -> None:
        """One syllable can stand for many; its neighbours in the documents, and how people ask, tell which."""
        assert read(typed) == Reading(meant, "vi")

    def test_of_two_that_fit_alike_every_process_takes_the_same(self) -> None:
        """The order of a set of words is another one in each process, and with it the answer would be."""
        assert all(list(meant) == sorted(meant) for meant in _ASKED_AS.values())

    @pytest.mark.parametrize("question", ["How many days of holiday are there?", "Is a refund paid?", "refund"])
    def test_english_stays_english(self, question: str) -> None:
        """Many English words could be Vietnamese syllables."""
        assert read(question) == Reading(question, "en")

    def test_a_question_with_diacritics_keeps_its_words(self) -> None:
        """A third of the syllables of a properly typed question have none."""
        question = "Nhân viên nghỉ trong bao lâu thì được trả lương?"

        assert read(question).text == question

    def test_documents_without_diacritics_are_found_too(self) -> None:
        """Then it is the question that has too many of them."""
        index = FakeIndex("Nhan vien chinh thuc co 12 ngay nghi phep nam.")

        assert read("Nhân viên có mấy ngày nghỉ phép?", index).text == "Nhan vien co may ngay nghi phep?"


@pytest.mark.parametrize(
    "typed",
    [
        "Khoá học kéo dài mấy buổi?",
        unicodedata.normalize("NFD", "Khóa học kéo dài mấy buổi?"),
        "Khóa\u200b học kéo dài mấy buổi?",
        "  Khóa học   kéo dài\nmấy buổi? ",
    ],
    ids=["new placing of tones", "decomposed", "zero width", "white space"],
)
def test_what_reads_the_same_is_the_same(typed: str) -> None:
    """Whichever keyboard, editor or web page it comes from."""
    assert read(typed).text == "Khóa học kéo dài mấy buổi?"


def test_capitals_change_nothing() -> None:
    """A whole sentence in capitals is a keyboard; a short word may be an abbreviation."""
    assert read("NHÂN VIÊN CÓ MẤY NGÀY NGHỈ PHÉP?").text == "nhân viên có mấy ngày nghỉ phép?"
    assert read("VAT?").text == "VAT?"


class TestHaste:
    """Shorthand and slips of fingers."""

    @pytest.mark.parametrize(
        ("typed", "meant"),
        [
            ("nv đc nghỉ phép mấy ngày", "nhân viên được nghỉ phép mấy ngày"),
            ("refnd within how many days", "refund within how many days"),
            ("hoilday allowance pls", "holiday allowance please"),
            ("wrkshop holiday", "workshop holiday"),
        ],
    )
    def test_what_was_meant_stands_in_the_documents(self, typed: str, meant: str) -> None:
        """Nothing is guessed that no document says."""
        assert read(typed).text == meant

    @pytest.mark.parametrize("question", ["Who scored in the bill?", "Is the Birk D9 loud?", "workshops"])
    def test_a_word_that_no_document_has_stays(self, question: str) -> None:
        """It may be what the documents do not know."""
        assert read(question).text == question

    @pytest.mark.parametrize(
        ("typed", "meant", "is_slip"),
        [
            ("refnd", "refund", True),
            ("hoilday", "holiday", True),
            ("holliday", "holiday", True),
            ("elclusively", "exclusively", True),
            ("score", "scope", False),
            ("black", "back", False),
            ("refund", "refund", False),
        ],
    )
    def test_a_slip_leaves_out_doubles_or_exchanges(self, typed: str, meant: str, is_slip: bool) -> None:
        """A wrong letter makes another word of many a short one."""
        assert is_one_slip(typed, meant) == is_slip


@pytest.mark.parametrize(
    "text",
    ["Hi there!", "thank you so much :)", "Who are you?", "xin chào", "Cảm ơn bạn nhiều nhé", "chao shop", "ok thanks"],
)
def test_small_talk_asks_nothing(text: str) -> None:
    """Greetings, thanks, and who answers."""
    assert is_small_talk(text)
    assert read(text).is_small_talk


@pytest.mark.parametrize(
    "text", ["Hi, how many days of leave?", "chào shop, phí giao hàng bao nhiêu", "all staff", "leave"]
)
def test_a_question_after_a_greeting_is_a_question(text: str) -> None:
    """People are polite."""
    assert not is_small_talk(text)
