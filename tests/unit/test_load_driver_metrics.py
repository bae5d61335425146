"""The figures of the load driver, compared with values computed by hand."""

from dataclasses import replace

import pytest

from load.driver.memory import MemorySample
from load.driver.metrics import LATE_MS, Distribution, Objective, summarize
from load.driver.outcome import CUT_OFF, Ending, Hearing, Outcome, Piece, classify
from load.driver.planning import Ask
from load.driver.run import RunResult

OK = Outcome(
    trace_id="a",
    ending=Ending.OK,
    code=None,
    status=200,
    scheduled_s=1.0,
    sent_s=1.0,
    ended_s=3.0,
    is_stream=True,
    is_patient=True,
    ttft_s=0.5,
    gaps_s=(0.1, 0.3),
    completion_tokens=16,
    stages_ms={"retrieval": 10, "total": 1900},
)
REFUSED = replace(
    OK, ending=Ending.REFUSED, code="RATE_LIMITED", status=429, ended_s=1.04, ttft_s=None, gaps_s=(), stages_ms={}
)
CUT = replace(OK, ending=Ending.CUT, code=CUT_OFF, ended_s=9.0)
ABANDONED = replace(OK, ending=Ending.ABANDONED, ended_s=1.6, is_patient=False)
NEVER = Objective()


def run_of(*outcomes: Outcome, wall_s: float = 10.0) -> RunResult:
    return RunResult(scenario="x", loop="open", wall_s=wall_s, outcomes=outcomes, rate_per_s=1.0, duration_s=5.0)


def make_ask(**changes: object) -> Ask:
    return replace(Ask(0.0, "a", "stream", {}), **changes)  # type: ignore[arg-type]  # fields by name


def test_latencies_are_those_of_whole_answers() -> None:
    """A refusal is fast and a broken stream slow: neither is an answer's latency, and both are counted."""
    summary = summarize(run_of(OK, REFUSED, CUT, ABANDONED), NEVER)

    assert summary.e2e_ms == Distribution(1, 2000, 2000, 2000, 2000, 2000)
    assert summary.ttft_ms is not None
    assert (summary.ttft_ms.count, summary.ttft_ms.p50) == (1, 500)
    assert summary.refusal_ms is not None
    assert summary.refusal_ms.p99 == pytest.approx(40)
    assert summary.endings == {Ending.OK: 1, Ending.REFUSED: 1, Ending.CUT: 1, Ending.ABANDONED: 1}
    assert summary.codes == {"RATE_LIMITED": 1, CUT_OFF: 1}


def test_rates_are_over_the_whole_run() -> None:
    """Until the last answer has ended, not until the last client came; what was sent is over the time of arrivals."""
    summary = summarize(run_of(OK, OK, REFUSED), NEVER)

    assert summary.sent_per_s == 3 / 5
    assert summary.completed_per_s == 2 / 10
    assert summary.output_tokens_per_s == 2 * 16 / 10


def test_itl_is_pooled_and_tpot_is_per_answer() -> None:
    """Every gap has the same weight; the tokens after the first share the time after the first text."""
    longer = replace(OK, gaps_s=(0.5,), completion_tokens=4)

    summary = summarize(run_of(OK, longer), NEVER)

    assert summary.itl_ms is not None
    assert (summary.itl_ms.count, summary.itl_ms.most) == (3, 500)
    assert summary.itl_ms.p50 == pytest.approx(300)
    assert summary.tpot_ms is not None
    assert summary.tpot_ms.mean == pytest.approx((1500 / 15 + 1500 / 3) / 2)


def test_percentiles_are_interpolated() -> None:
    """As numpy and vLLM's benchmark have them."""
    found = Distribution.of([10.0, 20.0, 30.0, 40.0])

    assert found is not None
    assert (found.mean, found.p50) == (25, 25)
    assert found.p95 == pytest.approx(38.5)
    assert Distribution.of([]) is None


@pytest.mark.parametrize(
    ("objective", "is_met"),
    [
        ("ttft:500,e2e:2000", True),
        ("ttft:499", False),
        ("e2e:1999", False),
        ("tpot:100", True),
        ("tpot:99", False),
    ],
)
def test_goodput_counts_what_keeps_every_limit(objective: str, is_met: bool) -> None:
    """The answer: first text at 500 ms, end at 2000 ms, 15 tokens in between."""
    summary = summarize(run_of(OK, REFUSED, ABANDONED), Objective.parse(objective))

    assert summary.goodput_per_s == (0.1 if is_met else 0.0)
    assert summary.good_share == (0.5 if is_met else 0.0)


def test_a_stream_without_text_has_missed_its_first_text() -> None:
    """An answer that is not streamed has no first text to miss."""
    objective = Objective.parse("ttft:60000")
    silent = replace(OK, ttft_s=None)

    assert not objective.is_met(silent)
    assert objective.is_met(replace(silent, is_stream=False))


