"""Draw the arrival times of an open loop: a seeded Poisson process with a constant rate or with bursts."""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Burst:
    """During the first `share` of every `period_s` the rate is `factor` times the mean.

    In the rest of the period it is lower, so that the mean over whole periods is the requested rate.
    """

    period_s: float
    share: float
    factor: float

    def __post_init__(self) -> None:
        assert 0 < self.share < 1 <= self.factor, "a burst is a part of its period, and busier than the mean"
        assert self.share * self.factor <= 1, "there are no more arrivals in the burst than in the whole period"


def draw_arrivals(rate_per_s: float, duration_s: float, rng: random.Random, burst: Burst | None = None) -> list[float]:
    """Draw arrival times in seconds from the start, ascending, all below `duration_s`."""
    if burst is None:
        return list(_draw_evenly(rate_per_s, duration_s, rng))
    whole_s = math.ceil(duration_s / burst.period_s) * burst.period_s
    bent_s = (squeeze(each, burst) for each in _draw_evenly(rate_per_s, whole_s, rng))
    return [at_s for at_s in bent_s if at_s < duration_s]


def squeeze(even_s: float, burst: Burst) -> float:
    """Map an arrival time at the mean rate to a time with bursts; the map is monotonic, so the order stays.

    Source: time change of a Poisson process by the inverse of its cumulated rate; Daley and Vere-Jones, section 7.4.
    """
    period, rest_s = divmod(even_s, burst.period_s)
    done = rest_s / burst.period_s  # of the arrivals of this period
    in_burst = burst.share * burst.factor
    if done < in_burst:
        phase = done / burst.factor
    else:
        phase = burst.share + (done - in_burst) * (1 - burst.share) / (1 - in_burst)
    return (period + phase) * burst.period_s


def _draw_evenly(rate_per_s: float, duration_s: float, rng: random.Random) -> Iterator[float]:
    at_s = rng.expovariate(rate_per_s)
    while at_s < duration_s:
        yield at_s
        at_s += rng.expovariate(rate_per_s)
