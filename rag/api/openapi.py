"""What OpenAPI says of the query routes, whose handlers read the raw request and so declare nothing by themselves."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final

from schemas.errors import ERROR_TABLE, ErrorBody, ErrorCode
from schemas.request import QueryRequest

Described = dict[str, Any]  # a piece of an OpenAPI document

ANYWHERE: Final = (ErrorCode.INTERNAL_ERROR,)
IDENTIFIED: Final = (ErrorCode.UNAUTHORIZED, *ANYWHERE)
QUERY: Final = tuple(code for code in ErrorCode if code not in (ErrorCode.NOT_FOUND, ErrorCode.METHOD_NOT_ALLOWED))
_STREAM: Final = """Server-sent events: `meta` first, then `token` and `citation`, then one `done` or `error`, last."""


def describe_errors(codes: Iterable[ErrorCode]) -> dict[int | str, Described]:
    """One response per status, with the codes that it may carry."""
    by_status: dict[int | str, list[ErrorCode]] = {}
    for code in codes:
        by_status.setdefault(ERROR_TABLE[code].status, []).append(code)
    return {
        status: {"model": ErrorBody, "description": f"{HTTPStatus(int(status)).phrase}: {', '.join(of_status)}"}
        for status, of_status in sorted(by_status.items(), key=lambda pair: int(pair[0]))
    }


def describe_stream() -> dict[int | str, Described]:
    return {200: {"description": _STREAM, "content": {"text/event-stream": {"schema": {"type": "string"}}}}}


def describe_body() -> Described:
    return {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": QueryRequest.model_json_schema()}},
        }
    }


def describe_parameters() -> Described:
    schema = QueryRequest.model_json_schema()
    return {
        "parameters": [
            {
                "name": name,
                "in": "query",
                "required": name in schema["required"],
                "description": field.get("description", ""),
                "schema": field,
            }
            for name, field in schema["properties"].items()
        ]
    }
