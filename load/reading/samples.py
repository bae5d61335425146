"""Write files of known content, in Vietnamese and English: `python -m load.reading.samples FOLDER`.

They are written by the libraries of others, in the extractors' environment, so that our reader is measured on what
programs write and not on what our tests imagine. Beside each file stands its content, `NAME.words`, one piece a line.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from load.reading.sample_texts import SAMPLES, Sample

WORDS: Final = ".words"


@dataclass(frozen=True, slots=True)
class _Writer:
    """How to write one kind, and which parts of a sample it holds."""

    write: Callable[[Sample, Path], None]
    parts: str = "heading paragraphs table"


def _write_docx(sample: Sample, path: Path) -> None:
    import docx  # noqa: PLC0415  # each library is imported where its kind is written

    document = docx.Document()
    document.add_heading(sample.heading, 1)
    for text in sample.paragraphs:
        document.add_paragraph(text)
    table = document.add_table(0, len(sample.table[0]))
    for row in sample.table:
        for cell, text in zip(table.add_row().cells, row, strict=True):
            cell.text = text
    document.save(str(path))


def _write_pptx(sample: Sample, path: Path) -> None:
    import pptx  # noqa: PLC0415
    from pptx.util import Inches  # noqa: PLC0415

    presentation = pptx.Presentation()
    slide = presentation.slides.add_slide(presentation.slide_layouts[1])
    slide.shapes.title.text = sample.heading
    slide.placeholders[1].text = "\n".join(sample.paragraphs[:-1])
    slide.notes_slide.notes_text_frame.text = sample.paragraphs[-1]
    slide = presentation.slides.add_slide(presentation.slide_layouts[6])
    size = len(sample.table), len(sample.table[0])
    table = slide.shapes.add_table(*size, Inches(1), Inches(1), Inches(8), Inches(3)).table
    for at, row in enumerate(sample.table):
        for column, text in enumerate(row):
            table.cell(at, column).text = text
    presentation.save(str(path))


def _write_xlsx(sample: Sample, path: Path) -> None:
    import openpyxl  # type: ignore[import-untyped]  # noqa: PLC0415

    workbook = openpyxl.Workbook()
    workbook.active.title = sample.heading[:31]
    for row in sample.table:
        workbook.active.append([_as_number(text) for text in row])
    workbook.save(path)


def _write_xls(sample: Sample, path: Path) -> None:
    import xlwt  # noqa: PLC0415

    workbook = xlwt.Workbook()
    sheet = workbook.add_sheet(sample.heading[:31])
    for at, row in enumerate(sample.table):
        for column, text in enumerate(row):
            sheet.write(at, column, _as_number(text))
    workbook.save(str(path))


def _write_ods(sample: Sample, path: Path) -> None:
    from odf import opendocument, table, text  # type: ignore[import-not-found]  # noqa: PLC0415

    document = opendocument.OpenDocumentSpreadsheet()
    sheet = table.Table(name=sample.heading)
    for row in sample.table:
        line = table.TableRow()
        for value in row:
            number = _as_number(value)
            kind = {"valuetype": "string"} if isinstance(number, str) else {"valuetype": "float", "value": value}
            cell = table.TableCell(**kind)
            cell.addElement(text.P(text=value))
            line.addElement(cell)
        sheet.addElement(line)
    document.spreadsheet.addElement(sheet)
    document.save(str(path))


def _write_odt(sample: Sample, path: Path) -> None:
    from odf import opendocument, table, text  # noqa: PLC0415

    document = opendocument.OpenDocumentText()
    document.text.addElement(text.H(outlinelevel=1, text=sample.heading))
    for paragraph in sample.paragraphs:
        document.text.addElement(text.P(text=paragraph))
    grid = table.Table(name="T")
    for row in sample.table:
        line = table.TableRow()
        for value in row:
            cell = table.TableCell()
            cell.addElement(text.P(text=value))
            line.addElement(cell)
        grid.addElement(line)
    document.text.addElement(grid)
    document.save(str(path))


def _write_rtf(sample: Sample, path: Path) -> None:
    """Write by hand, as no well-kept library writes rich text; characters as Word writes them."""
    lines = [rf"\pard\outlinelevel0 {_to_rtf(sample.heading)}\par"]
    lines += [rf"\pard {_to_rtf(text)}\par" for text in sample.paragraphs]
    edges = "".join(rf"\cellx{3000 * (at + 1)}" for at in range(len(sample.table[0])))
    for row in sample.table:
        cells = "".join(rf"\pard\intbl {_to_rtf(text)}\cell" for text in row)
        lines.append(rf"\trowd{edges}{cells}\row")
    body = "\n".join(lines)
    path.write_text(rf"{{\rtf1\ansi\ansicpg1252\deff0{{\fonttbl{{\f0 Arial;}}}}{body}}}", "ascii")


def _to_rtf(text: str) -> str:
    units = text.encode("utf-16-le")
    codes = [int.from_bytes(units[at : at + 2], "little", signed=True) for at in range(0, len(units), 2)]
    return "".join(chr(code) if 0 <= code < 128 else rf"\u{code}?" for code in codes)


def _write_epub(sample: Sample, path: Path) -> None:
    from ebooklib import epub  # type: ignore[import-not-found]  # noqa: PLC0415

    book = epub.EpubBook()
    book.set_title(sample.heading)
    page = epub.EpubHtml(title=sample.heading, file_name="a.xhtml")
    page.content = _to_html(sample)
    book.add_item(page)
    for item in (epub.EpubNcx(), epub.EpubNav()):
        book.add_item(item)
    book.toc = (page,)
    book.spine = ["nav", page]
    epub.write_epub(path, book)


def _to_html(sample: Sample) -> str:
    rows = "".join(f"<tr>{''.join(f'<td>{text}</td>' for text in row)}</tr>" for row in sample.table)
    body = "".join(f"<p>{text}</p>" for text in sample.paragraphs)
    return f"<html><body><h1>{sample.heading}</h1>{body}<table>{rows}</table></body></html>"


def _write_eml(sample: Sample, path: Path) -> None:
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = sample.heading, "lan@example.com", "minh@example.com"
    message.set_content("\n\n".join(sample.paragraphs), charset="utf-8", cte="quoted-printable")
    message.add_alternative(_to_html(sample), subtype="html", charset="utf-8", cte="base64")
    path.write_bytes(bytes(message))


def _write_csv(sample: Sample, path: Path) -> None:
    import pandas as pd  # type: ignore[import-untyped]  # noqa: PLC0415

    frame = pd.DataFrame(list(sample.table[1:]), columns=list(sample.table[0]))
    frame.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",", encoding="utf-8-sig")


def _write_jsonl(sample: Sample, path: Path) -> None:
    import pandas as pd  # noqa: PLC0415

    frame = pd.DataFrame({"title": sample.heading, "text": list(sample.paragraphs)})
    frame.to_json(path, orient="records", lines=True, force_ascii=False)


def _as_number(text: str) -> float | int | str:
    try:
        return int(text) if text.isdecimal() else float(text)
    except ValueError:
        return text


_WRITERS: Final[Mapping[str, _Writer]] = MappingProxyType(
    {
        ".docx": _Writer(_write_docx),
        ".pptx": _Writer(_write_pptx),
        ".xlsx": _Writer(_write_xlsx, "table"),
        ".xls": _Writer(_write_xls, "table"),
        ".ods": _Writer(_write_ods, "table"),
        ".odt": _Writer(_write_odt),
        ".rtf": _Writer(_write_rtf),
        ".epub": _Writer(_write_epub),
        ".eml": _Writer(_write_eml),
        ".csv": _Writer(_write_csv, "table"),
        ".tsv": _Writer(_write_csv, "table"),
        ".jsonl": _Writer(_write_jsonl, "heading paragraphs"),
    }
)


def list_pieces(sample: Sample, parts: str) -> Sequence[str]:
    """Return the texts of the parts that a kind holds."""
    pieces: list[str] = []
    for part in parts.split():
        value: Any = getattr(sample, part)
        pieces += [value] if part == "heading" else value if part == "paragraphs" else [c for row in value for c in row]
    return pieces


def main(folder: Path) -> None:
    """Write all samples in all kinds."""
    folder.mkdir(parents=True, exist_ok=True)
    for sample in SAMPLES:
        for suffix, writer in _WRITERS.items():
            path = folder / f"{sample.name}{suffix}"
            writer.write(sample, path)
            Path(f"{path}{WORDS}").write_text("\n".join(list_pieces(sample, writer.parts)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
