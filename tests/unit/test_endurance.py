"""The report of an endurance run, and when it fails."""

from collections import Counter

from load.endurance.callers import KINDS, NO_ANSWER, Tally
from load.endurance.report import Sample, render
from load.endurance.vitals import Vitals

MEBIBYTE = 1 << 20


def make_samples(*, growth_bytes: int) -> list[Sample]:
    """Ten, a thousand requests apart; the first third grows whatever happens after it."""
    samples = []
    for number in range(10):
        rss_bytes = 100 * MEBIBYTE + min(number, 3) * MEBIBYTE + max(0, number - 3) * growth_bytes
        vitals = {
            "front": Vitals(rss_bytes, 30 + max(0, number - 3), 4, 5),
            "supervisor": Vitals(MEBIBYTE, 16, 3, None),
        }
        samples.append(Sample(1000 * (number + 1), 60.0 * number, vitals))
    return samples


def test_growth_is_told_per_thousand_requests_once_all_is_settled() -> None:
    """What is made once and kept is not growth."""
    report = render(make_samples(growth_bytes=2048), Tally(), Counter(), {})

    assert "| front | +2 | +1.00 | +0.00 | +0.00 |" in report
    assert "| supervisor | +0 | +0.00 | +0.00 |  |" in report


def test_each_kind_of_caller_has_right_answers_and_wrong_ones() -> None:
    """One that leaves may have none; one that listens may not."""
    leaves = next(kind for kind in KINDS if kind.manner == "leaves")
    listens = next(kind for kind in KINDS if kind.manner == "listens")
    tally = Tally(Counter({(leaves.name, NO_ANSWER): 3, (listens.name, 200): 5, (listens.name, NO_ANSWER): 2}))

    assert tally.find_wrong() == {(listens.name, NO_ANSWER): 2}
    report = render(make_samples(growth_bytes=0), tally, Counter({"request_failed": 1}), {})
    assert f"| {listens.name} | none: 2, 200: 5 |" in report
    assert "{'request_failed': 1}" in report
