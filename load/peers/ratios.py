"""Ratios of paired rounds: each round of ours is divided by the round of the peer that was measured right beside it."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ratios:
    """Ours over theirs, one for each round; above 1 we are faster."""

    each: tuple[float, ...]

    @classmethod
    def of(cls, ours: Sequence[float], theirs: Sequence[float]) -> "Ratios":
        """Pair what was measured per second in the same rounds.

        Raises: ValueError: not the same number of rounds.
        """
        return cls(tuple(our / their for our, their in zip(ours, theirs, strict=True)))

    @property
    def median(self) -> float:
        return statistics.median(self.each)

    def __str__(self) -> str:
        """Write the median, and in brackets the least and the greatest."""
        return f"{self.median:.2f} ({min(self.each):.2f}–{max(self.each):.2f})"


def take_turns(names: Sequence[str], number: int) -> list[str]:
    """Return the names beginning with another one in each round, so that no one always follows the same neighbour."""
    first = number % len(names)
    return [*names[first:], *names[:first]]


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print a table in Markdown, whose first row names the columns, and an empty line."""
    head, *others = rows
    for row in (head, ["---"] * len(head), *others):
        print(f"| {' | '.join(row)} |")
    print(flush=True)
