"""Everything that can go wrong, as one tree; each leaf carries the code that the client sees.

RagError
├── BadRequest            BAD_REQUEST
├── Unauthorized          UNAUTHORIZED
├── Forbidden             FORBIDDEN
├── NotFound              NOT_FOUND
├── PayloadTooLarge       PAYLOAD_TOO_LARGE
├── UnsupportedMediaType  UNSUPPORTED_MEDIA_TYPE
├── InvalidRequest        VALIDATION_ERROR
├── RateLimited           RATE_LIMITED
├── NotReady              NOT_READY
│   └── IndexUnavailable
├── ConcurrencyLimited    CONCURRENCY_LIMIT
├── UpstreamFailure
│   ├── UpstreamError         UPSTREAM_ERROR
│   └── UpstreamRateLimited   UPSTREAM_RATE_LIMITED
├── DeadlineExceeded      MODEL_TIMEOUT
└── OurFault              INTERNAL_ERROR
ParseError                a file cannot become a document (ingestion only, never seen by a client of the API)

Not derived from `BentoMLException`: its subclasses register their HTTP status globally.
"""

from collections.abc import Sequence
from typing import ClassVar, Final, Literal

from schemas.errors import ERROR_TABLE, ErrorCode, FieldError


class RagError(Exception):
    """A failure with a code of the contract; the message is written for the client, the cause stays behind."""

    code: ClassVar[ErrorCode] = ErrorCode.INTERNAL_ERROR

    def __init__(self, message: str | None = None, *, retry_after_s: float | None = None) -> None:
        self.message = message or ERROR_TABLE[self.code].message
        self.retry_after_s = retry_after_s
        super().__init__(self.message)


class BadRequest(RagError):
    code = ErrorCode.BAD_REQUEST


class Unauthorized(RagError):
    code = ErrorCode.UNAUTHORIZED


class Forbidden(RagError):
    code = ErrorCode.FORBIDDEN


class NotFound(RagError):
    code = ErrorCode.NOT_FOUND


class PayloadTooLarge(RagError):
    code = ErrorCode.PAYLOAD_TOO_LARGE


class UnsupportedMediaType(RagError):
    code = ErrorCode.UNSUPPORTED_MEDIA_TYPE


class InvalidRequest(RagError):
    """The JSON was read but breaks the schema; `fields` says where, without the values."""

    code = ErrorCode.VALIDATION_ERROR

    def __init__(self, fields: Sequence[FieldError]) -> None:
        super().__init__()
        self.fields = list(fields)


class RateLimited(RagError):
    """A quota is spent: the one that has to be waited for longest."""

    code = ErrorCode.RATE_LIMITED

    def __init__(self, quota: Literal["requests", "tokens"], *, retry_after_s: float) -> None:
        super().__init__(retry_after_s=retry_after_s)
        self.quota: Final = quota


class NotReady(RagError):
    code = ErrorCode.NOT_READY


class IndexUnavailable(NotReady):
    """The tenant has an index, but it cannot be loaded or does not match the embedder."""


class ConcurrencyLimited(RagError):
    code = ErrorCode.CONCURRENCY_LIMIT


class UpstreamFailure(RagError):
    """A model service failed; its status, and what it said of it without keys and prompt, are for our log alone."""

    code = ErrorCode.UPSTREAM_ERROR

    def __init__(
        self,
        message: str | None = None,
        *,
        retry_after_s: float | None = None,
        upstream_status: int | None = None,
        upstream_error: str | None = None,
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.upstream_status: Final = upstream_status
        self.upstream_error: Final = upstream_error


class UpstreamError(UpstreamFailure):
    code = ErrorCode.UPSTREAM_ERROR


class UpstreamRateLimited(UpstreamFailure):
    code = ErrorCode.UPSTREAM_RATE_LIMITED


class DeadlineExceeded(RagError):
    code = ErrorCode.MODEL_TIMEOUT


class OurFault(RagError):
    code = ErrorCode.INTERNAL_ERROR


class ParseError(Exception):
    """A file cannot become a document; the message is the reason, written for who runs the ingestion."""
