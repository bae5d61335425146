"""Read the text of a Word paragraph as it is printed: changes accepted, fields, notes, symbols, equations in place.

What is not printed, or is struck out, is left out and counted.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from lxml import etree

from rag.parsing.docx_math import linear
from rag.parsing.docx_package import W_VAL, is_on, number_of, qn, value_of
from rag.parsing.docx_styles import Style, Styles, read_struck
from rag.parsing.docx_symbols import read_symbol, read_symbols
from rag.parsing.raised import ends_in_base, to_lowered, to_raised
from rag.text.language import detect_language, sentence_spans

_MAX_INLINE_NOTE_CHARS: Final = 160
_MAX_NOTE_DIGITS: Final = 3

_DELETED: Final = frozenset({qn("w:del"), qn("w:moveFrom")})
# A text box stands in its paragraph twice, once for old readers: the first form is read.
ALTERNATIVES: Final = frozenset({qn("mc:Choice"), qn("mc:Fallback")})
_PROPERTIES: Final = frozenset(qn(f"w:{name}") for name in ("pPr", "rPr", "sdtPr", "sdtEndPr", "tblPr", "tcPr", "trPr"))
_INLINE: Final = {
    qn("w:tab"): " ", qn("w:ptab"): " ", qn("w:br"): "\n", qn("w:cr"): "\n", qn("w:noBreakHyphen"): "-",
}  # fmt: skip
_NOTES: Final = {qn("w:footnoteReference"): "footnotes", qn("w:endnoteReference"): "endnotes"}
_UNREAD: Final = {
    qn("a:blip"): "picture", qn("v:imagedata"): "picture", qn("c:chart"): "chart", qn("dgm:relIds"): "diagram",
    qn("o:OLEObject"): "embedded object",
}  # fmt: skip
_W_ID: Final = qn("w:id")
_TEXT: Final = frozenset({qn("w:t"), qn("m:t")})
_BOX: Final = qn("w:txbxContent")
_RUN: Final = qn("w:r")
_FONTS: Final = tuple(qn(f"w:{name}") for name in ("ascii", "hAnsi", "cs"))
_ANY_WORD = re.compile(r"[^\W_]")


@dataclass(frozen=True, slots=True)
class Source:
    """What the paragraphs of a document refer to, and a count of what of them is not in the text."""

    styles: Styles
    notes: Mapping[tuple[str, str], etree._Element]
    diagrams: Mapping[str, Sequence[str]] = field(default_factory=dict)  # the texts of their shapes
    left_out: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Paragraph:
    """The text of a paragraph; `notes` are texts that stand below it, `boxes` the text boxes that hang on it."""

    text: str
    is_bold: bool = False
    notes: list[str] = field(default_factory=list)
    boxes: list[etree._Element] = field(default_factory=list)


@dataclass(slots=True)
class _Run:
    is_hidden: bool = False
    is_struck: bool = False
    is_bold: bool = False
    script: str = ""
    font: str = ""


def read_paragraph(
    element: etree._Element, style: Style, source: Source, *, has_notes_inside: bool = True
) -> Paragraph:
    """Return the text of a paragraph; a short note stands in brackets where it is referred to."""
    reader = _Reader(style, source, has_notes_inside=has_notes_inside)
    walk = etree.iterwalk(element, events=("start", "end"))
    for event, node in walk:
        if event == "end":
            if node.tag == _RUN:
                reader.run = reader.plain
        elif not reader.open(node):
            walk.skip_subtree()
    text = "".join(reader.pieces).strip()
    return Paragraph(text, bool(reader.is_bold) and not reader.is_mixed, reader.notes, reader.boxes)


def printed(element: etree._Element) -> Iterator[etree._Element]:
    """Yield the elements below one that hold printed text or line breaks, whatever is around them."""
    walk = etree.iterwalk(element, events=("start",))
    for _, node in walk:
        is_second = node.tag in ALTERNATIVES and node.getprevious() is not None
        if is_second or node.tag in _DELETED or node.tag in _PROPERTIES:
            walk.skip_subtree()
        elif node.tag in _TEXT or node.tag in _INLINE or node.tag == qn("w:p"):
            yield node


def flat_text(element: etree._Element) -> str:
    """Return the text of an element that is nested too deep to be laid out."""
    return " ".join("".join((node.text or "") if node.tag in _TEXT else " " for node in printed(element)).split())


class _Reader:
    def __init__(self, style: Style, source: Source, *, has_notes_inside: bool) -> None:
        self.plain = _Run(bool(style.is_hidden), bool(style.is_struck), bool(style.is_bold))
        self.run = self.plain
        self.pieces: list[str] = []
        self.notes: list[str] = []
        self.boxes: list[etree._Element] = []
        self.is_bold: bool | None = None  # of the last run that holds a word
        self.is_mixed = False
        self._source = source
        self._has_notes_inside = has_notes_inside
        self._after_note = False

    def open(self, node: etree._Element) -> bool:
        """Read an element; return whether its children are to be read."""
        tag = str(node.tag)
        if tag in _DELETED:
            if next(node.iter(qn("w:delText"), *_TEXT), None) is not None:
                self._source.left_out["deletion"] += 1
            return False
        if tag in _PROPERTIES or (tag in ALTERNATIVES and node.getprevious() is not None):
            return False
        if tag == _RUN:
            self.run = self._read_run(node.find(qn("w:rPr")))
        elif tag in _INLINE:
            self._add(_INLINE[tag])
        elif tag in _WRITTEN:
            self._add(_WRITTEN[tag](node, self.run))
            return False
        elif tag == _BOX:
            self.boxes.append(node)
            return False
        elif tag in _NOTES:
            self._add_note(self._source.notes.get((_NOTES[tag], str(node.get(_W_ID, "")))))
        elif tag == qn("dgm:relIds") and self._source.diagrams.get(shapes := str(node.get(qn("r:dm"), ""))):
            self.notes += self._source.diagrams[shapes]
        elif tag in _UNREAD:
            self._source.left_out[_UNREAD[tag]] += 1
        return True

    def _read_run(self, properties: etree._Element | None) -> _Run:
        if properties is None:
            return self.plain
        style = self._source.styles.get(value_of(properties, "w:rStyle"))
        fonts = properties.find(qn("w:rFonts"))

        def choose(*values: bool | None) -> bool:
            return next((value for value in values if value is not None), False)

        return _Run(
            is_hidden=choose(is_on(properties, "w:vanish"), style.is_hidden, self.plain.is_hidden),
            is_struck=choose(read_struck(properties), style.is_struck, self.plain.is_struck),
            is_bold=choose(is_on(properties, "w:b"), style.is_bold, self.plain.is_bold),
            script=value_of(properties, "w:vertAlign") or "",
            font="" if fonts is None else next((str(fonts.get(name)) for name in _FONTS if fonts.get(name)), ""),
        )

    def _add(self, text: str) -> None:
        if not text:
            return
        if self.run.is_hidden or self.run.is_struck:
            if text.strip():
                self._source.left_out["hidden passage" if self.run.is_hidden else "struck-out passage"] += 1
            return
        if self._after_note and text[0].isalnum():
            text = f" {text}"
        elif self.run.script in ("superscript", "subscript"):
            text = self._set_off(text)
        self._after_note = False
        self.pieces.append(text)
        if self.run.is_bold != self.is_bold and _ANY_WORD.search(text):
            self.is_mixed = self.is_mixed or self.is_bold is not None
            self.is_bold = self.run.is_bold

    def _set_off(self, text: str) -> str:
        """Return a raised or lowered text so that it does not become a part of the figure or word before it."""
        before = "".join(piece[-10:] for piece in self.pieces[-3:])
        is_power = ends_in_base(before)
        if not (text[0].isalnum() and before[-1:].isalnum()) and not is_power:
            return text
        is_figure = before[-1:].isdigit() and text[0].isdigit()
        if self.run.script == "subscript":
            return (is_figure and to_lowered(text)) or text  # CO2 is searched like that
        if text.isdigit() and len(text) <= _MAX_NOTE_DIGITS and not is_power:
            return f"[{text}]"  # the mark of a note that is written by hand
        return to_raised(text) or (f"^{text}" if is_figure else text)

    def _add_note(self, note: etree._Element | None) -> None:
        if note is None or self.run.is_hidden or self.run.is_struck:
            return
        styles = self._source.styles
        texts = []
        for element in note.iter(qn("w:p")):
            style = styles.get(value_of(element.find(qn("w:pPr")), "w:pStyle"))
            reader = Source(styles, {}, left_out=self._source.left_out)  # a note cannot refer to notes
            texts.append(read_paragraph(element, style, reader).text)
        text = " ".join(" ".join(texts).split())
        if not text:
            return
        if self._has_notes_inside and len(text) <= _MAX_INLINE_NOTE_CHARS and len(sentence_spans(text)) == 1:
            before = self.pieces[-1][-1] if self.pieces else " "
            self.pieces.append(f"{'' if before.isspace() else ' '}({text.removesuffix('.')})")
        else:
            self.notes.append(f"{'Chú thích' if detect_language(text) == 'vi' else 'Note'}: {text}")
        self._after_note = True


def _read_text(node: etree._Element, run: _Run) -> str:
    return read_symbols(node.text or "", run.font)


def _read_equation(node: etree._Element, _: _Run) -> str:
    return f" {linear(node).strip()} "


def _read_sym(node: etree._Element, _: _Run) -> str:
    code = str(node.get(qn("w:char"), ""))
    if not re.fullmatch(r"[0-9A-Fa-f]{1,5}", code):
        return ""
    return read_symbol(int(code, 16), str(node.get(qn("w:font"), "")))


def _read_form_field(node: etree._Element, _: _Run) -> str:
    """Return what an old form field shows: whether its box is checked, or its chosen entry."""
    box, entries = node.find(qn("w:checkBox")), node.find(qn("w:ddList"))
    if box is not None:
        checked = is_on(box, "w:checked")
        return "☒" if (is_on(box, "w:default") if checked is None else checked) else "☐"
    if entries is None:
        return ""
    chosen = number_of(entries, "w:result")
    chosen = (number_of(entries, "w:default") or 0) if chosen is None else chosen
    names = [str(entry.get(W_VAL, "")) for entry in entries.iterchildren(qn("w:listEntry"))]
    return names[chosen] if chosen < len(names) else ""


_WRITTEN: Final[Mapping[str, Callable[[etree._Element, _Run], str]]] = {
    qn("w:t"): _read_text,
    qn("w:sym"): _read_sym,
    qn("m:oMath"): _read_equation,
    qn("m:oMathPara"): _read_equation,
    qn("w:ffData"): _read_form_field,
}
