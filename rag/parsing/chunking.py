"""Split documents into the chunks that are embedded, searched, shown and cited.

The cuts are one shortest-path problem over the sentences of the whole document: each possible chunk has a price for its
size and for what it tears apart or throws together, and the cheapest sequence of chunks wins. Greedy filling was
rejected: it leaves tails of a few tokens, and every rule against them moves them elsewhere. Chunks do not overlap: a
citation resolves to one chunk, and a sentence is in one chunk only.
"""

import math
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rag.ports import TokenCounter
from rag.text.language import sentence_spans
from rag.types import CONTEXT_SEPARATOR, Document, Heading, PageSpan, Span

# Changes with anything that can move a boundary; all chunks of one index come from one version.
CHUNKER_VERSION: Final = "sentences-3"

# Prices, in units of the squared relative distance from the target size: a chunk of half the target costs 0.25.
_PRICE_SECTION_INSIDE: Final = 0.6  # two sections in one chunk, unless both are small
_PRICE_PAGE_INSIDE: Final = 0.5  # a page break in a chunk, unless a cut there leaves less than half of the target
_PRICE_TORN_PARAGRAPH: Final = 0.1
_PRICE_TORN_LINES: Final = 0.05  # a cut between list items or table rows
_PRICE_ORPHANED_HEADING: Final = 10.0
_MAX_RELATIVE_SIZE: Final = 2.0  # larger chunks are never considered

MAX_CONTEXT_CHARS: Final = 120
# The part of the model's window reserved for the context, with a title and a first sentence before it.
CONTEXT_TOKENS: Final = 120
_CHARS_PER_TOKEN: Final = 8  # more than any of our tokenizers yields on running text
_WHITE_SPACE = re.compile(r"\s")
_COMBINING = re.compile(r"[\u0300-\u036f\u200d\ufe0f]")


@dataclass(frozen=True, slots=True)
class _Unit:
    """A sentence, or a part of a very long one, with the prices of a cut after it and of no cut after it."""

    start: int
    end: int
    tokens: int
    price_cut: float = 0.0
    price_joined: float = 0.0


def split(document: Document, counter: TokenCounter, *, target_tokens: int = 200, limit_tokens: int) -> list[Span]:
    """Split a document into chunks, in order: disjoint, with every character except white space, none above the limit.

    A chunk is about `target_tokens` long, begins and ends with a sentence, keeps a heading with the text after it, and
    stays within a section and a page if that leaves no scraps. `heading` is the last one at or before its start.
    """
    target_tokens = min(target_tokens, limit_tokens)
    bounds = [
        piece
        for start, end in sentence_spans(document.text)
        for piece in _fit(document.text, start, end, counter, limit_tokens)
    ]
    units = _price_seams(document, bounds)
    heading_starts = [heading.start for heading in document.headings]
    paths = _heading_paths(document)
    page_starts = [page.start for page in document.pages]
    spans = []
    for first, last in _choose_cuts(units, target_tokens, limit_tokens):
        for start, end in _fit_chunk(document.text, units[first:last], counter, limit_tokens):
            heading = bisect_right(heading_starts, start) - 1
            first_page, last_page = (_page_at(document, page_starts, at) for at in (start, end - 1))
            spans.append(
                Span(
                    text=document.text[start:end],
                    start=start,
                    end=end,
                    page_start=first_page.number if first_page else None,
                    page_end=last_page.number if last_page else None,
                    heading=document.headings[heading].text if heading >= 0 else None,
                    context=_context_of(document, paths[heading], start) if heading >= 0 else "",
                    page_label=_label_of(first_page, last_page),
                )
            )
    return spans


def _heading_paths(document: Document) -> list[list[Heading]]:
    """Return for each heading the headings above it and itself, from the highest down."""
    paths: list[list[Heading]] = []
    open_headings: list[Heading] = []
    for heading in document.headings:
        open_headings = [each for each in open_headings if each.level < heading.level] + [heading]
        paths.append(open_headings)
    return paths


def _context_of(document: Document, path: Sequence[Heading], start: int) -> str:
    """Return the headings above a chunk that begins at `start`, without the document's title and its own headings."""
    above = [heading.text for heading in path if heading.start < start and heading.text != document.title]
    context = CONTEXT_SEPARATOR.join(above)
    return context if len(context) <= MAX_CONTEXT_CHARS else context[-MAX_CONTEXT_CHARS:].partition(" ")[2]


def _page_at(document: Document, page_starts: Sequence[int], position: int) -> PageSpan | None:
    if not page_starts:
        return None
    # Pages without text begin where the next one does; the last page that begins here holds the character.
    return document.pages[max(0, bisect_right(page_starts, position) - 1)]


