"""A question may ask several things: each is answered, or reported as unanswered."""

import pytest

from rag.question.parts import find_names, split_question
from rag.text.language import Language


@pytest.mark.parametrize(
    ("question", "language", "parts"),
    [
        (
            "How long does it take and how much does it cost?",
            "en",
            ["How long does it take", "how much does it cost?"],
        ),
        (
            "Ở Sông Xanh hồ bơi mở cửa mấy giờ và nghỉ ngày nào?",
            "vi",
            ["Ở Sông Xanh hồ bơi mở cửa mấy giờ", "nghỉ ngày nào? (Sông Xanh)"],
        ),
        (
            "How many days at Acme Ltd? Which day is free?",
            "en",
            ["How many days at Acme Ltd?", "Which day is free? (Acme Ltd)"],
        ),
    ],
)
def test_each_part_is_a_question_with_the_names_of_the_whole(
    question: str, language: Language, parts: list[str]
) -> None:
    """It is about the same things."""
    assert split_question(question, language) == parts


@pytest.mark.parametrize(
    ("question", "language"),
    [
        ("When and where is the meeting?", "en"),
        ("I live on the sixth floor. What does delivery cost?", "en"),
        ("What do pens and pencils cost?", "en"),
        ("Tôi ở tầng 6 không có thang máy, phí giao hàng bao nhiêu?", "vi"),
        ("Giờ làm việc và giờ nghỉ?", "vi"),
        ("Combien ça coûte et quand?", "other"),
    ],
)
def test_what_asks_one_thing_stays_whole(question: str, language: Language) -> None:
    """Both sides of a seam have to ask something."""
    assert split_question(question, language) == [question]


def test_names_are_runs_of_capitals() -> None:
    """Without the word that begins a sentence, and without `I`."""
    assert find_names("The Birk D8 Eco is what I bought from Orrin & Lowe. Is it loud?") == [
        "Birk D8 Eco",
        "Orrin & Lowe",
    ]
