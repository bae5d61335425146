"""Split a chunk into statements: sentences, list items and their leads, table rows, headings.

A statement is verbatim from the stored chunk, character for character. Text that could be taken for a marker is cut off
at the edges (a footnote); in the middle of a statement it makes the statement unquotable. An order to the assistant is
neither quoted nor counted as evidence; nor is the rest of its paragraph if it takes over, a line that imitates the
prompt, or anything after an imitated end of the sources.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from rag.text.injection import gives_orders, imitates_fence, takes_over
from rag.text.language import sentence_spans, words
from rag.text.markers import has_marker, marker_spans
from rag.types import Chunk
from rag.verification.support import LIST_MARK

Kind = Literal["sentence", "item", "row", "lead", "heading"]

MAX_SENTENCE_CHARS: Final = 500
MAX_LIST_CHARS: Final = 900
ROW_MARK: Final = " | "
_HEADING_CHARS: Final = 60  # a line this short before a capitalised one is a heading, not a wrapped line
_HEADING_WORDS: Final = 12
_SENTENCE_WORDS: Final = 8  # with more words than this, text without a full stop is taken for a sentence

_ENDED = re.compile(r"[.!?…。！？][\"'”’»)\]*_]*\Z")
_LEADS = re.compile(r"[:：][*_]*\Z")
_ENDS_NO_HEADING = re.compile(r"[.!?…;,。！？][\"'”’»)\]*_]*\Z")
_PARAGRAPH_END = re.compile(r"\n[^\S\n]*\n")


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement: `text == chunk.text[start:end]`; `is_quotable` if a reader learns something from it.

    `key` is equal for statements with the same words. `above` are the positions of the statements that give its
    subject: the heading above it, the lead of its list. `first_item` and `last_item` are the positions of a list's
    first and last item: set for its items, and for the lead or heading that opens it.
    """

    start: int
    end: int
    text: str
    key: str
    kind: Kind
    is_quotable: bool
    above: tuple[int, ...] = ()
    first_item: int | None = None
    last_item: int | None = None


def read_statements(chunk: Chunk) -> list[Statement]:
    """Return the chunk's statements in order, without those that give orders to the assistant."""
    return _mark_quotable(chunk, _group(chunk, list(_read(chunk))))


def sameness_key(text: str) -> str:
    """Return a key that is equal for texts with the same words."""
    return " ".join(words(text))


def _read(chunk: Chunk) -> Iterator[Statement]:
    silent_until = 0
    for start, end in sentence_spans(chunk.text):
        if start < silent_until:
            continue
        if takes_over(chunk.text[start:end]):
            paragraph_end = _PARAGRAPH_END.search(chunk.text, end)
            silent_until = paragraph_end.start() if paragraph_end else len(chunk.text)
            continue
        if imitates_fence(chunk.text[start:end]):
            break
        if gives_orders(chunk.text[start:end]):
            continue
        first, last, is_whole = _without_markers(chunk.text, _trim_start(chunk, start, end), end)
        if first < last:
            text = chunk.text[first:last]
            kind = _kind_of(chunk, start, end, text)
            yield Statement(first, last, text, sameness_key(text), kind, is_quotable=is_whole)


def _kind_of(chunk: Chunk, start: int, end: int, text: str) -> Kind:
    if ROW_MARK in text:
        return "row"
    if _LEADS.search(text):
        return "lead"
    if LIST_MARK.match(chunk.text, start, end):
        return "item"
    if chunk.heading and sameness_key(text) == sameness_key(chunk.heading):
        return "heading"
    before, after = chunk.text[:start].rstrip(" "), chunk.text[end:].lstrip(" ")
    is_paragraph = (not before or before.endswith("\n\n")) and after.startswith("\n\n")
    short = len(words(text)) <= _HEADING_WORDS and "\n" not in text
    return "heading" if is_paragraph and short and not _ENDS_NO_HEADING.search(text) else "sentence"


