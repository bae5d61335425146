"""Describe the API as OpenAPI, at /openapi.json and /docs.json: every path, response, error and event of the contract.

The document is not generated from the routes: the query routes read the raw request, and some paths are BentoML's.
BentoML's own document cannot describe headers, parameters or security, and lists other errors than ours.
"""

import json
from collections.abc import Iterable
from functools import cache
from typing import Any, Final, get_args

from rag import VERSION
from rag.api import routes
from rag.api.openapi_chat import CHATS, describe_chats
from rag.api.openapi_components import (
    Described,
    describe_components,
    describe_error,
    describe_errors,
    describe_headers,
    ref,
)
from rag.api.openapi_documents import DOCUMENTS, describe_documents
from rag.api.openapi_questions import (
    ASKED,
    ASKED_FOR_WHOLE,
    ASKED_IN_BODY,
    EXAMPLE_CITATION,
    EXAMPLE_QUESTION,
    EXAMPLE_TEXT,
    EXAMPLE_VERSION,
    IDENTIFIED,
)
from schemas.errors import ErrorCode
from schemas.response import DependencyState
from schemas.ui_stream import UI_STREAM_HEADER

_ABOUT: Final = """Answers questions about a tenant's documents; every sentence of an answer is backed by a source.

Every status of 400 or more, on whatever path, has the body `ErrorBody`, on OpenAI's two paths `ChatErrorBody`, which
holds the same and more, unless not even the path could be read. Some such answers belong to no operation: an unknown
path is answered with the response `NotFound`, a method that a path does not take with `MethodNotAllowed`, a request
without exactly one `Host` with `BadRequest`, one with more than 64 KiB or 100 headers with `HeadersTooLarge`.
`HEAD` is taken wherever `GET` is, and answered alike without the body; on a stream nothing is done for it."""
_EVENTS: Final = """Server-sent events. The schema is that of one event, not of the whole stream: what OpenAPI 3.2 calls
`itemSchema`. `meta` comes first and once; then any of `token` and `citation`; then `done` or `error`, last and once.
Ids count from 0 without gaps. All `text` together is the answer, and a citation comes before the first token with its
marker. While nothing is sent for 15 seconds a comment line goes out."""
_UI_EVENTS: Final = """With `x-vercel-ai-ui-message-stream: v1` the events are those of Vercel's AI SDK: `UiEvent`, with
neither id nor name; the response has that header too. `start` comes first, then `source-url` and
`source-document` before the text with their marker, `text-start`, `text-delta`, `text-end`, `finish`, and `[DONE]`,
which is no JSON. A late failure is an `error`, whose `errorText` is the JSON of an `ErrorBody`, and no `[DONE]`
follows."""
_EVENT_STREAM: Final = "text/event-stream"
# As `json_rpc.Message` takes it: what has a method has an id that is not null, or none.
_MESSAGE: Final[Described] = {
    "type": "object",
    "required": ["jsonrpc"],
    "properties": {
        "jsonrpc": {"const": "2.0"},
        "method": {"type": ["string", "null"]},
        "id": {"type": ["integer", "string", "null"]},
        "params": {"type": ["object", "null"]},
    },
    "anyOf": [{"properties": {"id": {"type": ["integer", "string"]}}}, {"properties": {"method": {"type": "null"}}}],
}
_QUERIES, _STATUS, _SERVER = "Queries", "Status", "Server"
_TAGS: Final = (
    {"name": _QUERIES, "description": "Questions and their answers."},
    {"name": CHATS, "description": "The same questions and answers in the form of OpenAI's API."},
    {"name": DOCUMENTS, "description": "What the questions are answered from: adding, listing, removing."},
    {"name": _STATUS, "description": "What runs here, and whether it can answer."},
    {"name": _SERVER, "description": "BentoML's own paths, for the platform and the tools around the service."},
)

# The errors of every operation.
_ANYWHERE: Final = (ErrorCode.HEADERS_TOO_LARGE, ErrorCode.INTERNAL_ERROR)
_READ: Final = (
    *IDENTIFIED,
    ErrorCode.BAD_REQUEST,
    ErrorCode.NOT_FOUND,
    ErrorCode.VALIDATION_ERROR,
    ErrorCode.RATE_LIMITED,
    ErrorCode.CONCURRENCY_LIMIT,
    ErrorCode.MODEL_TIMEOUT,
)
# What is refused before a tool is known; the failures of a tool are results with status 200.
_CALLED: Final = (
    *IDENTIFIED,
    ErrorCode.BAD_REQUEST,
    ErrorCode.FORBIDDEN,
    ErrorCode.VALIDATION_ERROR,
    ErrorCode.PAYLOAD_TOO_LARGE,
    ErrorCode.UNSUPPORTED_MEDIA_TYPE,
    ErrorCode.MODEL_TIMEOUT,
)

_EXAMPLE_ANSWER: Final[Described] = {
    "answer": EXAMPLE_TEXT,
    "citations": [EXAMPLE_CITATION],
    "trace_id": "tr_9b1f6c0de2a94c6f8a54c0a1f3f2d7e6",
    "latency_ms": {"retrieval": 42, "rerank": 126, "generation": 870, "verification": 9, "total": 1049},
    "model_version": EXAMPLE_VERSION,
    "finish_reason": "stop",
}


