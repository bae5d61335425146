"""The title of an official Vietnamese document is its type and its name, not the motto above them."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Final

import docx
import pytest

from rag.parsing.blocks import Block
from rag.parsing.official_titles import official_title
from tests.unit.parsing_files import read_file

NATION: Final = "CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM"
MOTTO: Final = "Độc lập - Tự do - Hạnh phúc"
HEAD: Final = ("CHÍNH PHỦ", NATION, MOTTO, "Số: 15/2025/NĐ-CP", "Hà Nội, ngày 02 tháng 3 năm 2025")
BODY: Final = ("Điều 1. Phạm vi", "Nghị định này quy định về phí.")


def title_of(*lines: str) -> str | None:
    return official_title([Block(line) for line in lines])


@pytest.mark.parametrize(
    ("lines", "title"),
    [
        ((*HEAD, "NGHỊ ĐỊNH", "Quy định về phí", "và lệ phí", "Căn cứ Luật"), "NGHỊ ĐỊNH Quy định về phí và lệ phí"),
        ((*HEAD, "NGHỊ ĐỊNH", "QUY ĐỊNH CHI TIẾT", "VỀ PHÍ", "Chương I"), "NGHỊ ĐỊNH QUY ĐỊNH CHI TIẾT VỀ PHÍ"),
        ((*HEAD, "QUYẾT ĐỊNH", "Về việc bổ nhiệm", "BỘ TRƯỞNG BỘ TÀI CHÍNH"), "QUYẾT ĐỊNH Về việc bổ nhiệm"),
        ((NATION, MOTTO, "HỢP ĐỒNG LAO ĐỘNG", "Số: 7/HĐ", "Điều 1. Công việc"), "HỢP ĐỒNG LAO ĐỘNG"),
        ((NATION, MOTTO, "Luật số: 45/2019/QH14", "BỘ LUẬT LAO ĐỘNG", "Căn cứ Hiến pháp"), "BỘ LUẬT LAO ĐỘNG"),
        ((NATION, MOTTO, "LUẬT", "DOANH NGHIỆP", "Điều 1. Phạm vi"), "LUẬT DOANH NGHIỆP"),
        (("QUỐC HỘI | CỘNG HOÀ XÃ HỘI CHỦ NGHĨA VIỆT NAM", "LUẬT ĐẤT ĐAI", "Điều 1."), "LUẬT ĐẤT ĐAI"),
        ((*HEAD, "NGHỊ ĐỊNH", "Căn cứ Luật Phí"), "NGHỊ ĐỊNH 15/2025/NĐ-CP"),
        ((*HEAD, "Điều 1. Phạm vi"), ""),
        (("Sổ tay nhân viên", "LUẬT CHƠI", "Một."), None),
        (("LUẬT MẪU", "Chương I"), None),
    ],
)  # fmt: skip
def test_the_name_stands_behind_its_type(lines: tuple[str, ...], title: str | None) -> None:
    """On its line or below it; the grounds, the body that decides and the articles are no part of it."""
    assert title_of(*lines) == title


def make_docx(lines: tuple[str, ...]) -> bytes:
    document = docx.Document()
    document.add_heading(lines[1], 1)
    for line in (lines[0], *lines[2:]):
        document.add_paragraph(line)
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


def make_html(lines: tuple[str, ...]) -> bytes:
    return ("<h1>" + lines[1] + "</h1>" + "".join(f"<p>{line}</p>" for line in lines[2:])).encode()


def make_text(lines: tuple[str, ...]) -> bytes:
    return "\n\n".join(lines).encode()


@pytest.mark.parametrize(("name", "make"), [("a.docx", make_docx), ("a.html", make_html), ("a.txt", make_text)])
def test_every_kind_of_file_has_the_name_of_the_law(
    tmp_path: Path, name: str, make: Callable[[tuple[str, ...]], bytes]
) -> None:
    """Whatever its first heading says."""
    lines = (*HEAD, "NGHỊ ĐỊNH", "Quy định về phí", *BODY)

    assert read_file(tmp_path, name, make(lines)).title == "NGHỊ ĐỊNH Quy định về phí"


def test_a_document_without_a_name_has_that_of_its_file(tmp_path: Path) -> None:
    """Neither the motto nor a chapter is one."""
    lines = ("", NATION, MOTTO, "Chương I QUY ĐỊNH CHUNG", *BODY)

    assert read_file(tmp_path, "quy-dinh_2025.html", make_html(lines)).title == "quy dinh 2025"


def test_a_title_of_the_author_stays(tmp_path: Path) -> None:
    """What the file's properties name is believed, if it is not the motto."""
    page = "<title>{}</title>" + make_html((*HEAD, "LUẬT PHÍ", *BODY)).decode()

    assert read_file(tmp_path, "a.html", page.format("Luật Phí 2025").encode()).title == "Luật Phí 2025"
    assert read_file(tmp_path, "a.html", page.format(NATION).encode()).title == "LUẬT PHÍ"
