"""Describe the routes of documents for the OpenAPI document."""

from typing import Any, Final

from rag.api import routes
from rag.api.openapi_components import Described, describe_errors, describe_headers, ref
from schemas.documents import TITLE_MAX_CHARS, UPLOAD_FILES_MAX
from schemas.errors import ErrorCode
from schemas.request import METADATA_KEYS_MAX

DOCUMENTS: Final = "Documents"
_ANYWHERE: Final = (
    ErrorCode.HEADERS_TOO_LARGE,
    ErrorCode.INTERNAL_ERROR,
    ErrorCode.UNAUTHORIZED,
    ErrorCode.NOT_READY,
    ErrorCode.BAD_REQUEST,
    ErrorCode.FORBIDDEN,
    ErrorCode.VALIDATION_ERROR,
    ErrorCode.RATE_LIMITED,
    ErrorCode.CONCURRENCY_LIMIT,
    ErrorCode.MODEL_TIMEOUT,
)
_ORDERED: Final = (*_ANYWHERE, ErrorCode.UPSTREAM_ERROR)
_FOUND: Final = (*_ORDERED, ErrorCode.NOT_FOUND)
_SENT: Final = (*_ORDERED, ErrorCode.PAYLOAD_TOO_LARGE, ErrorCode.UNSUPPORTED_MEDIA_TYPE)
_JOB_ID: Final = "job_5c1a0f6c3a5e4f0f8a54c0a1f3f2d7e6"
_EXAMPLE_FILE: Final[Described] = {
    "name": "hr-policy.pdf",
    "size_bytes": 48213,
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
}
_EXAMPLE_JOB: Final[Described] = {
    "id": _JOB_ID,
    "status": "succeeded",
    "kind": "add",
    "tenant_id": "demo",
    "document_id": None,
    "files": [_EXAMPLE_FILE],
    "created_at": "2026-05-10T10:00:00.000Z",
    "started_at": "2026-05-10T10:00:00.012Z",
    "ended_at": "2026-05-10T10:00:04.310Z",
    "progress": None,
    "result": {
        "tenant": "demo",
        "version": "000007-3f9c2a1b",
        "added": [{"path": "hr-policy.pdf", "document_id": "hr-policy", "chunks": 12}],
        "failed": [],
        "documents": 8,
        "chunks": 132,
        "seconds": 3.127,
    },
    "reason": None,
    "trace_id": "tr_9b1f6c0de2a94c6f8a54c0a1f3f2d7e6",
}
_EXAMPLE_LIST: Final[Described] = {
    "tenant": "demo",
    "version": "000007-3f9c2a1b",
    "documents": [
        {
            "document_id": "hr-policy",
            "title": "HR Policy 2026",
            "document_version": 1,
            "chunks": 12,
            "groups": [],
            "metadata": {"kind": ["policy"]},
        }
    ],
    "may_write": True,
}
_FORM: Final[Described] = {
    "type": "object",
    "required": ["file"],
    "additionalProperties": False,
    "properties": {
        "file": {
            "type": "array",
            "minItems": 1,
            "maxItems": UPLOAD_FILES_MAX,
            "items": {"type": "string", "contentMediaType": "application/octet-stream"},
            "description": "One part for each file. Its name gives its format, and the document's id if none is given.",
        },
        "tenant_id": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$", "default": "demo"},
        "document_id": {
            "type": "string",
            "pattern": "^[A-Za-z0-9._-]{1,128}$",
            "description": "Of the one file that is given. A document that has this id is replaced.",
        },
        "title": {
            "type": "string",
            "maxLength": TITLE_MAX_CHARS,
            "description": "Of the one file that is given; else the document's own is used.",
        },
        "metadata": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {
                "type": "object",
                "maxProperties": METADATA_KEYS_MAX,
                "additionalProperties": {
                    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
                },
            },
            "description": 'Instead of the metadata that the documents had, such as {"kind": ["policy"]}; {} for none.',
        },
        "groups": {
            "type": "string",
            "description": "Instead of the groups that the documents had: a JSON list of names, or names parted by "
            "commas; repeatable. [] lets all callers of the tenant see them. Empty: the groups stay.",
        },
    },
}


def describe_documents(callers: list[Described]) -> Described:
    """Return the paths; `callers` are the credentials of which one is needed."""
    job = _respond("200", "The job as it is now.", "Job", _EXAMPLE_JOB)
    begun = _respond("202", "The job that does it.", "Job", _EXAMPLE_JOB, more=("Location",))
    listed = _respond("200", "The documents that the caller sees, sorted by id.", "DocumentList", _EXAMPLE_LIST)
    tenant = {"name": "tenant_id", "in": "query", "required": False, "schema": _FORM["properties"]["tenant_id"]}
    return {
        routes.DOCUMENTS.path: {
            "get": _operation("documents", "The documents of a tenant.", callers, listed, _ANYWHERE, tenant),
            "post": {
                **_operation("addDocuments", "Add files, or replace what they were.", callers, begun, _SENT),
                "requestBody": {
                    "required": True,
                    "description": "A form, read while it arrives; parts of other names are refused. What is not given "
                    "stays as it is.",
                    "content": {"multipart/form-data": {"schema": _FORM}},
                },
            },
        },
        routes.DOCUMENT.path: {
            "delete": _operation(
                "removeDocument", "Remove a document.", callers, begun, _FOUND, _in_path("document_id"), tenant
            )
        },
        routes.JOB.path: {
            "get": _operation("job", "What became of a change.", callers, job, _FOUND, _in_path("job_id"))
        },
    }


def _in_path(name: str) -> Described:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _operation(
    name: str,
    summary: str,
    callers: list[Described],
    responses: Described,
    errors: tuple[ErrorCode, ...],
    *parameters: Described,
) -> dict[str, Any]:  # Any: a piece of an OpenAPI document
    return {
        "operationId": name,
        "summary": summary,
        "description": "Needs a caller that may write: `write: true` of its key, or the claim `write` of its token.",
        "tags": [DOCUMENTS],
        "security": callers,
        "parameters": [*parameters, ref("parameters", "x-trace-id")],
        "responses": dict(sorted({**responses, **describe_errors(errors)}.items())),
    }


def _respond(status: str, about: str, schema: str, example: Described, *, more: tuple[str, ...] = ()) -> Described:
    content = {"application/json": {"schema": ref("schemas", schema), "example": example}}
    return {status: {"description": about, "headers": describe_headers(*more), "content": content}}