_EXAMPLE_CHUNK: Final[Described] = {
    "chunk_id": "demo:doc_hr_2026:v1:00003",
    "document_id": "doc_hr_2026",
    "title": "HR Policy 2026",
    "heading": "Nghỉ phép",
    "page_start": 3,
    "page_end": 3,
    "text": "Nhân viên full-time có 12 ngày nghỉ phép năm.",
    "previous": "demo:doc_hr_2026:v1:00002",
    "next": None,
}
_EXAMPLE_RESULTS: Final[Described] = {
    "results": [
        {
            **{name: value for name, value in _EXAMPLE_CHUNK.items() if name not in ("previous", "next")},
            "similarity": 0.87,
            "bm25_score": 11.2,
            "rrf_score": 0.032,
            "relevance": 0.91,
        }
    ],
    "trace_id": "tr_9b1f6c0de2a94c6f8a54c0a1f3f2d7e6",
    "latency_ms": {"retrieval": 42, "rerank": 126, "generation": 0, "verification": 0, "total": 171},
    "model_version": EXAMPLE_VERSION,
}


def describe_api(*, is_open: bool) -> Described:
    """Return the OpenAPI document, a new one for each caller; `is_open` means that callers need no credentials."""
    document: Described = json.loads(_write(is_open=is_open))
    return document


@cache  # pydantic takes 60 ms for the schemas, more than all else that an application is made of
def _write(*, is_open: bool) -> str:
    known: list[Described] = [{"ApiKey": []}, {"BearerToken": []}]  # one of them is enough
    callers = [{}, *known] if is_open else known
    components = describe_components()
    queries = _query_paths(callers, components["schemas"]["QueryRequest"])
    chats, documents = describe_chats(callers), describe_documents(callers)
    document = {
        "openapi": "3.1.0",
        "info": {"title": "RAG", "version": VERSION, "description": _ABOUT},
        "tags": list(_TAGS),
        "paths": {**queries, **chats, **documents, **_status_paths(callers), **_server_paths()},
        "components": components,
    }
    return json.dumps(document)


def _query_paths(callers: list[Described], request: Described) -> Described:
    answer = _respond("The whole answer.", "QueryResponse", example=_EXAMPLE_ANSWER)
    asked: Described = {"tag": _QUERIES, "security": callers}
    in_body: Described = {**asked, "requestBody": _request_body("QueryRequest")}
    found = _respond(
        "Passages, the best first; none if the tenant has no documents.", "SearchResponse", example=_EXAMPLE_RESULTS
    )
    whole: Described = {**in_body, "responses": answer | describe_errors(ASKED_FOR_WHOLE)}
    return {
        routes.QUERY.path: {"post": _operation("query", "One question, the whole answer.", **whole)},
        routes.NATIVE.path: {
            "post": _operation("nativeQuery", "`/query`, where BentoML's clients look for it.", **whole)
        },
        routes.STREAM.path: {
            "get": _operation(
                "streamToBrowser",
                "One question, the answer as events; for a browser's `EventSource`.",
                parameters=_query_parameters(request),
                responses=_stream("StreamEvent") | describe_errors(ASKED),
                **asked,
            ),
            "post": _operation(
                "stream",
                "One question, the answer as events; for long and for sensitive questions.",
                description=_UI_EVENTS,
                parameters=[ref("parameters", UI_STREAM_HEADER)],
                responses=_stream("StreamEvent", "UiEvent") | describe_errors(ASKED_IN_BODY),
                **in_body,
            ),
        },
        routes.CHUNK.path: {
            "get": _operation(
                "chunk",
                "The text of one citation or search result.",
                parameters=_chunk_parameters(),
                responses=_chunk() | describe_errors(_READ),
                **asked,
            )
        },
        routes.SEARCH.path: {
            "post": _operation(
                "search",
                "One question, the passages that an answer would be made of; no generator is needed.",
                responses=found | describe_errors(ASKED_IN_BODY),
                requestBody=_request_body("SearchRequest"),
                **asked,
            )
        },
        routes.MCP.path: {
            "post": _operation(
                "mcp",
                "One message of the Model Context Protocol; its tools are `search`, `ask` and `get_source`.",
                responses=_mcp() | describe_errors(_CALLED),
                requestBody=_mcp_body(),
                **asked,
            )
        },
    }


def _mcp_body() -> Described:
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    return {
        "required": True,
        "description": "A message of JSON-RPC 2.0 in UTF-8, at most 64 KiB.",
        "content": {"application/json": {"schema": _MESSAGE, "example": ping}},
    }


def _mcp() -> Described:
    about = "The response: JSON, or events where `Accept` wants these alone or a call asks for its progress."
    answer = _respond(about, None)
    answer["200"]["content"] = {
        "application/json": {"schema": {"type": "object"}},
        _EVENT_STREAM: {"schema": {"type": "string"}},
    }
    taken = "To a notification or a response of the client: nothing is answered."
    return answer | {"202": {"description": taken, "headers": describe_headers()}}


