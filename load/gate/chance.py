"""Compute how likely a difference is by chance: exact for twenty or for thousands of requests, for every figure.

If the two deployments are alike, it is a coin toss which one of a pair is which. So among the pairs in which exactly
one was bad (an error, an abstention, a time above a limit), the canary's count is binomial with p = 1/2, and its tail
is the probability that chance alone makes the canary look so much worse. This is McNemar's test in its exact form, a
sign test; pairs that are alike carry no information. It assumes nothing about the distribution of times or the sample
size.
"""

import math
from collections.abc import Iterable


def sign_test(pairs: Iterable[tuple[bool, bool]]) -> float:
    """Return the probability that the second of each pair is bad at least this much more often, if both are alike.

    Source: McNemar, "Note on the sampling error of the difference between correlated proportions or percentages",
    Psychometrika 12, 1947; exact and one-sided.
    """
    odd = [second for first, second in pairs if first != second]
    return binomial_tail(sum(odd), len(odd), 0.5)


def binomial_tail(hits: int, trials: int, share: float) -> float:
    """Return the probability of at least `hits` hits in `trials` trials, each with the probability `share`."""
    if hits <= 0 or share >= 1:
        return 1.0
    if share <= 0:
        return 0.0
    return min(1.0, math.fsum(math.exp(_log_term(each, trials, share)) for each in range(hits, trials + 1)))


def fewest_bad(level: float) -> int:
    """Return in how many pairs only the canary must be bad, the stable one in none, to be significant at `level`."""
    return math.ceil(math.log(level, 0.5))


def _log_term(hits: int, trials: int, share: float) -> float:
    """Return the logarithm of one binomial term, because the coefficients of a thousand trials overflow a float."""
    ways = math.lgamma(trials + 1) - math.lgamma(hits + 1) - math.lgamma(trials - hits + 1)
    return ways + hits * math.log(share) + (trials - hits) * math.log1p(-share)
