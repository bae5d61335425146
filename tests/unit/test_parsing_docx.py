"""Word files as people have them: what is printed is in the text, and what is not is said."""

import io
import zipfile
from pathlib import Path

import pytest

from rag.errors import ParseError
from rag.parsing import parse
from rag.parsing.list_numbers import format_number
from rag.types import Document

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
NAMESPACES = (
    f'xmlns:w="{W}" xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"'
    ' xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
    ' xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
    ' xmlns:c="http://schemas.openxmlformats.org/drawingml/2006/chart"'
    ' xmlns:dgm="http://schemas.openxmlformats.org/drawingml/2006/diagram"'
    ' xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
)
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


class Files:
    """Writes Word files from the XML of their parts."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "a.docx"

    def write(self, body: str, prologue: str = "", **parts: str) -> Path:
        """Write a file with a body, and with the content of `numbering`, `styles`, `footnotes`."""
        links = "".join(f'<Relationship Id="r{name}" Type="{OFFICE}/{name}" Target="{name}.xml"/>' for name in parts)
        with zipfile.ZipFile(self._path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(
                "_rels/.rels",
                f'<Relationships xmlns="{PACKAGE}"><Relationship Id="r1" Type="{OFFICE}/officeDocument"'
                ' Target="word/document.xml"/></Relationships>',
            )
            archive.writestr(
                "word/_rels/document.xml.rels", f'<Relationships xmlns="{PACKAGE}">{links}</Relationships>'
            )
            archive.writestr(
                "word/document.xml", f"{prologue}<w:document {NAMESPACES}><w:body>{body}</w:body></w:document>"
            )
            for name, content in parts.items():
                archive.writestr(f"word/{name}.xml", f"<w:{name} {NAMESPACES}>{content}</w:{name}>")
        return self._path

    def read(self, body: str, **parts: str) -> Document:
        return parse(self.write(body, **parts))


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def run(text: str, properties: str = "") -> str:
    return f'<w:r><w:rPr>{properties}</w:rPr><w:t xml:space="preserve">{text}</w:t></w:r>'


def p(text: str = "", properties: str = "", runs: str = "") -> str:
    return f"<w:p><w:pPr>{properties}</w:pPr>{run(text) if text else ''}{runs}</w:p>"


def item(text: str, level: int = 0, number: int = 1) -> str:
    return p(text, f'<w:numPr><w:ilvl w:val="{level}"/><w:numId w:val="{number}"/></w:numPr>')


def level(at: int, kind: str, text: str, more: str = "") -> str:
    return (
        f'<w:lvl w:ilvl="{at}"><w:start w:val="1"/><w:numFmt w:val="{kind}"/>{more}<w:lvlText w:val="{text}"/></w:lvl>'
    )


def numbering(*levels: str, nums: str = "") -> str:
    first = '<w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num>'
    return f'<w:abstractNum w:abstractNumId="0">{"".join(levels)}</w:abstractNum>{first}{nums}'


def table(*rows: str) -> str:
    return f"<w:tbl>{''.join(f'<w:tr>{row}</w:tr>' for row in rows)}</w:tbl>"


def cell(text: str = "", properties: str = "", inside: str = "") -> str:
    return f"<w:tc><w:tcPr>{properties}</w:tcPr>{inside or p(text)}</w:tc>"


# Numbers ------------------------------------------------------------------------------------------------------------


def test_automatic_numbers_are_text(files: Files) -> None:
    """People ask for "Điều 2" and "1.2"; the file holds the numbers as rules only."""
    lists = numbering(
        level(0, "upperRoman", "Chương %1."), level(1, "decimal", "Điều %2."), level(2, "decimal", "%2.%3"),
        level(3, "lowerLetter", "%4)"), level(4, "bullet", "\uf0b7"),
    )  # fmt: skip
    body = item("Một") + item("Hai", 1) + item("ba", 2) + item("bốn", 2) + item("năm", 3) + item("sáu", 3)
    body += item("bảy", 4) + item("Tám", 1) + item("chín", 2)

    lines = files.read(body, numbering=lists).text.split()

    assert " ".join(lines) == ("Chương I. Một Điều 1. Hai 1.1 ba 1.2 bốn a) năm b) sáu - bảy Điều 2. Tám 2.1 chín")


def test_a_level_may_count_on_and_a_legal_level_counts_in_digits(files: Files) -> None:
    """Articles are often numbered through all chapters."""
    lists = numbering(
        level(0, "upperRoman", "Chương %1"),
        level(1, "decimal", "Điều %2.", '<w:lvlRestart w:val="0"/>'),
        level(2, "decimal", "%1.%2.%3", "<w:isLgl/>"),
    )
    body = item("a") + item("b", 1) + item("c", 1) + item("d") + item("e", 1) + item("f", 2)

    text = files.read(body, numbering=lists).text

    assert text.split("\n\n") == ["Chương I a", "Điều 1. b", "Điều 2. c", "Chương II d", "Điều 3. e", "2.3.1 f"]


def test_instances_of_a_list_go_on_and_overrides_begin_anew(files: Files) -> None:
    """Two lists of one definition share a counter, as Word prints them."""
    override = '<w:lvlOverride w:ilvl="0"><w:startOverride w:val="5"/></w:lvlOverride>'
    nums = (
        '<w:num w:numId="2"><w:abstractNumId w:val="0"/></w:num>'
        f'<w:num w:numId="3"><w:abstractNumId w:val="0"/>{override}</w:num>'
    )
    body = item("a") + item("b", number=2) + item("c", number=3) + item("d", number=3)

    text = files.read(body, numbering=numbering(level(0, "decimal", "%1."), nums=nums)).text

    assert text == "1. a\n2. b\n5. c\n6. d"


def test_a_style_gives_numbers_and_a_paragraph_may_refuse_them(files: Files) -> None:
    """The level is the one that names the style."""
    styles = (
        '<w:style w:type="paragraph" w:styleId="Dieu"><w:name w:val="Dieu"/>'
        '<w:pPr><w:numPr><w:numId w:val="1"/></w:numPr><w:outlineLvl w:val="1"/></w:pPr></w:style>'
        '<w:style w:type="paragraph" w:styleId="Con"><w:name w:val="Con"/><w:basedOn w:val="Dieu"/></w:style>'
    )
    lists = numbering(level(0, "decimal", "%1"), level(1, "decimal", "Điều %2.", '<w:pStyle w:val="Dieu"/>'))
    off = '<w:numPr><w:numId w:val="0"/></w:numPr>'
    body = p("A", '<w:pStyle w:val="Dieu"/>') + p("x") + p("B", f'<w:pStyle w:val="Dieu"/>{off}') + p("y")

    document = files.read(body, numbering=lists, styles=styles)

    assert [(heading.level, heading.text) for heading in document.headings] == [(2, "Điều 1. A"), (2, "B")]


def test_a_number_never_runs_into_a_figure(files: Files) -> None:
    """Item 1 of "500 dong" is not 1500 dong."""
    text = files.read(
        item("500 đồng"), numbering=numbering(level(0, "decimal", "%1", '<w:suff w:val="nothing"/>'))
    ).text

    assert text == "1. 500 đồng"


def test_an_item_that_is_deleted_is_not_counted(files: Files) -> None:
    """With the changes accepted the list is one shorter."""
    gone = '<w:rPr><w:del w:id="1"/></w:rPr><w:numPr><w:ilvl w:val="0"/><w:numId w:val="1"/></w:numPr>'
    deleted = f'<w:p><w:pPr>{gone}</w:pPr><w:del w:id="2"><w:r><w:delText>x</w:delText></w:r></w:del></w:p>'

    text = files.read(item("a") + deleted + item("b"), numbering=numbering(level(0, "decimal", "%1."))).text

    assert text == "1. a\n2. b"


def test_a_numbered_cell_without_text_counts_its_row(files: Files) -> None:
    """The first column of many tables."""
    body = table(*(cell(inside=item("")) + cell(name) + cell(day) for name, day in (("An", "thứ 2"), ("Ba", "thứ 3"))))

    assert files.read(body, numbering=numbering(level(0, "decimal", "%1"))).text == "1 | An | thứ 2\n2 | Ba | thứ 3"


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (28, "lowerLetter", "bb"), (3, "upperLetter", "C"), (49, "upperRoman", "XLIX"), (4, "lowerRoman", "iv"),
        (7, "decimalZero", "07"), (22, "ordinal", "22nd"), (12, "ordinal", "12th"), (5, "unknown", "5"),
        (10**9, "lowerLetter", "1000000000"), (10**9, "upperRoman", "1000000000"), (0, "lowerRoman", "0"),
    ],
)  # fmt: skip
def test_numbers_are_written_as_their_list_says(value: int, kind: str, expected: str) -> None:
    """A document may start at a billion; its letters would fill the memory."""
    assert format_number(value, kind) == expected


# Paragraphs ---------------------------------------------------------------------------------------------------------

NOTE = '<w:footnote w:id="2">{}</w:footnote>'
REFERENCE = '<w:r><w:footnoteReference w:id="2"/></w:r>'


def test_a_short_note_stands_where_it_is_referred_to(files: Files) -> None:
    """It is often the condition of a figure; beside the figure both are found and quoted together."""
    body = p("Thưởng 5", runs=REFERENCE + run("triệu đồng."))

    text = files.read(body, footnotes=NOTE.format(p("Chỉ từ 12 tháng."))).text

    assert text == "Thưởng 5 (Chỉ từ 12 tháng) triệu đồng."


def test_a_long_note_stands_below_its_paragraph(files: Files) -> None:
    body = p("Thưởng 5 triệu đồng", runs=REFERENCE + run(".")) + p("Hết.")

    text = files.read(body, footnotes=NOTE.format(p("Chỉ từ 12 tháng. Không gồm thực tập."))).text

    assert text.split("\n\n") == [
        "Thưởng 5 triệu đồng.", "Chú thích: Chỉ từ 12 tháng. Không gồm thực tập.", "Hết."
    ]  # fmt: skip


def test_changes_are_read_as_accepted(files: Files) -> None:
    """Deleted and moved text is no rule; where the end of a paragraph is deleted, two are one."""
    moved = '<w:moveFrom w:id="3">' + run("x") + "</w:moveFrom>"
    deleted = '<w:del w:id="1"><w:r><w:delText>30</w:delText></w:r></w:del>'
    joined = p("Thời hạn là", '<w:rPr><w:del w:id="9"/></w:rPr>', deleted)
    body = joined + p("", runs='<w:ins w:id="2">' + run("45") + "</w:ins>" + run(" ngày.") + moved)
    rows = table('<w:trPr><w:del w:id="4"/></w:trPr>' + cell("cũ") + cell("30"), cell("mới") + cell("45"))

    document = files.read(body + rows)

    assert document.text == "Thời hạn là 45 ngày.\n\nmới: 45"
    assert any("tracked changes" in warning for warning in document.warnings)


def test_struck_and_hidden_text_is_left_out_and_said(files: Files) -> None:
    """Struck text is not the rule in force; a style may strike or hide, and a run may refuse."""
    styles = '<w:style w:type="character" w:styleId="S"><w:name w:val="S"/><w:rPr><w:strike/></w:rPr></w:style>'
    body = p(
        "Phép năm ",
        runs=run("10", "<w:strike/>") + run("11", '<w:rStyle w:val="S"/>') + run("12", '<w:strike w:val="0"/>'),
    )
    body += p("Bí mật", "", run(" ẩn", "<w:vanish/>"))

    document = files.read(body, styles=styles)

    assert document.text == "Phép năm 12\n\nBí mật"
    assert document.warnings == (
        "2 struck-out passages are left out: struck text is not in force",
        "1 hidden passage is left out",
    )


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        pytest.param(run("10") + run("2", '<w:vertAlign w:val="superscript"/>'), "10²", id="a power"),
        pytest.param(run("m") + run("2", '<w:vertAlign w:val="superscript"/>'), "m²", id="a unit"),
        pytest.param(run("đồng") + run("1", '<w:vertAlign w:val="superscript"/>'), "đồng[1]", id="a note by hand"),
        pytest.param(run("5.000") + run("1", '<w:vertAlign w:val="superscript"/>'), "5.000[1]", id="a figure's note"),
        pytest.param(run("CO") + run("2", '<w:vertAlign w:val="subscript"/>'), "CO2", id="a formula"),
        pytest.param('<w:r><w:sym w:font="Symbol" w:char="F0A3"/></w:r>' + run(" 5"), "≤ 5", id="a comparison"),
        pytest.param('<w:r><w:sym w:font="Wingdings" w:char="F0A8"/></w:r>' + run(" A"), "□ A", id="a box"),
        pytest.param(run("\uf0b3 5", '<w:rFonts w:ascii="Symbol"/>'), "≥ 5", id="a letter of the font"),
        pytest.param(
            '<w:r><w:sym w:font="Webdings" w:char="F0A1"/></w:r>' + run("5"), "(symbol F0A1 of Webdings) 5",
            id="unknown",
        ),
        pytest.param("<w:r><w:t>a</w:t><w:softHyphen/><w:t>b</w:t><w:noBreakHyphen/></w:r>", "ab-", id="hyphens"),
        pytest.param(
            "<w:r><w:fldChar><w:ffData><w:checkBox><w:checked/></w:checkBox></w:ffData></w:fldChar></w:r>" + run(" Có"),
            "☒ Có",
            id="a form field",
        ),
    ],
)  # fmt: skip
def test_characters_keep_their_meaning(runs: str, expected: str, files: Files) -> None:
    """A figure with a raised figure glued to it is another figure."""
    assert files.read(p(runs=runs)).text == expected


@pytest.mark.parametrize(
    ("equation", "expected"),
    [
        ("<m:f><m:num><m:r><m:t>a+b</m:t></m:r></m:num><m:den><m:r><m:t>26</m:t></m:r></m:den></m:f>", "(a+b)/26"),
        ("<m:sSup><m:e><m:r><m:t>x</m:t></m:r></m:e><m:sup><m:r><m:t>12</m:t></m:r></m:sup></m:sSup>", "x^12"),
        ("<m:sSub><m:e><m:r><m:t>L</m:t></m:r></m:e><m:sub><m:r><m:t>i</m:t></m:r></m:sub></m:sSub>", "L_i"),
        ("<m:rad><m:deg/><m:e><m:r><m:t>2</m:t></m:r></m:e></m:rad>", "√(2)"),
        ("<m:d><m:e><m:r><m:t>a</m:t></m:r></m:e></m:d><m:r><m:t>=3</m:t></m:r>", "(a) = 3"),
        (
            '<m:nary><m:naryPr><m:chr m:val="∑"/></m:naryPr><m:sub><m:r><m:t>i=1</m:t></m:r></m:sub>'
            "<m:sup><m:r><m:t>n</m:t></m:r></m:sup><m:e><m:r><m:t>x</m:t></m:r></m:e></m:nary>",
            "∑_(i = 1)^n x",
        ),
    ],
)
def test_an_equation_is_one_line_of_text(equation: str, expected: str, files: Files) -> None:
    """Without its structure 3 over 4 would read as 34."""
    assert files.read(p("Lương ", runs=f"<m:oMath>{equation}</m:oMath>")).text == f"Lương {expected}"


def test_an_equation_may_stand_between_paragraphs(files: Files) -> None:
    equation = "<m:oMathPara><m:oMath><m:r><m:t>a=3</m:t></m:r></m:oMath></m:oMathPara>"

    assert (
        files.read(p("Một.") + equation + table(cell("x") + cell(inside=equation))).text == "Một.\n\na = 3\n\nx: a = 3"
    )


def test_a_text_box_is_text_of_its_own_and_read_once(files: Files) -> None:
    """It hangs anywhere in a paragraph, and the file holds it twice."""
    box = "<w:txbxContent>" + p("Trong khung.") + "</w:txbxContent>"
    forms = f"<mc:Choice>{box}</mc:Choice><mc:Fallback>{box}</mc:Fallback>"
    both = f"<w:r><mc:AlternateContent>{forms}</mc:AlternateContent></w:r>"

    assert files.read(p("Mức ", runs=both + run("là 5."))).text == "Mức là 5.\n\nTrong khung."


def test_the_shapes_of_a_diagram_are_text(files: Files) -> None:
    """Who reports to whom is often drawn."""
    shapes = "".join(f"<dgm:pt><dgm:t><a:p><a:r><a:t>{name}</a:t></a:r></a:p></dgm:t></dgm:pt>" for name in "AB")
    drawing = '<w:r><w:drawing><dgm:relIds r:dm="rdiagramData"/></w:drawing></w:r>'

    document = files.read(p("Tổ chức:", runs=drawing), diagramData=shapes)

    assert (document.text, document.warnings) == ("Tổ chức:\n\nA\n\nB", ())


def point(at: int, value: str) -> str:
    return f'<c:pt idx="{at}"><c:v>{value}</c:v></c:pt>'


def write_chart(files: Files, chart: str) -> Document:
    chart_of = '<w:r><w:drawing><c:chart r:id="rchart"/></w:drawing></w:r>'
    return files.read(p("Doanh thu theo năm:", runs=chart_of) + p("Hết."), chart=chart)


def test_a_chart_gives_the_figures_that_it_shows(files: Files) -> None:
    """Its title, and a row for each category with the names of the series."""
    names = f"<c:cat><c:strRef><c:strCache>{point(0, '2024')}{point(1, '2025')}</c:strCache></c:strRef></c:cat>"
    series = "".join(
        f"<c:ser><c:tx><c:strRef><c:strCache>{point(0, name)}</c:strCache></c:strRef></c:tx>{names}<c:val><c:numRef>"
        f"<c:numCache><c:formatCode>0%</c:formatCode>{point(0, first)}{point(1, second)}</c:numCache></c:numRef>"
        "</c:val></c:ser>"
        for name, first, second in (("Bắc", "0.1", "0.25"), ("Nam", "0.3", "0.4"))
    )
    title = "<c:title><c:tx><c:rich><a:p><a:r><a:t>Tăng trưởng</a:t></a:r></a:p></c:rich></c:tx></c:title>"
    document = write_chart(
        files, f"<c:chart>{title}<c:plotArea><c:barChart>{series}</c:barChart></c:plotArea></c:chart>"
    )

    assert document.warnings == ()
    text = document.text
    assert text.index("Tăng trưởng") < text.index("2024") < text.index("2025") < text.index("Hết.")
    assert [line for line in text.split("\n") if line.startswith("2025")] == ["2025 | Bắc: 25% | Nam: 40%"]


def test_a_chart_without_figures_is_said(files: Files) -> None:
    """One whose figures are kept elsewhere shows what nobody reads."""
    assert write_chart(files, "<c:chart/>").warnings == ("1 chart is not read",)


def test_what_is_not_read_is_said(files: Files) -> None:
    """A picture may hold the rule."""
    body = p("a", runs="<w:r><w:drawing><a:blip/></w:drawing></w:r>") + '<w:altChunk r:id="x"/>'

    assert files.read(body).warnings == ("1 picture is not read", "1 embedded document is not read")


# Headings -----------------------------------------------------------------------------------------------------------


def test_short_bold_paragraphs_above_text_are_headings(files: Files) -> None:
    """Many authors use no styles."""
    body = p(runs=run("NỘI QUY", "<w:b/>")) + p(runs=run("Giờ làm", "<w:b/>")) + p("Từ 8 giờ. " * 5)
    body += p(runs=run("Lưu ý: đến đúng giờ.", "<w:b/>")) + p("Nghỉ trưa 60 phút. " * 5)

    document = files.read(body)

    assert document.title == "NỘI QUY"
    assert [(heading.level, heading.text) for heading in document.headings] == [(1, "NỘI QUY"), (2, "Giờ làm")]


# Tables -------------------------------------------------------------------------------------------------------------


def test_a_cell_over_several_rows_is_said_in_each(files: Files) -> None:
    """Each row is read alone."""
    merge = "<w:vMerge/>"
    rows = [
        cell("Vùng") + cell("Ngày") + cell("Giờ"),
        cell("Bắc", '<w:vMerge w:val="restart"/>') + cell("2") + cell("5"),
    ]
    rows += [cell("", merge) + cell("3") + cell("6")] * 70

    lines = files.read(table(*rows)).text.split("\n")

    assert lines[0] == "Vùng: Bắc | Ngày: 2 | Giờ: 5"
    assert set(lines[1:]) == {"Vùng: Bắc | Ngày: 3 | Giờ: 6"}


def test_a_header_of_two_rows_names_its_columns(files: Files) -> None:
    """Nothing in the file marks it; a cell over two columns with names below it does."""
    rows = [
        cell("Bậc") + cell("Năm", '<w:gridSpan w:val="2"/>'),
        cell() + cell("2024") + cell("2025"),
        cell("A") + cell("10") + cell("12"),
    ]

    assert files.read(table(*rows)).text == "Bậc: A | Năm 2024: 10 | Năm 2025: 12"


def test_a_merged_cell_above_figures_is_no_header(files: Files) -> None:
    rows = [
        cell("Tổng") + cell("Cả hai", '<w:gridSpan w:val="2"/>'),
        cell("B") + cell("1.500") + cell("2.500"),
        cell("A") + cell("10") + cell("12"),
    ]

    assert files.read(table(*rows)).text == "Tổng | Cả hai\nB | 1.500 | 2.500\nA | 10 | 12"


def test_a_title_row_above_the_header_is_a_line(files: Files) -> None:
    rows = [
        cell("BẢNG LƯƠNG", '<w:gridSpan w:val="3"/>'),
        *(cell(a) + cell(b) + cell(c) for a, b, c in (("Bậc", "Lương", "Phép"), ("A", "10", "12"))),
    ]

    assert files.read(table(*rows)).text == "BẢNG LƯƠNG\nBậc: A | Lương: 10 | Phép: 12"


def test_cells_and_rows_in_content_controls_are_read(files: Files) -> None:
    """Forms are made of them."""
    control = "<w:sdt><w:sdtContent>{}</w:sdtContent></w:sdt>"
    first = "<w:tr>" + cell("Lương") + control.format(cell("20 triệu")) + "</w:tr>"
    second = control.format("<w:tr>" + cell("Phép") + cell("12") + "</w:tr>")
    body = f"<w:tbl>{first}{second}</w:tbl>"

    assert files.read(body).text == "Lương: 20 triệu\nPhép: 12"


def test_a_frame_of_one_cell_holds_paragraphs(files: Files) -> None:
    """A box around text is no data."""
    assert files.read(table(cell(inside=p("Một.") + p("Hai.")))).text == "Một.\n\nHai."


def test_figures_below_each_other_in_a_cell_stay_two(files: Files) -> None:
    """ "5" and "000" are not 5 000."""
    assert files.read(table(cell("a") + cell(inside=p("5") + p("000")))).text == "a: 5; 000"


# The file -----------------------------------------------------------------------------------------------------------


def test_entities_are_refused(files: Files) -> None:
    """They could read files of the machine, and text after them was lost."""
    path = files.write(p("host: &x; end"), prologue='<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/hostname">]>')

    with pytest.raises(ParseError, match="declares entities"):
        parse(path)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param("<w:p/>" * 2_100_000, "too large when unpacked", id="elements"),
        pytest.param("<w:tbl><w:tr><w:tc>" * 900 + "</w:tc></w:tr></w:tbl>" * 900, "nested too deep", id="depth"),
    ],
)
def test_a_small_file_cannot_fill_the_memory(body: str, reason: str, files: Files) -> None:
    """Millions of elements compress to almost nothing."""
    with pytest.raises(ParseError, match=reason):
        files.read(body)


@pytest.mark.parametrize("depth", [5, 40, 600])
def test_tables_in_tables_keep_their_text(depth: int, files: Files) -> None:
    """However deep."""
    text = files.read((f"<w:tbl><w:tr>{cell('ô')}<w:tc>" * depth) + p("cuối") + "</w:tc></w:tr></w:tbl>" * depth).text

    assert text.count("ô") == depth
    assert text.count("cuối") == 1


def test_long_files_are_read_in_one_pass(files: Files) -> None:
    """Quadratic rules would take hours."""
    lists = numbering(*(level(at, "decimal", f"%{at + 1}.") for at in range(9)))
    body = "".join(item("a", at % 9) for at in range(10_000)) + p() * 10_000
    body += table(*[cell("a", '<w:gridSpan w:val="999999999"/>') + cell("b")] * 1_000)

    assert files.read(body, numbering=lists).text.count("a") >= 11_000


def test_a_file_with_macros_is_read_like_others(files: Files) -> None:
    """Its suffix is .docm; the macros are no text."""
    path = files.write(p("Một."))

    assert parse(path.rename(path.with_suffix(".docm"))).text == "Một."


def test_the_strict_form_is_read_like_the_usual_one(files: Files) -> None:
    """Its elements have other namespaces."""
    path = files.write(p("Một."), numbering="")
    buffer = io.BytesIO()
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(buffer, "w") as strict:
        for name in archive.namelist():
            content = archive.read(name).replace(W.encode(), b"http://purl.oclc.org/ooxml/wordprocessingml/main")
            strict.writestr(
                name, content.replace(OFFICE.encode(), b"http://purl.oclc.org/ooxml/officeDocument/relationships")
            )
    path.write_bytes(buffer.getvalue())

    assert parse(path).text == "Một."
