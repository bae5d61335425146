"""Books: the pages in reading order, and nothing that a shop protects."""

from pathlib import Path

import pytest

from tests.unit.parsing_files import make_bomb, make_zip, mark_encrypted, read_file, reason_of

CONTAINER = (
    '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="OEBPS/book.opf"/></rootfiles></container>'
)


def make_page(body: str, head: str = "<title/>") -> str:
    return f'<html xmlns="http://www.w3.org/1999/xhtml"><head>{head}</head><body>{body}</body></html>'


def make_epub(pages: dict[str, str | None], extra: dict[str, str] | None = None, nav: str = "") -> bytes:
    """Return a book with these pages in this order; a page that is None is missing."""
    items = "".join(
        f'<item id="i{at}" href="{name}" media-type="{"image/svg+xml" if name.endswith("svg") else _XHTML}"'
        f"{_NAV if name == nav else ''}/>"
        for at, name in enumerate(pages)
    )
    spine = "".join(f'<itemref idref="i{at}"/>' for at in range(len(pages)))
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f"<dc:title>Truyện Kiều</dc:title></metadata><manifest>{items}</manifest><spine>{spine}</spine></package>"
    )
    files = {f"OEBPS/{name.replace('%20', ' ')}": page for name, page in pages.items() if page is not None}
    return make_zip({"META-INF/container.xml": CONTAINER, "OEBPS/book.opf": package, **files, **(extra or {})})


_XHTML = "application/xhtml+xml"
_NAV = ' properties="nav"'


def test_pages_are_read_in_the_order_of_the_package(tmp_path: Path) -> None:
    """The archive has an order of its own; the table of contents is no text."""
    pages: dict[str, str | None] = {
        "nav.xhtml": make_page("<p>Mục lục</p>"),
        "z%20mot.xhtml": make_page("<h1>Hồi một</h1><p>Trăm năm&nbsp;trong c&otilde;i người ta,<br/>chữ tài</p>"),
        "a.xhtml": make_page(
            "<h1>Hồi hai</h1><table><tr><th>Năm</th><th>Tuổi</th></tr><tr><td>1820</td><td>55</td></tr></table>"
        ),
    }

    document = read_file(tmp_path, "a.epub", make_epub(pages, nav="nav.xhtml"))

    assert document.title == "Truyện Kiều"
    assert document.text == "Hồi một\n\nTrăm năm trong cõi người ta,\nchữ tài\n\nHồi hai\n\nNăm: 1820 | Tuổi: 55"
    assert [heading.text for heading in document.headings] == ["Hồi một", "Hồi hai"]


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        pytest.param(make_page("<p>a<a id='x'/>b</p><div/>c"), "ab\n\nc", id="empty elements"),
        pytest.param(make_page("<p>a <![CDATA[1 < 2]]></p>"), "a 1 < 2", id="CDATA, a comment in HTML"),
        pytest.param("<!DOCTYPE html>" + make_page("<p>a &amp; b &mdash; c"), "a & b — c", id="not well-formed"),
        pytest.param('<h:html xmlns:h="http://www.w3.org/1999/xhtml"><h:p>a</h:p></h:html>', "a", id="prefixes"),
    ],
)
def test_xhtml_loses_nothing_on_its_way(page: str, expected: str, tmp_path: Path) -> None:
    assert read_file(tmp_path, "a.epub", make_epub({"a.xhtml": page})).text == expected


def test_missing_pages_and_pictures_are_told(tmp_path: Path) -> None:
    pages = {"a.xhtml": make_page("<p>a</p>"), "b.xhtml": None, "c.svg": "<svg/>", "d.xhtml": make_page("<img/>")}

    assert read_file(tmp_path, "a.epub", make_epub(pages)).warnings == (
        "b.xhtml is missing in the book",
        "c.svg is no page of text and not read",
        "d.xhtml is a picture, whose text is not read",
    )


def make_encryption(name: str) -> dict[str, str]:
    return {
        "META-INF/encryption.xml": '<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container">'
        f'<d><CipherReference URI="{name}"/></d></encryption>'
    }


def test_encrypted_fonts_do_not_make_a_book_unreadable(tmp_path: Path) -> None:
    """Publishers encrypt the fonts of open books."""
    data = make_epub({"a.xhtml": make_page("<p>a</p>")}, make_encryption("OEBPS/font.otf"))

    assert read_file(tmp_path, "a.epub", data).text == "a"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"PK\x03\x04", "the file is broken: not readable as EPUB", id="no archive"),
        pytest.param(make_zip({"a": "b"}), "the file is broken: not readable as EPUB", id="another archive"),
        pytest.param(make_epub({"a.xhtml": make_page("a")})[:400], "the file is broken: not readable", id="cut"),
        pytest.param(make_epub({"a.xhtml": make_page("")}), "it holds no text", id="empty"),
        pytest.param(
            make_epub({"a.xhtml": make_page("a")}, make_encryption("OEBPS/a.xhtml")), "encrypted", id="protected"
        ),
        pytest.param(mark_encrypted(make_epub({"a.xhtml": "a"})), "encrypted", id="encrypted archive"),
        pytest.param(make_bomb("OEBPS/a.xhtml"), "too large when unpacked", id="bomb"),
        pytest.param(
            make_zip({"META-INF/container.xml": '<!DOCTYPE a [<!ENTITY b "x">]><a>&b;</a>'}),
            "its XML defines entities",
            id="entities",
        ),
    ],
)
def test_what_is_no_book_is_refused(data: bytes, reason: str, tmp_path: Path) -> None:
    assert reason_of(tmp_path, "a.epub", data).startswith(reason)
