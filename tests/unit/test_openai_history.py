"""Which turns before the question go with it: the latest that fit, as they were said."""

import pytest

from rag.api.openai_request import take_history
from schemas.openai import ChatMessage


def turn(role: str, content: object) -> ChatMessage:
    return ChatMessage.model_validate({"role": role, "content": content})


def test_turns_keep_their_order_and_their_speakers() -> None:
    """Oldest first."""
    found = take_history([turn("user", "a"), turn("assistant", "b"), turn("user", "c")])

    assert found == [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
    ]


@pytest.mark.parametrize("role", ["system", "developer"])
def test_orders_are_no_turns(role: str) -> None:
    """They are dropped wherever they stand, and take no room."""
    orders = [turn(role, "x" * 9000)] * 20

    assert take_history([*orders, turn("user", "a"), *orders]) == [{"role": "user", "content": "a"}]


@pytest.mark.parametrize("content", [None, "", " \n", [], [{"type": "refusal", "refusal": "no"}]])
def test_a_turn_without_text_is_left_out(content: object) -> None:
    """Such as an assistant's that was refused."""
    assert take_history([turn("user", "a"), turn("assistant", content)]) == [{"role": "user", "content": "a"}]


def test_parts_are_one_text() -> None:
    """Joined by line breaks."""
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]

    assert take_history([turn("user", parts)]) == [{"role": "user", "content": "a\nb"}]


def test_the_last_ten_turns_are_kept() -> None:
    """Older ones help least."""
    found = take_history([turn("user", str(number)) for number in range(30)])

    assert [each["content"] for each in found] == [str(number) for number in range(20, 30)]


@pytest.mark.parametrize(
    ("sizes", "kept"),
    [
        ([8000], 1),
        ([8001], 0),
        ([1, 8000], 1),
        ([4000, 4000], 2),
        ([10, 8000, 10], 1),
        ([8001, 10], 1),
        ([10, 8001], 0),
    ],
)
def test_no_more_than_8000_characters_are_kept(sizes: list[int], kept: int) -> None:
    """Whole turns, without a gap: one that does not fit ends it, whatever stands before it."""
    found = take_history([turn("user", "x" * size) for size in sizes])

    assert [len(each["content"]) for each in found] == (sizes[-kept:] if kept else [])
