"""Open the files that are ZIP archives of XML, within bounds: a few kilobytes can unpack to what fills the memory."""

import io
import zipfile
from typing import Final

from lxml import etree

from rag.errors import ParseError

# A few megabytes of zeros compress to almost nothing; these bound the unpacked size.
MAX_XML_BYTES: Final = 64 * 2**20
_MAX_UNPACKED_BYTES: Final = 512 * 2**20
_MAX_ENTRIES: Final = 10_000
# Tags; an element has two of them, or an empty one. It takes up to 300 bytes of memory, and four in the file.
MAX_TAGS: Final = 4_000_000
_XML_ENDINGS: Final = (".xml", ".rels", ".vml", ".xhtml", ".html", ".htm", ".opf", ".ncx")

OLE_SIGNATURE: Final = b"\xd0\xcf\x11\xe0"
ZIP_SIGNATURE: Final = b"PK\x03\x04"


def open_archive(data: bytes, kind: str, old_kind: str = "") -> zipfile.ZipFile:
    """Open the archive that a file of this kind is; `old_kind` is the suffix that the kind had before it was one.

    Raises: ParseError: no archive, encrypted, or too large when unpacked.
    """
    if old_kind and data.startswith(OLE_SIGNATURE):
        raise ParseError(f"encrypted, or in the old {old_kind} format")
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except zipfile.BadZipFile as error:
        raise ParseError(f"the file is broken: not readable as {kind}") from error
    entries = archive.infolist()
    if any(entry.flag_bits & 1 for entry in entries):
        raise ParseError("encrypted")
    # zipfile reads no more of an entry than its stated size, so the stated sizes are upper bounds.
    xml_bytes = sum(entry.file_size for entry in entries if entry.filename.lower().endswith(_XML_ENDINGS))
    unpacked_bytes = sum(entry.file_size for entry in entries)
    if xml_bytes > MAX_XML_BYTES or unpacked_bytes > _MAX_UNPACKED_BYTES or len(entries) > _MAX_ENTRIES:
        raise ParseError("too large when unpacked")
    return archive


def read_xml(archive: zipfile.ZipFile, name: str) -> etree._Element | None:
    """Return the root of an entry; None if there is no such entry.

    Raises:
        ParseError: it has too many elements, or defines entities: these multiply, and without them text would be lost.
        etree.XMLSyntaxError: it is no XML.
    """
    try:
        data = archive.read(name)
    except KeyError:
        return None
    check_elements(data)
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True)
    root = etree.fromstring(data, parser)
    dtd = root.getroottree().docinfo.internalDTD
    if dtd is not None and any(True for _ in dtd.iterentities()):  # type: ignore[union-attr]  # unknown to the stubs
        raise ParseError("its XML defines entities")
    return root


def check_elements(data: bytes) -> None:
    """Check the number of elements before a tree is made of them.

    Raises: ParseError: there are too many.
    """
    if data.count(b"<") > MAX_TAGS or data.count(b"/>") > MAX_TAGS // 2:
        raise ParseError("too large when unpacked: it has millions of elements")
