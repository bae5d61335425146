"""PDF as people have it: what the page shows is in the text, in the order of reading; what is left out is said."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from rag.errors import ParseError
from rag.parsing import parse
from rag.parsing.blocks import assemble
from rag.parsing.layout import to_blocks
from rag.parsing.line import Line
from rag.parsing.pdf import read
from rag.types import Document
from tests.unit.pdf_files import make_pdf, show, show_lines

FILES: Final = (
    Path(__file__).parents[3] / "shared" / "data" / "files"
)  # beside the repository: made by several producers
needs_files = pytest.mark.skipif(not FILES.is_dir(), reason="the reproductions are not beside the repository")


def rule(x0: float, y0: float, x1: float, y1: float) -> str:
    return f"{x0} {y0} m {x1} {y1} l S\n"


def grid(xs: Sequence[float], ys: Sequence[float]) -> str:
    flat = "".join(rule(xs[0], y, xs[-1], y) for y in ys)
    return flat + "".join(rule(x, ys[0], x, ys[-1]) for x in xs)


def make_table(*rows: Sequence[str], y: float = 700) -> str:
    xs = [60.0 + 120 * at for at in range(len(rows[0]) + 1)]
    ys = [y + 14 - 20 * at for at in range(len(rows) + 1)]
    cells = (
        show(cell, xs[column] + 4, y - 20 * row) for row, line in enumerate(rows) for column, cell in enumerate(line)
    )
    return grid(xs, ys) + "".join(cells)


def document_of(data: bytes) -> Document:
    return assemble(read(data), fallback_title="t")


def text_of(data: bytes) -> str:
    return document_of(data).text


# The reproductions --------------------------------------------------------------------------------------------------


@needs_files
@pytest.mark.parametrize(
    ("name", "present", "absent"),
    [
        ("alternating_headers", ["Dòng thân bài 7 của trang 8"], ["SỔ TAY", "Phần lẻ"]),
        ("footer_mid_stream", ["Dòng 3 của trang 1 nói về chuyện số 6 của công ty. Dòng 4"], ["BẢN NHÁP"]),
        ("form", ["Full name: Nguyen Van A\nSalary: 20 million"], []),
        ("half_scanned", ["Annex A lists the fees"], []),
        (
            "header_footer_vi",
            ["Điều 5.7", "1 Chú thích cuối trang: chỉ áp dụng cho chi nhánh 1."],
            ["CÔNG TY", "Trang 1/5"],
        ),
        ("header_two_pages", ["trang 1 nói rằng nhân viên được nghỉ mười hai ngày."], ["ABC", "\n1\n"]),
        ("hidden_text", ["Công khai: nghỉ mười hai ngày."], ["giám đốc", "bí mật"]),
        ("law", ["người nước ngoài làm việc tại TP. HCM theo", "\n\nĐiều 2. Đối tượng\n\na) Cơ quan"], []),
        ("page_labels", ["Lời nói đầu của cuốn sách này.\n\nMục lục"], [" i", " ii", "\n1", "\n2"]),
        ("repeated_content_dropped", ["sáu tháng bảo hành", "loại 3. Có mười hai tháng", "5 GB. Giá: 99.000 đồng"], []),
        ("rotated_landscape", ["Dòng 0 của trang nằm ngang nói về số 0. Dòng 1"], []),
        ("side_stamp", ["in line 0 of it. Full-time staff"], ["arXiv"]),
        ("superscript", ["10⁶ đồng", "25 m². Mức", "50¹ triệu", "Giá cũ 400 nghìn"], ["501", "500"]),
        ("table", ["Loại nghỉ: Kết hôn | Số ngày: 3 | Hưởng lương: 100%\n", "\n\nBảng trên áp dụng"], []),
        ("table_long", ["Tuyến: Tuyến 36 | Giá vé: 136.000 | Giờ chạy: 12:30\n"], ["Tuyến | Giá vé"]),
        ("two_columns", ["Câu trái số 2 nói về nghỉ phép của nhân viên. Câu trái số 3"], []),
        ("two_columns_interleaved", ["được nghỉ phép mười hai", "ngày mùng năm hằng tháng"], ["được Lương"]),
    ],
)
def test_a_reproduction_reads_as_its_pages_show(name: str, present: Sequence[str], absent: Sequence[str]) -> None:
    text = parse(FILES / f"pdf_{name}.pdf").text

    assert [part for part in present if part not in text] == []
    assert [part for part in absent if part in text] == []


@needs_files
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("no_tounicode", "its text is unreadable"),
        ("scan_with_stamp", "scanned: 2 pages without a text layer"),
        ("xfa_placeholder", "an XFA form"),
    ],
)
def test_a_reproduction_without_a_text_is_refused_by_its_reason(name: str, reason: str) -> None:
    with pytest.raises(ParseError, match=reason):
        parse(FILES / f"pdf_{name}.pdf")


# Headers and footers ------------------------------------------------------------------------------------------------


def test_a_title_that_some_pages_share_inside_the_page_is_body() -> None:
    """A line is running by its place in the margin: the same words at the same height in the body stay."""
    pages = [show_lines("Package", f"Price of package {name}", y=560) for name in ("one", "two", "three")]

    assert text_of(make_pdf(*pages)).count("Package") == 3


def test_headings_that_count_with_the_pages_stay() -> None:
    pages = [show(f"Lesson {n}", y=760) + show(f"Text of it, number {n * n}.", y=700) for n in range(1, 6)]

    assert text_of(make_pdf(*pages)).count("Lesson") == 5


def test_the_title_of_each_of_two_pages_stays() -> None:
    """Two certificates in a file have the same title, larger than their text."""
    pages = [
        show("CERTIFICATE", y=740, size=18) + show_lines(f"For {name}, who", "has passed.", y=600) for name in "AB"
    ]

    assert text_of(make_pdf(*pages)).count("CERTIFICATE") == 2


def test_a_page_keeps_its_lines_if_it_has_no_others() -> None:
    pages = [show("Company handbook", y=760) + show(f"Text of page {n}.", y=600) for n in (1, 2, 3)]

    document = document_of(make_pdf(*pages, show("Company handbook", y=760)))

    assert document.text.count("Company handbook") == 1
    assert document.pages[3].start < document.pages[3].end


def test_a_footnote_painted_before_the_body_comes_last() -> None:
    text = text_of(make_pdf(show("A note at the foot.", y=60) + show_lines("One line.", "Two lines.", "Three lines.")))

    assert text.endswith("A note at the foot.")


def test_figures_at_the_foot_of_one_page_are_no_page_number() -> None:
    """A single page has no series of numbers."""
    assert "1" in text_of(make_pdf(show_lines("Answer:", "It is below.") + show("1", y=60)))


# What the page does not show ----------------------------------------------------------------------------------------


IMAGE: Final = (
    "<</Type/XObject/Subtype/Image/Width 1/Height 1/ColorSpace/DeviceGray/BitsPerComponent 8/Length 1>>"
    "stream\nA\nendstream"
)
DRAW_IMAGE: Final = "q 600 0 0 800 0 0 cm /I Do Q\n"


@pytest.mark.parametrize(
    "hidden",
    [
        pytest.param(show("secret", y=650, before="3 Tr"), id="invisible"),
        pytest.param(show("secret", y=650, before="1 g"), id="white on white"),
        pytest.param(show("secret", x=700, y=650), id="beside the page"),
        pytest.param(show("secret", y=650, size=0.5), id="tiny"),
        pytest.param(show("secret", y=650) + "0 g 50 640 200 24 re f\n", id="behind a black bar"),
        pytest.param(show("secret", y=650) + rule(60, 653.5, 60 + 33.6, 653.5), id="struck out"),
    ],
)
def test_text_that_nobody_sees_is_left_out_and_said(hidden: str) -> None:
    document = document_of(make_pdf(show("All can read it.") + hidden))

    assert document.text == "All can read it."
    assert len(document.warnings) == 1
    assert document.warnings[0].startswith("page 1: ")


@pytest.mark.parametrize(
    "shown",
    [
        pytest.param("0 0 1 rg 50 640 200 24 re f\n" + show("secret", y=650, before="1 g"), id="white on blue"),
        pytest.param(show("secret", y=650) + rule(60, 648.5, 93, 648.5), id="underlined"),
        pytest.param(show("secret", y=650) + rule(20, 653, 580, 653), id="a rule across the page"),
        pytest.param(show("secret", y=650, before="7 Tr"), id="text as the edge of a pattern"),
        pytest.param("q 1 0 0 -1 0 800 cm BT /F -11 Tf -1 0 0 1 60 150 Tm (secret) Tj ET Q\n", id="turned over twice"),
        pytest.param("0.9 g 50 640 200 24 re f 0 g\n" + show("secret", y=650), id="on grey"),
    ],
)
def test_text_that_is_seen_stays(shown: str) -> None:
    document = document_of(make_pdf(show("All can read it.") + shown))

    assert "secret" in document.text
    assert document.warnings == ()


def test_invisible_text_over_a_scan_is_what_ocr_read() -> None:
    stream = DRAW_IMAGE + show_lines("The scanned page says", "that leave is twelve days.").replace("BT", "BT 3 Tr")

    text = text_of(make_pdf(stream, resources="/XObject<</I 20 0 R>>", objects=[IMAGE]))

    assert text == "The scanned page says that leave is twelve days."


def test_a_scan_in_strips_keeps_what_ocr_read() -> None:
    strips = "".join(f"q 600 0 0 80 0 {80 * n} cm /I Do Q\n" for n in range(10))
    stream = strips + show_lines("The scanned page says", "that leave is twelve days.").replace("BT", "BT 3 Tr")

    assert "twelve days" in text_of(make_pdf(stream, resources="/XObject<</I 20 0 R>>", objects=[IMAGE]))


def test_pages_without_a_text_layer_are_named() -> None:
    """A half-scanned file is read, and a person is told which pages are missing."""
    resources, objects = "/XObject<</I 20 0 R>>", [IMAGE]
    stream = show("Annex A lists the fees.")

    document = document_of(
        make_pdf(stream, DRAW_IMAGE, DRAW_IMAGE, stream, "", DRAW_IMAGE, resources=resources, objects=objects)
    )

    assert document.warnings == ("pages 2-3, 6: an image without a text layer",)


def test_a_scan_whose_pages_bear_a_stamp_is_still_a_scan() -> None:
    page = DRAW_IMAGE + show("Source: example.com", y=780)

    with pytest.raises(ParseError, match="scanned: 2 pages"):
        read(make_pdf(page, page, resources="/XObject<</I 20 0 R>>", objects=[IMAGE]))


def test_slanted_and_marginal_text_is_quoted_in_the_warnings() -> None:
    slanted = "q BT 0.7 0.7 -0.7 0.7 200 300 Tm /F 40 Tf (DRAFT) Tj ET Q\n"
    upright = "q BT 0 1 -1 0 20 300 Tm /F 12 Tf (arXiv:1234) Tj ET Q\n"

    document = document_of(make_pdf(show_lines("One line of text.", "Another line of text.") + slanted + upright))

    assert document.text == "One line of text. Another line of text."
    assert {'page 1: slanted text is left out: "DRAFT"', 'page 1: text along the margin is left out: "arXiv:1234"'} == {
        *document.warnings
    }


def test_turned_words_inside_the_page_are_kept() -> None:
    turned = "q BT 0 1 -1 0 300 500 Tm /F 11 Tf (Turned words) Tj ET Q\n"

    assert "Turned words" in text_of(
        make_pdf(show_lines("A long line of text is here.", "And one more is here.", "x" * 60) + turned)
    )


# Lines --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([("10", 60, 0, 11), ("6", 72.4, 4, 7), ("units", 80, 0, 11)], "10⁶ units"),
        ([("CO", 60, 0, 11), ("2", 76.6, -2, 7), ("falls", 84, 0, 11)], "CO₂ falls"),
        ([("50", 60, 0, 11), ("a", 72.4, 4, 7), ("million", 80, 0, 11)], "50 a million"),
        ([("the law", 60, 0, 11), ("*", 96, 4, 7), ("says", 104, 0, 11)], "the law* says"),
    ],
)
def test_what_is_raised_or_lowered_is_not_glued_to_figures(
    pieces: Sequence[tuple[str, float, float, float]], expected: str
) -> None:
    stream = "".join(show(text, x, 700 + shift, size=size) for text, x, shift, size in pieces)

    assert text_of(make_pdf(stream)) == expected


def test_columns_painted_row_by_row_are_read_one_after_the_other() -> None:
    left = ["Full-time staff are given", "twelve days of leave in", "each year of their work.", "Unused days are lost."]
    right = ["Wages are paid on the", "fifth day of each month", "to the bank account that", "the person has named."]
    stream = "".join(
        show(a, 60, 700 - 14 * at) + show(b, 300, 700 - 14 * at)
        for at, (a, b) in enumerate(zip(left, right, strict=True))
    )

    assert text_of(make_pdf(stream)).split("\n\n") == [" ".join(left), " ".join(right)]


def test_three_columns_painted_row_by_row_are_read_one_after_the_other() -> None:
    """Their lines go on with the sentence of the line before."""
    columns = [
        ["Full-time staff are", "given twelve days of", "leave in each year", "of their work here."],
        ["Wages are paid on", "the fifth day of a", "month to the bank", "account of the staff."],
        ["Parking costs nothing", "for the people who", "work at night, and", "a fee for all others."],
    ]
    stream = "".join(
        show(line, 40 + 180 * at, 700 - 14 * number)
        for number in range(4)
        for at, line in enumerate(column[number] for column in columns)
    )

    assert text_of(make_pdf(stream)).split() == [word for column in columns for line in column for word in line.split()]


def test_cells_of_several_words_stay_rows() -> None:
    """Each begins anew, so they are no columns of prose."""
    rows = [
        ("Kind of leave", "Days in a year", "Who may take it"),
        ("Annual leave", "Twelve working days", "All full-time staff"),
        ("Sick leave", "Thirty working days", "Staff with a note"),
        ("Wedding leave", "Three calendar days", "Staff who get married"),
    ]
    stream = "".join(
        show(cell, 40 + 180 * column, 700 - 14 * row)
        for row, line in enumerate(rows)
        for column, cell in enumerate(line)
    )

    assert text_of(make_pdf(stream)).split("\n")[0] == (
        "Kind of leave: Annual leave | Days in a year: Twelve working days | Who may take it: All full-time staff"
    )


def test_aligned_cells_without_rules_are_rows() -> None:
    rows = [("City", "Route", "Fare"), ("Hue", "R1", "101,000"), ("Vinh", "R2", "102,000"), ("Hanoi", "R3", "99,000")]
    stream = "".join(
        show(cell, 60 + 150 * column, 700 - 14 * row)
        for row, line in enumerate(rows)
        for column, cell in enumerate(line)
    )

    assert text_of(make_pdf(stream)).split("\n") == [
        "City: Hue | Route: R1 | Fare: 101,000",
        "City: Vinh | Route: R2 | Fare: 102,000",
        "City: Hanoi | Route: R3 | Fare: 99,000",
    ]


# Tables -------------------------------------------------------------------------------------------------------------


def test_a_table_that_goes_on_keeps_the_names_of_its_columns() -> None:
    """The second page repeats the header or does not; either way each row is understood alone, and none is lost."""
    header = ("Route", "Fare", "Start")
    first = make_table(header, ("R1", "101,000", "1:30"), ("R2", "102,000", "2:30"), y=120)
    second = make_table(header, ("R3", "103,000", "3:30"), ("R4", "104,000", "4:30"), y=740)
    third = make_table(("R5", "105,000", "5:30"), ("R6", "106,000", "6:30"), y=740)

    lines = text_of(make_pdf(show("Fares") + first, second, third)).split("\n")

    assert lines[2:] == [f"Route: R{n} | Fare: 10{n},000 | Start: {n}:30" for n in range(1, 7)]


def test_a_table_with_a_title_of_its_own_is_another_table() -> None:
    first = make_table(("Route", "Fare", "Start"), ("R1", "1,000", "1:30"), y=120)
    second = make_table(("Zone", "Price", "End"), ("Z1", "2,000", "2:30"), y=700)

    text = text_of(make_pdf(first, show("Prices by zone", y=760, font="B") + second))

    assert "Zone: Z1 | Price: 2,000 | End: 2:30" in text


def test_a_merged_cell_counts_for_each_of_its_rows() -> None:
    xs, ys = [60, 180, 300, 420], [714, 694, 674, 654]
    rules = "".join(rule(x, 714, x, 654) for x in xs) + "".join(rule(60, y, 420, y) for y in (714, 694, 654))
    rules += rule(180, 674, 420, 674)
    words = [
        ("Group", 0, 0),
        ("Days", 1, 0),
        ("Pay", 2, 0),
        ("Staff", 0, 1),
        ("12", 1, 1),
        ("full", 2, 1),
        ("3", 1, 2),
        ("half", 2, 2),
    ]
    stream = rules + "".join(show(word, xs[x] + 4, ys[y] - 14) for word, x, y in words)

    assert text_of(make_pdf(stream)).split("\n") == [
        "Group: Staff | Days: 12 | Pay: full",
        "Group: Staff | Days: 3 | Pay: half",
    ]


def test_rows_without_rules_between_them_are_split_by_their_lines() -> None:
    """Statements rule off every third row; lines at one height in all cells are a row, wrapped words are not."""
    xs, ys = [60, 180, 300, 420], [714, 694, 640, 600]
    rows = [("North", "1,000", "10%"), ("South", "2,000", "20%"), ("East", "3,000", "30%")]
    cells = "".join(show(cell, 64 + 120 * x, 682 - 16 * y) for y, row in enumerate(rows) for x, cell in enumerate(row))
    header = "".join(show(name, 64 + 120 * x, 700) for x, name in enumerate(("Area", "Sales", "Share")))
    wrapped = (
        show("All areas of", 64, 628) + show("the country", 64, 612) + show("6,000", 184, 628) + show("60%", 304, 628)
    )

    assert text_of(make_pdf(grid(xs, ys) + header + cells + wrapped)).split("\n") == [
        "Area: North | Sales: 1,000 | Share: 10%",
        "Area: South | Sales: 2,000 | Share: 20%",
        "Area: East | Sales: 3,000 | Share: 30%",
        "Area: All areas of the country | Sales: 6,000 | Share: 60%",
    ]


def test_the_names_of_empty_columns_are_not_lost() -> None:
    text = text_of(make_pdf(make_table(("Kind", "Days", "Signed"), ("Annual", "12", ""), ("Wedding", "3", ""))))

    assert text.split("\n") == ["Kind | Days | Signed", "Kind: Annual | Days: 12", "Kind: Wedding | Days: 3"]


def test_a_title_across_all_columns_is_no_name_of_them() -> None:
    table = make_table(("Kind", "Days", "Pay"), ("Annual", "12", "full"), ("Wedding", "3", "full"))
    title = rule(60, 734, 420, 734) + rule(60, 714, 60, 734) + rule(420, 714, 420, 734) + show("Leave", 64, 720)

    assert text_of(make_pdf(title + table)).split("\n")[:2] == ["Leave", "Kind: Annual | Days: 12 | Pay: full"]


def test_cells_hold_lines_and_text_around_a_table_stays_in_its_place() -> None:
    table = make_table(("Kind", "Days", "Pay"), ("Annual", "12", "full"), ("Wedding", "3", "full")) + show(
        "leave", 64, 671
    )
    stream = show("Before it.", y=740) + table + show("After it.", y=600)

    text = text_of(make_pdf(stream))

    assert text.startswith("Before it.\n\nKind: Annual leave | Days: 12 | Pay: full\n")
    assert text.endswith("\n\nAfter it.")


def test_a_frame_around_text_is_no_table() -> None:
    stream = grid([50, 550], [720, 640]) + show_lines("A framed note of the", "page is a paragraph.")

    assert text_of(make_pdf(stream)) == "A framed note of the page is a paragraph."


# Forms --------------------------------------------------------------------------------------------------------------


def make_form(stream: str, *fields: str) -> bytes:
    numbers = " ".join(f"{20 + at} 0 R" for at in range(len(fields)))
    objects = [f"<</Type/Annot/Subtype/Widget/F 4/P 100 0 R {own}>>" for own in fields]
    return make_pdf(stream, catalog=f"/AcroForm<</Fields[{numbers}]>>", page=f"/Annots[{numbers}]", objects=objects)


def test_the_values_of_a_form_stand_beside_their_labels() -> None:
    stream = show("Name", 60, 700) + show("Salary:", 60, 670) + show("I agree", 90, 640) + show("I refuse", 90, 610)
    data = make_form(
        stream,
        "/FT/Tx/T(n)/V(Nguyen Van A)/Rect[150 696 350 712]",
        "/FT/Tx/T(s)/V(20 million)/Rect[150 666 350 682]",
        "/FT/Btn/T(a)/V/Yes/AS/Yes/AP<</N<</Yes null/Off null>>>>/Rect[60 638 75 653]",
        "/FT/Btn/T(r)/V/Off/AS/Off/AP<</N<</Yes null/Off null>>>>/Rect[60 608 75 623]",
        "/FT/Tx/T(Remarks)/V(none)/Rect[60 500 350 516]",
    )

    assert text_of(data).split("\n") == [
        "Name: Nguyen Van A",
        "Salary: 20 million",
        "[x] I agree",
        "[ ] I refuse",
        "Remarks: none",
    ]


def test_what_was_typed_on_the_page_is_read_and_comments_are_named() -> None:
    stream = show("Name:", 60, 700) + show_lines("A line of the text goes on", "and on to its end.", y=600)
    objects = [
        "<</Type/Annot/Subtype/FreeText/F 4/Rect[100 696 300 712]/DA(/F 11 Tf)/Contents(Nguyen Van A)>>",
        "<</Type/Annot/Subtype/FreeText/F 4/Rect[250 596 300 612]/DA(/F 11 Tf)/Contents(Approved)>>",
        "<</Type/Annot/Subtype/FreeText/F 2/Rect[250 396 300 412]/DA(/F 11 Tf)/Contents(Hidden)>>",
        "<</Type/Annot/Subtype/Text/F 4/Rect[250 300 270 320]/Contents(Is this right?)>>",
    ]

    document = document_of(make_pdf(stream, page="/Annots[20 0 R 21 0 R 22 0 R 23 0 R]", objects=objects))

    assert document.text.split("\n\n") == [
        "Name: Nguyen Van A",
        "A line of the text goes on and on to its end.",
        "Approved",
    ]
    assert document.warnings == ("page 1: comments are left out",)


def test_attached_files_are_named() -> None:
    objects = [
        "<</Type/Filespec/F(fees.csv)/UF(fees.csv)/EF<</F 21 0 R>>>>",
        "<</Type/EmbeddedFile/Length 1>>stream\nA\nendstream",
    ]
    data = make_pdf(
        show("See the file."), catalog="/Names<</EmbeddedFiles<</Names[(fees.csv) 20 0 R]>>>>", objects=objects
    )

    assert document_of(data).warnings == ('attached files are not read: "fees.csv"',)


# Fonts --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "codes",
    [
        pytest.param("00240025002600270028", id="symbols"),
        pytest.param("002F0048004400590048000300520049", id="shifted letters and control characters"),
    ],
)
def test_a_page_in_a_font_without_meaning_is_left_out_by_its_number(codes: str) -> None:
    """What cannot be read is not indexed as `!"#$`, and the pages that can be read are."""
    font = (
        "<</Type/Font/Subtype/Type0/BaseFont/ABCDEF+Own/Encoding/Identity-H/DescendantFonts[<</Type/Font"
        "/Subtype/CIDFontType2/BaseFont/ABCDEF+Own"
        "/CIDSystemInfo<</Registry(Adobe)/Ordering(Identity)/Supplement 0>>>>]>>"
    )
    words = "".join(f"BT /B 11 Tf 60 {700 - 14 * n} Td <{codes}> Tj ET\n" for n in range(9))
    data = make_pdf(show("It can be read."), words, objects=[font]).replace(b"/B 4 0 R", b"/B 20 0 R")

    document = document_of(data)

    assert document.text == "It can be read."
    assert document.warnings == ("page 2: the characters have no known meaning, so the text is left out",)


def test_the_signs_of_a_program_in_a_font_of_their_own_stay() -> None:
    words = "".join(show("value", 60, 700 - 14 * n) + show('">>+', 92, 700 - 14 * n, font="B") for n in range(20))

    assert text_of(make_pdf(words)).count('">>+') == 20


# Layout -------------------------------------------------------------------------------------------------------------


def test_a_bold_article_is_a_heading_whatever_its_distance() -> None:
    """Laws are set without a gap: `Điều 2` begins an article by its name."""
    texts = [
        ("Điều 1. Phạm vi", True),
        ("1. Luật này quy định về lao động.", False),
        ("Điều 2. Đối tượng", True),
        ("a) Cơ quan;", False),
    ]
    lines = [Line(text, 1, 10, bold, 60, 300, 700 - 14 * at) for at, (text, bold) in enumerate(texts)]

    assert [block.text for block in to_blocks([lines]) if block.level] == ["Điều 1. Phạm vi", "Điều 2. Đối tượng"]
