"""Read one page with PDFium: the words that a reader sees, with their positions, and the lines and images drawn.

A text layer holds more than the page shows: invisible, white, covered and struck-out words, and words beside the page.
These are told apart here. PDFium was chosen as it is the parser of a browser; pdfplumber (MIT) finds tables as well,
but reads the page a second time with a parser in Python, and knows nothing of what is hidden.
"""

import ctypes
import math
import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from rag.parsing.pdf_drawings import (
    MAX_OBJECTS,
    MIN_RULE_PT,
    RULE_THICKNESS_PT,
    WHITE,
    Box,
    Drawings,
    area,
    clip,
    holds,
    read_drawings,
)

MAX_PAGE_CHARS: Final = 500_000
_SMALL_SIZE_PT: Final = 3.0
_LAST: Final = 1 << 60  # in the order of painting: covered by nothing
_MIN_TEXT_PT: Final = 1.5
_STRAIGHT: Final = 0.05  # of a right angle
_OCR_IMAGE_SHARE: Final = 0.2  # of the page: invisible text over an image of this size is what OCR read from it
_TILED_SHARE: Final = 0.5
_STRIKE_BAND: Final = (0.12, 0.5)  # of the text size, above the baseline: lower is underlined, higher is overlined
_HYPHENS: Final = (0x02, 0xFFFE)  # PDFium's character for a hyphen at the end of a line
_NO_TEXT: Final = (0x00, 0xFFFF)

_SPACES: Final = frozenset(b" \t\r\n\x0b\x0c")
_LAST_ASCII: Final = 0x7F
_LEADERS: Final = re.compile(r"[.…·_*=–—-]+")
_MIN_JUDGED_CHARS: Final = 20  # of a font on a page
_MIN_WORD_CHARS: Final = 3
_MIN_SIGNS: Final = 5  # different ones
_MIN_JUDGED_LETTERS: Final = 100
_MAX_CONTROL_SHARE: Final = 0.03
_MIN_VOWEL_SHARE: Final = 0.2  # of the letters; English and Vietnamese have nearly twice as many

# The functions that are called for each character, without the wrapping of handles: three times as fast.
_get_unicode = ctypes.CFUNCTYPE(ctypes.c_uint, ctypes.c_void_p, ctypes.c_int)(
    ctypes.cast(pdfium_c.FPDFText_GetUnicode, ctypes.c_void_p).value or 0
)
_get_text_object = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)(
    ctypes.cast(pdfium_c.FPDFText_GetTextObject, ctypes.c_void_p).value or 0
)


@dataclass(frozen=True, slots=True)
class Piece:
    """A word or a part of one, in one font; positions in points, as the page is read, origin at the bottom left.

    `is_spaced`: white space stands before it. `is_field`: it was filled into a form.
    """

    text: str
    box: Box
    baseline: float
    size: float
    bold: bool
    is_spaced: bool
    is_field: bool = False

    @property
    def left(self) -> float:
        return self.box[0]

    @property
    def right(self) -> float:
        return self.box[2]

    @property
    def center(self) -> tuple[float, float]:
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2


@dataclass(frozen=True, slots=True)
class PageContent:
    """What a page shows. `turned` and `slanted` are texts in another direction than most of the page's.

    `rules` are thin straight lines, as boxes. `hidden`, `struck`, `unreadable` count characters left out.
    """

    width: float
    height: float
    turn: int  # quarter turns of the text, counter-clockwise
    origin: tuple[float, float]
    pieces: list[Piece]
    turned: list[Piece]
    slanted: str
    rules: list[Box]
    images: list[Box]
    panels: list[Box]  # dark areas
    object_count: int
    hidden: int
    struck: int
    unreadable: int

    def place(self, box: Box) -> Box:
        """Return a box of the page's own coordinates as the page is read."""
        return _turn_box(box, self.turn, self.origin, (self.width, self.height))

    def share(self, boxes: Sequence[Box]) -> float:
        """Return the share of the page that the boxes cover, if they do not overlap."""
        page = 0.0, 0.0, self.width, self.height
        return sum(area(clip(box, page)) for box in boxes) / (area(page) or 1.0)


