"""JSON in which nothing stands twice: of a repeated name Python takes the last value, and others the first."""

from collections.abc import Sequence
from typing import Any


class RepeatedName(ValueError):
    """A name stands twice in one object."""


def require_distinct(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:  # Any: JSON of any kind
    """For `json.loads(object_pairs_hook=…)`.

    Raises: RepeatedName.
    """
    values = dict(pairs)
    if len(values) != len(pairs):
        raise RepeatedName("a name stands twice in an object")
    return values
