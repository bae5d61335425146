"""The hooks that schemathesis loads before it generates requests (`SCHEMATHESIS_HOOKS`)."""

from typing import Any, Final

import schemathesis
from schemathesis.core import Body
from schemathesis.hooks import HookContext

_QUESTION: Final[dict[str, Any]] = {"role": "user", "content": "How many days of annual leave do full-time staff have?"}


@schemathesis.hook
def map_body(context: HookContext, body: Body) -> Body:
    """Whole floats go out as integers: to JSON Schema `6.0` is an integer, and to the contract it is not."""
    if not isinstance(body, dict):
        return body
    return {
        name: int(value) if isinstance(value, float) and value.is_integer() else value for name, value in body.items()
    }


@schemathesis.hook
def before_call(context: HookContext, case: "schemathesis.Case[Any]", kwargs: dict[str, Any]) -> None:
    """A chat ends with a question: JSON Schema cannot say that the last message by the user is one.

    What breaks the schema without this message breaks it with it: if there are no messages, none is added.
    """
    body = case.body
    messages = body.get("messages") if isinstance(body, dict) else None
    if isinstance(body, dict) and isinstance(messages, list) and messages:
        case.body = {**body, "messages": [*messages, _QUESTION]}
