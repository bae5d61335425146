"""The hooks that schemathesis loads before it generates requests (`SCHEMATHESIS_HOOKS`)."""

import schemathesis
from schemathesis.core import Body
from schemathesis.hooks import HookContext


@schemathesis.hook
def map_body(context: HookContext, body: Body) -> Body:
    """Whole floats go out as integers: to JSON Schema `6.0` is an integer, and to the contract it is not."""
    if not isinstance(body, dict):
        return body
    return {
        name: int(value) if isinstance(value, float) and value.is_integer() else value for name, value in body.items()
    }
