"""LibreOffice's texts and sheets: read as printed, with what is hidden left out and told."""

from pathlib import Path

import pytest

from tests.unit.parsing_files import make_bomb, make_zip, mark_encrypted, read_file, reason_of

_NAMES = " ".join(
    f'xmlns:{prefix}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
    for prefix, name in [
        ("office", "office"),
        ("style", "style"),
        ("text", "text"),
        ("table", "table"),
        ("draw", "drawing"),
        ("svg", "svg-compatible"),
    ]
)
_META = (
    f'<office:document-meta {_NAMES} xmlns:dc="http://purl.org/dc/elements/1.1/"><office:meta>'
    "<dc:title>{}</dc:title></office:meta></office:document-meta>"
)
_ENCRYPTED = (
    '<m:manifest xmlns:m="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"><m:file-entry m:full-path="content.xml">'
    "<m:encryption-data/></m:file-entry></m:manifest>"
)
_STYLES = (
    '<style:style style:name="P1" style:parent-style-name="Title"/>'
    '<style:style style:name="T1"><style:text-properties text:display="none"/></style:style>'
    '<style:style style:name="T2"><style:text-properties style:text-line-through-style="solid"/></style:style>'
    '<style:style style:name="T3"><style:text-properties style:text-position="super 58%"/></style:style>'
    '<style:style style:name="T4"><style:text-properties style:text-position="-33% 58%"/></style:style>'
    '<style:style style:name="ta1"><style:table-properties table:display="true"/></style:style>'
    '<style:style style:name="ta2"><style:table-properties table:display="false"/></style:style>'
)


_LISTS = (
    '<text:list-style style:name="L1"><text:list-level-style-number text:level="1" style:num-format="1"'
    ' style:num-prefix="Điều " style:num-suffix="."/><text:list-level-style-number text:level="2"'
    ' style:num-format="a" style:num-suffix=")"/><text:list-level-style-number text:level="3" style:num-format="i"'
    ' text:display-levels="3" text:start-value="4"/></text:list-style>'
    '<text:list-style style:name="L2"><text:list-level-style-bullet text:level="1" text:bullet-char="•"/>'
    '<text:list-level-style-number text:level="2" style:num-format=""/></text:list-style>'
    '<style:style style:name="P2" style:list-style-name="L1"/>'
)


def make_document(kind: str, body: str, title: str = "", prologue: str = "", **parts: str) -> bytes:
    content = (
        f'<?xml version="1.0" encoding="UTF-8"?>{prologue}<office:document-content {_NAMES}>'
        f"<office:automatic-styles>{_STYLES}{_LISTS}</office:automatic-styles>"
        f"<office:body><office:{kind}>{body}</office:{kind}></office:body></office:document-content>"
    )
    entries = {"content.xml": content, "meta.xml": _META.format(title)}
    names = {"styles": "styles.xml", "manifest": "META-INF/manifest.xml"}
    return make_zip({**entries, **{names[part]: xml for part, xml in parts.items()}})


def make_odt(body: str, title: str = "") -> bytes:
    return make_document("text", body, title)


def make_ods(*rows: str) -> bytes:
    return make_document("spreadsheet", f'<table:table table:name="Sheet1">{"".join(rows)}</table:table>')


def cell(text: str, attributes: str = "") -> str:
    return f"<table:table-cell {attributes}><text:p>{text}</text:p></table:table-cell>"


def row(*cells: str, attributes: str = "") -> str:
    return f"<table:table-row {attributes}>{''.join(cells)}</table:table-row>"


def read_odt(body: str, folder: Path) -> str:
    return read_file(folder, "a.odt", make_odt(body)).text


# Texts --------------------------------------------------------------------------------------------------------------