@pytest.mark.parametrize("text", ["", "ttft", "ttft:x", "ttft:0", "p99:5", "ttft:1,ttft:2"])
def test_what_is_no_objective_is_refused(text: str) -> None:
    """A limit that is silently dropped makes every answer good."""
    with pytest.raises(ValueError):  # noqa: PT011 - float's own message for one of them
        Objective.parse(text)


def test_an_answer_that_came_before_its_client_would_leave_is_no_sample() -> None:
    """Only fast answers come before that: they would flatter the latencies."""
    summary = summarize(run_of(OK, replace(OK, is_patient=False, ended_s=1.1)), NEVER)

    assert summary.endings == {Ending.OK: 2}
    assert summary.e2e_ms is not None
    assert summary.e2e_ms.count == 1


def test_answers_without_usage_are_told() -> None:
    """Their tokens are missing in the rate, which must not pass for a slow one."""
    summary = summarize(run_of(OK, replace(OK, completion_tokens=None)), NEVER)

    assert summary.answers_without_usage == 1
    assert summary.output_tokens_per_s == 1.6


@pytest.mark.parametrize(("late_s", "is_late"), [(LATE_MS / 1000 - 0.001, False), (LATE_MS / 1000 + 0.001, True)])
def test_a_late_driver_is_flagged(late_s: float, is_late: bool) -> None:
    """The driver's own queue is no property of the service."""
    outcome = replace(OK, sent_s=OK.scheduled_s + late_s)

    assert summarize(run_of(outcome), NEVER).is_late == is_late


def test_stages_and_memory_are_summed_up() -> None:
    """Each stage over all answers; memory at its peak, and the GPU's where there is one."""
    slower = replace(OK, stages_ms={"retrieval": 30, "total": 2500})
    memory = (MemorySample(0.0, 100, None), MemorySample(1.0, 300, 7), MemorySample(2.0, 200, 5))

    summary = summarize(replace(run_of(OK, slower), memory=memory), NEVER)

    assert {stage: found.p50 for stage, found in summary.stages_ms.items()} == {"retrieval": 20, "total": 2200}
    assert (summary.rss_peak_bytes, summary.gpu_peak_bytes) == (300, 7)


def test_a_run_without_requests_has_no_figures() -> None:
    """And no division by nothing."""
    summary = summarize(run_of(wall_s=0.0), NEVER)

    assert (summary.requests, summary.completed_per_s, summary.good_share) == (0, 0, None)
    assert summary.share(Ending.REFUSED) == 0


def test_hearing_times_texts_and_nothing_else() -> None:
    """Events without text are no tokens: not the first one, and no gap."""
    hearing = Hearing(make_ask(), scheduled_s=1.0, sent_s=1.25)
    hearing.status = 200
    for at_s, piece in ((1.5, Piece()), (2.0, Piece(text="a")), (2.25, Piece()), (3.0, Piece(text="b"))):
        hearing.take(piece, at_s)
    hearing.take(Piece(is_end=True, completion_tokens=2, finish_reason="stop"), 3.5)
    hearing.take(Piece(text="late"), 4.0)

    outcome = hearing.end(Ending.CUT, CUT_OFF, 5.0)
    assert (outcome.ending, outcome.code, outcome.finish_reason) == (Ending.OK, None, "stop")
    assert (outcome.ttft_s, outcome.gaps_s, outcome.e2e_s) == (0.75, (1.0,), 2.25)
    assert (outcome.lateness_s, outcome.completion_tokens, outcome.tpot_s) == (0.25, 2, 1.5)


def test_an_answer_in_one_piece_has_no_first_text() -> None:
    """Its first text is its last: that would be E2E under another name."""
    hearing = Hearing(make_ask(route="whole"), scheduled_s=0.0, sent_s=0.0)
    hearing.take(Piece(text="all", is_end=True), 2.0)

    assert hearing.end(Ending.CUT, CUT_OFF, 2.0).ttft_s is None


@pytest.mark.parametrize(
    ("status", "code", "ending"),
    [
        (429, "RATE_LIMITED", Ending.REFUSED),
        (503, "CONCURRENCY_LIMIT", Ending.REFUSED),
        (504, "MODEL_TIMEOUT", Ending.TIMEOUT),
        (200, "STREAM_TIMEOUT", Ending.TIMEOUT),
        (200, "UPSTREAM_RATE_LIMITED", Ending.ERROR),
        (500, "INTERNAL_ERROR", Ending.ERROR),
        (422, "VALIDATION_ERROR", Ending.ERROR),
    ],
)
def test_failures_are_told_apart(status: int, code: str, ending: Ending) -> None:
    """A refusal is one before any work; what fails in a stream was worked for."""
    assert classify(status, code) == ending