@dataclass(frozen=True, slots=True)
class _Font:
    """What is the same for all characters of one text object."""

    name: str
    size: float
    bold: bool
    angle: float  # in quarter turns
    is_invisible: bool
    is_white: bool
    is_unreadable: bool
    order: int
    origin: tuple[float, float] | None  # of its first character, on the baseline of all


@dataclass(slots=True)
class _Raw:
    """A piece before its position is turned."""

    text: str
    first: int
    last: int
    font: _Font
    is_spaced: bool


@dataclass(frozen=True, slots=True)
class _Ground:
    """What the words stand on: the page, the images that may be scans, and the areas that cover, in their order."""

    page: Box
    scans: list[Box]
    covers: list[tuple[Box, int]]


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
        raws = list(_read_raws(textpage, drawings.order))
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
    content: PageContent, raws: Sequence[_Raw], drawings: Drawings, textpage: pdfium.PdfTextPage, page: Box
) -> PageContent:
    """Sort the pieces into those that are seen and those that are left out."""
    hidden = unreadable = 0
    slanted: list[str] = []
    turned: list[tuple[int, Piece]] = []
    is_spaced = False
    ground = _Ground(page, _scanned(drawings.images, page), drawings.covers())
    garbled = _garbled_fonts(raws)
    rectangles = pdfium_c.FS_RECTF(), pdfium_c.FS_RECTF()
    for raw in raws:
        is_spaced = is_spaced or raw.is_spaced
        box = _measure(textpage, raw, *rectangles)
        turn = _turn_of(raw.font.angle)
        if _is_hidden(raw.font, box, drawings, ground):
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
    pieces, struck = _without_struck(content.pieces, content.rules)
    return replace(
        content, pieces=pieces, turned=_join_turned(turned), slanted="".join(slanted), hidden=hidden, struck=struck,
        unreadable=unreadable,
    )  # fmt: skip


def _read_raws(textpage: pdfium.PdfTextPage, order: dict[int, int]) -> Iterator[_Raw]:
    """Yield the words of the text layer in its order, cut where the text object changes."""
    handle = ctypes.cast(textpage.raw, ctypes.c_void_p).value
    codes = [_get_unicode(handle, at) for at in range(textpage.count_chars())]
    fonts: dict[int, _Font] = {}
    current = start = 0
    is_spaced = False
    count = len(codes)
    while start < count:
        if _is_space(codes[start]):
            is_spaced = True
            start += 1
            continue
        end = start
        while end < count and not _is_space(codes[end]):
            end += 1
        objects = [_get_text_object(handle, start) or current, _get_text_object(handle, end - 1) or current]
        # The characters of one object follow each other, so only a word in several objects is read by character.
        owners = objects if objects[0] == objects[1] else [_get_text_object(handle, at) for at in range(start, end)]
        at = start
        while at < end:
            current = owners[0 if owners is objects else at - start] or current
            until = end if owners is objects else at + 1
            while until < end and (owners[until - start] or current) == current:
                until += 1
            chars = "".join("\ufffe" if code in _HYPHENS else chr(code) for code in codes[at:until] if _is_text(code))
            if chars:
                if current not in fonts:
                    fonts[current] = _read_font(textpage, at, current, order)
                last = until - 1
                while last > at and (codes[last] in _HYPHENS or not _is_text(codes[last])):
                    last -= 1
                yield _Raw(chars, at, last, fonts[current], is_spaced)
                is_spaced = False
            at = until
        start = end


def _is_space(code: int) -> bool:
    return code in _SPACES or (code > _LAST_ASCII and chr(code).isspace())


def _is_text(code: int) -> bool:
    return code not in _NO_TEXT and not 0xD800 <= code < 0xE000


