"""Give an error of the catalogue the form that OpenAI's clients read."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from schemas.errors import ERROR_TABLE, ErrorDetail
from schemas.openai import ChatErrorBody, ChatErrorDetail, ChatErrorType

# By status; the rest is the client's mistake below 500, and the service's from there on.
_TYPES: Final[Mapping[int, ChatErrorType]] = MappingProxyType(
    {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
)


def to_chat_error(error: ErrorDetail, param: str | None = None) -> str:
    """Return the JSON of the body; `param` is the name of the field at fault, if there is one."""
    status = ERROR_TABLE[error.code].status
    detail = ChatErrorDetail(
        **dict(error),
        type=_TYPES.get(status, "invalid_request_error" if status < 500 else "server_error"),
        param=param,
    )
    return ChatErrorBody(error=detail).model_dump_json(exclude={"error": {"fields"}} if error.fields is None else None)
