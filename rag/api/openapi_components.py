"""Describe the reusable components of the OpenAPI document: schemas, errors, headers, parameters, security schemes.

The schemas are generated from the types that the service itself sends and reads, so that they cannot diverge.
"""

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final, get_args

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from schemas.documents import DocumentList, Job
from schemas.errors import ERROR_TABLE, ErrorBody, ErrorCode
from schemas.events import DoneEvent, ErrorEvent, MetaEvent, TokenEvent
from schemas.openai import ChatChunk, ChatCompletion, ChatErrorBody, ChatModels, ChatRequest
from schemas.request import TRACE_ID_PATTERN, QueryRequest, SearchRequest
from schemas.response import ChunkText, CurrentModels, Health, QueryResponse, Ready, SearchResponse
from schemas.ui_stream import UI_STREAM_HEADER, UI_STREAM_VERSION, UiPart

Described = dict[str, Any]  # a piece of an OpenAPI document

_EVENTS: Final[Mapping[str, str]] = MappingProxyType(
    {"meta": "MetaEvent", "token": "TokenEvent", "citation": "Citation", "done": "DoneEvent", "error": "ErrorEvent"}
)
# The stream starts after retrieval and reranking have succeeded; quotas, place and schema were checked before that.
_EVENT_CODES: Final = (
    ErrorCode.UPSTREAM_RATE_LIMITED,
    ErrorCode.INTERNAL_ERROR,
    ErrorCode.UPSTREAM_ERROR,
    ErrorCode.NOT_READY,
    ErrorCode.STREAM_TIMEOUT,
)
_TRACE_ID: Final = f"^{TRACE_ID_PATTERN}$"


def ref(kind: str, name: str) -> Described:
    """Return a reference to a component."""
    return {"$ref": f"#/components/{kind}/{name}"}


def describe_components() -> Described:
    """Return the document's `components`."""
    return {
        "schemas": _describe_schemas(),
        "responses": {
            "NotFound": describe_error([ErrorCode.NOT_FOUND]),
            "MethodNotAllowed": describe_error([ErrorCode.METHOD_NOT_ALLOWED]),
            "BadRequest": describe_error([ErrorCode.BAD_REQUEST]),
            "HeadersTooLarge": describe_error([ErrorCode.HEADERS_TOO_LARGE]),
        },
        "headers": _HEADERS,
        "parameters": _PARAMETERS,
        "securitySchemes": _SECURITY_SCHEMES,
    }


def describe_errors(codes: Iterable[ErrorCode], *, schema: str = "ErrorBody") -> dict[str, Described]:
    """Return one response for each HTTP status, with the codes that it may carry."""
    by_status: dict[int, list[ErrorCode]] = {}
    for code in codes:
        by_status.setdefault(ERROR_TABLE[code].status, []).append(code)
    return {str(status): describe_error(each, schema=schema) for status, each in sorted(by_status.items())}


def describe_error(codes: Sequence[ErrorCode], *, schema: str = "ErrorBody", **body: Described) -> Described:
    """Return the response of one status, whose codes must share it; `body` are properties beside `error`."""
    spec = ERROR_TABLE[codes[0]]
    detail: Described = {"properties": {"code": {"enum": [*codes]}, "retryable": {"const": spec.retryable}}}
    if ErrorCode.VALIDATION_ERROR in codes:
        detail["required"] = ["fields"]
    narrowed: Described = {"properties": {"error": detail, **body}, "required": ["error", *body]}
    return {
        "description": " ".join(f"{code}: {ERROR_TABLE[code].message}" for code in codes),
        "headers": describe_headers(*_STATUS_HEADERS.get(spec.status, ())),
        "content": {"application/json": {"schema": {"allOf": [ref("schemas", schema), narrowed]}}},
    }


def describe_headers(*names: str) -> dict[str, Described]:
    """Return the headers of a response, always with the trace id."""
    return {name: ref("headers", name) for name in ("x-trace-id", *names)}


class WireSchemaGenerator(GenerateJsonSchema):
    """Generates schemas as on the wire: in a body that we send, only fields that default to None are optional."""

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        inner = schema["schema"]
        if self.mode == "serialization" and schema.get("default", ...) is None and inner["type"] == "nullable":
            return self.generate_inner(inner["schema"])
        return super().default_schema(schema)

    def field_is_required(
        self,
        field: core_schema.ModelField | core_schema.DataclassField | core_schema.TypedDictField,
        total: bool,
    ) -> bool:
        if self.mode == "validation":
            return super().field_is_required(field, total)
        inner = field["schema"]
        return not (inner["type"] == "default" and inner.get("default", ...) is None)

    def field_title_should_be_set(self, schema: object) -> bool:
        """Return False: pydantic's titles only repeat the field names."""
        return False


