"""Bytes from a client as a `QueryRequest`: size, media type, encoding and schema, each with its own refusal."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from rag.errors import BadRequest, InvalidRequest, PayloadTooLarge, UnsupportedMediaType
from schemas.errors import FieldError
from schemas.request import BODY_MAX_BYTES, QueryRequest

Asked = TypeVar("Asked", bound=BaseModel)

# A body may hold thousands of unknown fields with long names; nobody reads that many reasons.
_FIELDS_MAX: Final = 20
_PATH_MAX_CHARS: Final = 100
_UTF_8: Final = frozenset({"charset=utf-8", "charset=utf8"})
# No field takes an integer of more digits; Python itself refuses to read thousands of them.
_INTEGER_MAX_CHARS: Final = 20
_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,9})")
_INTEGERS: Final = frozenset({"top_k", "max_output_tokens"})
_BOOLEANS: Final = {"true": True, "false": False}


async def read_body(kind: type[Asked], headers: Mapping[str, str], receive: Receive) -> Asked:
    """The request in a JSON body.

    Raises: UnsupportedMediaType, PayloadTooLarge, BadRequest, InvalidRequest, ClientDisconnect.
    """
    _require_json(headers)
    body = await _receive_body(receive)
    try:
        value = json.loads(
            body.decode("utf-8"),
            parse_int=_parse_int,
            parse_constant=_refuse_constant,
            object_pairs_hook=_require_distinct,
        )
    except (ValueError, RecursionError) as error:
        raise BadRequest("The body is not JSON in UTF-8.") from error
    if not isinstance(value, dict):
        raise InvalidRequest([FieldError(path="", reason="must be a JSON object")])
    return _validate(kind, value)


def parse_query(query_string: bytes) -> QueryRequest:
    """The request in the parameters of a URL; integers are decimal digits, booleans `true` or `false`.

    Raises: BadRequest, InvalidRequest.
    """
    try:
        pairs = parse_qsl(query_string.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError as error:
        raise BadRequest("The query string is not percent-encoded UTF-8.") from error
    values: dict[str, object] = {}
    for name, text in pairs:
        if name in values:
            raise InvalidRequest([FieldError(path=name[:_PATH_MAX_CHARS], reason="is given more than once")])
        values[name] = _typed(name, text)
    return _validate(QueryRequest, values)


def _require_json(headers: Mapping[str, str]) -> None:
    # `items` also shows a header that was sent twice.
    encodings = {value.strip().lower() for name, value in headers.items() if name == "content-encoding"}
    if encodings - {"identity", ""}:
        raise UnsupportedMediaType("The body must not have a content encoding.")
    content_type = headers.get("content-type", "")
    media_type, *parameters = (part.strip().lower().replace('"', "") for part in content_type.split(";"))
    charsets = [parameter for parameter in parameters if parameter.startswith("charset")]
    if media_type != "application/json" or not _UTF_8.issuperset(charsets):
        raise UnsupportedMediaType


def _parse_int(digits: str) -> int | float:
    """What is too large for any field becomes what no integer field takes."""
    return int(digits) if len(digits) <= _INTEGER_MAX_CHARS else math.inf


def _require_distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of a name that stands twice Python takes the last, others the first: a filter before us would see another body.

    Raises: BadRequest.
    """
    values = dict(pairs)
    if len(values) != len(pairs):
        raise BadRequest("A name stands twice in an object of the body.")
    return values


def _refuse_constant(name: str) -> None:
    """Python's reader knows `NaN` and `Infinity`, JSON does not."""
    raise ValueError(name)


async def _receive_body(receive: Receive) -> bytes:
    """The whole body; `Content-Length` is not believed."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if len(body) > BODY_MAX_BYTES:
            raise PayloadTooLarge
        if not message.get("more_body", False):
            return bytes(body)


def _typed(name: str, text: str) -> object:
    """What JSON would have said; what it could not have said stays text, and the schema refuses it."""
    if name in _INTEGERS and _INTEGER.fullmatch(text):
        return int(text)
    if name == "include_trace":
        return _BOOLEANS.get(text, text)
    return text


def _validate(kind: type[Asked], values: Mapping[str, object]) -> Asked:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        fields = [
            FieldError(path=".".join(map(str, each["loc"]))[:_PATH_MAX_CHARS], reason=each["msg"])
            for each in found[:_FIELDS_MAX]
        ]
        # No `from`: the cause would carry the values into a log.
        raise InvalidRequest(fields) from None
