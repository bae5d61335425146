"""The canary gate's comparison: equal deployments pass, and each kind of regression is refused for its own reason."""

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from load.gate.agreement import Agreement
from load.gate.chance import binomial_tail, fewest_bad, sign_test
from load.gate.comparison import CHECKS, Tolerances, compare
from load.gate.pairs import Pair, Reply
from schemas.response import QueryResponse
from tests.unit.evaluation_replies import NO_ANSWER, cite, respond

DEFAULT = Tolerances()
ANSWER = respond("Staff have 12 days of leave [S1].")
GOOD = Reply("t", e2e_s=1.0, ttft_s=0.2, response=ANSWER)
ABSTAINS = replace(GOOD, response=NO_ANSWER)
FAILS = Reply("t", e2e_s=0.1, error="UPSTREAM_ERROR")
FAULTY = replace(GOOD, fault="an empty quote")
SLOW = replace(GOOD, e2e_s=2.0)
HESITANT = replace(GOOD, ttft_s=0.5)
ELSEWHERE = replace(GOOD, response=respond("Visitors park behind the north building [S1]."))


def pair(canary: Reply = GOOD, stable: Reply = GOOD) -> Pair:
    return Pair("How many?", "stream", stable, canary)


def refusing(pairs: Sequence[Pair], tolerances: Tolerances = DEFAULT) -> list[str]:
    """The names of the checks that refuse the canary."""
    return [check.name for check in compare(pairs, tolerances).refusing]


def test_two_that_are_alike_pass() -> None:
    """With nothing to tell them apart, no figure is beyond what is allowed."""
    comparison = compare([pair()] * 200, DEFAULT)

    assert not comparison.refusing
    assert [check.show(check.canary) for check in comparison.checks] == [
        *("0.0%", "0.0%", "0.0%"),
        *("200 ms", "200 ms", "1000 ms", "1000 ms"),
        "100.0%",
    ]


def test_two_that_are_alike_and_noisy_pass() -> None:
    """Errors, abstentions and times that scatter alike are no reason, in small samples as in large ones."""
    rng = random.Random(20260510)

    def draw() -> Reply:
        if rng.random() < 0.05:
            return FAILS
        e2e_s = rng.lognormvariate(0, 1)
        return Reply("t", e2e_s, e2e_s / 2, response=NO_ANSWER if rng.random() < 0.1 else ANSWER)

    samples = [[pair(draw(), draw()) for _ in range(size)] for size in (20, 50, 100, 200) for _ in range(25)]

    assert [refusing(sample) for sample in samples].count([]) >= len(samples) * (1 - DEFAULT.chance)


@pytest.mark.parametrize(
    ("canary", "reasons"),
    [
        (FAILS, ["errors"]),
        (FAULTY, ["broken contract"]),
        (ABSTAINS, ["no_answer", "agreement"]),
        (SLOW, ["E2E p50", "E2E p95"]),
        (HESITANT, ["TTFT p50", "TTFT p95"]),
        (ELSEWHERE, ["agreement"]),
    ],
    ids=["fails", "breaks the contract", "abstains", "slow", "late first text", "says something else"],
)
def test_each_way_of_being_worse_is_a_reason(canary: Reply, reasons: list[str]) -> None:
    """And the other way round it is none: a canary may be better than what it replaces."""
    others = [reason for reason in reasons if reason == "agreement"]

    assert refusing([pair(canary)] * 20) == reasons
    assert refusing([pair(GOOD, stable=canary)] * 20) == others


@pytest.mark.parametrize(
    ("bad", "is_refused"), [(DEFAULT.fewest_bad - 1, False), (DEFAULT.fewest_bad, True)], ids=["luck", "no luck"]
)
@pytest.mark.parametrize("canary", [FAILS, ABSTAINS], ids=["errors", "abstentions"])
def test_what_could_be_luck_is_no_reason(canary: Reply, bad: int, is_refused: bool) -> None:
    """Although it is beyond the tolerance in both cases; ten coins that all fall on one side are rarer than allowed."""
    pairs = [*[pair(canary)] * bad, *[pair()] * (100 - bad)]

    assert bool(refusing(pairs)) == is_refused


def test_what_is_within_the_tolerance_is_no_reason() -> None:
    """However sure it is: 20 of 1000 are no luck, and 2 % more errors were allowed."""
    pairs = [*[pair(FAILS)] * 20, *[pair()] * 980]

    assert refusing(pairs) == ["errors"]
    assert refusing(pairs, replace(DEFAULT, error_rate_increase=0.02)) == []


def test_errors_of_both_are_no_reason() -> None:
    """What also happens to the stable one is not the canary's."""
    pairs = [*[pair(FAILS)] * 11, *[pair(stable=FAILS)] * 9, *[pair(FAILS, stable=FAILS)] * 50, *[pair()] * 30]

    assert refusing(pairs) == []