def _label_of(first: PageSpan | None, last: PageSpan | None) -> str | None:
    """Return what is printed on the pages of a chunk; None if that is their numbers."""
    if first is None or last is None or not (first.label or last.label):
        return None
    ends = [page.label or str(page.number) for page in (first, last)]
    return ends[0] if first == last else "–".join(ends)


def _fit(text: str, start: int, end: int, counter: TokenCounter, limit_tokens: int) -> Iterator[tuple[int, int, int]]:
    """Yield the stretch as (start, end, tokens), halved at white space until each part is within the limit."""
    # Longer stretches are halved uncounted: tokenizers take quadratic time on megabytes without white space.
    tokens = counter.count(text[start:end]) if end - start <= _CHARS_PER_TOKEN * limit_tokens else limit_tokens + 1
    if tokens <= limit_tokens or end - start == 1:
        yield start, end, tokens
        return
    left_end, right_start = _middle_gap(text, start, end)
    yield from _fit(text, start, left_end, counter, limit_tokens)
    yield from _fit(text, right_start, end, counter, limit_tokens)


def _middle_gap(text: str, start: int, end: int) -> tuple[int, int]:
    """Return the white space nearest to the middle as (start, end); without any, an empty gap between characters."""
    middle = (start + end) // 2
    after = _WHITE_SPACE.search(text, middle, end)
    before = max(text.rfind(" ", start, middle), text.rfind("\n", start, middle))
    if after or before >= 0:
        is_after_nearer = after is not None and (before < 0 or after.start() - middle <= middle - before)
        left_end = right_start = after.start() if after is not None and is_after_nearer else before
        while text[left_end - 1].isspace():
            left_end -= 1
        while text[right_start].isspace():
            right_start += 1
        return left_end, right_start
    while start + 1 < middle and _COMBINING.match(text, middle):
        middle -= 1
    return middle, middle


def _price_seams(document: Document, bounds: Sequence[tuple[int, int, int]]) -> list[_Unit]:
    """Return the units with the prices of cutting and of not cutting at the seam after each."""
    text = document.text
    heading_starts = {heading.start for heading in document.headings}
    heading_ends = {heading.end for heading in document.headings}
    page_starts = [page.start for page in document.pages]
    units = []
    for number, (start, end, tokens) in enumerate(bounds):
        if number + 1 == len(bounds):
            units.append(_Unit(start, end, tokens))
            continue
        next_start = bounds[number + 1][0]
        gap = text[end:next_start]
        price_cut = 0.0 if gap.count("\n") > 1 else _PRICE_TORN_LINES if "\n" in gap else _PRICE_TORN_PARAGRAPH
        price_joined = 0.0
        if end in heading_ends:
            price_cut = _PRICE_ORPHANED_HEADING
        elif next_start in heading_starts:
            price_joined = _PRICE_SECTION_INSIDE
        elif _page_at(document, page_starts, end - 1) != _page_at(document, page_starts, next_start):
            price_joined = _PRICE_PAGE_INSIDE
        units.append(_Unit(start, end, tokens, price_cut, price_joined))
    return units


def _choose_cuts(units: Sequence[_Unit], target_tokens: int, limit_tokens: int) -> list[tuple[int, int]]:
    """Return the cheapest sequence of chunks as (first, last + 1); ties go to the longer last chunk."""
    most_tokens = min(limit_tokens, _MAX_RELATIVE_SIZE * target_tokens)
    best_price = [0.0]
    best_first = [0]
    for last, unit in enumerate(units):
        best, choice = math.inf, last
        tokens, joined = 0, 0.0
        for first in range(last, -1, -1):
            tokens += max(1, units[first].tokens)
            if first < last:
                joined += units[first].price_joined
                if tokens > most_tokens:
                    break
            price = best_price[first] + ((tokens - target_tokens) / target_tokens) ** 2 + joined + unit.price_cut
            if price <= best:
                best, choice = price, first
        best_price.append(best)
        best_first.append(choice)
    cuts = []
    end = len(units)
    while end:
        cuts.append((best_first[end], end))
        end = best_first[end]
    return cuts[::-1]


def _fit_chunk(
    text: str, units: Sequence[_Unit], counter: TokenCounter, limit_tokens: int
) -> Iterator[tuple[int, int]]:
    """Yield the chunk whole, or halved between units if it has more tokens than the limit.

    A chunk can have more tokens than its sentences counted one by one.
    """
    start, end = units[0].start, units[-1].end
    if len(units) == 1 or counter.count(text[start:end]) <= limit_tokens:
        yield start, end
        return
    middle = len(units) // 2
    yield from _fit_chunk(text, units[:middle], counter, limit_tokens)
    yield from _fit_chunk(text, units[middle:], counter, limit_tokens)
