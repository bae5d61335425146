"""Read what was filled into the fields of a PDF form: it is no part of the page's text."""

import ctypes
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from rag.parsing.pdf_drawings import Box
from rag.parsing.pdf_page import Piece

_MAX_FIELDS: Final = 2_000  # of one page
_MAX_VALUE_BYTES: Final = 200_000
_NEAR_PT: Final = 150.0  # between a label and its field
_TEXT_SIZE_PT: Final = 10.0


@dataclass(frozen=True, slots=True)
class Field:
    """A field with its value; `checked` is None if it is no box to tick."""

    name: str
    value: str
    box: Box
    checked: bool | None = None


def read_fields(document: pdfium.PdfDocument, page: pdfium.PdfPage) -> Iterator[Field]:
    """Yield the filled fields and all boxes to tick; the forms of `document` are open."""
    form = document.formenv
    if form is None:
        return
    for at in range(min(pdfium_c.FPDFPage_GetAnnotCount(page), _MAX_FIELDS)):
        annotation = pdfium_c.FPDFPage_GetAnnot(page, at)
        if not annotation:
            continue
        try:
            if pdfium_c.FPDFAnnot_GetSubtype(annotation) == pdfium_c.FPDF_ANNOT_WIDGET:
                field = _read_field(form, annotation)
                if field:
                    yield field
        finally:
            pdfium_c.FPDFPage_CloseAnnot(annotation)


# `Any`: PDFium's handles are untyped pointers.
def _read_field(form: Any, annotation: Any) -> Field | None:
    kind = pdfium_c.FPDFAnnot_GetFormFieldType(form, annotation)
    rectangle = pdfium_c.FS_RECTF()
    pdfium_c.FPDFAnnot_GetRect(annotation, rectangle)
    box = rectangle.left, rectangle.bottom, rectangle.right, rectangle.top
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

    A field without a word beside it is written with its name, in its place from the top down.
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
        elif before:
            at = min(before)[1]
            beside, place = added[at], at + 1
        else:
            place = next((number for number, piece in enumerate(added) if piece.baseline < bottom), len(added))
            text = f"{field.name}: {field.value}" if field.name and field.value else field.name or field.value
            text = f"{mark} {text}".strip()
            added.insert(place, Piece(text, field.box, bottom + 1, _TEXT_SIZE_PT, False, True, is_field=True))
            continue
        colon = "" if mark or beside.is_field or beside.text.endswith((":", "：")) else ":"
        if colon:
            added[at] = replace(beside, text=beside.text + colon)
        value = Piece(mark or field.value, field.box, beside.baseline, beside.size, False, True, is_field=True)
        added.insert(place, value)
    return added
