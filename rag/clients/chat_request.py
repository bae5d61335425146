"""Apply the operator's changes (RAG_GENERATOR_BODY) to a chat completion's body: servers accept different fields."""

from collections.abc import Mapping
from typing import Final

# The placeholder for the request's output limit, for servers that expect it under another name.
BOUND: Final = "{max_tokens}"


def adapt(body: Mapping[str, object], changes: Mapping[str, object], max_tokens: int) -> dict[str, object]:
    """Apply the changes to the body: None removes a field, and `{max_tokens}` becomes the number."""
    changed = {**body, **{name: _fill(value, max_tokens) for name, value in changes.items()}}
    return {name: value for name, value in changed.items() if name not in changes or value is not None}


def _fill(value: object, max_tokens: int) -> object:
    if isinstance(value, dict):
        return {name: _fill(each, max_tokens) for name, each in value.items()}
    return max_tokens if value == BOUND else value