def _read_font(textpage: pdfium.PdfTextPage, char: int, address: int, order: dict[int, int]) -> _Font:
    matrix = pdfium_c.FS_MATRIX()
    has_matrix = pdfium_c.FPDFText_GetMatrix(textpage, char, matrix)
    # Many producers set a font size of 1 and scale by the matrix.
    scale = math.hypot(matrix.c, matrix.d) if has_matrix else 1.0
    size = pdfium_c.FPDFText_GetFontSize(textpage, char) * (scale or 1.0)
    box = pdfium_c.FS_RECTF()
    pdfium_c.FPDFText_GetLooseCharBox(textpage, char, box)
    height = min(box.right - box.left, box.top - box.bottom) if has_matrix and matrix.b else box.top - box.bottom
    if 0 < abs(size) < _SMALL_SIZE_PT < height:  # Type 3 fonts, as TeX makes them, have a scale of their own
        size = math.copysign(height, size)
    flip = -1 if size < 0 else 1
    name = _read_name(textpage, char)
    text_object = pdfium_c.FPDFText_GetTextObject(textpage, char)
    mode = pdfium_c.FPDFTextObj_GetTextRenderMode(text_object) if text_object else 0
    colour = [ctypes.c_uint() for _ in range(4)]
    has_colour = pdfium_c.FPDFText_GetFillColor(textpage, char, *colour)
    red, green, blue, alpha = (part.value for part in colour)
    x, y = ctypes.c_double(), ctypes.c_double()
    has_origin = pdfium_c.FPDFText_GetCharOrigin(textpage, char, x, y)
    return _Font(
        name=name,
        size=round(abs(size), 1),
        bold="bold" in name.lower(),
        angle=math.atan2(flip * matrix.b, flip * matrix.a) / (math.pi / 2) if has_matrix else 0.0,
        is_invisible=mode == pdfium_c.FPDF_TEXTRENDERMODE_INVISIBLE or bool(has_colour and mode == 0 and alpha == 0),
        is_white=bool(has_colour and mode in (0, 4) and min(red, green, blue) >= WHITE),
        is_unreadable=pdfium_c.FPDFText_HasUnicodeMapError(textpage, char) == 1,
        order=order.get(address, _LAST),
        origin=(x.value, y.value) if has_origin else None,
    )


def _read_name(textpage: pdfium.PdfTextPage, char: int) -> str:
    name = ctypes.create_string_buffer(128)
    length = pdfium_c.FPDFText_GetFontInfo(textpage, char, name, len(name), ctypes.c_int())
    return name.value.decode("latin-1") if 0 < length <= len(name) else ""


def _garbled_fonts(raws: Sequence[_Raw]) -> set[str]:
    """Return the names of the fonts whose characters are no text: a font without a table gives its own numbers."""
    words: list[tuple[str, str]] = []
    for raw in raws:
        if words and not raw.is_spaced and words[-1][0] == raw.font.name:
            words[-1] = raw.font.name, words[-1][1] + raw.text
        else:
            words.append((raw.font.name, raw.text))
    texts: dict[str, list[str]] = {}
    for name, word in words:
        if len(word) >= _MIN_WORD_CHARS:  # the signs of a program often have a font of their own
            texts.setdefault(name, []).append(word)
    return {name for name, parts in texts.items() if _is_garbled("".join(parts))}


def _is_garbled(text: str) -> bool:
    text = _LEADERS.sub("", text)
    if len(text) < _MIN_JUDGED_CHARS:
        return False
    kinds = Counter(unicodedata.category(char) for char in text)
    known = sum(count for kind, count in kinds.items() if kind[0] in "LMN")
    signs = {char for char in text if unicodedata.category(char)[0] not in "LMN"}
    if (known < len(text) / 2 and len(signs) >= _MIN_SIGNS) or kinds["Cc"] > _MAX_CONTROL_SHARE * len(text):
        return True
    # The glyphs of most TrueType fonts are numbered by ASCII, 29 lower: text turns to capitals without vowels.
    letters = [char for char in text if char.isascii() and char.isalpha()]
    capitals = sum(char.isupper() for char in letters)
    vowels = sum(char in "AEIOUYaeiouy" for char in letters)
    return (
        len(letters) >= _MIN_JUDGED_LETTERS
        and len(letters) > known / 2
        and capitals > len(letters) / 2
        and vowels < _MIN_VOWEL_SHARE * len(letters)
    )


