"""Quotation compared with drafting: what is read from a stream, and the comparison side by side."""

import pytest

from load.evaluation.answers import NoAnswersError
from load.evaluation.everyday import EverydayQuestion
from load.evaluation.everyday.drafting import Heard, Way, measure_way, read_stream, render_ways

QUESTIONS = [
    EverydayQuestion(question_id=f"en-{at}", kind="fact", language="en", text="how many days?", facts=(("12 days",),))
    for at in range(4)
]
STREAM = [
    (0.1, "meta", '{"trace_id": "t"}'),
    (0.2, "citation", '{"citation": {}}'),
    (0.3, "token", '{"text": "It is 12 "}'),
    (0.4, "token", '{"text": "days [S1]."}'),
    (0.5, "done", '{"finish_reason": "stop"}'),
]


def test_an_answer_begins_with_its_first_text_and_ends_with_its_last_event() -> None:
    """Not with the events before it, which nobody reads."""
    assert read_stream(STREAM) == Heard("It is 12 days [S1].", "stop", first_s=0.3, whole_s=0.5)


@pytest.mark.parametrize("end", [[], [(0.5, "error", '{"code": "MODEL_TIMEOUT"}')]])
def test_a_stream_that_is_not_done_has_failed(end: list[tuple[float, str, str]]) -> None:
    """What was said before may lack what makes it right."""
    assert read_stream([*STREAM[:-1], *end]).finish_reason is None


def test_a_way_is_measured_over_what_was_answered() -> None:
    """A failure counts among the outcomes, and its time among no times."""
    heard = [
        Heard("It is 12 days [S1].", "stop", 0.2, 0.4),
        Heard("It is 14 days [S1].", "stop", 0.3, 0.5),
        Heard("The documents do not say.", "no_answer", 0.1, 0.1),
        Heard("", None, None, 100.0),
    ]

    way = measure_way(QUESTIONS, heard)

    assert way == Way({"right": 1, "wrong": 1, "wrongly refused": 1, "failed": 1}, first_p50_s=0.2, whole_p50_s=0.4)
    assert "| right | 1 | 1 |" in render_ways({"by quotation": way, "drafted": way})


def test_a_way_that_failed_throughout_is_not_measured() -> None:
    """One line says so, instead of a table of zeros."""
    with pytest.raises(NoAnswersError, match="none of 4"):
        measure_way(QUESTIONS, [Heard("", None, None, 1.0)] * 4)
