"""What the routes that take a question share in the OpenAPI document: their errors, and the example."""

from typing import Final

from rag.api.openapi_components import Described
from schemas.errors import ErrorCode

IDENTIFIED: Final = (ErrorCode.UNAUTHORIZED, ErrorCode.NOT_READY)
ASKED: Final = (
    *IDENTIFIED,
    ErrorCode.BAD_REQUEST,
    ErrorCode.FORBIDDEN,
    ErrorCode.VALIDATION_ERROR,
    ErrorCode.RATE_LIMITED,
    ErrorCode.UPSTREAM_ERROR,
    ErrorCode.CONCURRENCY_LIMIT,
    ErrorCode.MODEL_TIMEOUT,
)
ASKED_IN_BODY: Final = (*ASKED, ErrorCode.PAYLOAD_TOO_LARGE, ErrorCode.UNSUPPORTED_MEDIA_TYPE)
# A stream sends its response head before it calls the generator, so there this error is an event.
ASKED_FOR_WHOLE: Final = (*ASKED_IN_BODY, ErrorCode.UPSTREAM_RATE_LIMITED)

EXAMPLE_QUESTION: Final = "Nhân viên full-time có bao nhiêu ngày nghỉ phép năm?"
EXAMPLE_TEXT: Final = "Nhân viên full-time có 12 ngày nghỉ phép năm [S1]."
EXAMPLE_CITATION: Final[Described] = {
    "source_id": "S1",
    "document_id": "doc_hr_2026",
    "chunk_id": "demo:doc_hr_2026:v1:00003",
    "title": "HR Policy 2026",
    "page_start": 3,
    "page_end": 3,
    "quote": "Nhân viên full-time có 12 ngày nghỉ phép năm.",
    "quote_start": 0,
    "quote_end": 45,
    "url": "https://rag.example.org/chunks/demo%3Adoc_hr_2026%3Av1%3A00003?quote=Nh%C3%A2n%20vi%C3%AAn%20full-time"
    "%20c%C3%B3%2012%20ng%C3%A0y%20ngh%E1%BB%89%20ph%C3%A9p%20n%C4%83m.",
}
EXAMPLE_VERSION: Final = "rag-v1+3f9c2a1b"
