"""Presentations: slides are pages, and nothing that an audience reads is lost without a word."""

import io
from collections.abc import Callable
from pathlib import Path

import pptx
import pytest
from lxml import etree
from PIL import Image
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.oxml.ns import qn
from pptx.presentation import Presentation
from pptx.slide import Slide
from pptx.util import Inches

from rag.types import Document
from tests.unit.parsing_files import make_bomb, make_zip, mark_encrypted, read_file, reason_of

TITLE, BULLETS, TITLE_ONLY, BLANK = 0, 1, 5, 6  # layouts of python-pptx's own template

OLD_POWERPOINT = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512)


def make_pptx(fill: Callable[[Presentation], object], title: str = "") -> bytes:
    presentation = pptx.Presentation()
    presentation.core_properties.title = title
    fill(presentation)
    file = io.BytesIO()
    presentation.save(file)
    return file.getvalue()


def add_slide(presentation: Presentation, layout: int, title: str = "") -> Slide:
    slide = presentation.slides.add_slide(presentation.slide_layouts[layout])
    if title:
        slide.shapes.title.text = title
    return slide


def read(fill: Callable[[Presentation], object], folder: Path, title: str = "") -> Document:
    return read_file(folder, "a.pptx", make_pptx(fill, title))


def test_slides_are_pages_with_their_titles_as_headings(tmp_path: Path) -> None:
    """A citation leads to the slide; the title comes first, wherever it stands in the file."""

    def fill(presentation: Presentation) -> None:
        cover = add_slide(presentation, TITLE, "Kế hoạch 2026")
        cover.placeholders[1].text = "Phòng Nhân sự"
        body = add_slide(presentation, BULLETS)
        body.placeholders[1].text = "Nghỉ phép\n12 ngày"
        body.shapes.title.text = "Nội dung"

    document = read(fill, tmp_path)

    assert document.title == "Kế hoạch 2026"
    assert document.text == "Kế hoạch 2026\n\nPhòng Nhân sự\n\nNội dung\n\n- Nghỉ phép\n- 12 ngày"
    assert [(heading.level, heading.text) for heading in document.headings] == [(1, "Kế hoạch 2026"), (2, "Nội dung")]
    assert [document.text[page.start : page.end].strip()[:8] for page in document.pages] == ["Kế hoạch", "Nội dung"]


@pytest.mark.parametrize(("title", "expected"), [("Sổ tay", "Sổ tay"), ("PowerPoint Presentation", "Bìa")])
def test_the_core_title_comes_first_unless_the_program_made_it_up(title: str, expected: str, tmp_path: Path) -> None:
    assert read(lambda presentation: add_slide(presentation, TITLE, "Bìa"), tmp_path, title).title == expected


def test_tables_groups_and_notes_are_read(tmp_path: Path) -> None:
    def fill(presentation: Presentation) -> None:
        slide = add_slide(presentation, TITLE_ONLY, "Bảng")
        table = slide.shapes.add_table(3, 2, 0, 0, Inches(4), Inches(2)).table
        for at, text in enumerate(["Cấp", "Phép", "1", "12 ngày", "2", "14 ngày"]):
            table.cell(at // 2, at % 2).text = text
        group = slide.shapes.add_group_shape()
        group.shapes.add_textbox(0, 0, 9, 9).text_frame.text = "trong nhóm"
        slide.notes_slide.notes_text_frame.text = "Lời của người nói"

    document = read(fill, tmp_path)

    assert document.text == (
        "Bảng\n\nCấp: 1 | Phép: 12 ngày\nCấp: 2 | Phép: 14 ngày\n\ntrong nhóm\n\nLời của người nói"
    )


def test_merged_cells_of_a_table_keep_their_columns(tmp_path: Path) -> None:
    def fill(presentation: Presentation) -> None:
        table = add_slide(presentation, BLANK).shapes.add_table(3, 3, 0, 0, Inches(4), Inches(2)).table
        table.cell(0, 1).merge(table.cell(0, 2))
        table.cell(1, 0).merge(table.cell(2, 0))
        for row, column, text in [(0, 0, "Khu"), (0, 1, "Giá"), (1, 0, "Bắc"), (1, 1, "1"), (1, 2, "2"), (2, 2, "3")]:
            table.cell(row, column).text = text

    assert read(fill, tmp_path).text == "Khu: Bắc | Giá: 1 | Giá: 2\nKhu: Bắc | Giá: 3"


def test_automatic_numbers_are_counted(tmp_path: Path) -> None:
    """They are in no text; each level has its own, which a higher one begins anew."""
    steps = [(0, "arabicPeriod"), (1, "alphaLcParenR"), (1, "alphaLcParenR"), (0, "arabicPeriod"), (1, "alphaLcParenR")]

    def fill(presentation: Presentation) -> None:
        frame = add_slide(presentation, BULLETS, "Các bước").placeholders[1].text_frame
        frame.text = "mở đầu"
        for number, (level, kind) in enumerate(steps):
            paragraph = frame.add_paragraph()
            paragraph.text = f"bước {number}"
            paragraph.level = level
            mark = etree.SubElement(paragraph._p.get_or_add_pPr(), qn("a:buAutoNum"), type=kind)
            if level == 0:
                mark.set("startAt", "3")

    assert read(fill, tmp_path).text.split("\n\n")[-1].split("\n") == [
        "- mở đầu",
        "3. bước 0",
        "a) bước 1",
        "b) bước 2",
        "4. bước 3",
        "a) bước 4",
    ]


def test_a_chart_gives_the_figures_that_it_shows(tmp_path: Path) -> None:
    """Its values are stored beside the picture that a person sees."""

    def fill(presentation: Presentation) -> None:
        data = CategoryChartData(number_format="0.0%")
        data.categories = ["Quý 1", "Quý 2"]
        data.add_series("Doanh thu", (0.1 + 0.2, 0.25))
        data.add_series("Chi phí", (1, 2), number_format="General")
        slide = add_slide(presentation, BLANK)
        chart = slide.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, 0, 0, Inches(4), Inches(3), data).chart
        chart.has_title = True
        chart.chart_title.text_frame.text = "Tăng trưởng"

    assert read(fill, tmp_path).text == (
        "Tăng trưởng\n\nQuý 1 | Doanh thu: 30.0% | Chi phí: 1\nQuý 2 | Doanh thu: 25.0% | Chi phí: 2"
    )


