"""Find the headings of laws, rules and contracts, which seldom have a style: "Chương II", "Điều 5.", "Section 3".

A chunk is found and cited by its article, so each must know it. The same words stand in references ("Khoản 2 Điều 5
của Luật này"), and one at the start of a wrapped line is no heading: what comes before a label and after it decides.
No text is lost or said twice: a heading that goes on as a sentence is cut behind its label.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from rag.parsing.blocks import Block, Glue, clean

Kind = Literal["part", "chapter", "division", "subdivision", "article", "section", "clause"]

_RANKS: Final[Mapping[Kind, int]] = {
    "part": 0, "chapter": 1, "division": 2, "subdivision": 3, "article": 5, "section": 5, "clause": 7,
}  # fmt: skip
_SECTION_ABOVE_ARTICLES: Final = 4
_SECTION_BELOW_ARTICLES: Final = 6
_KINDS: Final[Mapping[str, Kind]] = {
    "phần": "part", "phụ lục": "part", "part": "part", "appendix": "part", "annex": "part", "schedule": "part",
    "chương": "chapter", "chapter": "chapter", "mục": "division", "tiểu mục": "subdivision",
    "điều": "article", "article": "article", "§": "article", "section": "section",
    "khoản": "clause", "clause": "clause",
}  # fmt: skip
_ROMAN: Final = r"[IVXLC]{1,7}"
_COUNT: Final = r"(?:One|Two|Three|Four|Five|Six|Seven|Eight|Nine|Ten|ONE|TWO|THREE|FOUR|FIVE|SIX|SEVEN|EIGHT|NINE|TEN)"
_LABEL = re.compile(
    r"(?P<word>Phần|PHẦN|Phụ lục|PHỤ LỤC|Part|PART|Appendix|APPENDIX|Annex|ANNEX|Schedule|SCHEDULE|Chương|CHƯƠNG"
    r"|Chapter|CHAPTER|Mục|MỤC|Tiểu mục|TIỂU MỤC|Điều|ĐIỀU|Article|ARTICLE|Section|SECTION|Khoản|KHOẢN|Clause|CLAUSE|§)"
    rf"(?:(?<=§)\s*|\s+)(?P<number>(?:[Tt]hứ|THỨ)\s+\w+|\d{{1,4}}(?:\.\d{{1,3}})*[a-zđA-Z]?|{_ROMAN}|{_COUNT}|[A-Z])(?!\w)"
)
_DOT = re.compile(r"\s?[.:](?=\s|[^\W\d_]|\Z)")
_DASH = re.compile(r"\s*[-–—](?=\s)")
_ENUMERATOR = re.compile(r"\(?(?:\d{1,3}(?:\.\d{1,3})*|[a-zđ]|[ivx]{1,4})[.)]\s|[-•–*+]\s")
_LEADERS = re.compile(r"\.{4,}|…{2,}|_{4,}")
_ENDS_SENTENCE = re.compile(r"[.;:!?…][\"'”’»)\]]*\Z|[)\]”»]\Z")
_ENDS_NO_TITLE = re.compile(r"[.,;:!?…][\"'”’»)\]]*\Z")
_SENTENCE_INSIDE = re.compile(r"[^\W\d_]{3}[.;:!?] +[^\W\d_a-z]")
# With these a line goes on in the next one, which may then begin with a reference.
_GOES_ON = re.compile(
    r"(?:,|[-–(/]|\b(?:tại|theo|của|và|hoặc|các|với|đến|từ|trừ|này|là|cho|về|ở|trong|ngoài|được|khoản|điểm|điều|số|bởi"
    r"|(?:khoản|điểm|điều|mục|chương|article|section|clause|chapter)\s+(?:\d{1,4}[a-zđ]?|[ivxlc]{1,6}|[a-zđ])"
    r"|in|of|under|to|and|or|by|see|with|per|at|the|from|for|than|is|are|this|that|on|as))\Z",
    re.IGNORECASE,
)
_REFERS_TO = re.compile(r"\b(?:Act|Regulation|GDPR|Law|Code|Directive|shall|must|may|applies|apply|is|are)\b")

_MAX_TITLE_CHARS: Final = 200
_MAX_OPEN_TITLE_CHARS: Final = 80  # of a title in small letters that nothing separates from its label
_MAX_TITLE_LINES: Final = 3
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


def has_label(text: str) -> bool:
    """Return whether a text begins with the label of a part of a law, such as "Điều 5"."""
    return _LABEL.match(text) is not None


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
            found = _LABEL.match(" ".join(text.split()))
            kind = _kind(found) if found else None
            is_bare = found is not None and not _strip_mark(" ".join(text.split())[found.end() :])
            yield _Piece(block, kind, found["number"] if found else "", is_bare)
            if found and kind:
                last[kind] = found["number"]
            before, is_after_heading = text, True
            continue
        if " | " in text or _ENUMERATOR.match(text) or not _LABEL.search(text):
            pieces = [_Piece(block)]
        else:
            below = blocks[at + 1] if at + 1 < len(blocks) else None
            is_row = block.glue == "\n" or (
                below is not None and below.glue == "\n" and not _ENUMERATOR.match(below.text)
            )
            place = _Place(before, is_after_heading, is_row, last)
            pieces = list(_split_lines(replace(block, text=clean(text)), place))
        yield from pieces
        before = pieces[-1].block.text.rpartition("\n")[2].strip()
        is_after_heading = pieces[-1].kind is not None


@dataclass(slots=True)
class _Place:
    """What is known before a line: the line above, and the numbers of the headings so far."""

    before: str
    is_after_heading: bool
    is_row: bool
    last: dict[Kind, str]


def _split_lines(block: Block, place: _Place) -> Iterator[_Piece]:
    """Yield the headings among the lines of a block, and the text between them."""
    lines = block.text.split("\n")
    body: list[str] = []
    glue: Glue = block.glue
    at = 0
    while at < len(lines):
        line = lines[at].strip()
        found = _LABEL.match(line)
        label_end = _end_of_label(line, found, place, block.glue if at == 0 else "\n") if found else 0
        if not found or not label_end:
            body.append(lines[at])
            place.before, place.is_after_heading = line, False
            at += 1
            continue
        if body:
            yield _Piece(replace(block, text="\n".join(body), glue=glue))
            glue, body = "\n", []
        kind = _kind(found)
        used, rest = _title_lines(lines, at, label_end)
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


def _end_of_label(line: str, found: re.Match[str], place: _Place, glue: Glue) -> int:
    """Return where the label of a heading ends, with its full stop; 0 if the line is no heading."""
    if _LEADERS.search(line) or not _may_begin(found, place, glue):
        return 0
    tail = line[found.end() :]
    if not tail.strip():
        return len(line)
    mark = _DOT.match(tail) or _DASH.match(tail)
    if mark:
        rest = tail[mark.end() :].strip()
        is_cell = ":" in mark.group() and place.is_row and rest
        return 0 if rest[:1].islower() or is_cell else found.end() + mark.end()
    rest = tail.strip()
    if not tail[:1].isspace() or has_label(rest):
        return 0
    if _is_capitals(rest):
        return found.end()
    is_foreign = found["word"].isascii() or found["word"] == "§"
    is_title = rest[:1].isupper() and len(rest) <= _MAX_OPEN_TITLE_CHARS and _is_title(rest)
    is_next = _follows(place.last.get(_kind(found), ""), found["number"]) and _ENDS_SENTENCE.search(place.before)
    stands_alone = glue == "\n\n" or is_next
    return found.end() if is_foreign and is_title and stands_alone and not _REFERS_TO.search(rest) else 0


def _may_begin(found: re.Match[str], place: _Place, glue: Glue) -> bool:
    """Return whether what is above a line lets a heading begin with it."""
    if place.is_after_heading or not place.before:
        return True
    if glue == " " or _GOES_ON.search(place.before):
        return False
    if glue == "\n\n" or _ENDS_SENTENCE.search(place.before) or _is_capitals(place.before):
        return True
    kind = _kind(found)
    return _follows(place.last.get(kind, ""), found["number"])


def _follows(before: str, number: str) -> bool:
    return before.isdigit() and number.isdigit() and int(number) == int(before) + 1


def _title_lines(lines: Sequence[str], at: int, label_end: int) -> tuple[int, str]:
    """Return how many lines the heading takes, and the text after its label if that is no title but text."""
    line = lines[at].strip()
    title = _strip_mark(line[label_end:])
    used = 1
    if not title:
        while at + used < len(lines) and used <= _MAX_TITLE_LINES and _is_capitals(lines[at + used]):
            used += 1
        following = lines[at + used].strip() if at + used < len(lines) else ""
        if used == 1 and following and at + 2 < len(lines) and _is_open_title(following):
            used = 2
        return used, ""
    while at + used < len(lines) and used < _MAX_TITLE_LINES and len(title) <= _MAX_TITLE_CHARS:
        following = lines[at + used].strip()
        goes_on = following[:1].islower() and not _ENUMERATOR.match(following)
        if not (goes_on or (_is_capitals(title) and _is_capitals(following))) or _ENDS_NO_TITLE.search(title):
            break
        title = f"{title} {following}"
        used += 1
    return (used, "") if _is_title(title) else (1, line[label_end:].strip())


def _strip_mark(text: str) -> str:
    return text.strip().lstrip(".:-–— ").strip()


def _is_title(text: str) -> bool:
    return (
        len(text) <= _MAX_TITLE_CHARS
        and not _ENDS_NO_TITLE.search(text)
        and not _GOES_ON.search(text)
        and not _ENUMERATOR.match(text)
        and not _SENTENCE_INSIDE.search(text)
    )


def _is_open_title(text: str) -> bool:
    """Return whether a line of its own, in small letters too, can be the title of the label above it."""
    return (
        text[:1].isupper()
        and len(text) <= _MAX_OPEN_TITLE_CHARS
        and "\n" not in text
        and " | " not in text
        and not has_label(text)
        and _is_title(text)
    )


def _is_capitals(text: str) -> bool:
    text = text.strip()
    is_short = len(text) <= _MAX_TITLE_CHARS and "\n" not in text and " | " not in text
    return is_short and text.isupper() and not _LABEL.match(text) and not _ENDS_NO_TITLE.search(text)


def _kind(found: re.Match[str]) -> Kind:
    return _KINDS[found["word"].lower()]


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
        while at < len(pieces) and len(texts) <= _MAX_TITLE_LINES:
            below = pieces[at]
            if not below.block.text.strip():
                at += 1
                continue
            text = clean(below.block.text)
            is_first = len(texts) == 1
            follows_text = at + 1 < len(pieces)
            is_same = below.block.level in (piece.block.level, 0)
            is_open = is_first and follows_text and is_same and (below.block.level > 0 or _is_open_title(text))
            if below.kind or not (_is_capitals(text) or is_open):
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
