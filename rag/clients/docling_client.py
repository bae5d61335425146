"""Ask a docling-serve for the text of a PDF: it reads scans and tables that a text layer does not hold.

Source: docling-serve, docs/usage.md; `POST /v1/convert/file`.
"""

import json
from typing import Final

import httpx

from rag.errors import ParseError

_PATH: Final = "/v1/convert/file"
_PAGE_BREAK: Final = "<!-- end of the page -->"
_TIMEOUT: Final = httpx.Timeout(15, read=900)  # a scanned book takes a CPU minutes; the server gives up before, if told
_MAX_REPLY_BYTES: Final = 64 * 2**20
_MAX_REASON_CHARS: Final = 200
_FORM: Final = {
    "from_formats": "pdf",
    "to_formats": "md",
    "image_export_mode": "placeholder",
    "md_page_break_placeholder": _PAGE_BREAK,
    "abort_on_error": "true",
}


class DoclingClient:
    """A docling-serve at a base URL."""

    def __init__(self, url: str) -> None:
        self._url = url + _PATH

    def convert(self, data: bytes) -> list[str]:
        """Return the text of a PDF in Markdown, a piece for each page on which something begins.

        Raises: ParseError: the server is not there, takes too long, or did not read the whole file.
        """
        files = {"files": ("document.pdf", data, "application/pdf")}  # the name of the file is nobody's business
        try:
            with (
                httpx.Client(timeout=_TIMEOUT) as client,
                client.stream("POST", self._url, data=_FORM, files=files) as response,
            ):
                body = bytearray()
                for part in response.iter_bytes():
                    body += part
                    if len(body) > _MAX_REPLY_BYTES:
                        raise ParseError("docling-serve sends too much text")
        except httpx.TimeoutException as error:
            raise ParseError("docling-serve took too long") from error
        except httpx.HTTPError as error:
            raise ParseError(f"docling-serve cannot be reached: {type(error).__name__}") from error
        return _read_reply(response.status_code, bytes(body)).split(_PAGE_BREAK)


def _read_reply(status: int, body: bytes) -> str:
    try:
        reply = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ParseError(f"docling-serve failed: HTTP {status} without a JSON body") from error
    fields = reply if isinstance(reply, dict) else {}
    if status == httpx.codes.GATEWAY_TIMEOUT:
        raise ParseError("docling-serve took too long: raise its DOCLING_SERVE_MAX_SYNC_WAIT")
    if status != httpx.codes.OK:
        raise ParseError(_shorten(f"docling-serve failed: HTTP {status}, {fields.get('detail', 'no detail')}"))
    document = fields.get("document")
    text = document.get("md_content") if isinstance(document, dict) else None
    outcome = fields.get("status")
    if outcome != "success" or not isinstance(text, str):
        raise ParseError(_shorten(f"docling-serve did not read all of it: {outcome}{_name_errors(fields)}"))
    return text


def _name_errors(fields: dict[str, object]) -> str:
    errors = fields.get("errors")
    named = [each.get("error_message") for each in errors if isinstance(each, dict)] if isinstance(errors, list) else []
    return "".join(f", {message}" for message in named)


def _shorten(reason: str) -> str:
    return " ".join(reason.split())[:_MAX_REASON_CHARS]
