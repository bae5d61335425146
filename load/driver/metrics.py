"""Compute figures from outcomes, defined as in vLLM's `benchmark_serving` and guidellm; pure functions.

Rates are over the whole run, until the end of its last answer. Latencies are only those of complete answers to patient
clients; failures are counted separately.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from load.driver.outcome import Ending, Outcome
from load.driver.run import RunResult

# A higher p99 would distort the smallest figure that we must measure, 50 ms until a refusal.
LATE_MS: Final = 20.0


@dataclass(frozen=True, slots=True)
class Distribution:
    """A summary of values; percentiles are interpolated linearly, `most` is the maximum."""

    count: int
    mean: float
    p50: float
    p95: float
    p99: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self | None:
        """Summarise the values; None if there are none."""
        if not values:
            return None
        p50, p95, p99 = np.percentile(values, [50, 95, 99]).tolist()
        return cls(len(values), float(np.mean(values)), p50, p95, p99, max(values))


@dataclass(frozen=True, slots=True)
class Objective:
    """The limits that a good answer must meet, in milliseconds; None means no limit."""

    ttft_ms: float | None = None
    tpot_ms: float | None = None
    e2e_ms: float | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a text such as `ttft:2000,e2e:10000`.

        Raises: ValueError: the text has another form.
        """
        wanted: dict[str, float] = {}
        for part in text.split(","):
            name, _, limit = part.strip().partition(":")
            if f"{name}_ms" not in cls.__slots__ or f"{name}_ms" in wanted or not float(limit) > 0:
                raise ValueError(f"not an objective, such as ttft:2000,e2e:10000: {text!r}")
            wanted[f"{name}_ms"] = float(limit)
        return cls(**wanted)

    def is_met(self, outcome: Outcome) -> bool:
        """Return whether a complete answer meets the limits; TTFT and TPOT count only for streams."""
        if outcome.ending != Ending.OK:
            return False
        limits = [(self.e2e_ms, outcome.e2e_s)]
        if outcome.is_stream:
            limits += [(self.ttft_ms, _or_never(outcome.ttft_s)), (self.tpot_ms, outcome.tpot_s or 0.0)]
        return all(limit_ms is None or value_s * 1000 <= limit_ms for limit_ms, value_s in limits)

    def __str__(self) -> str:
        named = (("ttft", self.ttft_ms), ("tpot", self.tpot_ms), ("e2e", self.e2e_ms))
        return ",".join(f"{name}:{limit_ms:g}" for name, limit_ms in named if limit_ms is not None)


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures of one run; a figure is None if nothing was measured.

    `codes` counts failures by code. `good_share` is a share of the requests that were not abandoned.
    `answers_without_usage` are complete answers without token counts, which the tokens per second do not include.
    """

    requests: int
    endings: Mapping[Ending, int]
    codes: Mapping[str, int]
    sent_per_s: float
    completed_per_s: float
    goodput_per_s: float
    good_share: float | None
    output_tokens_per_s: float | None
    answers_without_usage: int
    ttft_ms: Distribution | None
    itl_ms: Distribution | None
    tpot_ms: Distribution | None
    e2e_ms: Distribution | None
    refusal_ms: Distribution | None
    stages_ms: Mapping[str, Distribution]
    lateness_ms: Distribution | None
    rss_peak_bytes: int | None
    gpu_peak_bytes: int | None

    @property
    def is_late(self) -> bool:
        """Whether the driver missed its own schedule, so that the run means little."""
        return self.lateness_ms is not None and self.lateness_ms.p99 > LATE_MS

    def share(self, *endings: Ending) -> float:
        """Return the share of all requests with one of these endings."""
        return sum(self.endings.get(ending, 0) for ending in endings) / self.requests if self.requests else 0.0


def summarize(result: RunResult, objective: Objective) -> Summary:
    """Compute the figures of a run."""
    outcomes = result.outcomes
    whole = [outcome for outcome in outcomes if outcome.ending == Ending.OK]
    timed = [outcome for outcome in whole if outcome.is_patient]
    good = sum(map(objective.is_met, outcomes))
    stayed = sum(outcome.ending != Ending.ABANDONED for outcome in outcomes)
    tokens = [outcome.completion_tokens for outcome in whole if outcome.completion_tokens is not None]
    wall_s = result.wall_s or 1.0  # avoids a division by zero if there was no request
    return Summary(
        requests=len(outcomes),
        endings=dict(Counter(outcome.ending for outcome in outcomes)),
        codes=dict(Counter(outcome.code for outcome in outcomes if outcome.code)),
        sent_per_s=len(outcomes) / (result.duration_s or wall_s),
        completed_per_s=len(whole) / wall_s,
        goodput_per_s=good / wall_s,
        good_share=good / stayed if stayed else None,
        output_tokens_per_s=sum(tokens) / wall_s if tokens else None,
        answers_without_usage=len(whole) - len(tokens),
        ttft_ms=_distribute(outcome.ttft_s for outcome in timed),
        itl_ms=_distribute(gap_s for outcome in timed for gap_s in outcome.gaps_s),
        tpot_ms=_distribute(outcome.tpot_s for outcome in timed),
        e2e_ms=_distribute(outcome.e2e_s for outcome in timed),
        refusal_ms=_distribute(outcome.e2e_s for outcome in outcomes if outcome.ending == Ending.REFUSED),
        stages_ms=_distribute_stages(timed),
        lateness_ms=_distribute(outcome.lateness_s for outcome in outcomes) if result.loop == "open" else None,
        rss_peak_bytes=max((sample.rss_bytes for sample in result.memory), default=None),
        gpu_peak_bytes=max((each.gpu_bytes for each in result.memory if each.gpu_bytes is not None), default=None),
    )


def _distribute(values_s: Iterable[float | None]) -> Distribution | None:
    return Distribution.of([value_s * 1000 for value_s in values_s if value_s is not None])


def _distribute_stages(outcomes: Iterable[Outcome]) -> dict[str, Distribution]:
    """Return the distribution of each stage's times, in the service's order of stages."""
    values_ms: dict[str, list[float]] = {}
    for outcome in outcomes:
        for stage, value_ms in outcome.stages_ms.items():
            values_ms.setdefault(stage, []).append(value_ms)
    return {stage: found for stage, values in values_ms.items() if (found := Distribution.of(values))}


def _or_never(value_s: float | None) -> float:
    return float("inf") if value_s is None else value_s
