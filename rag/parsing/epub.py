"""Read EPUB books: web pages in an archive, in the order that the package names."""

import html.entities
import posixpath
import re
import zipfile
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote, urlsplit

from lxml import etree

from rag.errors import ParseError
from rag.parsing import html as web
from rag.parsing.archives import check_elements, open_archive, read_xml
from rag.parsing.blocks import Block, Draft

_CONTAINER: Final = "META-INF/container.xml"
_ENCRYPTION: Final = "META-INF/encryption.xml"
_PAGE_TYPES: Final = ("application/xhtml+xml", "text/html", "text/x-oeb1-document", "application/x-dtbook+xml")
_ENTITY = re.compile(rb"&([A-Za-z][A-Za-z0-9]{1,31});")
_XML_ENTITIES: Final = (b"amp", b"lt", b"gt", b"quot", b"apos")
_DOCTYPE = re.compile(rb"<!DOCTYPE[^>\[]*>")


def read(data: bytes) -> Draft:
    """Read a book; the title is that of the package. Tables of contents are left out.

    Raises: ParseError: no book, or one that only its shop's reader opens.
    """
    archive = open_archive(data, "EPUB")
    package_name, package = _read_package(archive)
    encrypted = _read_encrypted(archive)
    blocks: list[Block] = []
    warnings = []
    for name, kind in _iter_pages(package, posixpath.dirname(package_name)):
        if name in encrypted:
            raise ParseError("encrypted: its pages are protected against copying")
        if kind not in _PAGE_TYPES:
            warnings.append(f"{posixpath.basename(name)} is no page of text and not read")
            continue
        try:
            page = archive.read(name)
        except KeyError:
            warnings.append(f"{posixpath.basename(name)} is missing in the book")
            continue
        check_elements(page)
        found = web.read(_to_html(page)).blocks
        if not any(block.text.strip() for block in found) and b"<im" in page:
            warnings.append(f"{posixpath.basename(name)} is a picture, whose text is not read")
        blocks += found
    return Draft(blocks, package.findtext(".//{http://purl.org/dc/elements/1.1/}title") or "", warnings=warnings)


def _read_package(archive: zipfile.ZipFile) -> tuple[str, etree._Element]:
    container = read_xml(archive, _CONTAINER)
    entry = None if container is None else next(container.iter("{*}rootfile"), None)
    name = "" if entry is None else str(entry.get("full-path", ""))
    package = read_xml(archive, name)
    if package is None:
        raise ParseError("the file is broken: not readable as EPUB")
    return name, package


def _read_encrypted(archive: zipfile.ZipFile) -> set[str]:
    """Return the names of the encrypted entries; in most books that have some, these are the fonts."""
    root = read_xml(archive, _ENCRYPTION)
    references = [] if root is None else root.iter("{*}CipherReference")
    return {unquote(str(each.get("URI", ""))) for each in references}


def _iter_pages(package: etree._Element, folder: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the type of each page, in reading order, without the table of contents."""
    items = {str(item.get("id")): item for item in package.iterfind("{*}manifest/{*}item")}
    for reference in package.iterfind("{*}spine/{*}itemref"):
        item = items.get(str(reference.get("idref")))
        if item is None:
            yield str(reference.get("idref")), _PAGE_TYPES[0]  # missing, and told so
        elif "nav" not in str(item.get("properties", "")).split():
            path = unquote(urlsplit(str(item.get("href", ""))).path)
            yield posixpath.normpath(posixpath.join(folder, path)), str(item.get("media-type", ""))


def _to_html(page: bytes) -> bytes:
    """Return XHTML as HTML, in which a CDATA section would be a comment, and its text lost."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True)
    try:
        root = etree.fromstring(_ENTITY.sub(_spell_out, _DOCTYPE.sub(b"", page, count=1)), parser)
    except etree.XMLSyntaxError:
        return page
    for element in root.iter(etree.Element):
        element.tag = etree.QName(element).localname
    etree.cleanup_namespaces(root)
    return etree.tostring(root, method="html", encoding="utf-8")


def _spell_out(match: re.Match[bytes]) -> bytes:
    """Return a character for an entity of HTML, which XML does not know."""
    name = match[1]
    code = None if name in _XML_ENTITIES else html.entities.name2codepoint.get(name.decode("ascii"))
    return match[0] if code is None else f"&#{code};".encode()
