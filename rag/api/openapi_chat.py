"""Describe OpenAI's two routes for the OpenAPI document; their errors have a body of their own."""

from collections.abc import Iterable
from typing import Any, Final

from rag.api import routes
from rag.api.openapi_components import Described, describe_errors, describe_headers, ref
from rag.api.openapi_questions import (
    ASKED_FOR_WHOLE,
    EXAMPLE_CITATION,
    EXAMPLE_QUESTION,
    EXAMPLE_TEXT,
    EXAMPLE_VERSION,
    IDENTIFIED,
)
from schemas.errors import ErrorCode

CHATS: Final = "OpenAI"
_CHUNKS: Final = """If `stream` is true, server-sent events without ids and names. The schema is that of one
event, whose data are chunks with the role, the text, the annotations of that text, and how it finished; the usage if
`stream_options.include_usage` asked for it; then `[DONE]`, which is no JSON. A late failure is a `ChatErrorBody`, and
no `[DONE]` follows. While nothing is sent for 15 seconds a comment line goes out."""
# Refused before the path is read, so it has the body of all other routes.
_UNREAD: Final = (ErrorCode.HEADERS_TOO_LARGE,)
_IDENTIFIED: Final = (ErrorCode.INTERNAL_ERROR, *IDENTIFIED)
_ASKED: Final = (ErrorCode.INTERNAL_ERROR, *ASKED_FOR_WHOLE, ErrorCode.NOT_FOUND)
_URL: Final = "https://rag.example.org/chunks/demo%3Adoc_hr_2026%3Av1%3A00003"
_EXAMPLE_REQUEST: Final[Described] = {
    "model": "rag",
    "messages": [{"role": "user", "content": EXAMPLE_QUESTION}],
}
_EXAMPLE_ANSWER: Final[Described] = {
    "id": "chatcmpl-tr_9b1f6c0de2a94c6f8a54c0a1f3f2d7e6",
    "object": "chat.completion",
    "created": 1778407200,
    "model": "rag",
    "system_fingerprint": EXAMPLE_VERSION,
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": EXAMPLE_TEXT,
                "refusal": None,
                "annotations": [
                    {
                        "type": "url_citation",
                        "url_citation": {"url": _URL, "title": "HR Policy 2026", "start_index": 45, "end_index": 49},
                    }
                ],
            },
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 812, "completion_tokens": 41, "total_tokens": 853},
    "citations": [{**EXAMPLE_CITATION, "url": _URL}],
    "trace_id": "tr_9b1f6c0de2a94c6f8a54c0a1f3f2d7e6",
}
_EXAMPLE_MODELS: Final[Described] = {
    "object": "list",
    "data": [{"id": "rag", "object": "model", "created": 1778407200, "owned_by": "rag"}],
}


def describe_chats(callers: list[Described]) -> Described:
    """Return the paths; `callers` are the credentials that they take."""
    answer = {
        "description": "The whole answer, or its chunks if `stream` is true.",
        "headers": describe_headers(),
        "content": {
            "application/json": {"schema": ref("schemas", "ChatCompletion"), "example": _EXAMPLE_ANSWER},
            "text/event-stream": {"schema": ref("schemas", "ChatEvent")},
        },
    }
    again = {"description": "To a stream request with `Last-Event-ID`: an answer is not begun again."}
    models = {
        "description": "One model for each tenant that the caller may use.",
        "headers": describe_headers(),
        "content": {"application/json": {"schema": ref("schemas", "ChatModels"), "example": _EXAMPLE_MODELS}},
    }
    body = {"schema": ref("schemas", "ChatRequest"), "example": _EXAMPLE_REQUEST}
    return {
        routes.CHAT.path: {
            "post": _operation(
                "chat",
                "One question, asked and answered as OpenAI's chat completions.",
                {"200": answer, "204": {**again, "headers": describe_headers()}},
                _ASKED,
                description=_CHUNKS,
                security=callers,
                requestBody={
                    "required": True,
                    "description": "UTF-8, at most 64 KiB. Fields that are not described are ignored.",
                    "content": {"application/json": body},
                },
            )
        },
        routes.CHAT_MODELS.path: {
            "get": _operation("chatModels", "The models to ask.", {"200": models}, _IDENTIFIED, security=callers)
        },
    }


def _operation(
    name: str,
    summary: str,
    responses: Described,
    codes: Iterable[ErrorCode],
    **fields: Any,  # other fields of an Operation Object
) -> Described:
    errors = describe_errors(codes, schema="ChatErrorBody") | describe_errors(_UNREAD)
    return {
        "operationId": name,
        "summary": summary,
        "tags": [CHATS],
        "parameters": [ref("parameters", "x-trace-id")],
        "responses": dict(sorted({**responses, **errors}.items())),
        **fields,
    }
