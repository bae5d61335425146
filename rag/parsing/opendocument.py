"""Open the files of LibreOffice, and read the text of their elements as it is printed."""

import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lxml import etree

from rag.errors import ParseError
from rag.parsing.archives import open_archive, read_xml
from rag.parsing.raised import shift_figures

_NAMESPACES: Final = {
    "office": "urn:oasis:names:tc:opendocument:xmlns:office:1.0",
    "style": "urn:oasis:names:tc:opendocument:xmlns:style:1.0",
    "text": "urn:oasis:names:tc:opendocument:xmlns:text:1.0",
    "table": "urn:oasis:names:tc:opendocument:xmlns:table:1.0",
    "draw": "urn:oasis:names:tc:opendocument:xmlns:drawing:1.0",
}


def name(prefixed: str) -> str:
    """Return a name such as `text:p` as lxml writes it."""
    prefix, _, local = prefixed.partition(":")
    return f"{{{_NAMESPACES[prefix]}}}{local}"


DRAWING: Final = name("draw:")
PARAGRAPH: Final = name("text:p")
HEADING: Final = name("text:h")
NOTE: Final = name("text:note")
TABLE: Final = name("table:table")
ROW: Final = name("table:table-row")
CELL: Final = name("table:table-cell")
COVERED_CELL: Final = name("table:covered-table-cell")
ANNOTATION: Final = name("office:annotation")
_UNPRINTED: Final = frozenset(
    map(name, ("text:tracked-changes", "text:ruby-text", "text:hidden-text", "text:hidden-paragraph", "text:script"))
) | {ANNOTATION, NOTE}
_INLINE: Final = {name("text:tab"): " ", name("text:line-break"): "\n", PARAGRAPH: "\n", HEADING: "\n"}
_SPACES: Final = name("text:s")
_MAX_PARENTS: Final = 20  # styles may name each other in a circle
_WHITE_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class OpenDocument:
    """The body of a file; `parents` names the style that an automatic one is made from.

    `list_styles` are the definitions of lists by their names, `outline` that of numbered headings, and `listed` the
    list style of those paragraph styles that have one. `hidden` are the styles that hide or strike out, `directions`
    those that raise (1) or lower (-1).
    """

    body: etree._Element
    title: str
    parents: Mapping[str, str]
    hidden: frozenset[str]
    directions: Mapping[str, int]
    list_styles: Mapping[str, etree._Element]
    listed: Mapping[str, str]
    outline: etree._Element | None

    def is_hidden(self, element: etree._Element) -> bool:
        """Tell whether its style or its own mark hides an element."""
        style = element.get(name("text:style-name")) or element.get(name("table:style-name"))
        return style in self.hidden or element.get(name("text:display")) == "none"

    def find_list_style(self, style: str) -> str:
        """Return the list style of a paragraph style or of one that it is made from; empty if there is none."""
        for _ in range(_MAX_PARENTS):
            if style in self.listed:
                return self.listed[style]
            style = self.parents.get(style, "")
        return ""

    def text_of(self, element: etree._Element) -> str:
        """Return the text of an element, without its notes and drawings, which stand outside its lines."""
        pieces: list[str] = []
        walk = etree.iterwalk(element, events=("start", "end"))
        for event, node in walk:
            tag = str(node.tag)
            if event == "end":
                pieces.append(node.tail or "" if node is not element else "")
            elif tag in _UNPRINTED or (tag.startswith(DRAWING) and node is not element) or self.is_hidden(node):
                walk.skip_subtree()
            elif tag == _SPACES:
                pieces.append(" ")
            else:
                direction = self.directions.get(str(node.get(name("text:style-name"))), 0)
                pieces += (_INLINE.get(tag, ""), shift_figures(_WHITE_SPACE.sub(" ", node.text or ""), direction))
        return "".join(pieces).strip()


def open_document(data: bytes, kind: str) -> OpenDocument:
    """Open a file; `kind` is the local name of its body, as in `office:text`.

    Raises: ParseError: no such file, encrypted, or too large when unpacked.
    """
    label = {"text": "ODT", "spreadsheet": "ODS"}[kind]
    archive = open_archive(data, label)
    if _is_encrypted(archive):
        raise ParseError("encrypted")
    content = read_xml(archive, "content.xml")
    body = None if content is None else content.find(f"{name('office:body')}/{name('office:' + kind)}")
    if content is None or body is None:
        raise ParseError(f"the file is broken: not readable as {label}")
    meta = read_xml(archive, "meta.xml")
    title = None if meta is None else meta.findtext(".//{http://purl.org/dc/elements/1.1/}title")
    common = read_xml(archive, "styles.xml")
    styles = [style for root in (common, content) if root is not None for style in root.iter(name("style:style"))]
    own = name("style:name")
    lists = [each for root in (common, content) if root is not None for each in root.iter(name("text:list-style"))]
    listed = name("style:list-style-name")
    return OpenDocument(
        body,
        title or "",
        {str(each.get(own)): str(each.get(name("style:parent-style-name"), "")) for each in styles},
        frozenset(str(each.get(own)) for each in styles if _hides(each)),
        {str(each.get(own)): direction for each in styles if (direction := _read_direction(each))},
        {str(each.get(own)): each for each in lists},
        {str(each.get(own)): str(each.get(listed)) for each in styles if each.get(listed)},
        None if common is None else next(common.iter(name("text:outline-style")), None),
    )


def _is_encrypted(archive: zipfile.ZipFile) -> bool:
    """Tell whether the manifest says so; it is searched and not parsed, as former programs wrote it without namespaces.

    They left these to a DTD of their own.
    """
    try:
        return b"encryption-data" in archive.read("META-INF/manifest.xml")
    except KeyError:
        return False


def _hides(style: etree._Element) -> bool:
    hides_text = any(
        each.get(name("text:display")) == "none"
        or each.get(name("style:text-line-through-style"), "none") != "none"  # struck text is not in force
        for each in style.iterchildren(name("style:text-properties"))
    )
    hides_sheet = any(
        each.get(name("table:display")) == "false" for each in style.iterchildren(name("style:table-properties"))
    )
    return hides_text or hides_sheet


def _read_direction(style: etree._Element) -> int:
    properties = style.find(name("style:text-properties"))
    position = "" if properties is None else str(properties.get(name("style:text-position"), ""))
    first = position.partition(" ")[0]
    if first in ("super", "sub"):
        return 1 if first == "super" else -1
    return -1 if first.startswith("-") else int(first.strip("0%") != "")


def read_count(element: etree._Element, attribute: str) -> int:
    """Return how often an element is repeated, or how much it covers."""
    text = str(element.get(name(attribute), ""))
    return max(1, int(text)) if text.isascii() and text.isdecimal() and len(text) < 10 else 1
