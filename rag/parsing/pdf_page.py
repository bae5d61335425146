"""Read one page with PDFium: the words that a reader sees, with their positions, and the lines and images drawn.

A text layer holds more than the page shows: invisible, white, covered and struck-out words, and words beside the page.
These are told apart here. PDFium was chosen as it is the parser of a browser; pdfplumber (MIT) finds tables as well,
but reads the page a second time with a parser in Python, and knows nothing of what is hidden.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from rag.parsing.pdf_content import PageContent, Piece, turn_box
from rag.parsing.pdf_drawings import Box, Drawings, read_drawings
from rag.parsing.pdf_garbled import garbled_fonts
from rag.parsing.pdf_visibility import Ground, find_scans, is_hidden, without_struck
from rag.parsing.pdf_words import Raw, read_raws

MAX_PAGE_CHARS: Final = 500_000
_STRAIGHT: Final = 0.05  # of a right angle


def read_page(page: pdfium.PdfPage) -> PageContent:
    """Read the page; `page` stays open.

    Raises: ValueError: it holds more than `MAX_PAGE_CHARS` characters.
    """
    left, bottom, right, top = page.get_bbox()
    textpage = page.get_textpage()
    try:
        if textpage.count_chars() > MAX_PAGE_CHARS:
            raise ValueError(f"more than {MAX_PAGE_CHARS:,} characters on a page")
        drawings = read_drawings(page)
        raws = list(read_raws(textpage, drawings.order))
        turns: Counter[int | None] = Counter()
        for raw in raws:
            if not raw.font.is_invisible:
                turns[_turn_of(raw.font.angle)] += len(raw.text)
        turns.pop(None, None)
        turn = turns.most_common(1)[0][0] or 0 if turns else 0
        size = (right - left, top - bottom) if turn % 2 == 0 else (top - bottom, right - left)
        content = PageContent(
            width=size[0], height=size[1], turn=turn, origin=(left, bottom), pieces=[], turned=[], slanted="",
            rules=[], images=[], panels=[], object_count=drawings.count, hidden=0, struck=0, unreadable=0,
        )  # fmt: skip
        content = replace(
            content,
            rules=[content.place(box) for box in drawings.rules],
            images=[content.place(box) for box in drawings.images],
            panels=[content.place(box) for box, _, is_dark, _ in drawings.fills if is_dark],
        )
        return _sort(content, raws, drawings, textpage, (left, bottom, right, top))
    finally:
        textpage.close()


def _sort(
    content: PageContent, raws: Sequence[Raw], drawings: Drawings, textpage: pdfium.PdfTextPage, page: Box
) -> PageContent:
    """Sort the pieces into those that are seen and those that are left out."""
    hidden = unreadable = 0
    slanted: list[str] = []
    turned: list[tuple[int, Piece]] = []
    is_spaced = False
    ground = Ground(page, find_scans(drawings.images, page), drawings.covers())
    garbled = garbled_fonts(raws)
    rectangles = pdfium_c.FS_RECTF(), pdfium_c.FS_RECTF()
    for raw in raws:
        is_spaced = is_spaced or raw.is_spaced
        box = _measure(textpage, raw, *rectangles)
        turn = _turn_of(raw.font.angle)
        if is_hidden(raw.font, box, drawings, ground):
            hidden += len(raw.text)
        elif raw.font.is_unreadable or raw.font.name in garbled:
            unreadable += len(raw.text)
        elif turn is None:
            slanted.append((" " if raw.is_spaced and slanted else "") + raw.text)
        else:
            origin_y = _baseline(raw, turn, content, box)
            if turn == content.turn:
                piece = Piece(raw.text, content.place(box), origin_y, raw.font.size, raw.font.bold, is_spaced)
                content.pieces.append(piece)
            else:
                own = content.place(box)
                turned.append((turn, Piece(raw.text, own, origin_y, raw.font.size, raw.font.bold, is_spaced)))
        is_spaced = False
    pieces, struck = without_struck(content.pieces, content.rules)
    return replace(
        content, pieces=pieces, turned=_join_turned(turned), slanted="".join(slanted), hidden=hidden, struck=struck,
        unreadable=unreadable,
    )  # fmt: skip


def _measure(textpage: pdfium.PdfTextPage, raw: Raw, first: Any, last: Any) -> Box:
    """Return the box of a piece; `first` and `last` are rectangles to write into."""
    pdfium_c.FPDFText_GetLooseCharBox(textpage, raw.first, first)
    if raw.first == raw.last:
        return first.left, first.bottom, first.right, first.top
    pdfium_c.FPDFText_GetLooseCharBox(textpage, raw.last, last)
    return (
        min(first.left, last.left), min(first.bottom, last.bottom),
        max(first.right, last.right), max(first.top, last.top),
    )  # fmt: skip


def _baseline(raw: Raw, turn: int, content: PageContent, box: Box) -> float:
    if raw.font.origin is None:
        return box[1]
    x, y = raw.font.origin
    size = (content.width, content.height)
    if turn % 2 != content.turn % 2:
        size = size[1], size[0]
    return turn_box((x, y, x, y), turn, content.origin, size)[1]


def _turn_of(angle: float) -> int | None:
    """Return the whole quarter turns of an angle; None if the text is slanted."""
    nearest = round(angle)
    return nearest % 4 if abs(angle - nearest) <= _STRAIGHT else None


def _join_turned(pieces: Sequence[tuple[int, Piece]]) -> list[Piece]:
    """Join the words of one line of turned text."""
    joined: list[tuple[int, Piece]] = []
    for turn, piece in pieces:
        if joined and joined[-1][0] == turn and abs(joined[-1][1].baseline - piece.baseline) < piece.size / 2:
            before = joined[-1][1]
            box = (
                min(before.box[0], piece.box[0]), min(before.box[1], piece.box[1]),
                max(before.box[2], piece.box[2]), max(before.box[3], piece.box[3]),
            )  # fmt: skip
            text = before.text + (" " if piece.is_spaced else "") + piece.text
            joined[-1] = turn, replace(before, text=text, box=box)
        else:
            joined.append((turn, piece))
    return [piece for _, piece in joined]
