"""List all errors: each code has one HTTP status and one answer to whether a retry makes sense."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from pydantic import BaseModel, ConfigDict


class ErrorCode(StrEnum):
    BAD_REQUEST = "BAD_REQUEST"
    UNAUTHORIZED = "UNAUTHORIZED"
    FORBIDDEN = "FORBIDDEN"
    NOT_FOUND = "NOT_FOUND"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    PAYLOAD_TOO_LARGE = "PAYLOAD_TOO_LARGE"
    UNSUPPORTED_MEDIA_TYPE = "UNSUPPORTED_MEDIA_TYPE"
    VALIDATION_ERROR = "VALIDATION_ERROR"
    HEADERS_TOO_LARGE = "HEADERS_TOO_LARGE"
    RATE_LIMITED = "RATE_LIMITED"
    UPSTREAM_RATE_LIMITED = "UPSTREAM_RATE_LIMITED"
    INTERNAL_ERROR = "INTERNAL_ERROR"
    UPSTREAM_ERROR = "UPSTREAM_ERROR"
    NOT_READY = "NOT_READY"
    CONCURRENCY_LIMIT = "CONCURRENCY_LIMIT"
    MODEL_TIMEOUT = "MODEL_TIMEOUT"
    STREAM_TIMEOUT = "STREAM_TIMEOUT"


@dataclass(frozen=True, slots=True)
class ErrorSpec:
    """How a client sees an error code; `message` is the default, for errors without a more specific one."""

    status: int
    retryable: bool
    message: str


ERROR_TABLE: Mapping[ErrorCode, ErrorSpec] = MappingProxyType(
    {
        ErrorCode.BAD_REQUEST: ErrorSpec(400, False, "The request cannot be served as it is."),
        ErrorCode.UNAUTHORIZED: ErrorSpec(401, False, "Credentials are missing or not valid."),
        ErrorCode.FORBIDDEN: ErrorSpec(403, False, "This caller may not use this tenant."),
        ErrorCode.NOT_FOUND: ErrorSpec(404, False, "There is nothing at this path."),
        ErrorCode.METHOD_NOT_ALLOWED: ErrorSpec(405, False, "This path does not take this method."),
        ErrorCode.PAYLOAD_TOO_LARGE: ErrorSpec(413, False, "The body is larger than allowed."),
        ErrorCode.UNSUPPORTED_MEDIA_TYPE: ErrorSpec(415, False, "The body must be application/json."),
        ErrorCode.VALIDATION_ERROR: ErrorSpec(422, False, "The request does not match the schema."),
        ErrorCode.HEADERS_TOO_LARGE: ErrorSpec(431, False, "The headers are larger than allowed, or too many."),
        ErrorCode.RATE_LIMITED: ErrorSpec(429, True, "The quota is spent; try again later."),
        ErrorCode.UPSTREAM_RATE_LIMITED: ErrorSpec(429, True, "The model provider limits requests."),
        ErrorCode.INTERNAL_ERROR: ErrorSpec(500, False, "Something went wrong inside the service."),
        ErrorCode.UPSTREAM_ERROR: ErrorSpec(502, True, "A model service failed."),
        ErrorCode.NOT_READY: ErrorSpec(503, True, "The service is not ready to answer."),
        ErrorCode.CONCURRENCY_LIMIT: ErrorSpec(503, True, "Too many requests are running."),
        ErrorCode.MODEL_TIMEOUT: ErrorSpec(504, True, "The answer took too long."),
        # Sent only as an event, after the HTTP status has gone out. 504 is the status that it would have had.
        ErrorCode.STREAM_TIMEOUT: ErrorSpec(504, True, "The answer took too long."),
    }
)


class FieldError(BaseModel):
    """One violation of the schema by a request; it never contains the offending value."""

    model_config = ConfigDict(frozen=True)

    path: str
    reason: str


class ErrorDetail(BaseModel):
    model_config = ConfigDict(frozen=True)

    code: ErrorCode
    message: str
    trace_id: str
    retryable: bool
    fields: list[FieldError] | None = None


class ErrorBody(BaseModel):
    """The body of every response with a status of 400 or more."""

    model_config = ConfigDict(frozen=True)

    error: ErrorDetail
    dependencies: dict[str, str] | None = None
