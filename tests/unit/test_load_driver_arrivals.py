"""The arrivals and the questions of the load driver: plans that depend only on their seed."""

import random
from itertools import pairwise
from pathlib import Path

import pytest

from load.driver.arrivals import Burst, draw_arrivals, squeeze
from load.driver.planning import make_generator, plan, plan_bodies
from load.driver.questions import Deck, read_pool
from load.driver.scenarios import SCENARIOS, Kind, Leaving, Scenario
from load.evaluation.xquad import DataError
from schemas.request import QueryRequest

BURST = Burst(period_s=10, share=0.2, factor=4)


def make_deck(**questions: list[str]) -> Deck:
    return Deck({"en": questions.get("en", []), "vi": questions.get("vi", [])}, random.Random(1))


def test_arrivals_are_a_poisson_process_of_the_asked_rate() -> None:
    """The mean gap is that of the rate, and gaps vary as much as their mean: exponential ones do."""
    times_s = draw_arrivals(50, 200, random.Random(7))
    gaps_s = [later - earlier for earlier, later in pairwise(times_s)]

    mean_s = sum(gaps_s) / len(gaps_s)
    variance = sum((gap_s - mean_s) ** 2 for gap_s in gaps_s) / len(gaps_s)
    assert mean_s == pytest.approx(1 / 50, rel=0.03)
    assert variance**0.5 == pytest.approx(mean_s, rel=0.05)
    assert 0 < times_s[0] <= times_s[-1] < 200


def test_the_same_seed_draws_the_same_arrivals() -> None:
    """A run can be made again."""
    assert draw_arrivals(5, 20, make_generator(3, "a")) == draw_arrivals(5, 20, make_generator(3, "a"))
    assert draw_arrivals(5, 20, make_generator(3, "a")) != draw_arrivals(5, 20, make_generator(3, "b"))


@pytest.mark.parametrize(("even_s", "bent_s"), [(0, 0), (4, 1), (8, 2), (9, 6), (10, 10), (14, 11), (19, 16)])
def test_a_burst_bends_time(even_s: float, bent_s: float) -> None:
    """Four fifths of ten seconds' arrivals come within the first two, the others in the eight after them."""
    assert squeeze(even_s, BURST) == pytest.approx(bent_s)


def test_bursts_keep_the_mean_rate() -> None:
    """What is more in the burst is less in the rest; a last period that is cut off is cut off in its rest."""
    times_s = draw_arrivals(20, 300, random.Random(7), BURST)

    in_burst = sum(at_s % 10 < 2 for at_s in times_s)
    assert len(times_s) == pytest.approx(20 * 300, rel=0.05)
    assert in_burst / len(times_s) == pytest.approx(0.8, rel=0.05)
    assert times_s == sorted(times_s)
    assert len(draw_arrivals(20, 12, random.Random(7), BURST)) == pytest.approx(20 * (10 + 8), rel=0.15)


def test_questions_are_not_repeated_by_accident() -> None:
    """A pool that is used up is dealt again in new texts: caches are hit as often as the scenario says."""
    deck = make_deck(en=["One?", "Two?"])

    dealt = [deck.deal("short", ["en"], repeated=0.0) for _ in range(20)]

    assert len(set(dealt)) == 20
    assert set(dealt[:2]) == {"One?", "Two?"}
    assert all(text.endswith(("One?", "Two?")) for text in dealt)


def test_a_share_of_the_questions_is_asked_again_word_for_word() -> None:
    """Half of them, when half of them is asked for."""
    deck = make_deck(en=[f"Question {number}?" for number in range(2000)])

    dealt = [deck.deal("short", ["en"], repeated=0.5) for _ in range(1000)]

    assert len(set(dealt)) == pytest.approx(500, rel=0.15)


def test_long_questions_fit_the_contract() -> None:
    """They are long, and none is longer than the service accepts."""
    deck = Deck(read_pool(None), random.Random(1))

    dealt = [deck.deal("long", ["en", "vi"], repeated=0.0) for _ in range(100)]

    assert all(len(text) > 400 for text in dealt)
    assert all(QueryRequest(question=text) for text in dealt)


def test_a_language_without_questions_is_passed_over_or_refused() -> None:
    """A scenario of two languages runs on what there is; one of a single language cannot."""
    deck = make_deck(en=["One?"])

    assert deck.deal("short", ["en", "vi"], repeated=0.0) == "One?"
    with pytest.raises(DataError, match="no questions in vi"):
        deck.deal("short", ["vi"], repeated=0.0)


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=str)
def test_every_scenario_asks_what_the_contract_allows(scenario: Scenario) -> None:
    """A scenario that the service rejects measures rejections."""
    deck = Deck(read_pool(None), make_generator(1))
    times_s = [float(number) for number in range(200)]

    asks = plan(scenario, deck, ["demo", "second"], times_s, rng=make_generator(2), prefix="load")

    assert [ask.at_s for ask in asks] == times_s
    assert all(QueryRequest.model_validate(dict(ask.body)) for ask in asks)
    assert len({ask.trace_id for ask in asks}) == 200
    assert {ask.body["tenant_id"] for ask in asks} == {"demo", "second"} if scenario.tenants > 1 else {"demo"}


def test_kinds_come_in_their_shares() -> None:
    """A quarter leaves within two seconds, the others stay."""
    scenario = Scenario("x", "", (Kind(share=3), Kind(share=1, leaving=Leaving(within_s=2.0))))
    deck = make_deck(en=["One?"])

    asks = plan(scenario, deck, ["demo"], [0.0] * 1000, rng=make_generator(2), prefix="load")

    leaving = [ask.leaves_at_s for ask in asks if ask.leaves_at_s is not None]
    assert len(leaving) == pytest.approx(250, rel=0.15)
    assert all(0 <= leaves_at_s <= 2 for leaves_at_s in leaving)
    assert sum(ask.is_patient for ask in asks) == 1000 - len(leaving)


def test_questions_are_read_from_lines(tmp_path: Path) -> None:
    """A line without a language is English; a file of something else is refused by its name."""
    file, broken = tmp_path / "questions.jsonl", tmp_path / "broken.jsonl"
    file.write_text('{"question": "One?"}\n{"question": "Hai?", "language": "vi"}\n', "utf-8")
    broken.write_text('["One?"]\n', "utf-8")

    assert read_pool(file) == {"en": ["One?"], "vi": ["Hai?"]}
    with pytest.raises(DataError, match=r"broken\.jsonl"):
        read_pool(broken)


def test_bodies_are_sent_in_their_order_and_again() -> None:
    """Both sides of a comparison get the same bodies."""
    asks = plan_bodies([{"max_tokens": 1}, {"max_tokens": 2}], [0.0, 0.5, 0.7], "load")

    assert [(ask.at_s, ask.body["max_tokens"]) for ask in asks] == [(0.0, 1), (0.5, 2), (0.7, 1)]
