"""Map values to positions on a plot, and choose round values for the ticks of its axes."""

import math
from dataclasses import dataclass
from typing import Final

MOST_TICKS: Final = 6
_ROUND: Final = (1, 2, 5)
# For a wider range a logarithmic axis has ticks only at powers of ten.
_MOST_FINE: Final = 1000


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps `low` to `start` and `high` to `end`, in pixels; a logarithmic scale needs `low` above 0."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def place(self, value: float) -> float:
        """Return the position of a value; values outside the range are moved to its border."""
        inside = min(max(value, self.low), self.high)
        if self.is_log:
            part = math.log(inside / self.low) / math.log(self.high / self.low)
        else:
            part = (inside - self.low) / (self.high - self.low)
        return self.start + part * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Return round values from `low` to `high`."""
        return _find_log_ticks(self.low, self.high) if self.is_log else _find_ticks(self.low, self.high)


def make_scale(values: list[float], start: float, end: float, *, is_log: bool = False) -> Scale:
    """Make a scale that contains all values, from 0 if linear; its range is never empty, even without values."""
    if is_log:
        positive = [value for value in values if value > 0] or [1.0]
        low, high = 10 ** math.floor(math.log10(min(positive))), max(positive)
        return Scale(low, max(high, low * 10), start, end, is_log)
    return Scale(0.0, max([*values, 0.0]) or 1.0, start, end)


def show_tick(value: float) -> str:
    """Format a tick in its shortest exact form: 0.5, 20, 5k, 2M."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def _find_ticks(low: float, high: float) -> list[float]:
    raw = (high - low) / MOST_TICKS
    size = 10 ** math.floor(math.log10(raw))
    step = next(factor * size for factor in (*_ROUND, 10) if factor * size >= raw)
    first, last = math.ceil(low / step), math.floor(high / step + 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]


def _find_log_ticks(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = _ROUND if high <= low * _MOST_FINE else (1,)
    found = (factor * 10.0**decade for decade in decades for factor in factors)
    return [value for value in found if low <= value <= high]
