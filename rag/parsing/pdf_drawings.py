"""Read what a page of a PDF draws beside its words: thin straight lines, images and filled areas."""

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

MAX_OBJECTS: Final = 20_000  # drawn by maps and charts: beyond it, no rule is looked for
_MAX_SEGMENTS: Final = 200  # of one path; a path with more of them is a drawing
_MAX_FORM_DEPTH: Final = 4
RULE_THICKNESS_PT: Final = 2.5
_MIN_COVER_PT: Final = 5.0
_MAX_COVERS: Final = 2_000  # on a page
MIN_RULE_PT: Final = 4.0
WHITE: Final = 250  # of 255, in each colour
_DARK: Final = 60

Box = tuple[float, float, float, float]  # left, bottom, right, top
_Matrix = tuple[float, float, float, float, float, float]
_IDENTITY: Final[_Matrix] = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)


@dataclass(slots=True)
class Drawings:
    """The rules, images and filled areas of a page, in the order of painting."""

    rules: list[Box]
    images: list[Box]
    fills: list[tuple[Box, int, bool, bool]]  # box, order, is dark, is opaque
    order: dict[int, int]  # of text objects, by address
    count: int = 0

    def covers(self) -> list[tuple[Box, int]]:
        """Return the dark areas that hide the text painted before them, with their order."""
        found = [
            (box, order)
            for box, order, is_dark, is_opaque in self.fills
            if is_dark and is_opaque and min(box[2] - box[0], box[3] - box[1]) >= _MIN_COVER_PT
        ]
        return found if len(found) <= _MAX_COVERS else []  # more of them are a picture


def read_drawings(page: pdfium.PdfPage) -> Drawings:
    drawings = Drawings([], [], [], {})
    count = pdfium_c.FPDFPage_CountObjects(page)
    _walk(drawings, (pdfium_c.FPDFPage_GetObject(page, at) for at in range(count)), _IDENTITY, 0)
    return drawings


# `Any`: PDFium's handles are untyped pointers.
def _walk(drawings: Drawings, objects: Iterator[Any], outer: _Matrix, depth: int) -> None:
    for drawn in objects:
        if drawings.count > MAX_OBJECTS:
            return
        drawings.count += 1
        kind = pdfium_c.FPDFPageObj_GetType(drawn)
        if kind == pdfium_c.FPDF_PAGEOBJ_TEXT:
            drawings.order[ctypes.cast(drawn, ctypes.c_void_p).value or 0] = drawings.count
        elif kind == pdfium_c.FPDF_PAGEOBJ_PATH:
            _read_path(drawings, drawn, outer)
        elif kind == pdfium_c.FPDF_PAGEOBJ_IMAGE:
            drawings.images.append(_bounds(drawn, outer))
        elif kind == pdfium_c.FPDF_PAGEOBJ_SHADING:
            drawings.fills.append((_bounds(drawn, outer), drawings.count, False, False))
        elif kind == pdfium_c.FPDF_PAGEOBJ_FORM and depth < _MAX_FORM_DEPTH:
            inner = range(pdfium_c.FPDFFormObj_CountObjects(drawn))
            matrix = _multiply(_matrix(drawn), outer)
            _walk(drawings, (pdfium_c.FPDFFormObj_GetObject(drawn, at) for at in inner), matrix, depth + 1)