def _describe_schemas() -> dict[str, Described]:
    sent = (
        *(Health, Ready, CurrentModels, QueryResponse, SearchResponse, ChunkText, ErrorBody),
        *(MetaEvent, TokenEvent, DoneEvent, ErrorEvent),
        *(Job, DocumentList),
        *(ChatCompletion, ChatChunk, ChatModels, ChatErrorBody),
        *get_args(UiPart),
    )
    asked = (QueryRequest, SearchRequest)
    _, described = models_json_schema(
        [*((model, "serialization") for model in sent), *((model, "validation") for model in (*asked, ChatRequest))],
        ref_template="#/components/schemas/{model}",
        schema_generator=WireSchemaGenerator,
    )
    schemas: dict[str, Described] = described["$defs"]
    for name in _EVENTS.values():
        _leave_name_to_event_line(schemas[name])
    schemas["ErrorEvent"]["properties"]["code"] = {"enum": [*_EVENT_CODES]}
    # Python strips two more ranges of white space than `\s` matches in JSON Schema's regular expressions.
    for each in asked:
        schemas[each.__name__]["properties"]["question"]["pattern"] = r"[^\s\u001c-\u001f\u0085]"
    events = {"oneOf": [_describe_event(*each) for each in _EVENTS.items()]}
    chunk = {"anyOf": [ref("schemas", "ChatChunk"), ref("schemas", "ChatErrorBody")]}
    part = {"oneOf": [ref("schemas", each.__name__) for each in get_args(UiPart)]}
    unnamed = {"ChatEvent": _describe_unnamed_event(chunk), "UiEvent": _describe_unnamed_event(part)}
    return {**schemas, "StreamEvent": events, **unnamed}


def _leave_name_to_event_line(schema: Described) -> None:
    """Remove `event` from the schema: it is sent as the `event:` line, not in the data."""
    if schema["properties"].pop("event", None):
        schema["required"].remove("event")


def _describe_event(event: str, data: str) -> Described:
    return {
        "type": "object",
        "title": event,
        "required": ["id", "event", "data"],
        "properties": {
            "id": {"type": "string", "pattern": "^(0|[1-9][0-9]*)$"},
            "event": {"const": event},
            "data": {"type": "string", "contentMediaType": "application/json", "contentSchema": ref("schemas", data)},
        },
    }


def _describe_unnamed_event(content: Described) -> Described:
    """Describe an event of a protocol of others: data alone, and `[DONE]` at the end."""
    data = {"type": "string", "contentMediaType": "application/json", "contentSchema": content}
    return {
        "type": "object",
        "required": ["data"],
        "properties": {"data": {"anyOf": [{"const": "[DONE]"}, data]}},
    }


_STATUS_HEADERS: Final[Mapping[int, Sequence[str]]] = MappingProxyType(
    {
        HTTPStatus.UNAUTHORIZED: ("WWW-Authenticate",),
        HTTPStatus.METHOD_NOT_ALLOWED: ("Allow",),
        HTTPStatus.TOO_MANY_REQUESTS: ("Retry-After",),
        HTTPStatus.SERVICE_UNAVAILABLE: ("Retry-After",),
    }
)


def _describe_header(description: str, **schema: Any) -> Described:  # Any: whatever JSON Schema takes
    return {"description": description, "required": True, "schema": schema}


_HEADERS: Final[dict[str, Described]] = {
    "x-trace-id": _describe_header(
        "The request's own id if it had a good one, else a new one; it stands in every log line of the request.",
        type="string",
        pattern=_TRACE_ID,
    ),
    "Retry-After": _describe_header("Whole seconds after which another try makes sense.", type="integer", minimum=1),
    "Location": _describe_header("Where the job is.", type="string"),
    "Allow": _describe_header("The methods that the path takes.", type="string"),
    "WWW-Authenticate": _describe_header("How to say who you are.", const="Bearer"),
    "Cache-Control": _describe_header("Nobody keeps events.", const="no-cache"),
    "X-Accel-Buffering": _describe_header("Tells nginx to pass events on at once.", const="no"),
}
_PARAMETERS: Final[dict[str, Described]] = {
    "x-trace-id": {
        "name": "x-trace-id",
        "in": "header",
        # No pattern: a value that does not match is not an error, the service makes a new id instead.
        "description": "1 to 64 characters of `A-Za-z0-9._-`; anything else is ignored.",
        "schema": {"type": "string"},
    },
    UI_STREAM_HEADER: {
        "name": UI_STREAM_HEADER,
        "in": "header",
        "description": f"`{UI_STREAM_VERSION}` asks for the parts of a UI message stream; anything else is ignored.",
        "schema": {"type": "string"},
    },
}
_SECURITY_SCHEMES: Final[dict[str, Described]] = {
    "ApiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "x-api-key",
        "description": "A key from the identities file. Exactly one credential: a key or a token.",
    },
    "BearerToken": {
        "type": "http",
        "scheme": "bearer",
        "description": "A key from the identities file, or a JWT: `sub` is the caller, `tenants` the list of its "
        "tenants, `groups`, if any, the list of its groups, `write` whether it may change documents; `exp`, `aud` and "
        "`iss` are checked.",
    },
}