def _request_body(schema: str) -> Described:
    content = {"schema": ref("schemas", schema), "example": {"question": EXAMPLE_QUESTION}}
    return {
        "required": True,
        "description": "UTF-8, at most 64 KiB. Integers are JSON integers: `6.0` is refused.",
        "content": {"application/json": content},
    }


def _query_parameters(body: Described) -> list[Described]:
    """Return the fields of the body as query parameters; a URL takes neither history nor filters."""
    return [
        {"name": name, "in": "query", "required": name in body["required"], "schema": schema}
        for name, schema in body["properties"].items()
        if name not in ("history", "filters")
    ]


def _chunk_parameters() -> list[Described]:
    chunk_id = {"type": "string", "examples": [_EXAMPLE_CHUNK["chunk_id"]]}
    about = "Highlighted in the page, where it stands first; without meaning for JSON."
    return [
        {"name": "chunk_id", "in": "path", "required": True, "schema": chunk_id},
        {"name": "quote", "in": "query", "required": False, "description": about, "schema": {"type": "string"}},
    ]


def _chunk() -> Described:
    answer = _respond("Exactly the text that was cited.", "ChunkText", example=_EXAMPLE_CHUNK)
    # For who prefers it in `Accept`.
    answer["200"]["content"]["text/html"] = {"schema": {"type": "string"}}
    return answer


def _status_paths(callers: list[Described]) -> Described:
    states = {"type": "object", "additionalProperties": {"enum": [*get_args(DependencyState)]}}
    ready = _respond("Every dependency is there.", "Ready")
    unready = {"503": describe_error([ErrorCode.NOT_READY], dependencies=states)}
    models = _respond("`index` holds the tenants that the caller may read.", "CurrentModels")
    return {
        routes.HEALTH.path: _get("health", "Liveness; touches no dependency.", _STATUS, _respond("It runs.", "Health")),
        routes.READY.path: _get(
            "ready",
            "Readiness: every dependency answered within a second, and the index matches the embedder.",
            _STATUS,
            ready | unready,
        ),
        routes.CURRENT_MODELS.path: _get(
            "currentModels",
            "Exact versions of what answers now.",
            _STATUS,
            models | describe_errors(IDENTIFIED),
            security=callers,
        ),
    }


def _server_paths() -> Described:
    text = _respond("All is well.", None, media_type="text/plain")
    document = _respond("The document.", None)
    unready = describe_errors([ErrorCode.NOT_READY])
    return {
        routes.LIVEZ.path: _get("livez", "Liveness, as Kubernetes asks for it.", _SERVER, text),
        routes.HEALTHZ.path: _get("healthz", "The old name of `/livez`.", _SERVER, text, deprecated=True),
        routes.READYZ.path: _get("readyz", "Readiness, as Kubernetes asks for it.", _SERVER, text | unready),
        routes.METRICS.path: _get("metrics", "Metrics in the text format of Prometheus.", _SERVER, text),
        routes.OPENAPI.path: _get("openapi", "This document.", _SERVER, document),
        routes.DOCS.path: _get("docs", "This document, where BentoML has its own.", _SERVER, document),
        routes.SCHEMA.path: _get("schema", "What BentoML's clients read before they call.", _SERVER, document),
    }


def _get(name: str, summary: str, tag: str, responses: Described, **fields: Any) -> Described:  # Any: as below
    return {"get": _operation(name, summary, tag=tag, responses=responses, **fields)}


def _operation(
    name: str,
    summary: str,
    *,
    tag: str,
    responses: Described,
    parameters: Iterable[Described] = (),
    **fields: Any,  # other fields of an Operation Object
) -> Described:
    """Describe an operation; each has the trace id and the common errors, credentials only if `security` is given."""
    return {
        "operationId": name,
        "summary": summary,
        "tags": [tag],
        "security": [],
        "parameters": [*parameters, ref("parameters", "x-trace-id")],
        "responses": dict(sorted({**responses, **describe_errors(_ANYWHERE)}.items())),
        **fields,
    }


def _respond(
    description: str, schema: str | None, *, media_type: str = "application/json", example: Described | None = None
) -> Described:
    content: Described = {"schema": ref("schemas", schema)} if schema else {}
    if example:
        content["example"] = example
    return {"200": {"description": description, "headers": describe_headers(), "content": {media_type: content}}}


def _stream(*kinds: str) -> Described:
    return {
        "200": {
            "description": _EVENTS,
            "headers": describe_headers("Cache-Control", "X-Accel-Buffering"),
            "content": {_EVENT_STREAM: {"schema": {"anyOf": [ref("schemas", kind) for kind in kinds]}}},
        },
        # `Last-Event-ID` is not listed as a parameter: it makes the others irrelevant, which OpenAPI cannot express.
        "204": {
            "description": "To a browser that lost its stream and sends `Last-Event-ID`: an answer is not begun again.",
            "headers": describe_headers(),
        },
    }