def _group(chunk: Chunk, statements: Sequence[Statement]) -> list[Statement]:
    """Return the statements with `above` and the bounds of their lists filled in."""
    grouped = list(statements)
    heading: int | None = None
    lead: int | None = None
    at = 0
    while at < len(grouped):
        each = grouped[at]
        last = _end_of_list(chunk, grouped, at)
        if last is not None:  # a list begins here
            opener = at - 1 if at and grouped[at - 1].kind in ("lead", "heading") else None
            lead = opener if opener is not None and grouped[opener].kind == "lead" else None
            above = tuple(place for place in (heading, lead) if place is not None)
            for place in range(at, last + 1):
                grouped[place] = replace(grouped[place], above=above, first_item=at, last_item=last)
            if opener is not None:
                grouped[opener] = replace(grouped[opener], first_item=at, last_item=last)
            at = last + 1
            continue
        if each.kind == "heading":
            heading, grouped[at] = at, replace(each, above=())
        elif heading is not None:
            grouped[at] = replace(each, above=(heading,))
        at += 1
    return grouped


def _end_of_list(chunk: Chunk, statements: Sequence[Statement], first: int) -> int | None:
    """Return the last statement of the list that begins at `first`; None if no list begins there."""
    if statements[first].kind != "item":
        return None
    last = first
    for at in range(first + 1, len(statements)):
        gap = chunk.text[statements[at - 1].end : statements[at].start]
        is_continued = statements[at].kind == "sentence" and "\n\n" not in gap
        if statements[at].kind != "item" and not is_continued:
            break
        last = at
    return last


def _mark_quotable(chunk: Chunk, statements: Sequence[Statement]) -> list[Statement]:
    return [replace(each, is_quotable=each.is_quotable and _says_something(chunk, each)) for each in statements]


def _says_something(chunk: Chunk, statement: Statement) -> bool:
    """Return whether a reader learns something from it; a heading or a lead needs the items below it."""
    text, kind = statement.text, statement.kind
    if kind in ("lead", "heading"):
        return statement.first_item is not None
    # Lower case at the start of a chunk is the rest of a sentence that began in the chunk before.
    if len(text) > MAX_SENTENCE_CHARS or text[-1] in "?？" or (statement.start == 0 and text[0].islower()):
        return False
    count, has_figure = len(words(text)), any(map(str.isdigit, text))
    if kind == "row":
        return ": " in text or has_figure  # else it holds names of columns
    if kind == "item":
        return count > 1 or has_figure
    is_sentence = bool(_ENDED.search(text)) or has_figure or ": " in text or count > _SENTENCE_WORDS
    return is_sentence and count >= (3 if has_figure else 4)


def _trim_start(chunk: Chunk, start: int, end: int) -> int:
    """Return the start after list marks, and after a heading that has no blank line below it."""
    while mark := LIST_MARK.match(chunk.text, start, end):
        start = mark.end()
    line, newline, rest = chunk.text[start:end].partition("\n")
    begins_line = start == 0 or chunk.text[start - 1] == "\n"
    if newline and begins_line and len(line) <= _HEADING_CHARS and rest.lstrip()[:1].isupper() and line[-1:].isalnum():
        return end - len(rest.lstrip())
    return start


def _without_markers(text: str, start: int, end: int) -> tuple[int, int, bool]:
    """Return the longest stretch without a marker, and whether all that was cut off is markers at the edges."""
    spans = [(start + first, start + last) for first, last in marker_spans(text[start:end])]
    edges = [start, *(edge for span in spans for edge in span), end]
    stretches = [_trimmed(text, first, last) for first, last in zip(edges[::2], edges[1::2], strict=True)]
    first, last = max(stretches, key=lambda stretch: stretch[1] - stretch[0])
    if spans and has_marker(text[first:last]):
        return start, start, False
    others = [stretch for stretch in stretches if stretch != (first, last)]
    is_whole = not any(map(str.isalnum, "".join(text[begin:stop] for begin, stop in others)))
    return first, last, is_whole and (last == end or bool(_ENDED.search(text[first:last])))


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip()), max(start + len(piece.rstrip()), start)