def test_styles_become_headings_items_and_rows(tmp_path: Path) -> None:
    body = (
        '<text:p text:style-name="P1">Sổ tay</text:p><text:h text:outline-level="1">Nghỉ phép</text:h>'
        "<text:p>Nhân viên có <text:span>12</text:span> ngày<text:line-break/>mỗi<text:s text:c='3'/>năm.</text:p>"
        "<text:list><text:list-item><text:p>một</text:p><text:list><text:list-item><text:p>nhỏ</text:p>"
        "</text:list-item></text:list></text:list-item><text:list-item><text:p>hai</text:p></text:list-item>"
        "</text:list>"
        "<table:table><table:table-header-rows>" + row(cell("Cấp"), cell("Phép")) + "</table:table-header-rows>"
        + row(cell("1"), cell("12 ngày")) + "</table:table>"
    )  # fmt: skip

    document = read_file(tmp_path, "a.odt", make_odt(body, "Tên trong thuộc tính"))

    assert document.title == "Tên trong thuộc tính"
    assert document.text == (
        "Sổ tay\n\nNghỉ phép\n\nNhân viên có 12 ngày\nmỗi năm.\n\n- một\n- nhỏ\n- hai\n\nCấp: 1 | Phép: 12 ngày"
    )
    assert [(heading.level, heading.text) for heading in document.headings] == [(1, "Sổ tay"), (2, "Nghỉ phép")]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(
            "<text:tracked-changes><text:changed-region><text:deletion><text:p>xóa</text:p></text:deletion>"
            "</text:changed-region></text:tracked-changes><text:p>còn<text:change text:change-id='a'/> lại</text:p>",
            "còn lại",
            id="deleted text",
        ),
        pytest.param(
            "<text:p>100<text:note><text:note-citation>1</text:note-citation><text:note-body><text:p>Chưa thuế."
            "</text:p></text:note-body></text:note> đồng</text:p><text:p>b</text:p>",
            "100 đồng\n\nChưa thuế.\n\nb",
            id="a footnote, whose number is no figure of the text",
        ),
        pytest.param(
            "<text:p>a<draw:frame><draw:text-box><text:p>khung</text:p></draw:text-box></draw:frame>b</text:p>",
            "ab\n\nkhung",
            id="a frame",
        ),
        pytest.param(
            '<text:p>10<text:span text:style-name="T3">2</text:span> H<text:span text:style-name="T4">2</text:span>O'
            "</text:p>",
            "10² H₂O",
            id="raised figures",
        ),
        pytest.param("<text:p>a<office:annotation><text:p>?</text:p></office:annotation></text:p>", "a", id="comment"),
        pytest.param(
            "<text:table-of-content><text:index-body><text:p>Mục 1</text:p></text:index-body>"
            "</text:table-of-content><text:section><text:p>a</text:p></text:section>",
            "a",
            id="contents",
        ),
        pytest.param(
            "<table:table>"
            + row(cell("a", 'table:number-rows-spanned="2"'), cell("b"), cell("c"))
            + row("<table:covered-table-cell/>", cell("d"), cell("e", 'table:number-columns-repeated="2"'))
            + "</table:table>",
            "a | b | c\na | d | e | e",
            id="cells that cover others, or are repeated",
        ),
    ],
)
def test_a_text_reads_as_it_is_printed(body: str, expected: str, tmp_path: Path) -> None:
    assert read_odt(body, tmp_path) == expected


def item(*parts: str, attributes: str = "") -> str:
    return f"<text:list-item {attributes}>{''.join(parts)}</text:list-item>"


def listed(*items: str, attributes: str = 'text:style-name="L1"') -> str:
    return f"<text:list {attributes}>{''.join(items)}</text:list>"


A, B, C = ("<text:p>a</text:p>", "<text:p>b</text:p>", "<text:p>c</text:p>")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(listed(item(A), item(B)), "Điều 1. a\nĐiều 2. b", id="with a word"),
        pytest.param(
            listed(item(A, listed(item(B), item(B), attributes="")), item(C, listed(item(B), attributes=""))),
            "Điều 1. a\na) b\nb) b\nĐiều 2. c\na) b",
            id="an item begins the count of its sublist",
        ),
        pytest.param(
            listed(item(A, listed(item(B, listed(item(C), attributes="")), attributes=""))),
            "Điều 1. a\na) b\n1.a.iv c",
            id="with the numbers above it",
        ),
        pytest.param(listed(item(A, B), item(C)), "Điều 1. a\n\nb\nĐiều 2. c", id="the first paragraph is counted"),
        pytest.param(listed(item(A), item(B, attributes='text:start-value="7"')), "Điều 1. a\nĐiều 7. b", id="begun"),
        pytest.param(
            listed(item(A)) + B + listed(item(C), attributes='text:style-name="L1" text:continue-numbering="true"'),
            "Điều 1. a\n\nb\n\nĐiều 2. c",
            id="continued",
        ),
        pytest.param(
            listed(item(A), attributes='text:style-name="L1" xml:id="x"')
            + listed(item(B))
            + listed(item(C), attributes='text:style-name="L1" text:continue-list="x"'),
            "Điều 1. a\n\nĐiều 1. b\n\nĐiều 2. c",
            id="continued over another one",
        ),
        pytest.param(listed(item(A)) + listed(item(B)), "Điều 1. a\n\nĐiều 1. b", id="a new list"),
        pytest.param(
            listed("<text:list-header><text:p>a</text:p></text:list-header>", item(B)), "a\nĐiều 1. b", id="a header"
        ),
        pytest.param(
            listed(item('<text:p text:style-name="P2">a</text:p>'), attributes=""), "Điều 1. a", id="by the paragraph"
        ),
        pytest.param(
            listed(item(A, listed(item(B), attributes="")), attributes='text:style-name="L2"'),
            "- a\n\nb",
            id="bullets, and a level without numbers",
        ),
        pytest.param(listed(item('<text:h text:outline-level="1">a</text:h>')), "Điều 1. a", id="a heading in a list"),
        pytest.param(
            "<table:table>"
            + row(cell("STT"), cell("Tên"), cell("Giá"))
            + row(f"<table:table-cell>{listed(item('<text:p/>'))}</table:table-cell>", cell("x"), cell("5"))
            + "</table:table>",
            "STT: Điều 1. | Tên: x | Giá: 5",
            id="a number alone counts the rows",
        ),
    ],
)
def test_automatic_numbers_are_counted(body: str, expected: str, tmp_path: Path) -> None:
    """People cite "Điều 2.", which stands in no text."""
    assert read_odt(body, tmp_path) == expected