def test_shapes_in_alternate_content_are_read_once(tmp_path: Path) -> None:
    """PowerPoint puts what old versions do not know there, with a copy for these."""

    def fill(presentation: Presentation) -> None:
        tree = add_slide(presentation, BLANK).shapes
        shape = tree.add_textbox(0, 0, 9, 9)
        shape.text_frame.text = "công thức"
        space = "http://schemas.openxmlformats.org/markup-compatibility/2006"
        alternatives = etree.SubElement(tree._spTree, f"{{{space}}}AlternateContent")
        choice = etree.SubElement(alternatives, f"{{{space}}}Choice", Requires="a14")
        fallback = etree.SubElement(alternatives, f"{{{space}}}Fallback")
        fallback.append(etree.fromstring(etree.tostring(shape._element)))
        choice.append(shape._element)

    assert read(fill, tmp_path).text == "công thức"


def test_raised_figures_stay_raised_and_struck_ones_go(tmp_path: Path) -> None:
    """10² is not 102, and a struck price is not in force."""

    def fill(presentation: Presentation) -> None:
        paragraph = add_slide(presentation, BLANK).shapes.add_textbox(0, 0, 9, 9).text_frame.paragraphs[0]
        for text, attribute, value in [
            ("10", "baseline", "0"),
            ("2", "baseline", "30000"),
            (" H", "b", "1"),
            ("2", "baseline", "-25000"),
            ("O", "strike", "noStrike"),
            ("5", "strike", "sngStrike"),
        ]:
            run = paragraph.add_run()
            run.text = text
            run._r.get_or_add_rPr().set(attribute, value)

    document = read(fill, tmp_path)

    assert document.text == "10² H₂O"
    assert document.warnings == ("slide 1: struck-out text is not in the text",)


def test_what_is_not_in_the_text_is_told(tmp_path: Path) -> None:
    """Hidden slides and shapes, and pictures that may hold text."""

    def fill(presentation: Presentation) -> None:
        picture = io.BytesIO()
        Image.new("RGB", (9, 9)).save(picture, "PNG")
        slide = add_slide(presentation, TITLE_ONLY, "Ảnh")
        slide.shapes.add_picture(picture, 0, 0, Inches(6), Inches(6))
        slide.shapes.add_picture(picture, 0, 0, Inches(1), Inches(1))  # a logo
        secret = slide.shapes.add_textbox(0, 0, 9, 9)
        secret.text_frame.text = "mật"
        secret._element.nvSpPr.cNvPr.set("hidden", "1")
        add_slide(presentation, TITLE_ONLY, "Ẩn")._element.set("show", "0")

    document = read(fill, tmp_path)

    assert document.text == "Ảnh"
    assert document.warnings == (
        "slide 1: a hidden shape is not in the text",
        "slide 1: a picture, whose text is not read",
        "slide 2 is hidden and not in the text",
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(OLD_POWERPOINT, "encrypted, or in the old .ppt format", id="encrypted"),
        pytest.param(b"PK\x03\x04", "the file is broken: not readable as PPTX", id="no archive"),
        pytest.param(make_zip({"a.xml": "<a/>"}), "the file is broken: not readable as PPTX", id="another archive"),
        pytest.param(make_pptx(lambda _: None)[:9000], "the file is broken: not readable as PPTX", id="cut"),
        pytest.param(make_pptx(lambda _: None), "it holds no text", id="empty"),
        pytest.param(mark_encrypted(make_pptx(lambda _: None)), "encrypted", id="encrypted archive"),
        pytest.param(make_bomb("ppt/slides/slide1.xml"), "too large when unpacked", id="bomb"),
    ],
)
def test_what_is_no_presentation_is_refused(data: bytes, reason: str, tmp_path: Path) -> None:
    assert reason_of(tmp_path, "a.pptx", data) == reason
