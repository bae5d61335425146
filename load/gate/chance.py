"""How likely a difference is mere luck: exact for twenty requests as for thousands, and the same for every figure.

If the two deployments are alike, then in each pair it is a toss of a coin which of them is which. So of the pairs in
which just one of the two was bad (an error, an abstention, a time above a limit), the canary's share is that of heads:
its tail is the probability that luck alone makes it look so much worse. That is McNemar's test in its exact form, a
sign test; pairs that are alike say nothing. Nothing is assumed of how times are distributed, or how large a sample is.
"""

import math
from collections.abc import Iterable


def sign_test(pairs: Iterable[tuple[bool, bool]]) -> float:
    """The probability that the second of each pair is bad at least so much oftener than the first, if they are alike.

    Source: McNemar, "Note on the sampling error of the difference between correlated proportions or percentages",
    Psychometrika 12, 1947; exact and one-sided.
    """
    odd = [second for first, second in pairs if first != second]
    return binomial_tail(sum(odd), len(odd), 0.5)


def binomial_tail(hits: int, trials: int, share: float) -> float:
    """The probability of at least so many hits, where each trial is one with the probability `share`."""
    if hits <= 0 or share >= 1:
        return 1.0
    if share <= 0:
        return 0.0
    return min(1.0, math.fsum(math.exp(_log_term(each, trials, share)) for each in range(hits, trials + 1)))


def fewest_bad(level: float) -> int:
    """In how many pairs the canary alone must be bad, where the stable one never is, until that is no luck."""
    return math.ceil(math.log(level, 0.5))


def _log_term(hits: int, trials: int, share: float) -> float:
    """By logarithms: the coefficients of a thousand trials are no floats."""
    ways = math.lgamma(trials + 1) - math.lgamma(hits + 1) - math.lgamma(trials - hits + 1)
    return ways + hits * math.log(share) + (trials - hits) * math.log1p(-share)