def test_headings_are_counted_by_the_outline(tmp_path: Path) -> None:
    styles = (
        f'<office:document-styles {_NAMES}><office:styles><text:outline-style style:name="Outline">'
        '<text:outline-level-style text:level="1" style:num-format="I" style:num-suffix="."/>'
        '<text:outline-level-style text:level="2" style:num-format="1" text:display-levels="2"/>'
        "</text:outline-style></office:styles></office:document-styles>"
    )
    headings = "".join(f'<text:h text:outline-level="{level}">{level}</text:h>' for level in (1, 2, 2, 1, 2))
    unnumbered = '<text:h text:outline-level="1" text:is-list-header="true">hết</text:h>'
    data = make_document("text", headings + unnumbered, styles=styles)

    document = read_file(tmp_path, "a.odt", data)

    assert document.text.split("\n\n") == ["I. 1", "I.1 2", "I.2 2", "II. 1", "II.1 2", "hết"]


def test_a_manifest_without_namespaces_is_no_reason_to_refuse(tmp_path: Path) -> None:
    """OpenOffice left them to a DTD."""
    manifest = '<!DOCTYPE manifest:manifest SYSTEM "Manifest.dtd"><manifest:manifest/>'
    data = make_document("text", "<text:p>a</text:p>", manifest=manifest)

    assert read_file(tmp_path, "a.odt", data).text == "a"


def test_what_of_a_text_is_not_read_is_told(tmp_path: Path) -> None:
    body = (
        '<text:p>a<text:span text:style-name="T1">ẩn</text:span></text:p>'
        '<text:p>b<text:span text:style-name="T2">cũ</text:span></text:p>'
        '<text:section text:display="none"><text:p>ẩn</text:p></text:section>'
        "<text:p><draw:frame><draw:image/></draw:frame><draw:frame><draw:object/><draw:image/></draw:frame></text:p>"
    )

    document = read_file(tmp_path, "a.odt", make_odt(body))

    assert document.text == "a\n\nb"
    assert document.warnings == (
        "embedded objects: 1, whose text is not read",
        "hidden or struck-out parts: 3, whose text is not read",
        "pictures: 1, whose text is not read",
    )


# Sheets -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attributes", "shown", "expected"),
    [
        ('office:value-type="float" office:value="1234.5000000001"', "1.234,5", "1234.5"),
        ('office:value-type="percentage" office:value="0.155"', "15,5%", "15,5%"),
        ('office:value-type="currency" office:value="5000"', "5.000 ₫", "5.000 ₫"),
        ('office:value-type="date" office:date-value="2026-01-02"', "02/01/26", "2026-01-02"),
        ('office:value-type="date" office:date-value="2026-01-02T08:30:00"', "2/1", "2026-01-02 08:30:00"),
        ('office:value-type="time" office:time-value="PT26H05M00S"', "26:05", "26:05"),
        ('office:value-type="boolean" office:boolean-value="true"', "ĐÚNG", "TRUE"),
        ('office:value-type="string"', "Hà Nội", "Hà Nội"),
    ],
)
def test_figures_of_a_sheet_stay_as_they_are(attributes: str, shown: str, expected: str, tmp_path: Path) -> None:
    assert read_file(tmp_path, "a.ods", make_ods(row(cell(shown, attributes)))).text == expected


