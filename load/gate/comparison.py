"""Compare pairs of replies: which figures of the canary are worse than allowed, and not by chance; pure functions.

A check refuses the canary if two conditions hold: the difference exceeds its tolerance, and if the two were alike,
chance alone would cause such a difference at most as often as the check's level allows (`load.gate.chance`). The level
of the whole gate is divided among its checks (Bonferroni), so that of a hundred gates between equal deployments at most
one refuses.

- Errors, broken rules of the contract and abstentions are properties of a single reply: the test counts the pairs in
  which exactly one is bad. One broken rule is enough if the stable one breaks none, because the contract makes promises
  about every answer.
- A time is bad if it exceeds the limit, which is the stable one's percentile times the allowed ratio. A canary with a
  higher percentile has more such times than it should; the test shows whether that could be chance.
- Agreement is a property of the pair. The test asks whether so few agreeing pairs would be likely if the smallest
  allowed share were the true one.

Times are compared only if both answered or both abstained, because an abstention is fast.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from load.driver.metrics import Distribution
from load.gate.agreement import Agreement
from load.gate.chance import binomial_tail, fewest_bad, sign_test
from load.gate.pairs import Pair, Reply

CHECKS: Final = 8
_SHOWN_KINDS: Final = 3

Unit = Literal["share", "ms"]
Percentile = Literal["p50", "p95"]


@dataclass(frozen=True, slots=True)
class Tolerances:
    """How much worse the canary may be: differences of shares from 0 to 1, and ratios of percentiles.

    `chance` is the maximum probability that the whole gate refuses one of two equal deployments.
    """

    error_rate_increase: float = 0.01
    fault_rate_increase: float = 0.0
    no_answer_increase: float = 0.05
    ttft_ratio: float = 1.2
    e2e_ratio: float = 1.2
    min_agreement: float = 0.7
    chance: float = 0.01

    @property
    def level(self) -> float:
        """The same probability for a single check."""
        return self.chance / CHECKS

    @property
    def fewest_bad(self) -> int:
        """With fewer pairs than this no result could be significant."""
        return fewest_bad(self.level)


@dataclass(frozen=True, slots=True)
class Check:
    """One figure of both deployments; None if there was nothing to measure.

    `is_beyond`: worse than the tolerance; `chance`: the probability of this or a worse result by chance.
    """

    name: str
    unit: Unit
    stable: float | None
    canary: float | None
    allowed: str
    is_beyond: bool = False
    chance: float = 1.0
    detail: str = ""

    def show(self, value: float | None) -> str:
        """Format a value in the unit of the check; `–` if there is none."""
        if value is None:
            return "–"
        return f"{value:.1%}" if self.unit == "share" else f"{value:.0f} ms"

    def describe(self) -> str:
        """Return one line that explains a refusal."""
        stable = f"stable: {self.show(self.stable)}, " if self.stable is not None else ""
        detail = f": {self.detail}" if self.detail else ""
        return f"{self.name} {self.show(self.canary)} ({stable}allowed: {self.allowed}){detail}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """All checks, and those that refuse the canary."""

    checks: tuple[Check, ...]
    refusing: tuple[Check, ...]


def compare(pairs: Sequence[Pair], tolerances: Tolerances) -> Comparison:
    """Compare the pairs by all checks."""
    allowed = tolerances
    answered = [pair for pair in pairs if pair.both_answered]
    alike = [pair for pair in answered if pair.stable.abstains == pair.canary.abstains]
    ttfts_ms = [
        (pair.stable.ttft_s * 1000, pair.canary.ttft_s * 1000)
        for pair in alike
        if pair.stable.ttft_s is not None and pair.canary.ttft_s is not None
    ]
    e2es_ms = [(pair.stable.e2e_s * 1000, pair.canary.e2e_s * 1000) for pair in alike]
    checks = (
        _check_rate("errors", pairs, allowed.error_rate_increase, lambda reply: reply.error),
        _check_faults(pairs, allowed.fault_rate_increase),
        _check_rate("no_answer", answered, allowed.no_answer_increase, lambda reply: "" if reply.abstains else None),
        _check_times("TTFT", ttfts_ms, "p50", allowed.ttft_ratio),
        _check_times("TTFT", ttfts_ms, "p95", allowed.ttft_ratio),
        _check_times("E2E", e2es_ms, "p50", allowed.e2e_ratio),
        _check_times("E2E", e2es_ms, "p95", allowed.e2e_ratio),
        _check_agreement(measure_agreement(answered), allowed.min_agreement),
    )
    assert len(checks) == CHECKS
    return Comparison(checks, tuple(each for each in checks if each.is_beyond and each.chance <= allowed.level))


def measure_agreement(pairs: Iterable[Pair]) -> list[Agreement]:
    """Return the agreement of each pair with two answers, in order."""
    return [
        Agreement.of(pair.stable.response, pair.canary.response)
        for pair in pairs
        if pair.stable.response is not None and pair.canary.response is not None
    ]


def _check_rate(name: str, pairs: Sequence[Pair], most_more: float, find_bad: Callable[[Reply], str | None]) -> Check:
    """Check a rate of bad replies; `find_bad` names what is bad about a reply, or returns None."""
    allowed = f"{most_more:.1%} more"
    if not pairs:
        return Check(name, "share", None, None, allowed)
    found = [(find_bad(pair.stable), find_bad(pair.canary)) for pair in pairs]
    stable, canary = (sum(kinds[side] is not None for kinds in found) / len(found) for side in (0, 1))
    return Check(
        name=name,
        unit="share",
        stable=stable,
        canary=canary,
        allowed=allowed,
        is_beyond=canary - stable > most_more,
        chance=sign_test((before is not None, now is not None) for before, now in found),
        detail=_count(now for _, now in found if now),
    )


def _check_faults(pairs: Sequence[Pair], most_more: float) -> Check:
    check = _check_rate("broken contract", pairs, most_more, lambda reply: reply.fault)
    return check if check.stable else replace(check, chance=0.0)


def _check_times(name: str, times_ms: Sequence[tuple[float, float]], percentile: Percentile, ratio: float) -> Check:
    name, allowed = f"{name} {percentile}", f"{ratio:g} times that"
    before, now = (Distribution.of([times[side] for times in times_ms]) for side in (0, 1))
    if before is None or now is None:
        return Check(name, "ms", None, None, allowed)
    stable_ms, canary_ms = (float(getattr(each, percentile)) for each in (before, now))
    limit_ms = ratio * stable_ms
    return Check(
        name=name,
        unit="ms",
        stable=stable_ms,
        canary=canary_ms,
        allowed=allowed,
        is_beyond=canary_ms > limit_ms,
        chance=sign_test((stable > limit_ms, canary > limit_ms) for stable, canary in times_ms),
    )


def _check_agreement(agreements: Sequence[Agreement], least: float) -> Check:
    name, allowed = "agreement", f"{least:.1%} or more"
    if not agreements:
        return Check(name, "share", None, None, allowed)
    apart = sum(not each.holds for each in agreements)
    share = 1 - apart / len(agreements)
    return Check(
        name=name,
        unit="share",
        stable=None,
        canary=share,
        allowed=allowed,
        is_beyond=share < least,
        chance=binomial_tail(apart, len(agreements), 1 - least),
    )


def _count(kinds: Iterable[str]) -> str:
    """Return the most frequent kinds with their counts."""
    return ", ".join(f"{kind} {count}" for kind, count in Counter(kinds).most_common(_SHOWN_KINDS))
