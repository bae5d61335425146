"""Read plain text, and decode the bytes of every text format."""

import codecs
import re
from typing import Final

from rag.errors import ParseError
from rag.parsing.blocks import Block, Draft
from rag.text.language import detect_language

_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is a prefix of it
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SIGNATURES: Final = ((b"%PDF-", "PDF"), (b"PK\x03\x04", "ZIP"), (b"\xd0\xcf\x11\xe0", "Office"), (b"\x89PNG", "PNG"))
_CONTROL = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_MAX_CONTROL_SHARE: Final = 0.01
_HEADING = re.compile(r"[^\S\n]*\(?\w[^\n]{0,78}[^\s.,;:!?…]\s*")
_PARAGRAPH_BREAK = re.compile(r"\n(?:[^\S\n]*\n)+|\f")


def read(data: bytes) -> Draft:
    """Read plain text: blank lines separate paragraphs, other line breaks stay.

    A short line that does not end in punctuation, and has text below it, is a heading.
    """
    text = decode(data).replace("\r\n", "\n").replace("\r", "\n")
    paragraphs = [paragraph for part in _PARAGRAPH_BREAK.split(text) if (paragraph := part.strip("\n")).strip()]
    is_heading = [_HEADING.fullmatch(paragraph) is not None for paragraph in paragraphs]
    blocks = []
    for number, paragraph in enumerate(paragraphs):
        # Followed by another such line it is rather an item of a list; only the title may stand above a heading.
        leads = number + 1 < len(paragraphs) and (number == 0 or not is_heading[number + 1])
        level = 0 if not (is_heading[number] and leads) else 1 if number == 0 else 2
        blocks.append(Block(paragraph, level))
    return Draft(blocks)


def decode(data: bytes, declared: str | None = None) -> str:
    """Decode bytes: by byte order mark, as UTF-8, as declared, or in the old code pages of our two languages.

    Raises: ParseError: the bytes are no text, or their encoding is unknown.
    """
    for signature, name in _SIGNATURES:
        if data.startswith(signature):
            raise ParseError(f"it is not text: its content is {name}")
    text = _decode(data, declared)
    if len(_CONTROL.findall(text)) > _MAX_CONTROL_SHARE * len(text):
        raise ParseError("it is not text: its content is binary")
    return text


def _decode(data: bytes, declared: str | None) -> str:
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return data.decode(encoding, errors="replace").removeprefix("\ufeff")
    if b"\x00" in data:
        raise ParseError("it is not text: it holds NUL bytes (UTF-16 needs a byte order mark; save it as UTF-8)")
    # UTF-8 before the declared encoding: pages often declare a former one, and text in others is not valid UTF-8 by
    # accident.
    for candidate in ("utf-8", declared):
        decoded = _try_decode(data, candidate)
        if decoded is not None:
            return decoded
    text = data.decode("utf-8", errors="replace")
    damaged = text.count("\ufffd")
    if 10 * damaged < sum(char > "\x7f" for char in text) - damaged:  # UTF-8 with a few broken bytes
        return text
    for encoding, language in (("cp1258", "vi"), ("cp1252", "en")):
        text = _try_decode(data, encoding) or ""
        if detect_language(text) == language:
            return text
    raise ParseError("its text encoding is unknown: save it as UTF-8")


def _try_decode(data: bytes, encoding: str | None) -> str | None:
    try:
        return data.decode(encoding) if encoding else None
    except (UnicodeDecodeError, LookupError):  # LookupError: no such encoding, or not one for text
        return None
