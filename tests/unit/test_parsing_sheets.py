"""Sheets: each row names its columns, and no figure changes."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import xlsxwriter
import xlwt
from xlsxwriter.workbook import Workbook

from rag.errors import ParseError
from rag.parsing.sheets import show_formatted, show_number
from tests.unit.parsing_files import make_bomb, make_zip, mark_encrypted, read_file, reason_of

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512)
Rows = Sequence[Sequence[object]]


def make_xlsx(fill: Callable[[Workbook], object]) -> bytes:
    file = io.BytesIO()
    with xlsxwriter.Workbook(file) as workbook:
        fill(workbook)
    return file.getvalue()


def make_sheet(rows: Rows, *merges: tuple[int, int, int, int, str]) -> bytes:
    def fill(workbook: Workbook) -> None:
        sheet = workbook.add_worksheet()
        for at, row in enumerate(rows):
            sheet.write_row(at, 0, row)
        for merge in merges:
            sheet.merge_range(*merge)

    return make_xlsx(fill)


def make_xls(fill: Callable[[xlwt.Workbook], object]) -> bytes:
    workbook = xlwt.Workbook()
    fill(workbook)
    file = io.BytesIO()
    workbook.save(file)
    return file.getvalue()


def read_rows(rows: Rows, folder: Path) -> list[str]:
    return read_file(folder, "a.xlsx", make_sheet(rows)).text.split("\n")


# Tables in a grid ---------------------------------------------------------------------------------------------------


def test_each_row_names_its_columns(tmp_path: Path) -> None:
    """A row is found and quoted alone."""
    rows: Rows = [["Mã", "Tên hàng", "Giá"], ["A01", "Bút", 5000], ["A02", "Giấy", ""]]

    assert read_rows(rows, tmp_path) == ["Mã: A01 | Tên hàng: Bút | Giá: 5000", "Mã: A02 | Tên hàng: Giấy"]


def test_titles_above_a_table_are_no_names_of_columns(tmp_path: Path) -> None:
    """Sheets begin with a title, a unit, an empty row; the title is the heading of what follows."""
    rows: Rows = [["BẢNG LƯƠNG"], ["Đơn vị: đồng"], ["Họ tên", "Lương", "Phép"], ["Hằng", 15, 12], ["Đức", 12, 14]]

    document = read_file(tmp_path, "bang-luong.xlsx", make_sheet(rows))

    assert document.text == (
        "BẢNG LƯƠNG\n\nĐơn vị: đồng\n\nHọ tên: Hằng | Lương: 15 | Phép: 12\nHọ tên: Đức | Lương: 12 | Phép: 14"
    )
    assert [heading.text for heading in document.headings] == ["BẢNG LƯƠNG"]
    assert document.title == "bang luong"


def test_columns_stay_after_a_blank_row_and_change_with_a_new_table(tmp_path: Path) -> None:
    rows: Rows = [["Tên", "Năm", "Giá"], ["a", 1, 2], [], ["b", 3, 4], [], ["Quý", "Thu", "Chi"], ["I", 5, 6]]

    assert [line for line in read_rows(rows, tmp_path) if line] == [
        "Tên: a | Năm: 1 | Giá: 2",
        "Tên: b | Năm: 3 | Giá: 4",
        "Quý: I | Thu: 5 | Chi: 6",
    ]


def test_empty_columns_are_nothing(tmp_path: Path) -> None:
    rows: Rows = [["", "Tên", "", "Giá", "", "Số"], ["", "a", "", 1, "", 2]]

    assert read_rows(rows, tmp_path) == ["Tên: a | Giá: 1 | Số: 2"]


def test_names_of_columns_without_values_are_read_once(tmp_path: Path) -> None:
    """A form that nobody has filled in says what it asks for."""
    rows: Rows = [["Họ tên", "Lương", "Ghi chú", "Ký tên"], ["Hằng", 15], [], ["Đức", 12]]

    assert [line for line in read_rows(rows, tmp_path) if line] == [
        "Ghi chú | Ký tên",
        "Họ tên: Hằng | Lương: 15",
        "Đức: 12",
    ]


def test_years_may_name_columns_and_rows_of_figures_do_not(tmp_path: Path) -> None:
    named: Rows = [["Chỉ tiêu", 2024, 2025], ["Doanh thu", 100, 200]]
    unnamed: Rows = [["a1", 1, 2], ["b2", 3, 4]]

    assert read_rows(named, tmp_path) == ["Chỉ tiêu: Doanh thu | 2024: 100 | 2025: 200"]
    assert read_rows(unnamed, tmp_path) == ["a1 | 1 | 2", "b2 | 3 | 4"]


def test_two_columns_are_names_and_values(tmp_path: Path) -> None:
    """Taken for the names of columns, the first row would say wrong things of the others."""
    assert read_rows([["Tên", "Tre Xanh"], ["Năm", 2019]], tmp_path) == ["Tên: Tre Xanh", "Năm: 2019"]


def test_merged_cells_count_for_all_that_they_cover(tmp_path: Path) -> None:
    """Names over several columns, and groups over several rows."""
    rows: Rows = [["", "", ""], ["", "Nam", "Nữ"], ["", 1, 2], ["", 3, 4]]

    document = read_file(
        tmp_path, "a.xlsx", make_sheet(rows, (0, 1, 0, 2, "Số người"), (0, 0, 1, 0, "Khu"), (2, 0, 3, 0, "Bắc"))
    )

    assert document.text == ("Khu: Bắc | Số người Nam: 1 | Số người Nữ: 2\nKhu: Bắc | Số người Nam: 3 | Số người Nữ: 4")


# Figures ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1234.5000000001, "1234.5"),
        (0.1 + 0.2, "0.3"),
        (1 / 3, "0.333333333333333"),
        (15000000.0, "15000000"),
        (123456789012.0, "123456789012"),
        (12345678901.55, "12345678901.55"),
        (1000000000000.01, "1000000000000.01"),
        (100.0000001, "100.0000001"),
        (1.2e-9, "0.0000000012"),
        (1e20, "100000000000000000000"),
        (-0.5, "-0.5"),
        (0, "0"),
    ],
)
def test_a_number_is_shown_without_noise_and_without_exponent(value: float, shown: str) -> None:
    assert show_number(value) == shown


@pytest.mark.parametrize(
    ("value", "code", "shown"),
    [
        ("0.155", "0.0%", "15.5%"),
        ("0.125", "0%", "13%"),
        ("0.12", "0.00%", "12.00%"),
        ("46024", "dd/mm/yyyy", "2026-01-02"),
        ("46024.5", "d/m/yy hh:mm", "2026-01-02 12:00"),
        ("5000", '#,##0 "đồng mỗi ngày"', "5000"),
        ("5000", "[Red]#,##0", "5000"),
        ("5", "General", "5"),
        ("Quý 1", "0%", "Quý 1"),
    ],
)
def test_a_stored_number_is_shown_in_its_format(value: str, code: str, shown: str) -> None:
    assert show_formatted(value, code) == shown


def test_excel_shows_percentages_dates_and_times(tmp_path: Path) -> None:
    """What a person sees: 15.5% is stored as 0.155, and a day as a number."""

    def fill(workbook: Workbook) -> None:
        sheet = workbook.add_worksheet()
        sheet.write_number(1, 1, 0.155, workbook.add_format({"num_format": "0.0%"}))
        sheet.write_number(1, 2, 46024, workbook.add_format({"num_format": "dd/mm/yyyy"}))
        sheet.write_number(1, 3, 46024 + 8.5 / 24, workbook.add_format({"num_format": "d/m/yy hh:mm"}))
        sheet.write_number(1, 4, (26 + 5 / 60) / 24, workbook.add_format({"num_format": "[h]:mm"}))
        sheet.write_boolean(1, 5, True)
        sheet.write_formula(1, 6, "=1+1", None, 1234.5000000001)

    text = read_file(tmp_path, "a.xlsx", make_xlsx(fill)).text

    assert text == "15.5% | 2026-01-02 | 2026-01-02 08:30 | 26:05 | TRUE | 1234.5"


# Workbooks ----------------------------------------------------------------------------------------------------------


def test_sheets_are_sections_and_what_is_left_out_is_told(tmp_path: Path) -> None:
    def fill(workbook: Workbook) -> None:
        workbook.set_properties({"title": "Giá năm 2026"})
        prices, secret, other = (workbook.add_worksheet(name) for name in ("Bảng giá", "Mật", "Khác"))
        prices.write_row(0, 0, ["Bút", 5000])
        prices.write_formula(1, 0, "=1/0", None, "#DIV/0!")
        prices.write_comment(0, 0, "giá cũ")
        prices.insert_textbox(5, 0, "hộp chữ")
        secret.write(0, 0, "lương")
        secret.hide()
        other.write(0, 0, "ghi chú")

    document = read_file(tmp_path, "a.xlsx", make_xlsx(fill))

    assert document.title == "Giá năm 2026"
    assert document.text == "Bảng giá\n\nBút: 5000\n\nKhác\n\nghi chú"
    assert [(heading.level, heading.text) for heading in document.headings] == [(2, "Bảng giá"), (2, "Khác")]
    assert document.warnings == (
        "the comments on cells are not in the text",
        "the texts in drawings are not in the text",
        "sheet “Bảng giá”: 1 cells have an error or no stored value",
        "the hidden sheet “Mật” is not in the text",
    )


def test_old_workbooks_are_read_alike(tmp_path: Path) -> None:
    def fill(workbook: xlwt.Workbook) -> None:
        sheet = workbook.add_sheet("Bảng giá")
        rows: Rows = [["Hàng", "Đơn vị", "Giá"], ["Bút", "cái", 5000.5], ["Giấy", "ram", 0.1 + 0.2]]
        for at, row in enumerate(rows):
            for column, value in enumerate(row):
                sheet.write(at, column, value)
        hidden = workbook.add_sheet("Ẩn")
        hidden.visibility = 1
        hidden.write(0, 0, "mật")

    document = read_file(tmp_path, "a.xls", make_xls(fill))

    assert document.text == ("Bảng giá\n\nHàng: Bút | Đơn vị: cái | Giá: 5000.5\nHàng: Giấy | Đơn vị: ram | Giá: 0.3")
    assert document.warnings == ("the hidden sheet “Ẩn” is not in the text",)


def test_the_suffix_of_an_old_workbook_may_stand_for_a_new_one(tmp_path: Path) -> None:
    """Many programs write it so."""
    assert read_file(tmp_path, "a.xls", make_sheet([["a", "b"]])).text == "a: b"


@pytest.mark.parametrize("at", range(512, 1024, 24))
def test_a_broken_old_workbook_ends_no_process(at: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """calamine panics on some, and on others asks for 100 GB and aborts; both are said as one reason."""
    data = make_xls(lambda workbook: workbook.add_sheet("a").write(0, 0, "x"))
    broken = data[:at] + b"\xff" * 8 + data[at + 8 : -100]
    try:
        text = read_file(tmp_path, "a.xls", broken).text
    except ParseError as error:
        text = str(error)

    assert text
    assert capfd.readouterr() == ("", "")


def make_far(workbook: Workbook) -> None:
    sheet = workbook.add_worksheet()
    sheet.write(0, 0, "a")
    sheet.write(1048575, 16383, "b")


def make_far_format(workbook: Workbook) -> None:
    sheet = workbook.add_worksheet()
    sheet.write(0, 0, "a")
    sheet.write_blank(1048575, 16383, None, workbook.add_format({"bold": True}))


def make_old_far(workbook: xlwt.Workbook) -> None:
    sheet = workbook.add_sheet("a")
    sheet.write(0, 0, "a")
    sheet.write(65535, 255, "b")


def make_repeated(workbook: Workbook) -> None:
    """A long text that a thousand cells share."""
    sheet = workbook.add_worksheet()
    for row in range(1000):
        sheet.write(row, 0, "x" * 32_000)


def test_cells_in_far_corners_are_refused_and_not_laid_out(tmp_path: Path) -> None:
    """calamine would take 512 GiB for these two cells, and end the process."""
    new, old = "a sheet spans more than 10,000,000 cells", "too much text: more than 10,000,000 cells"

    assert reason_of(tmp_path, "a.xlsx", make_xlsx(make_far)) == new
    assert reason_of(tmp_path, "a.xls", make_xls(make_old_far)).startswith(old)
    assert read_file(tmp_path, "a.xlsx", make_xlsx(make_far_format)).text == "a"


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        pytest.param("a.xlsx", OLE, "encrypted, or in the old .xls format", id="encrypted"),
        pytest.param("a.xlsx", b"PK\x03\x04", "the file is broken: not readable as XLSX", id="no archive"),
        pytest.param(
            "a.xlsx", make_zip({"a.xml": "<a/>"}), "the file is broken, or too large: its sheets cannot be", id="other"
        ),
        pytest.param("a.xlsx", make_sheet([["a"]])[:3000], "the file is broken: not readable as XLSX", id="cut"),
        pytest.param("a.xlsx", make_sheet([]), "it holds no text", id="empty"),
        pytest.param("a.xlsm", mark_encrypted(make_sheet([["a"]])), "encrypted", id="encrypted archive"),
        pytest.param("a.xlsx", make_bomb("xl/worksheets/sheet1.xml"), "too large when unpacked", id="bomb"),
        pytest.param(
            "a.xlsx",
            make_xlsx(make_repeated),
            "too much text: more than 10,000,000 cells or 10,000,000 characters",
            id="repeated text",
        ),
        pytest.param("a.xls", OLE, "the file is broken, or too large: its sheets", id="broken old workbook"),
        pytest.param("a.xls", OLE + "EncryptedPackage".encode("utf-16-le"), "encrypted", id="encrypted old workbook"),
        pytest.param(
            "a.xls", OLE + b"\t\x08\x10\0\0\x06\x05\0" + bytes(12) + b"/\0\x36\0", "encrypted", id="encrypted cells"
        ),
        pytest.param("a.xls", b"hello", "the file is broken: not readable as XLS", id="no old workbook"),
    ],
)
def test_what_is_no_workbook_is_refused(name: str, data: bytes, reason: str, tmp_path: Path) -> None:
    assert reason_of(tmp_path, name, data).startswith(reason)


# CSV ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("Mã,Tên,Giá\nA1,Bút,5.000\n", "Mã: A1 | Tên: Bút | Giá: 5.000", id="commas"),
        pytest.param("Mã;Tên;Giá\r\nA1;Bút;1,5\r\n", "Mã: A1 | Tên: Bút | Giá: 1,5", id="semicolons"),
        pytest.param("Mã\tTên\tGiá\nA1\tBút, mực\t5\n", "Mã: A1 | Tên: Bút, mực | Giá: 5", id="tabs"),
        pytest.param("Mã|Tên|Giá\nA1|Bút|5\n", "Mã: A1 | Tên: Bút | Giá: 5", id="bars"),
        pytest.param("sep=;\nMã;Tên;Giá\nA1;Bút;5\n", "Mã: A1 | Tên: Bút | Giá: 5", id="Excel's own line"),
        pytest.param('Hỏi,Đáp\n"Phép, mấy ngày?","12\nngày"\n', "Hỏi: Phép, mấy ngày? | Đáp: 12 ngày", id="quotes"),
        pytest.param("Ghi chú\nXin chào, bạn\nHết\n", "Ghi chú\nXin chào, bạn\nHết", id="one column"),
        pytest.param("a,b,c\n1,2,3\n4,5,6,7\n8\n", "a: 1 | b: 2 | c: 3\na: 4 | b: 5 | c: 6 | 7\n8", id="ragged"),
        pytest.param("x,y,z\n1234.5000000001,007,1e5\n", "x: 1234.5000000001 | y: 007 | z: 1e5", id="figures stay"),
    ],
)
def test_csv_is_read_with_the_delimiter_that_it_has(text: str, expected: str, tmp_path: Path) -> None:
    assert read_file(tmp_path, "a.csv", text.encode()).text == expected
    assert read_file(tmp_path, "a.tsv", text.encode("utf-16")).text == expected


def test_a_quotation_mark_that_is_never_closed_loses_nothing(tmp_path: Path) -> None:
    """It would make one cell of all lines below it."""
    document = read_file(tmp_path, "a.csv", b'a,b,c\n"x,y,z\n1,2,3\n')

    assert document.text == 'a: "x | b: y | c: z\na: 1 | b: 2 | c: 3'
    assert document.warnings == (
        "a quotation mark is not closed or stands inside a cell: all of them are read as text",
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "the file is empty", id="empty"),
        pytest.param(b",,,\n,,,\n", "it holds no text", id="no cells"),
        pytest.param(
            b"," * 9_999 + b"\na,b" * 9_999, "its lines and columns make more than", id="a long line above many"
        ),
        pytest.param(b"a\x00b,c", "it is not text: it holds NUL bytes", id="binary"),
        pytest.param(make_sheet([["a"]]), "it is not text: its content is ZIP", id="a workbook in disguise"),
    ],
)
def test_what_is_no_csv_is_refused(data: bytes, reason: str, tmp_path: Path) -> None:
    assert reason_of(tmp_path, "a.csv", data).startswith(reason)
