"""Read plain text."""

import re

from rag.parsing.blocks import Block, Draft
from rag.parsing.charsets import decode

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
