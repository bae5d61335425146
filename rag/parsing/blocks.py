"""Clean the blocks that every reader returns, and join them into one document with offsets.

Cleaning is here and not in the readers, so that a PDF and a web page yield the same words, and the stored text is the
text that is searched, shown and cited.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, Literal

from rag.errors import ParseError
from rag.parsing import charsets
from rag.types import Document, Heading, PageSpan

MAX_TEXT_CHARS: Final = 10_000_000
_MAX_TITLE_CHARS: Final = 200
_MAX_UNREADABLE_SHARE: Final = 0.05

Glue = Literal["\n\n", "\n", " "]


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, list item, row or heading (`level` 1 to 6; 0: none); `glue` separates it from the block before."""

    text: str
    level: int = 0
    glue: Glue = "\n\n"
    page: int = 0


@dataclass(frozen=True, slots=True)
class Draft:
    """The result of a reader; `page_count` is 0 for formats without pages, `warnings` as in `Document`.

    `page_labels` are what is printed on the pages, in their order; empty for a page without a label, or for all.
    """

    blocks: Sequence[Block]
    title: str = ""
    page_count: int = 0
    warnings: Sequence[str] = ()
    page_labels: Sequence[str] = ()


# Characters that look like nothing or like a bullet; U+F0B7 and U+F0A7 are the bullets of Word's Symbol and Wingdings
# fonts.
_REPLACEMENTS: Final = str.maketrans(
    {
        "\uf0b7": "•", "\uf0a7": "▪", "\u2028": "\n", "\u2029": "\n", "\x0b": "\n", "\x0c": "\n", "\x85": "\n",
        "\ufb00": "ff", "\ufb01": "fi", "\ufb02": "fl", "\ufb03": "ffi", "\ufb04": "ffl",
    }
)  # fmt: skip
# Controls, soft hyphens, zero-width and bidirectional marks, surrogates, private use, noncharacters, U+FFFD.
_UNWANTED = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff"
    "\ud800-\udfff\ue000-\uf8ff\ufdd0-\ufdef\ufff0-\uffff\U000f0000-\U0010ffff]"
)
_SPACES = re.compile(r"(?<=\S)[^\S\n]+")  # not at the start of a line: code keeps its indentation
_OTHER_SPACE = re.compile(r"[^\S\n ]")
_BLANK_LINES = re.compile(r"\n\s*\n")


def clean(text: str) -> str:
    """Return the text in NFC, trimmed, with one kind of space and line break, no blank lines, nothing invisible."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").translate(_REPLACEMENTS)
    text = unicodedata.normalize("NFC", _UNWANTED.sub("", text))
    text = _SPACES.sub(" ", _OTHER_SPACE.sub(" ", text))
    return _BLANK_LINES.sub("\n", text.replace(" \n", "\n")).strip()


def restore(blocks: Sequence[Block]) -> list[Block]:
    """Return the blocks with the text of old fonts and of wrongly decoded files as it was meant, if that is certain."""
    texts = charsets.restore([block.text for block in blocks])
    return [replace(block, text=text) for block, text in zip(blocks, texts, strict=True)]


def assemble(draft: Draft, *, fallback_title: str) -> Document:
    """Join the blocks; a separator belongs to the page before it, so the pages cover the text without gaps.

    Raises: ParseError: there is no text, too much of it, or mostly characters without a known meaning.
    """
    parts: list[str] = []
    headings: list[Heading] = []
    page_starts = [0] * draft.page_count
    position = page = unreadable = 0
    for block in draft.blocks:
        text = clean(block.text if block.level == 0 else " ".join(block.text.split()))
        if not text:
            continue
        unreadable += block.text.count("\ufffd")
        at_heading = block.level or (headings and headings[-1].end == position)
        separator = ("\n\n" if at_heading else block.glue) if parts else ""
        start = position + len(separator)
        for number in range(page, block.page):
            page_starts[number] = start
        page = max(page, block.page)
        if block.level:
            headings.append(Heading(start, start + len(text), block.level, text))
        parts += (separator, text)
        position = start + len(text)
        if position > MAX_TEXT_CHARS:
            raise ParseError(f"too much text: more than {MAX_TEXT_CHARS:,} characters")
    if not position:
        raise ParseError("it holds no text")
    if unreadable > _MAX_UNREADABLE_SHARE * position:
        raise ParseError("its text is unreadable: the characters have no known meaning")
    return Document(
        title=_choose_title(draft.title, headings, fallback_title),
        text="".join(parts),
        pages=_page_spans(page_starts, page, position, draft.page_labels),
        headings=tuple(headings),
        warnings=(*draft.warnings, *_tell_unreadable(unreadable)),
    )


def _tell_unreadable(count: int) -> Sequence[str]:
    return (f"not in the text: {count} broken character{'s' if count > 1 else ''}",) if count else ()


def _page_spans(starts: Sequence[int], last_used: int, length: int, labels: Sequence[str]) -> tuple[PageSpan, ...]:
    bounds = [*starts[:last_used], *[length] * (len(starts) - last_used + 1)]
    known = labels or [""] * len(starts)
    return tuple(
        PageSpan(number, start, end, _label_of(number, label))
        for number, ((start, end), label) in enumerate(zip(pairwise(bounds), known, strict=True), 1)
    )


def _label_of(number: int, label: str) -> str | None:
    label = " ".join(clean(label).split())
    return label if label and label != str(number) else None


def _choose_title(title: str, headings: Sequence[Heading], fallback: str) -> str:
    top = next((heading.text for heading in headings if heading.level == 1), "")
    return next(name for name in (" ".join(clean(title).split()), top, clean(fallback), "?") if name)[:_MAX_TITLE_CHARS]
