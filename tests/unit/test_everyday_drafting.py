"""Quotation against drafting: what is measured of each, and what stands side by side."""

import pytest

from load.evaluation.answers import NoAnswersError
from load.evaluation.everyday import EverydayQuestion
from load.evaluation.everyday.drafting import Way, measure_way, render_ways
from load.gate.pairs import Reply
from schemas.response import FinishReason
from tests.unit.evaluation_replies import respond

QUESTIONS = [
    EverydayQuestion(question_id=f"en-{at}", kind="fact", language="en", text="how many days?", facts=(("12 days",),))
    for at in range(4)
]


def hear(answer: str, finish_reason: FinishReason = "stop", ttft_s: float = 0.1, e2e_s: float = 0.1) -> Reply:
    return Reply("t", e2e_s, ttft_s, response=respond(answer, (), finish_reason))


FAILED = Reply("t", 100.0, error="MODEL_TIMEOUT")


def test_a_way_is_measured_over_what_was_answered() -> None:
    """A failure counts among the outcomes, and its time among no times."""
    replies = [
        hear("It is 12 days [S1].", ttft_s=0.2, e2e_s=0.4),
        hear("It is 14 days [S1].", ttft_s=0.3, e2e_s=0.5),
        hear("The documents do not say.", "no_answer"),
        FAILED,
    ]

    way = measure_way(QUESTIONS, replies)

    assert way == Way({"right": 1, "wrong": 1, "wrongly refused": 1, "failed": 1}, first_p50_s=0.2, whole_p50_s=0.4)
    assert "| right | 1 | 1 |" in render_ways({"by quotation": way, "drafted": way})


def test_a_way_that_failed_throughout_is_not_measured() -> None:
    """One line says so, instead of a table of zeros."""
    with pytest.raises(NoAnswersError, match="none of 4"):
        measure_way(QUESTIONS, [FAILED] * 4)
