"""Read the words of a page's text layer with PDFium, each with its font and the paint around it.

A page has thousands of characters: what is called for each of them is called without wrapping.
"""

import ctypes
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from rag.parsing.pdf_drawings import WHITE

_SMALL_SIZE_PT: Final = 3.0
_LAST: Final = 1 << 60  # in the order of painting: covered by nothing
_HYPHENS: Final = (0x02, 0xFFFE)  # PDFium's character for a hyphen at the end of a line
_NO_TEXT: Final = (0x00, 0xFFFF)
_SPACES: Final = frozenset(b" \t\r\n\x0b\x0c")
_LAST_ASCII: Final = 0x7F
# The functions that are called for each character, without the wrapping of handles: three times as fast.
_get_unicode = ctypes.CFUNCTYPE(ctypes.c_uint, ctypes.c_void_p, ctypes.c_int)(
    ctypes.cast(pdfium_c.FPDFText_GetUnicode, ctypes.c_void_p).value or 0
)
_get_text_object = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)(
    ctypes.cast(pdfium_c.FPDFText_GetTextObject, ctypes.c_void_p).value or 0
)


@dataclass(frozen=True, slots=True)
class Font:
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
class Raw:
    """A piece before its position is turned."""

    text: str
    first: int
    last: int
    font: Font
    is_spaced: bool


def read_raws(textpage: pdfium.PdfTextPage, order: dict[int, int]) -> Iterator[Raw]:
    """Yield the words of the text layer in its order, cut where the text object changes."""
    handle = ctypes.cast(textpage.raw, ctypes.c_void_p).value
    codes = [_get_unicode(handle, at) for at in range(textpage.count_chars())]
    fonts: dict[int, Font] = {}
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
                yield Raw(chars, at, last, fonts[current], is_spaced)
                is_spaced = False
            at = until
        start = end


def _is_space(code: int) -> bool:
    return code in _SPACES or (code > _LAST_ASCII and chr(code).isspace())


def _is_text(code: int) -> bool:
    return code not in _NO_TEXT and not 0xD800 <= code < 0xE000


def _read_font(textpage: pdfium.PdfTextPage, char: int, address: int, order: dict[int, int]) -> Font:
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
    return Font(
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
