"""What a run is told on its command line."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """`dtype` is the number format of the peers' torch, float32 unless they are told another; `most_texts` at once."""

    rounds: int
    dtype: str
    most_texts: int
