"""Define the error tree; each leaf carries the error code that the client sees.

RagError
├── BadRequest            BAD_REQUEST
├── Unauthorized          UNAUTHORIZED
├── Forbidden             FORBIDDEN
├── NotFound              NOT_FOUND
│   └── UnknownModel
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

The tree does not derive from `BentoMLException`, whose subclasses register their HTTP status globally.
"""

from collections.abc import Sequence
from typing import ClassVar, Final, Literal

from schemas.errors import ERROR_TABLE, ErrorCode, FieldError


class RagError(Exception):
    """A failure with a code of the contract; the message is written for the client and does not contain the cause."""

    code: ClassVar[ErrorCode] = ErrorCode.INTERNAL_ERROR
    param: ClassVar[str | None] = None  # the field at fault, for OpenAI's clients

    def __init__(self, message: str | None = None, *, retry_after_s: float | None = None) -> None:
        self.message = message or ERROR_TABLE[self.code].message
        self.retry_after_s = retry_after_s
        super().__init__(self.message)


class BadRequest(RagError):
    """The request cannot be parsed, or can never be served."""

    code = ErrorCode.BAD_REQUEST


class Unauthorized(RagError):
    """Credentials are missing, malformed, expired or unknown."""

    code = ErrorCode.UNAUTHORIZED


class Forbidden(RagError):
    """The caller may not use this tenant."""

    code = ErrorCode.FORBIDDEN


class NotFound(RagError):
    code = ErrorCode.NOT_FOUND


class UnknownModel(NotFound):
    """A chat names a model that no tenant could have."""

    param = "model"

    def __init__(self) -> None:
        super().__init__("There is no such model: it is rag, or rag: and a tenant's id.")


class PayloadTooLarge(RagError):
    """The body exceeds the limit."""

    code = ErrorCode.PAYLOAD_TOO_LARGE


class UnsupportedMediaType(RagError):
    """The body is not plain `application/json` in UTF-8."""

    code = ErrorCode.UNSUPPORTED_MEDIA_TYPE


class InvalidRequest(RagError):
    """The request violates the schema; `fields` lists the places and reasons without the values."""

    code = ErrorCode.VALIDATION_ERROR

    def __init__(self, fields: Sequence[FieldError]) -> None:
        super().__init__()
        self.fields = list(fields)


class RateLimited(RagError):
    """A quota is spent; if both are, `quota` names the one with the longer wait."""

    code = ErrorCode.RATE_LIMITED

    def __init__(self, quota: Literal["requests", "tokens"], *, retry_after_s: float) -> None:
        super().__init__(retry_after_s=retry_after_s)
        self.quota: Final = quota


class NotReady(RagError):
    """The service is loading or stopping, or a dependency is down."""

    code = ErrorCode.NOT_READY


class IndexUnavailable(NotReady):
    """The tenant has an index, but it cannot be loaded or does not match the embedder."""


class ConcurrencyLimited(RagError):
    """No place became free within the queue timeout."""

    code = ErrorCode.CONCURRENCY_LIMIT


class UpstreamFailure(RagError):
    """A model service failed.

    `upstream_status` and `upstream_error` (without keys and prompt) are for our log only.
    """

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
    """A model service failed, or sent a reply that cannot be used."""

    code = ErrorCode.UPSTREAM_ERROR


class UpstreamRateLimited(UpstreamFailure):
    """The model provider refused the request with 429."""

    code = ErrorCode.UPSTREAM_RATE_LIMITED


class DeadlineExceeded(RagError):
    """A stage or the whole request ran out of time."""

    code = ErrorCode.MODEL_TIMEOUT


class OurFault(RagError):
    """A bug of ours; the log has the cause."""

    code = ErrorCode.INTERNAL_ERROR


class ParseError(Exception):
    """A file cannot become a document; the message gives the reason to the person who runs the ingestion."""
