"""Find the headings of laws, rules and contracts, which seldom have a style: "Chương II", "Điều 5.", "Section 3".

A chunk is found and cited by its article, so each must know it.
No text is lost or said twice: a heading that goes on as a sentence is cut behind its label.
"""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from rag.parsing.article_labels import (
    LABEL,
    MAX_TITLE_LINES,
    Kind,
    Place,
    begins_item,
    end_of_label,
    is_capitals,
    is_open_title,
    kind_of,
    strip_mark,
    title_lines,
)
from rag.parsing.blocks import Block, Glue, clean

_RANKS: Final[Mapping[Kind, int]] = {
    "part": 0, "chapter": 1, "division": 2, "subdivision": 3, "article": 5, "section": 5, "clause": 7,
}  # fmt: skip
_SECTION_ABOVE_ARTICLES: Final = 4
_SECTION_BELOW_ARTICLES: Final = 6
_CONTENTS_ENTRIES: Final = 3  # so many headings in a row without text are a table of contents
_FIRST_LEVEL: Final = 2  # the first is for the document's title
_MAX_LEVEL: Final = 6


@dataclass(frozen=True, slots=True)
class _Piece:
    """A block or a part of one; `kind` if it is a heading of a law, `is_bare` if that is only its label so far."""

    block: Block
    kind: Kind | None = None
    number: str = ""
    is_bare: bool = False
    source: Block | None = None  # as the lines were, in case it is no heading after all


def mark_articles(blocks: Sequence[Block], *, has_styles: bool = False) -> list[Block]:
    """Return the blocks with the headings of laws as headings, on levels that nest; other documents stay as they are.

    `has_styles` if the levels of other headings come from the author, and not from how a line looks.
    """
    pieces = list(_split(blocks))
    if not any(piece.kind for piece in pieces):
        return list(blocks)
    pieces = list(_with_titles(_without_contents(pieces)))
    return _with_levels(pieces, has_styles=has_styles)


def _split(blocks: Sequence[Block]) -> Iterator[_Piece]:
    before = ""  # the last line before
    is_after_heading = True
    last: dict[Kind, str] = {}
    for at, block in enumerate(blocks):
        text = unicodedata.normalize("NFC", block.text)
        if not text.strip():
            yield _Piece(block)
            continue
        if block.level:
            found = LABEL.match(" ".join(text.split()))
            kind = kind_of(found) if found else None
            is_bare = found is not None and not strip_mark(" ".join(text.split())[found.end() :])
            yield _Piece(block, kind, found["number"] if found else "", is_bare)
            if found and kind:
                last[kind] = found["number"]
            before, is_after_heading = text, True
            continue
        if not LABEL.search(text):
            pieces = [_Piece(block)]
        else:
            below = blocks[at + 1] if at + 1 < len(blocks) else None
            is_row = block.glue == "\n" or (below is not None and below.glue == "\n" and not begins_item(below.text))
            place = Place(before, is_after_heading, is_row, last)
            pieces = list(_split_lines(replace(block, text=clean(text)), place))
        yield from pieces
        before = text.rpartition("\n")[2].strip()
        is_after_heading = pieces[-1].kind is not None


def _split_lines(block: Block, place: Place) -> Iterator[_Piece]:
    """Yield the headings among the lines of a block, and the text between them."""
    lines = block.text.split("\n")
    body: list[str] = []
    glue: Glue = block.glue
    at = 0
    while at < len(lines):
        line = lines[at].strip()
        found = LABEL.match(line)
        label_end = end_of_label(line, found, place, block.glue if at == 0 else "\n") if found else 0
        if not found or not label_end:
            body.append(lines[at])
            place.before, place.is_after_heading = line, False
            at += 1
            continue
        if body:
            yield _Piece(replace(block, text="\n".join(body), glue=glue))
            glue, body = "\n", []
        kind = kind_of(found)
        used, rest = title_lines(lines, at, label_end)
        title = " ".join(each.strip() for each in lines[at : at + used])
        heading = line[:label_end] if rest else title
        source = replace(block, text="\n".join(lines[at : at + used]), glue=glue)
        if rest:  # the heading is the label, and the line goes on as text
            source = replace(source, text=heading)
            body = [rest]
        is_bare = not rest and used == 1 and not line[label_end:].strip()
        yield _Piece(replace(block, text=heading, glue=glue), kind, found["number"], is_bare, source)
        place.last[kind] = found["number"]
        place.before, place.is_after_heading = (rest, False) if rest else (heading, True)
        glue = "\n\n"
        at += 1 if rest else used
    if body:
        yield _Piece(replace(block, text="\n".join(body), glue=glue))