def _measure(textpage: pdfium.PdfTextPage, raw: _Raw, first: Any, last: Any) -> Box:
    """Return the box of a piece; `first` and `last` are rectangles to write into."""
    pdfium_c.FPDFText_GetLooseCharBox(textpage, raw.first, first)
    if raw.first == raw.last:
        return first.left, first.bottom, first.right, first.top
    pdfium_c.FPDFText_GetLooseCharBox(textpage, raw.last, last)
    return (
        min(first.left, last.left), min(first.bottom, last.bottom),
        max(first.right, last.right), max(first.top, last.top),
    )  # fmt: skip


def _baseline(raw: _Raw, turn: int, content: PageContent, box: Box) -> float:
    if raw.font.origin is None:
        return box[1]
    x, y = raw.font.origin
    size = (content.width, content.height)
    if turn % 2 != content.turn % 2:
        size = size[1], size[0]
    return _turn_box((x, y, x, y), turn, content.origin, size)[1]


def _turn_of(angle: float) -> int | None:
    """Return the whole quarter turns of an angle; None if the text is slanted."""
    nearest = round(angle)
    return nearest % 4 if abs(angle - nearest) <= _STRAIGHT else None


def _turn_box(box: Box, turn: int, origin: tuple[float, float], size: tuple[float, float]) -> Box:
    """Return the box seen by a reader who turned the page so that the text is upright; `size` is that reader's."""
    left, bottom, right, top = box[0] - origin[0], box[1] - origin[1], box[2] - origin[0], box[3] - origin[1]
    width, height = size
    if turn == 1:
        return bottom, height - right, top, height - left
    if turn == 2:
        return width - right, height - top, width - left, height - bottom
    if turn == 3:
        return width - top, left, width - bottom, right
    return left, bottom, right, top


def _is_hidden(font: _Font, box: Box, drawings: Drawings, ground: _Ground) -> bool:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    if not holds(ground.page, x, y) or 0 < font.size < _MIN_TEXT_PT:
        return True
    if font.is_invisible:
        return not any(holds(image, x, y) for image in ground.scans)
    if font.is_white and drawings.count <= MAX_OBJECTS:
        return not (
            any(holds(image, x, y) for image in drawings.images)
            or any(holds(fill, x, y) for fill, *_ in drawings.fills)
        )
    return any(
        order > font.order and holds(cover, x, y) and cover[0] <= box[0] + 1 and cover[2] >= box[2] - 1
        for cover, order in ground.covers
    )


def _scanned(images: Sequence[Box], page: Box) -> list[Box]:
    """Return the images that may be scans: large ones, or the strips and tiles that cover the page together."""
    shares = [area(clip(box, page)) / (area(page) or 1.0) for box in images]
    if sum(shares) >= _TILED_SHARE:
        return list(images)
    return [box for box, share in zip(images, shares, strict=True) if share >= _OCR_IMAGE_SHARE]


def _without_struck(pieces: Sequence[Piece], rules: Sequence[Box]) -> tuple[list[Piece], int]:
    """Return the pieces without a line through their middle, and the number of characters of the others."""
    flat = [rule for rule in rules if rule[3] - rule[1] <= RULE_THICKNESS_PT and rule[2] - rule[0] > MIN_RULE_PT / 2]
    flat.sort(key=_height_of)
    low, high = _STRIKE_BAND
    kept: list[Piece] = []
    struck = 0
    for piece in pieces:
        start = bisect_left(flat, piece.baseline + low * piece.size, key=_height_of)
        end = bisect_right(flat, piece.baseline + high * piece.size, key=_height_of)
        if any(_strikes(rule, piece, pieces) for rule in flat[start:end]):
            struck += len(piece.text)
        else:
            kept.append(piece)
    return kept, struck


def _height_of(rule: Box) -> float:
    return (rule[1] + rule[3]) / 2


def _strikes(rule: Box, piece: Piece, pieces: Sequence[Piece]) -> bool:
    """Return whether a rule at the height of a piece's middle strikes the piece out."""
    overlap = min(rule[2], piece.right) - max(rule[0], piece.left)
    if overlap < 0.8 * (piece.right - piece.left):
        return False
    # The rule of a table or form goes on where there is no text.
    line = [other for other in pieces if abs(other.baseline - piece.baseline) < piece.size / 4]
    slack = piece.size / 2
    return any(abs(other.left - rule[0]) <= slack for other in line) and any(
        abs(other.right - rule[2]) <= slack for other in line
    )


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