def test_one_broken_rule_is_enough() -> None:
    """The contract promises something of every answer; where the stable one breaks it too, luck is asked."""
    assert refusing([pair(FAULTY), *[pair()] * 199]) == ["broken contract"]
    assert refusing([pair(FAULTY), pair(FAULTY), pair(stable=FAULTY), *[pair()] * 197]) == []


def test_a_few_slow_answers_show_in_the_95th_percentile() -> None:
    """A tenth of the answers takes twice as long: the median does not move."""
    pairs = [*[pair(SLOW)] * 20, *[pair()] * 180]

    assert refusing(pairs) == ["E2E p95"]
    assert refusing(pairs, replace(DEFAULT, e2e_ratio=2.0)) == []


def test_times_of_answers_are_compared_with_times_of_answers() -> None:
    """An abstention and a failure are fast: they do not make a slow canary look faster."""
    fast = replace(ABSTAINS, e2e_s=0.01)
    pairs = [*[pair(SLOW)] * 20, *[pair(fast)] * 40, *[pair(FAILS)] * 40]

    assert "E2E p50" in refusing(pairs)


def test_what_was_not_measured_is_no_reason() -> None:
    """Without streams there is no time to the first text; without answers nothing but errors."""
    whole = replace(GOOD, ttft_s=None)
    comparison = compare([pair(whole, whole)] * 20, DEFAULT)

    assert [check.show(check.canary) for check in comparison.checks[3:5]] == ["–", "–"]
    assert refusing([pair(FAILS, FAILS)] * 20) == []
    assert len(compare([], DEFAULT).checks) == CHECKS


def test_a_reason_says_what_is_allowed_and_what_was_found() -> None:
    """One line, with the commonest kinds of what went wrong, and no word of an answer."""
    (check,) = compare([*[pair(FAILS)] * 15, *[pair(replace(FAILS, error="CUT_OFF"))] * 5], DEFAULT).refusing

    assert check.describe() == "errors 100.0% (stable: 0.0%, allowed: 1.0% more): UPSTREAM_ERROR 15, CUT_OFF 5"


@pytest.mark.parametrize(
    ("answer", "holds"),
    [
        (respond("staff have 12 days of leave. [S1]"), True),
        (respond("Every year the staff have 12 days of leave [S1].", (cite(chunk_id="demo:p0001:v2:00001"),)), True),
        (respond("Staff have 12 days of leave.", ()), True),
        (respond("Nobody but the board has 30 days of paid leave [S1]."), False),
        (NO_ANSWER, False),
    ],
    ids=["in other letters", "in other words", "without its marker", "something else", "nothing"],
)
def test_answers_agree_by_words_and_documents(answer: QueryResponse, holds: bool) -> None:
    """Case, punctuation, markers and a few words are no difference; another content or an abstention is."""
    assert Agreement.of(ANSWER, answer).holds == holds


def test_like_words_from_other_documents_do_not_agree() -> None:
    """Most of a policy's words stand in every version of it: where they are from decides."""
    other = cite().model_copy(update={"document_id": "p0002"})
    agreement = Agreement.of(ANSWER, respond("The staff have 12 days of leave [S1].", (other,)))

    assert agreement.f1 > 0.8
    assert (agreement.documents, agreement.chunks, agreement.holds) == (0, 1, False)


def test_two_abstentions_agree() -> None:
    """In whatever words they say so."""
    assert Agreement.of(NO_ANSWER, respond("Tài liệu không có thông tin.", (), "no_answer")).holds


@pytest.mark.parametrize(
    ("hits", "trials", "share", "tail"),
    [
        *((0, 10, 0.5, 1), (10, 10, 0.5, 1 / 1024), (9, 10, 0.5, 11 / 1024)),
        *((1, 2, 0.3, 0.51), (3, 3, 0.3, 0.027)),
        *((1, 5, 0.0, 0), (5, 5, 1.0, 1), (0, 0, 0.5, 1)),
        (600, 1000, 0.5, 1.364232e-10),
    ],
)
def test_tails_are_exact(hits: int, trials: int, share: float, tail: float) -> None:
    """Against values computed by hand; the last one against scipy's."""
    assert binomial_tail(hits, trials, share) == pytest.approx(tail)


def test_pairs_that_are_alike_say_nothing() -> None:
    """Both bad or both good: only those in which one of the two was bad are counted, and only by whose it was."""
    odd = [*[(False, True)] * 9, (True, False)]

    assert sign_test(odd) == sign_test([*odd, *[(True, True)] * 50, *[(False, False)] * 50])
    assert sign_test(odd) == pytest.approx(11 / 1024)
    assert sign_test([(True, False)] * 10) == 1


def test_the_fewest_that_are_no_luck() -> None:
    """One fewer could be."""
    fewest = fewest_bad(DEFAULT.level)

    assert binomial_tail(fewest, fewest, 0.5) <= DEFAULT.level < binomial_tail(fewest - 1, fewest - 1, 0.5)
