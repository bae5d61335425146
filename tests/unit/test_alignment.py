"""Near copies: an edit that changes the meaning is detected, and an honest change is accepted."""

import pytest

from rag.verification.alignment import Edit, Original, find_edit
from rag.verification.edits import read_words

LEAVE = "Full-time staff have 12 days of annual leave per year."
LEAVE_VI = "Nhân viên toàn thời gian có 12 ngày nghỉ phép năm."


def edit_of(sentence: str, *statements: str, names: frozenset[str] = frozenset()) -> Edit | None:
    originals = [Original(text, frozenset(word.stem for word in read_words(text))) for text in statements]
    found = find_edit(sentence, originals, names)
    return found[0] if found else None


@pytest.mark.parametrize(
    ("edit", "sentence", "statement"),
    [
        ("negation", "Unused days do not expire on 31 March.", "Unused days expire on 31 March."),
        ("negation", "Requests are accepted without a signature.", "Requests are not accepted without a signature."),
        ("negation", "Staff have leave on public holidays.", "No staff have leave on public holidays."),
        ("negation", "The fee is refundable after 30 days.", "The fee is non-refundable after 30 days."),
        ("negation", "The office isn't open on Sunday morning.", "The office is open on Sunday morning."),
        ("negation", "Nhân viên được hút thuốc trong tòa nhà.", "Nhân viên không được hút thuốc trong tòa nhà."),
        ("negation", "Nhân viên toàn thời gian không có 12 ngày nghỉ phép năm.", LEAVE_VI),
        ("figure", "Full-time staff have 14 days of annual leave per year.", LEAVE),
        ("figure", "Full-time staff have fourteen days of annual leave per year.", LEAVE),
        ("figure", "Overtime is paid at 300% of the hourly wage.", "Overtime is paid at 200% of the hourly wage."),
        ("name", "The review is held by Ms. Anna Berg each month.", "The review is held by Ms. Linh Tran each month."),
        ("name", "Trụ sở công ty đặt ở thành phố Huế.", "Trụ sở công ty đặt ở thành phố Vinh."),
        ("opposite", "Part-time staff have 12 days of annual leave per year.", LEAVE),
        ("opposite", "Interns take unpaid leave for up to 30 days.", "Interns take paid leave for up to 30 days."),
        ("opposite", "Probation is unpaid.", "Probation is paid."),
        ("opposite", "At most 12 people may enter the room.", "At least 12 people may enter the room."),
        ("opposite", "Nhân viên bán thời gian có 12 ngày nghỉ phép năm.", LEAVE_VI),
        ("unit", "Full-time staff have 12 weeks of annual leave per year.", LEAVE),
        ("unit", "Nhân viên toàn thời gian có 12 tuần nghỉ phép năm.", LEAVE_VI),
        ("unit", "The room has 12 doors and a large table.", "The room has 12 chairs and a large table."),
        ("exchange", "Ford acquired Volvo in 1999.", "Volvo acquired Ford in 1999."),
        (
            "exchange",
            "The talks of Siemens with Krupp led to Daimler.",
            "The talks of Daimler with Krupp led to Siemens.",
        ),
    ],
)
def test_an_edit_that_turns_the_meaning_is_seen(edit: Edit, sentence: str, statement: str) -> None:
    """All the words but one or two stand in the source, in their order."""
    assert edit_of(sentence, statement) == edit
    assert edit_of(statement, statement) is None


@pytest.mark.parametrize(
    ("sentence", "statement"),
    [
        ("Full-time staff have 12 days of annual leave.", LEAVE),
        ("Staff who work full-time have twelve days of annual leave per year.", LEAVE),
        ("Requests are rejected without a signature.", "Requests are not accepted without a signature."),
        ("It is forbidden to smoke in the building.", "It is not allowed to smoke in the building."),
        (
            "The contract was signed in 2003 by the head of Columbia.",
            "In 2003, the contract was signed by the head of Columbia.",
        ),
        ("The Panthers were defeated by the Broncos in 2016.", "In 2016 the Broncos defeated the Panthers."),
        ("She was born in Houston and left in 2001.", "Anna was born in Houston and left in 2001."),
        ("The US has about 330 million people.", "The United States has about 330,000,000 people."),
        ("Britain's army had 12,000 men in the north.", "The British army had 12,000 men in the north."),
        ("Germany and France signed the treaty in 1904.", "France and Germany signed the treaty in 1904."),
        ("Staff and guests may use the canteen.", "Not only staff but also guests may use the canteen."),
        (
            "Part-time staff have 6 days and full-time staff have 12 days of leave.",
            "Full-time staff have 12 days and part-time staff have 6 days of leave.",
        ),
        ("Hàng không Việt Nam có 12 đường bay mới.", "Việt Nam có 12 đường bay mới."),
        ("Members must pay the fee before 31 March.", "Members have to pay the fee by 31 March."),
        (
            "Only the Commission could have brought a claim.",
            "Only the Commission could have brought a claim, not Mr Costa.",
        ),
        ("Có nhiều loại phép được trả lương.", "Có nhiều loại phép được trả lương, chẳng hạn phép năm."),
        ("Visitors need a badge.", LEAVE),
    ],
)
def test_an_honest_change_is_none(sentence: str, statement: str) -> None:
    """Left out, moved, put in the passive, said with another word for the same."""
    assert edit_of(sentence, statement) is None


def test_what_another_sentence_says_word_for_word_is_no_edit() -> None:
    """The nearest statement counts, and not one that merely looks like it."""
    statement = "Part-time staff have 6 days."

    assert edit_of(statement, "Full-time staff have 12 days.", statement) is None


def test_halves_of_two_sentences_are_an_edit_of_both() -> None:
    """Equally near to either, it says what neither does."""
    assert edit_of("Managers have 12 days.", "Managers have 6 days.", "Staff have 12 days.") == "figure"


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (None, "Full-time staff have 12 days and unused days expire on 31 March."),
        ("negation", "Full-time staff have 12 days and unused days never expire on 31 March."),
        ("figure", "Full-time staff have 31 days and unused days expire on 31 March."),
    ],
)
def test_two_neighbours_may_be_told_in_one_sentence(edit: Edit | None, sentence: str) -> None:
    """It is a near copy of both together."""
    assert edit_of(sentence, "Full-time staff have 12 days.", "Unused days expire on 31 March.") == edit


def test_a_name_that_begins_its_sentence_is_known_from_elsewhere() -> None:
    """A capital there says nothing by itself."""
    statement = "Rihanna released her third album in the same year."

    assert edit_of("Beyonce released her third album in the same year.", statement) is None
    assert edit_of("Beyonce released her third album in the same year.", statement, names=NAMES) == "name"


NAMES = frozenset(word.stem for word in read_words("Beyonce Rihanna"))
