"""Open the archive of a Word file: bounds on its size, its parts by their relationships, and XML in one namespace.

python-docx was rejected for reading: it refuses the strict form of OOXML and files with macros, drops the text after
an entity, and takes gigabytes for 120 KB of empty paragraphs.
"""

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from lxml import etree

from rag.errors import ParseError
from rag.parsing.archives import MAX_XML_BYTES, check_elements, open_archive

_UTF16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
_DECLARATION = re.compile(r"\A\s*<\?xml[^>]*\?>")

NAMESPACES: Final = {
    "w": "http://schemas.openxmlformats.org/wordprocessingml/2006/main",
    "m": "http://schemas.openxmlformats.org/officeDocument/2006/math",
    "r": "http://schemas.openxmlformats.org/officeDocument/2006/relationships",
    "a": "http://schemas.openxmlformats.org/drawingml/2006/main",
    "c": "http://schemas.openxmlformats.org/drawingml/2006/chart",
    "dgm": "http://schemas.openxmlformats.org/drawingml/2006/diagram",
    "mc": "http://schemas.openxmlformats.org/markup-compatibility/2006",
    "v": "urn:schemas-microsoft-com:vml",
    "o": "urn:schemas-microsoft-com:office:office",
    "dc": "http://purl.org/dc/elements/1.1/",
    "w14": "http://schemas.microsoft.com/office/word/2010/wordml",
}
# ISO/IEC 29500-1, the strict form: the same elements in other namespaces.
_STRICT: Final[Mapping[bytes, str]] = {
    b"http://purl.oclc.org/ooxml/wordprocessingml/main": NAMESPACES["w"],
    b"http://purl.oclc.org/ooxml/officeDocument/math": NAMESPACES["m"],
    b"http://purl.oclc.org/ooxml/officeDocument/relationships": NAMESPACES["r"],
    b"http://purl.oclc.org/ooxml/drawingml/main": NAMESPACES["a"],
    b"http://purl.oclc.org/ooxml/drawingml/chart": NAMESPACES["c"],
    b"http://purl.oclc.org/ooxml/drawingml/diagram": NAMESPACES["dgm"],
}
_STRICT_NAMESPACE = re.compile(rb"(?<==[\"'])http://purl\.oclc\.org/ooxml/\w+/\w+(?=[\"'])")


@cache
def qn(name: str) -> str:
    """Return `w:p` as lxml writes it, with the whole namespace."""
    prefix, _, local = name.partition(":")
    return f"{{{NAMESPACES[prefix]}}}{local}"


W_VAL: Final = qn("w:val")
_MAX_DIGITS: Final = 10
_OFF: Final = ("0", "false", "off")


def value_of(parent: etree._Element | None, name: str) -> str | None:
    """Return the value of a child that is a property, empty if it has no value; None if it is missing."""
    found = None if parent is None else parent.find(qn(name))
    return None if found is None else str(found.get(W_VAL, ""))


def number_of(parent: etree._Element | None, name: str) -> int | None:
    """Return the value of a child that is a property, if it is a whole number of a sane size."""
    value = value_of(parent, name)
    return int(value) if value and len(value) < _MAX_DIGITS and value.isascii() and value.isdigit() else None


def is_on(parent: etree._Element | None, name: str) -> bool | None:
    """Return whether a property is switched on; None if it is missing."""
    value = value_of(parent, name)
    return None if value is None else value not in _OFF


@dataclass(frozen=True, slots=True)
class Relation:
    """A relationship of a part: the last word of its type, and the name of the part that it leads to."""

    kind: str
    target: str


class Package:
    """The parts of a Word file."""

    def __init__(self, data: bytes) -> None:
        """Open the archive.

        Raises: ParseError: it is no archive, is encrypted, or would be too large.
        """
        self._archive = open_archive(data, "DOCX", ".doc")
        entries = self._archive.infolist()
        self._names = {entry.filename.casefold(): entry.filename for entry in entries}  # OPC ignores the case
        self._bytes_left = MAX_XML_BYTES

    def relations(self, part: str) -> dict[str, Relation]:
        """Return the relationships of a part by their ids; those of the archive itself for ""."""
        folder, name = posixpath.split(part)
        root = self.parse(posixpath.join(folder, "_rels", f"{name}.rels"))
        found = {}
        for each in () if root is None else root.iterchildren("{*}Relationship"):
            if each.get("TargetMode") == "External":
                continue
            target = posixpath.normpath(posixpath.join("/", folder, str(each.get("Target", ""))))
            kind = str(each.get("Type", "")).rpartition("/")[2]
            found[str(each.get("Id", ""))] = Relation(kind, target.lstrip("/"))
        return found

    def parse(self, part: str) -> etree._Element | None:
        """Return the root of a part, with the namespaces of the transitional form; None if there is no such part.

        Raises:
            ParseError: it is nested too deep, too large, or declares entities, which OOXML forbids.
            etree.XMLSyntaxError: it is not XML.
        """
        name = self._names.get(part.casefold())
        if name is None:
            return None
        # A part may be named twice, and its name need not end in .xml.
        self._bytes_left -= self._archive.getinfo(name).file_size
        if self._bytes_left < 0:
            raise ParseError("too large when unpacked")
        data = self._archive.read(name)
        if data.startswith(_UTF16_MARKS):
            data = _DECLARATION.sub("", data.decode("utf-16")).encode()
        check_elements(data)
        data = _STRICT_NAMESPACE.sub(lambda found: _STRICT.get(found[0], found[0].decode()).encode(), data)
        parser = etree.XMLParser(
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            huge_tree=True,
            remove_comments=True,
            remove_pis=True,
        )
        try:
            root = etree.fromstring(data, parser)
        except etree.XMLSyntaxError as error:
            if "depth" in str(error):
                raise ParseError("its elements are nested too deep") from error
            raise
        if root.getroottree().docinfo.internalDTD is not None:
            raise ParseError("the file is broken: its XML declares entities, which Word files may not")
        return root
