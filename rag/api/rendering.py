"""Render errors: the only place that turns a failure into a status, headers and a body as in the contract."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from starlette.responses import Response
from starlette.types import Scope

from rag.api.openai_errors import to_chat_error
from rag.errors import InvalidRequest, RagError
from schemas.errors import ERROR_TABLE, ErrorBody, ErrorCode, ErrorDetail

_SCOPE_KEY: Final = "rag.request"
# The default if the error has no better value: a place or a dependency may be back within a second.
_RETRY_AFTER_S: Final = 1


@dataclass(slots=True)
class RequestState:
    """The state of one request that the edge and the routes share; it is stored in the ASGI scope."""

    trace_id: str
    route: str
    speaks_openai: bool = False  # errors have the form that OpenAI's clients read
    started: bool = False  # the status line has been sent
    rendered: bool = False  # the error already has the contract's body

    def attach(self, scope: Scope) -> Scope:
        """Return a copy of the scope that carries this state."""
        return {**scope, _SCOPE_KEY: self}

    @classmethod
    def of(cls, scope: Scope) -> "RequestState":
        """Return the state of a scope from `attach`."""
        state = scope[_SCOPE_KEY]
        assert isinstance(state, cls), "the app stands behind ContractEdge"
        return state


def render(
    error: RagError | ErrorCode,
    state: RequestState,
    *,
    dependencies: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the response for a failure; `dependencies` are for the body of an unready `/ready`."""
    code = error if isinstance(error, ErrorCode) else error.code
    spec = ERROR_TABLE[code]
    detail = ErrorDetail(
        code=code,
        message=error.message if isinstance(error, RagError) else spec.message,
        trace_id=state.trace_id,
        retryable=spec.retryable,
        fields=error.fields if isinstance(error, InvalidRequest) else None,
    )
    if state.speaks_openai:
        body = to_chat_error(detail, _name_param(error))
    else:
        named = dict(dependencies) if dependencies is not None else None
        body = ErrorBody(error=detail, dependencies=named).model_dump_json(exclude_none=True)
    state.rendered = True
    return Response(
        body,
        spec.status,
        headers={**_extra_headers(error, spec.status), **(headers or {})},
        media_type="application/json",
    )


def _name_param(error: RagError | ErrorCode) -> str | None:
    """Return the name of the field at fault, or of the first one."""
    if isinstance(error, InvalidRequest) and error.fields:
        return error.fields[0].path or None
    return error.param if isinstance(error, RagError) else None


def _extra_headers(error: RagError | ErrorCode, status: int) -> dict[str, str]:
    if status == 401:
        return {"www-authenticate": "Bearer"}
    if status in (429, 503):
        known_s = error.retry_after_s if isinstance(error, RagError) else None
        return {"retry-after": str(max(1, math.ceil(known_s if known_s is not None else _RETRY_AFTER_S)))}
    return {}
