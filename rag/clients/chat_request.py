"""What the operator adds to the body of a chat completion, or takes out of it: servers differ in what they accept."""

from collections.abc import Mapping
from typing import Final

# Stands for the bound of the request's draft, under whatever name a server wants it.
BOUND: Final = "{max_tokens}"


def adapt(body: Mapping[str, object], changes: Mapping[str, object], max_tokens: int) -> dict[str, object]:
    """The body with the changes: a field that is None is left out, and `{max_tokens}` becomes the number."""
    changed = {**body, **{name: _fill(value, max_tokens) for name, value in changes.items()}}
    return {name: value for name, value in changed.items() if name not in changes or value is not None}


def _fill(value: object, max_tokens: int) -> object:
    if isinstance(value, dict):
        return {name: _fill(each, max_tokens) for name, each in value.items()}
    return max_tokens if value == BOUND else value
