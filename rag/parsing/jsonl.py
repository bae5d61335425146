"""Read JSON Lines: an export with one record a line, whose text stands in a field."""

import json
import re
from collections.abc import Sequence
from typing import Final

from rag.errors import ParseError
from rag.parsing import charsets
from rag.parsing.blocks import Block, Draft

_TEXT_FIELDS: Final = ("text", "content", "body")  # the first that a record has
_TITLE_FIELD: Final = "title"
_TITLE_LEVEL: Final = 2
_NAMED_LINES: Final = 10
_PARAGRAPH_BREAK = re.compile(r"\n[^\S\n]*\n")


def read(data: bytes) -> Draft:
    """Read the text of each record, below its title if it has one; other fields are left out.

    Raises: ParseError: no line is such a record.
    """
    blocks: list[Block] = []
    unread: list[int] = []
    for number, line in enumerate(charsets.decode(data).split("\n"), start=1):
        if line.strip():
            found = _read_record(line)
            if not found:
                unread.append(number)
            blocks += found
    if unread and not blocks:
        raise ParseError(f"line {unread[0]} is no JSON object with a text in {_name_fields()}")
    return Draft(blocks, warnings=[_tell(unread)] if unread else [])


def _read_record(line: str) -> list[Block]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return []
    if not isinstance(record, dict):
        return []
    text = next((record[field] for field in _TEXT_FIELDS if field in record), None)
    title = record.get(_TITLE_FIELD)
    if not isinstance(text, str) or not text.strip():
        return []
    heading = [Block(title, _TITLE_LEVEL)] if isinstance(title, str) and title.strip() else []
    return heading + [Block(part) for part in _PARAGRAPH_BREAK.split(text.replace("\r\n", "\n"))]


def _tell(lines: Sequence[int]) -> str:
    named = ", ".join(map(str, lines[:_NAMED_LINES])) + (" and others" if len(lines) > _NAMED_LINES else "")
    return f"{len(lines)} lines are no JSON objects with a text in {_name_fields()}, and not in the text: {named}"


def _name_fields() -> str:
    return " or ".join(f"`{field}`" for field in _TEXT_FIELDS)
