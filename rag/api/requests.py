"""Read a client's bytes as a `QueryRequest`: size, media type, encoding and schema have one error each."""

import json
import math
import re
from collections.abc import Mapping
from typing import Final, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from rag.config.strict_json import RepeatedName, require_distinct
from rag.errors import BadRequest, InvalidRequest, PayloadTooLarge, UnsupportedMediaType
from schemas.errors import FieldError
from schemas.request import BODY_MAX_BYTES, QueryRequest

Asked = TypeVar("Asked", bound=BaseModel)

# Limits of an error's field list: a body may hold thousands of unknown fields with long names.
_FIELDS_MAX: Final = 20
_PATH_MAX_CHARS: Final = 100
_UTF_8: Final = frozenset({"charset=utf-8", "charset=utf8"})
# No field accepts an integer with more digits; Python itself raises ValueError for thousands of them.
_INTEGER_MAX_CHARS: Final = 20
_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,9})")
_INTEGERS: Final = frozenset({"top_k", "max_output_tokens"})
# A URL has no form for their values.
_BODY_ONLY: Final = frozenset({"filters"})
_BOOLEANS: Final = {"true": True, "false": False}


async def read_body(kind: type[Asked], headers: Mapping[str, str], receive: Receive) -> Asked:
    """Read the request from a JSON body.

    Raises:
        UnsupportedMediaType: the body is encoded, or not `application/json` in UTF-8.
        PayloadTooLarge: the body is over the limit.
        BadRequest: the body is not JSON in UTF-8, or repeats a name.
        InvalidRequest: the JSON violates the schema.
        ClientDisconnect: the client left before the end of the body.
    """
    _require_json(headers)
    body = await _receive_body(receive)
    try:
        value = json.loads(
            body.decode("utf-8"),
            parse_int=_parse_int,
            parse_constant=_refuse_constant,
            object_pairs_hook=require_distinct,
        )
    except RepeatedName as error:
        # A filter before us would see another body.
        raise BadRequest("A name stands twice in an object of the body.") from error
    except (ValueError, RecursionError) as error:
        raise BadRequest("The body is not JSON in UTF-8.") from error
    if not isinstance(value, dict):
        raise InvalidRequest([FieldError(path="", reason="must be a JSON object")])
    return validate(kind, value)


def parse_query(query_string: bytes) -> QueryRequest:
    """Read the request from a query string; integers are decimal digits, booleans are `true` or `false`.

    Raises:
        BadRequest: the string is not percent-encoded UTF-8.
        InvalidRequest: a parameter is repeated, violates the schema, or is taken in a body only.
    """
    try:
        pairs = parse_qsl(query_string.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError as error:
        raise BadRequest("The query string is not percent-encoded UTF-8.") from error
    values: dict[str, object] = {}
    for name, text in pairs:
        if name in _BODY_ONLY:
            raise InvalidRequest([FieldError(path=name, reason="is taken in the body of a POST only")])
        if name in values:
            raise InvalidRequest([FieldError(path=name[:_PATH_MAX_CHARS], reason="is given more than once")])
        values[name] = _typed(name, text)
    return validate(QueryRequest, values)


def _require_json(headers: Mapping[str, str]) -> None:
    # `items` yields every value of a repeated header.
    encodings = {value.strip().lower() for name, value in headers.items() if name == "content-encoding"}
    if encodings - {"identity", ""}:
        raise UnsupportedMediaType("The body must not have a content encoding.")
    content_type = headers.get("content-type", "")
    media_type, *parameters = (part.strip().lower().replace('"', "") for part in content_type.split(";"))
    charsets = [parameter for parameter in parameters if parameter.startswith("charset")]
    if media_type != "application/json" or not _UTF_8.issuperset(charsets):
        raise UnsupportedMediaType


def _parse_int(digits: str) -> int | float:
    """Return the integer; one that is too large for any field becomes infinity, which no integer field accepts."""
    return int(digits) if len(digits) <= _INTEGER_MAX_CHARS else math.inf


def _refuse_constant(name: str) -> None:
    """Reject `NaN` and `Infinity`, which Python's parser accepts although they are not JSON."""
    raise ValueError(name)


async def _receive_body(receive: Receive) -> bytes:
    """Return the whole body; its size is counted while reading, because `Content-Length` may be wrong."""
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
    """Convert a parameter to its JSON type; a text that does not match stays text, which the schema rejects."""
    if name in _INTEGERS and _INTEGER.fullmatch(text):
        return int(text)
    if name == "include_trace":
        return _BOOLEANS.get(text, text)
    return text


def validate(kind: type[Asked], values: Mapping[str, object]) -> Asked:
    """Raises: InvalidRequest: the values violate the schema."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        fields = [
            FieldError(path=".".join(map(str, each["loc"]))[:_PATH_MAX_CHARS], reason=each["msg"])
            for each in found[:_FIELDS_MAX]
        ]
        # `from None`: the cause would carry the values into a log.
        raise InvalidRequest(fields) from None