def test_rows_of_a_sheet_name_their_columns(tmp_path: Path) -> None:
    """Merged and repeated cells stand where they belong; the endless empty ones at the edges are nothing."""
    blank = '<table:table-cell table:number-columns-repeated="16000"/>'
    data = make_ods(
        row(cell("Khu"), cell("Số người", 'table:number-columns-spanned="2"'), "<table:covered-table-cell/>", blank),
        row("<table:table-cell/>", cell("Nam"), cell("Nữ")),
        row(cell("Bắc", 'table:number-rows-spanned="2"'), cell("7", 'table:number-columns-repeated="2"')),
        row("<table:covered-table-cell/>", cell("3"), cell("4"), blank),
        row(blank, attributes='table:number-rows-repeated="1000000"'),
    )

    assert read_file(tmp_path, "a.ods", data).text == (
        "Khu: Bắc | Số người Nam: 7 | Số người Nữ: 7\nKhu: Bắc | Số người Nam: 3 | Số người Nữ: 4"
    )


def test_hidden_sheets_comments_and_drawings_are_told(tmp_path: Path) -> None:
    body = (
        '<table:table table:name="Giá" table:style-name="ta1"><table:shapes><draw:frame><draw:text-box>'
        "<text:p>hộp</text:p></draw:text-box></draw:frame></table:shapes>"
        + row("<table:table-cell><office:annotation><text:p>?</text:p></office:annotation><text:p>a</text:p>"
              "</table:table-cell>")
        + '</table:table><table:table table:name="Mật" table:style-name="ta2">' + row(cell("b")) + "</table:table>"
    )  # fmt: skip

    document = read_file(tmp_path, "a.ods", make_document("spreadsheet", body, "Bảng giá"))

    assert (document.title, document.text) == ("Bảng giá", "Giá\n\na")
    assert document.warnings == (
        "the comments on cells are not in the text",
        "the text of drawings is not in the text",
        "the hidden sheet “Mật” is not in the text",
    )


# Refusals -----------------------------------------------------------------------------------------------------------

_ENTITIES = '<!DOCTYPE a [<!ENTITY b "x"><!ENTITY c "&b;&b;&b;">]>'
_BILLION = 'table:number-columns-repeated="99999999"'


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        pytest.param("a.odt", b"PK\x03\x04", "the file is broken: not readable as ODT", id="no archive"),
        pytest.param("a.odt", make_odt("<text:p>a</text:p>")[:500], "the file is broken: not readable", id="cut"),
        pytest.param("a.odt", make_ods(row(cell("a"))), "the file is broken: not readable as ODT", id="a sheet"),
        pytest.param("a.odt", make_odt("<text:p>"), "the file is broken: not readable as ODT", id="broken XML"),
        pytest.param("a.odt", make_odt(""), "it holds no text", id="empty"),
        pytest.param("a.odt", mark_encrypted(make_odt("")), "encrypted", id="encrypted archive"),
        pytest.param(
            "a.odt", make_zip({"content.xml": b"\x00", "META-INF/manifest.xml": _ENCRYPTED}), "encrypted", id="secret"
        ),
        pytest.param("a.odt", make_bomb("content.xml"), "too large when unpacked", id="bomb"),
        pytest.param("a.odt", make_odt("<a/>" * 4_000_001), "too large when unpacked", id="bomb of elements"),
        pytest.param(
            "a.odt", make_document("text", "<text:p>&c;</text:p>", prologue=_ENTITIES), "its XML defines", id="entities"
        ),
        pytest.param(
            "a.odt",
            make_odt("<table:table>" + row(cell("x" * 9999, _BILLION), attributes=_BILLION.replace("columns", "rows"))
                     + "</table:table>"),
            "too much text",
            id="repeated text",
        ),
        pytest.param("a.ods", make_odt("<text:p>a</text:p>"), "the file is broken: not readable as ODS", id="a text"),
        pytest.param("a.ods", make_ods(row(cell("a", _BILLION))), "a sheet spans more than", id="repeated cells"),
        pytest.param(
            "a.ods", make_ods(row(cell("x" * 9999), attributes='table:number-rows-repeated="9999"')), "too much text",
            id="repeated rows",
        ),
    ],
)  # fmt: skip
def test_what_is_no_document_is_refused(name: str, data: bytes, reason: str, tmp_path: Path) -> None:
    """A few bytes may say that a cell stands in a billion places."""
    assert reason_of(tmp_path, name, data).startswith(reason)