def _read_path(drawings: Drawings, path: Any, outer: _Matrix) -> None:
    fill, stroke = ctypes.c_int(), ctypes.c_int()
    if not pdfium_c.FPDFPath_GetDrawMode(path, fill, stroke) or not (fill.value or stroke.value):
        return
    count = pdfium_c.FPDFPath_CountSegments(path)
    if fill.value:
        red, green, blue, alpha = (ctypes.c_uint() for _ in range(4))
        is_plain = pdfium_c.FPDFPageObj_GetFillColor(path, red, green, blue, alpha)  # else a pattern
        box = _bounds(path, outer)
        colours = red.value, green.value, blue.value
        is_thin = min(box[2] - box[0], box[3] - box[1]) <= RULE_THICKNESS_PT
        if not is_thin and (not is_plain or (min(colours) < WHITE and alpha.value)):
            is_rectangle = count <= 6  # a logo or letter hides no text behind its bounds
            drawings.fills.append(
                (box, drawings.count, bool(is_plain) and max(colours) <= _DARK, alpha.value == 255 and is_rectangle)
            )
    if count > _MAX_SEGMENTS:
        return
    for subpath in _read_subpaths(path, count, _multiply(_matrix(path), outer)):
        left, right = min(x for x, _ in subpath), max(x for x, _ in subpath)
        bottom, top = min(y for _, y in subpath), max(y for _, y in subpath)
        if min(right - left, top - bottom) <= RULE_THICKNESS_PT:
            if max(right - left, top - bottom) >= MIN_RULE_PT:
                drawings.rules.append((left, bottom, right, top))
        elif stroke.value:
            for (x0, y0), (x1, y1) in pairwise(subpath):
                side = min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)
                if min(side[2] - side[0], side[3] - side[1]) <= 0.5 and max(side[2] - side[0], side[3] - side[1]) > 0:
                    drawings.rules.append(side)


def _read_subpaths(path: Any, count: int, matrix: _Matrix) -> list[list[tuple[float, float]]]:
    """Return the corners of each part of the path; parts with curves are left out."""
    parts: list[list[tuple[float, float]]] = []
    curved: set[int] = set()
    x, y = ctypes.c_float(), ctypes.c_float()
    for at in range(count):
        segment = pdfium_c.FPDFPath_GetPathSegment(path, at)
        kind = pdfium_c.FPDFPathSegment_GetType(segment)
        pdfium_c.FPDFPathSegment_GetPoint(segment, x, y)
        point = _apply(matrix, x.value, y.value)
        if kind == pdfium_c.FPDF_SEGMENT_MOVETO or not parts:
            parts.append([])
        elif kind == pdfium_c.FPDF_SEGMENT_BEZIERTO:
            curved.add(len(parts) - 1)
        parts[-1].append(point)
        if pdfium_c.FPDFPathSegment_GetClose(segment):
            parts[-1].append(parts[-1][0])
    return [part for at, part in enumerate(parts) if len(part) > 1 and at not in curved]


def _bounds(drawn: Any, outer: _Matrix) -> Box:
    sides = [ctypes.c_float() for _ in range(4)]
    pdfium_c.FPDFPageObj_GetBounds(drawn, *sides)
    left, bottom, right, top = (side.value for side in sides)
    corners = [_apply(outer, x, y) for x in (left, right) for y in (bottom, top)]
    xs, ys = [x for x, _ in corners], [y for _, y in corners]
    return min(xs), min(ys), max(xs), max(ys)


def _matrix(drawn: Any) -> _Matrix:
    matrix = pdfium_c.FS_MATRIX()
    if not pdfium_c.FPDFPageObj_GetMatrix(drawn, matrix):
        return _IDENTITY
    return matrix.a, matrix.b, matrix.c, matrix.d, matrix.e, matrix.f


def _multiply(first: _Matrix, then: _Matrix) -> _Matrix:
    a, b, c, d, e, f = first
    ta, tb, tc, td, te, tf = then
    return (
        a * ta + b * tc, a * tb + b * td, c * ta + d * tc, c * tb + d * td, e * ta + f * tc + te, e * tb + f * td + tf,
    )  # fmt: skip


def _apply(matrix: _Matrix, x: float, y: float) -> tuple[float, float]:
    a, b, c, d, e, f = matrix
    return a * x + c * y + e, b * x + d * y + f


def holds(box: Box, x: float, y: float) -> bool:
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]


def clip(box: Box, page: Box) -> Box:
    return max(box[0], page[0]), max(box[1], page[1]), min(box[2], page[2]), min(box[3], page[3])


def area(box: Box) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])
