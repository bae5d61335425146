"""Read what was filled into the fields of a PDF form: it is no part of the page's text."""

import ctypes
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from rag.parsing.pdf_content import Piece
from rag.parsing.pdf_drawings import Box

_MAX_FIELDS: Final = 2_000  # of one page
_MAX_VALUE_BYTES: Final = 200_000
_NEAR_PT: Final = 150.0  # between a label and its field
_TEXT_SIZE_PT: Final = 10.0
_UNSEEN: Final = pdfium_c.FPDF_ANNOT_FLAG_HIDDEN | pdfium_c.FPDF_ANNOT_FLAG_NOVIEW
_COMMENTS: Final = (
    pdfium_c.FPDF_ANNOT_TEXT,
    pdfium_c.FPDF_ANNOT_HIGHLIGHT,
    pdfium_c.FPDF_ANNOT_UNDERLINE,
    pdfium_c.FPDF_ANNOT_STRIKEOUT,
)
_ASKS = re.compile(r"[:：_….]$")  # a word before what is to be filled in


@dataclass(frozen=True, slots=True)
class Field:
    """A field with its value; `checked` is None if it is no box to tick.

    `is_typed`: a text that somebody put on the page, without a field. A `comment` is no text of the page.
    """

    name: str
    value: str
    box: Box
    checked: bool | None = None
    is_typed: bool = False
    is_comment: bool = False


def read_fields(document: pdfium.PdfDocument, page: pdfium.PdfPage) -> Iterator[Field]:
    """Yield the filled fields, all boxes to tick, and what was typed on the page; the forms of `document` are open."""
    for at in range(min(pdfium_c.FPDFPage_GetAnnotCount(page), _MAX_FIELDS)):
        annotation = pdfium_c.FPDFPage_GetAnnot(page, at)
        if not annotation:
            continue
        try:
            field = _read_annotation(document.formenv, annotation)
            if field:
                yield field
        finally:
            pdfium_c.FPDFPage_CloseAnnot(annotation)


# `Any`: PDFium's handles are untyped pointers.
def _read_annotation(form: Any, annotation: Any) -> Field | None:
    kind = pdfium_c.FPDFAnnot_GetSubtype(annotation)
    if pdfium_c.FPDFAnnot_GetFlags(annotation) & _UNSEEN:
        return None
    if kind == pdfium_c.FPDF_ANNOT_WIDGET:
        return _read_field(form, annotation) if form else None
    if kind not in (pdfium_c.FPDF_ANNOT_FREETEXT, *_COMMENTS):
        return None

    def read(_form: Any, own: Any, buffer: Any, size: int) -> int:
        return int(pdfium_c.FPDFAnnot_GetStringValue(own, b"Contents", buffer, size))

    text = " ".join(_read_text(read, None, annotation).split())
    is_comment = kind != pdfium_c.FPDF_ANNOT_FREETEXT
    return Field("", text, _read_box(annotation), is_typed=True, is_comment=is_comment) if text else None


def _read_box(annotation: Any) -> Box:
    rectangle = pdfium_c.FS_RECTF()
    pdfium_c.FPDFAnnot_GetRect(annotation, rectangle)
    return rectangle.left, rectangle.bottom, rectangle.right, rectangle.top


def _read_field(form: Any, annotation: Any) -> Field | None:
    kind = pdfium_c.FPDFAnnot_GetFormFieldType(form, annotation)
    box = _read_box(annotation)
    name = _read_text(pdfium_c.FPDFAnnot_GetFormFieldAlternateName, form, annotation) or _read_text(
        pdfium_c.FPDFAnnot_GetFormFieldName, form, annotation
    )
    if kind in (pdfium_c.FPDF_FORMFIELD_CHECKBOX, pdfium_c.FPDF_FORMFIELD_RADIOBUTTON):
        return Field(name, "", box, checked=bool(pdfium_c.FPDFAnnot_IsChecked(form, annotation)))
    if kind in (pdfium_c.FPDF_FORMFIELD_TEXTFIELD, pdfium_c.FPDF_FORMFIELD_COMBOBOX, pdfium_c.FPDF_FORMFIELD_LISTBOX):
        value = " ".join(_read_text(pdfium_c.FPDFAnnot_GetFormFieldValue, form, annotation).split())
        return Field(name, value, box) if value else None
    return None


def _read_text(read: Callable[..., int], form: Any, annotation: Any) -> str:
    size = min(read(form, annotation, None, 0), _MAX_VALUE_BYTES)
    if size <= 2:
        return ""
    buffer = ctypes.create_string_buffer(size)
    read(form, annotation, ctypes.cast(buffer, ctypes.POINTER(ctypes.c_ushort)), size)
    return buffer.raw[: size - 2].decode("utf-16-le", errors="ignore").strip()


def add_fields(pieces: Sequence[Piece], fields: Sequence[Field]) -> list[Piece]:
    """Add each value behind the word at its left, and `[x]` or `[ ]` beside the label of a box to tick.

    A field without a word beside it is written with its name, in its place from the top down; what was typed beside no
    label comes last.
    """
    added = list(pieces)
    for field in sorted(fields, key=lambda field: (-field.box[3], field.box[0])):
        left, bottom, right, top = field.box
        level = [
            (number, piece)
            for number, piece in enumerate(added)
            if bottom - piece.size / 2 <= piece.baseline <= top
            and not (piece.right > left + 2 and piece.left < right - 2)
        ]
        before = [(left - piece.right, number) for number, piece in level if -2 <= left - piece.right <= _NEAR_PT]
        after = [(piece.left - right, number) for number, piece in level if -2 <= piece.left - right <= _NEAR_PT]
        mark = "" if field.checked is None else "[x]" if field.checked else "[ ]"
        if mark and after:
            at = min(after)[1]
            beside, place = added[at], at
            added[at] = replace(beside, is_spaced=True)
        elif before and (not field.is_typed or _ASKS.search(added[min(before)[1]].text)):
            at = min(before)[1]
            beside, place = added[at], at + 1
        else:
            lower = (number for number, piece in enumerate(added) if piece.baseline < bottom)
            place = len(added) if field.is_typed else next(lower, len(added))  # a remark must not part a sentence
            text = f"{field.name}: {field.value}" if field.name and field.value else field.name or field.value
            text = f"{mark} {text}".strip()
            added.insert(place, Piece(text, field.box, bottom + 1, _TEXT_SIZE_PT, False, True, is_field=True))
            continue
        colon = "" if mark or beside.is_field or field.is_typed or beside.text.endswith((":", "：")) else ":"
        if colon:
            added[at] = replace(beside, text=beside.text + colon)
        value = Piece(mark or field.value, field.box, beside.baseline, beside.size, False, True, is_field=True)
        added.insert(place, value)
    return added
