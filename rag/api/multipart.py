"""Read a multipart body piece by piece: fields are small and kept, files are passed on as they come.

Source: RFC 7578; names of parts and files are read as browsers write them, in UTF-8 with %0A, %0D and %22 escaped.
"""

import re
import unicodedata
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from rag.errors import BadRequest, PayloadTooLarge, UnsupportedMediaType

MEDIA_TYPE: Final = b"multipart/form-data"
# All fields together, and each of what stands around the parts.
FIELDS_MAX_BYTES: Final = 64 << 10
NAME_MAX_CHARS: Final = 100
_NAME_MAX_BYTES: Final = 200  # a file system takes 255
_SUFFIX: Final = re.compile(r"\.[A-Za-z0-9]{1,10}\Z")
# What a part may say of its encoding without being encoded. Source: RFC 7578, section 4.7.
_PLAIN: Final = frozenset({"", "7bit", "8bit", "binary"})
_ESCAPES: Final = {"%0A": "\n", "%0D": "\r", "%22": '"'}
_BROKEN: Final = "The body is not multipart as its Content-Type says."


@dataclass(frozen=True, slots=True)
class PartBegin:
    """A part begins; `filename` is None for a field."""

    name: str
    filename: str | None


@dataclass(frozen=True, slots=True)
class PartData:
    data: bytes


@dataclass(frozen=True, slots=True)
class PartEnd:
    pass


PartEvent = PartBegin | PartData | PartEnd


def read_boundary(headers: Mapping[str, str]) -> bytes:
    """Return what parts the body.

    Raises: UnsupportedMediaType: the body is encoded, or not multipart; BadRequest: the boundary is missing or long.
    """
    encodings = {value.strip().lower() for name, value in headers.items() if name == "content-encoding"}
    if encodings - {"identity", ""}:
        raise UnsupportedMediaType("The body must not have a content encoding.")
    media_type, options = parse_options_header(headers.get("content-type", ""))
    if media_type.strip() != MEDIA_TYPE:
        raise UnsupportedMediaType("The body must be multipart/form-data.")
    boundary = options.get(b"boundary", b"")
    if not 0 < len(boundary) <= 70:  # RFC 2046, section 5.1.1
        raise BadRequest("The Content-Type names no boundary of 1 to 70 characters.")
    return boundary


async def read_parts(boundary: bytes, receive: Receive) -> AsyncIterator[PartEvent]:
    """Read the body; its size is bounded by who takes the events.

    Raises: BadRequest: it is not multipart; UnsupportedMediaType: a part is encoded; PayloadTooLarge: too much text
        after the last part; ClientDisconnect: the client left before its end.
    """
    reader = _Reader(boundary)
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        for event in reader.feed(message.get("body", b"")):
            yield event
        if not message.get("more_body", False):
            break
    reader.close()


def clean_name(filename: str) -> str:
    """Return a client's name of a file as one name that is safe on disk and on a screen; `document` if nothing is left.

    Its last part alone, in NFC, without what is not visible, with its suffix if it is too long.
    """
    last = re.split(r"[/\\]", filename)[-1]
    visible = "".join(each for each in unicodedata.normalize("NFC", last) if unicodedata.category(each)[0] != "C")
    name = visible.strip().lstrip(".").strip()
    found = _SUFFIX.search(name)
    suffix = found.group() if found else ""
    stem = name[: len(name) - len(suffix)][:NAME_MAX_CHARS]
    stem = stem.encode()[: _NAME_MAX_BYTES - len(suffix)].decode("utf-8", "ignore").strip()
    return f"{stem or 'document'}{suffix}"


class _Reader:
    """The parser's callbacks, collected as events."""

    def __init__(self, boundary: bytes) -> None:
        self._events: list[PartEvent] = []
        self._header: tuple[bytes, bytes] = (b"", b"")
        self._headers: dict[bytes, bytes] = {}
        self._has_ended = False
        self._rest_bytes = 0
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_header_begin": self._begin_header,
                "on_header_field": self._add_to_name,
                "on_header_value": self._add_to_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._end_headers,
                "on_part_data": self._add_data,
                "on_part_end": lambda: self._events.append(PartEnd()),
                "on_end": self._end,
            },
        )

    def feed(self, data: bytes) -> list[PartEvent]:
        """Raises: BadRequest, UnsupportedMediaType, PayloadTooLarge."""
        if self._has_ended:
            self._rest_bytes += len(data)
            if self._rest_bytes > FIELDS_MAX_BYTES:
                raise PayloadTooLarge
            return []
        self._events = []
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise BadRequest(_BROKEN) from error
        return self._events

    def close(self) -> None:
        """Raises: BadRequest: the body ended before its last boundary."""
        if not self._has_ended:
            raise BadRequest(_BROKEN)

    def _begin_part(self) -> None:
        self._headers = {}

    def _begin_header(self) -> None:
        self._header = (b"", b"")

    def _add_to_name(self, data: bytes, start: int, end: int) -> None:
        self._header = (self._header[0] + data[start:end], self._header[1])

    def _add_to_value(self, data: bytes, start: int, end: int) -> None:
        self._header = (self._header[0], self._header[1] + data[start:end])

    def _end_header(self) -> None:
        name, value = self._header
        self._headers[name.lower()] = value

    def _end_headers(self) -> None:
        if self._headers.get(b"content-transfer-encoding", b"").decode("latin-1").strip().lower() not in _PLAIN:
            raise UnsupportedMediaType("A part must not have a transfer encoding.")
        disposition, options = parse_options_header(self._headers.get(b"content-disposition", b"").decode("latin-1"))
        if disposition.strip() != b"form-data" or b"name" not in options:
            raise BadRequest(_BROKEN)
        filename = options.get(b"filename")
        self._events.append(PartBegin(_decode(options[b"name"]), None if filename is None else _decode(filename)))

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        self._events.append(PartData(data[start:end]))

    def _end(self) -> None:
        self._has_ended = True


def _decode(name: bytes) -> str:
    """Raises: BadRequest: it is not UTF-8."""
    try:
        text = name.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRequest("A name in the body is not UTF-8.") from error
    for escape, char in _ESCAPES.items():
        text = text.replace(escape, char)
    return text