def _without_contents(pieces: Sequence[_Piece]) -> list[_Piece]:
    """Turn the entries of a table of contents back into text."""
    kept = list(pieces)
    run: list[int] = []
    for at in range(len(kept) + 1):
        piece = kept[at] if at < len(kept) else None
        if piece is not None and piece.kind and not (piece.block.level and piece.source is None):
            run.append(at)
            continue
        if piece is not None and not piece.block.text.strip():
            continue
        ranks = [_RANKS[kind] for each in run if (kind := kept[each].kind)]
        if piece is None:
            ranks.append(0)  # nothing stands below the last one
        empty = [n for n in range(len(ranks) - 1) if ranks[n + 1] <= ranks[n]]
        if len(empty) >= _CONTENTS_ENTRIES:
            for each in run[: empty[-1] + 1]:
                kept[each] = _Piece(kept[each].source or kept[each].block)
        run = []
    return kept


def _with_titles(pieces: Sequence[_Piece]) -> Iterator[_Piece]:
    """Join a bare label with the title in the block below it."""
    at = 0
    while at < len(pieces):
        piece = pieces[at]
        at += 1
        if not piece.kind or not piece.is_bare:
            yield piece
            continue
        texts = [piece.block.text]
        level = piece.block.level
        while at < len(pieces) and len(texts) <= MAX_TITLE_LINES:
            below = pieces[at]
            if not below.block.text.strip():
                at += 1
                continue
            text = clean(below.block.text)
            is_first = len(texts) == 1
            follows_text = at + 1 < len(pieces)
            is_same = below.block.level in (piece.block.level, 0)
            is_open = is_first and follows_text and is_same and (below.block.level > 0 or is_open_title(text))
            if below.kind or not (is_capitals(text) or is_open):
                break
            texts.append(text)
            at += 1
        yield replace(piece, block=replace(piece.block, text=" ".join(texts), level=level))


def _with_levels(pieces: Sequence[_Piece], *, has_styles: bool) -> list[Block]:
    """Give the headings of the law levels that nest; levels that an author gave consistently are kept."""
    ranks = _read_ranks(pieces)
    first = next((at for at, piece in enumerate(pieces) if piece.block.level or piece.kind), 0)
    headings = {at: ranks[piece.kind] for at, piece in enumerate(pieces) if piece.kind}
    tops = [at for at in headings if pieces[at].block.level == 1]
    if tops == [first]:
        del headings[first]  # the title of the document
    given: dict[int, set[int]] = {}
    for at, rank in headings.items():
        given.setdefault(rank, set()).add(0 if len(tops) > 1 else pieces[at].block.level)
    if all(0 not in levels for levels in given.values()):
        return [piece.block for piece in pieces]
    levels = _complete(given)
    order = sorted(levels)
    blocks = []
    outer = current = 0  # levels of the last other heading, and of the last one of the law
    for at, piece in enumerate(pieces):
        block = piece.block
        if at in headings:
            rank = headings[at]
            current = max(levels[rank], outer + 1 + order.index(rank)) if outer else levels[rank]
            block = replace(block, level=min(current, _MAX_LEVEL))
        elif block.level and has_styles:
            outer = block.level if block.level >= _FIRST_LEVEL else 0
        elif block.level >= _FIRST_LEVEL and current:  # a heading inside an article
            block = replace(block, level=min(max(block.level, current + 1), _MAX_LEVEL))
        elif block.level:
            current = 0
        blocks.append(block)
    return blocks


def _read_ranks(pieces: Sequence[_Piece]) -> dict[Kind, int]:
    """Return the order of the kinds; sections are above articles or below them, as the first ones are."""
    ranks = dict(_RANKS)
    order = [piece.kind for piece in pieces if piece.kind in ("article", "section")]
    if "article" in order and "section" in order:
        ranks["section"] = _SECTION_ABOVE_ARTICLES if order[0] == "section" else _SECTION_BELOW_ARTICLES
    return ranks


def _complete(given: Mapping[int, set[int]]) -> dict[int, int]:
    """Return a level for each rank: those given, if each rank has one and they nest; else counted from the top."""
    levels: dict[int, int] = {}
    above = 0
    order = sorted(given)
    for rank in order:
        known = given[rank] - {0}
        if len(known) > 1 or (known and min(known) <= above):
            break
        above = levels[rank] = min(known) if known else max(above + 1, _FIRST_LEVEL)
    if len(levels) == len(order) and above <= _MAX_LEVEL:
        return levels
    return {rank: min(_FIRST_LEVEL + at, _MAX_LEVEL) for at, rank in enumerate(order)}
