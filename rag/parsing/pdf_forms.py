"""Read what was filled into the fields of a PDF form: it is no part of the page's text."""

import ctypes
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from rag.parsing.layout import Line
from rag.parsing.pdf_page import Box

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


def add_fields(lines: Sequence[Line], fields: Sequence[Field], page: int) -> list[Line]:
    """Write each value behind the label at its left, `[x]` or `[ ]` beside the label of a box; else a line of its own."""
    added = list(lines)
    for field in sorted(fields, key=lambda field: (-field.box[3], field.box[0])):
        at = _find_label(added, field)
        if at is None:
            mark = "" if field.checked is None else "[x] " if field.checked else "[ ] "
            text = mark + (f"{field.name}: {field.value}" if field.name and field.value else field.name or field.value)
            place = next((n for n, line in enumerate(added) if line.baseline < field.box[1]), len(added))
            own = Line(text, page, _TEXT_SIZE_PT, False, field.box[0], field.box[2], field.box[1] + 1)
            added.insert(place, own)
            continue
        line = added[at]
        if field.checked is None:
            colon = "" if line.text.rstrip().endswith((":", "：")) else ":"
            text = f"{line.text}{colon} {field.value}"
        else:
            mark = "[x]" if field.checked else "[ ]"
            text = f"{mark} {line.text}" if line.left >= field.box[0] else f"{line.text} {mark}"
        added[at] = replace(line, text=text, right=max(line.right, field.box[2]), left=min(line.left, field.box[0]))
    return added


def _find_label(lines: Sequence[Line], field: Field) -> int | None:
    """Return the nearest line at the height of the field: at its left, and for a box to tick first at its right."""
    left, bottom, right, top = field.box
    level = [
        (number, line)
        for number, line in enumerate(lines)
        if not line.row and bottom - line.size / 2 <= line.baseline <= top
    ]
    before = [(left - line.right, number) for number, line in level if -2 <= left - line.right <= _NEAR_PT]
    after = [(line.left - right, number) for number, line in level if -2 <= line.left - right <= _NEAR_PT]
    if field.checked is not None and after:
        return min(after)[1]
    return min(before)[1] if before else None
