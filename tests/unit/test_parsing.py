"""From files to documents: text, headings, pages, titles, and one plain reason for every file that cannot be read."""

import io
import os
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path

import docx
import pytest
from fpdf import FPDF
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.errors import ParseError
from rag.parsing import MAX_FILE_BYTES, SUFFIXES, html, markdown, parse, plain
from rag.parsing.blocks import Block, Draft, assemble, clean
from rag.parsing.chunking import split
from rag.parsing.layout import to_blocks
from rag.parsing.line import Line
from rag.text.language import sentence_spans
from rag.types import Document

EXAMPLES = Path(__file__).parents[2] / "examples" / "documents"
ANSWER = "Nhân viên full-time có 12 ngày nghỉ phép năm."

WriteFile = Callable[[str, bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> WriteFile:
    def write_file(name: str, data: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write_file


def make_pdf(*pages: str, title: str = "", password: str | None = None, header: str = "") -> bytes:
    pdf = FPDF()
    pdf.set_font("helvetica", size=11)
    if title:
        pdf.set_title(title)
    if password is not None:
        pdf.set_encryption(owner_password="owner", user_password=password)
    for text in pages:
        pdf.add_page()
        if header:
            pdf.cell(0, 6, header, new_x="LMARGIN", new_y="NEXT")
            pdf.ln(6)
        if text:
            pdf.multi_cell(0, 6, text, align="L")
    return bytes(pdf.output())


def make_docx(fill: Callable[["docx.document.Document"], object], title: str = "") -> bytes:
    document = docx.Document()
    document.core_properties.title = title
    fill(document)
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


def read_html(body: str) -> str:
    return assemble(html.read_text(body), fallback_title="t").text


def reason_of(path: Path) -> str:
    with pytest.raises(ParseError) as caught:
        parse(path)
    return str(caught.value)


class WordCounter:
    def count(self, text: str) -> int:
        return len(text.split())


# The examples -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(EXAMPLES.iterdir()), ids=lambda path: path.name)
def test_every_example_is_parsed_without_a_trace_of_its_format(path: Path) -> None:
    """What is stored is what is cited: no markup, nothing invisible, NFC."""
    document = parse(path)

    assert document.text == unicodedata.normalize("NFC", document.text)
    assert not set(document.text) & set("<>*#`\u00a0\u00ad\u200b\ufffd\ufffe\t\r") - {"#"}
    assert "không phải nội dung" not in document.text
    assert document.headings[0].level == 1


def test_the_question_of_the_readme_is_answered_on_page_three() -> None:
    """The contract's example: this sentence, this title, this page."""
    document = parse(EXAMPLES / "doc_hr_2026.pdf")
    at = document.text.index(ANSWER)
    spans = [span for span in split(document, WordCounter(), limit_tokens=500) if ANSWER in span.text]

    assert document.title == "HR Policy 2026"
    assert len(document.pages) >= 4
    assert [page.number for page in document.pages if page.start <= at < page.end] == [3]
    assert (at, at + len(ANSWER)) in sentence_spans(document.text)
    assert [(span.page_start, span.page_end) for span in spans] == [(3, 3)]


def test_the_policy_loses_its_running_header_and_page_numbers() -> None:
    """Repeated on each page they would stand in the middle of sentences and be cited."""
    text = parse(EXAMPLES / "doc_hr_2026.pdf").text

    assert "Tre Xanh Software ·" not in text
    assert "Trang " not in text


# Offsets ------------------------------------------------------------------------------------------------------------


@given(
    st.lists(
        st.builds(
            Block,
            text=st.text(max_size=30),
            level=st.integers(0, 6),
            glue=st.sampled_from(["\n\n", "\n", " "]),
            page=st.integers(1, 5),
        )
    )
)
def test_headings_and_pages_are_exact_whatever_the_blocks(blocks: list[Block]) -> None:
    """Offsets lead to citations: headings are where they say, and pages cover the text one after the other."""
    ordered = sorted(blocks, key=lambda block: block.page)
    try:
        document = assemble(Draft(ordered, page_count=5), fallback_title="tên")
    except ParseError:
        return

    assert all(document.text[heading.start : heading.end] == heading.text for heading in document.headings)
    assert [page.number for page in document.pages] == [1, 2, 3, 4, 5]
    assert document.pages[0].start == 0
    assert document.pages[-1].end == len(document.text)
    assert all(page.end == after.start for page, after in zip(document.pages, document.pages[1:], strict=False))
    assert unicodedata.is_normalized("NFC", document.text)


def test_a_page_without_text_is_empty_and_the_others_keep_their_numbers() -> None:
    draft = Draft([Block("hai", page=2), Block("bốn", page=4)], page_count=5)

    pages = assemble(draft, fallback_title="t").pages

    assert [(page.start, page.end) for page in pages] == [(0, 0), (0, 5), (5, 5), (5, 8), (8, 8)]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("a\u00a0b\u202fc", "a b c"),
        ("nghi\u00adêm\u200b túc\ufeff", "nghiêm túc"),
        ("\ufb01le \uf0b7 x", "file • x"),
        ("a\x00b\x07c\r\nd\re", "abc\nd\ne"),
        ("Vie\u0302\u0323t", "Việt"),
        ("a   b \n\n  c", "a b\n  c"),
        ("hỏng\ufffd", "hỏng"),
    ],
)
def test_text_is_cleaned_of_what_nobody_sees(raw: str, expected: str) -> None:
    """Search and quotation compare characters; invisible ones would make equal words different."""
    assert clean(raw) == expected


# HTML and Markdown --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        pytest.param("<p>một\n  <b>hai</b>ba<p>bốn", "một haiba\n\nbốn", id="paragraphs"),
        pytest.param("<p>a</p><script>x</script><style>y</style><nav>z</nav>", "a", id="scripts, styles, navigation"),
        pytest.param("<p>a<span hidden>b</span><i style='display: none'>c</i>d", "ad", id="hidden"),
        pytest.param("<p>a<!-- b --> c", "a c", id="comments"),
        pytest.param("<p>a<br>b", "a\nb", id="line breaks"),
        pytest.param("<p>x<ul><li>a<li>b<ol><li>c</ol></ul>y", "x\n\n- a\n- b\n1. c\n\ny", id="lists"),
        pytest.param("<table><tr><th>a<th>b<tr><td>c<p>d<td>e</table>", "a: c d | b: e", id="tables"),
        pytest.param("<table><tr><td><h2>a</h2>b<td>c</table>", "a\n\nb\n\nc", id="tables that lay out the page"),
        pytest.param(
            "<table><tr><th>a<th colspan=2>b<tr><td rowspan=2>c<td>d<td>e<tr><td>f<td>g</table>",
            "a: c | b: d | b: e\na: c | b: f | b: g",
            id="cells over several columns and rows",
        ),
        pytest.param("<pre>a\n    b</pre>", "a\n    b", id="preformatted"),
        pytest.param("<p>Vi&ecirc;n &#x1EA1; <img alt='ảnh' src=x>", "Viên ạ ảnh", id="entities and pictures"),
        pytest.param("<main>a<footer>b</footer></main><footer>c</footer>", "a\n\nb", id="the footer of the site"),
        pytest.param("a</p></table><td>b", "a\n\nb", id="stray tags"),
    ],
)
def test_html_reads_as_it_is_seen(markup: str, expected: str) -> None:
    """Items and rows have a line each, cells are parted, and what the reader does not see is left out."""
    assert read_html(markup) == expected


def test_html_title_comes_from_its_title_and_else_from_its_first_heading() -> None:
    titled = assemble(html.read_text("<title> Tên\n trang </title><h1>Đầu</h1>"), fallback_title="t")
    untitled = assemble(html.read_text("<h2>Nhỏ</h2><h1>Đầu</h1>"), fallback_title="t")

    assert (titled.title, untitled.title) == ("Tên trang", "Đầu")
    assert [(heading.level, heading.text) for heading in untitled.headings] == [(2, "Nhỏ"), (1, "Đầu")]


@pytest.mark.parametrize(
    "data",
    [
        "<p>Nhân viên".encode(),
        "<meta charset=latin-1><p>Nhân viên".encode(),
        '<meta charset="no-such-thing"><p>Nhân viên'.encode(),
        '<?xml version="1.0" encoding="UTF-16"?><p>Nhân viên'.encode(),
        "<p>Nhân viên".encode("utf-16"),
        b'<meta charset="windows-1258"><p>' + "Nhân viên".encode("cp1258"),
    ],
)
def test_a_wrong_charset_declaration_does_no_harm(data: bytes, write: WriteFile) -> None:
    """Pages often declare what they no longer are."""
    assert parse(write("a.html", data)).text == "Nhân viên"


def test_html_nested_without_end_is_refused_and_not_cut_silently(write: WriteFile) -> None:
    assert reason_of(write("a.html", b"<p>a" + b"<div>" * 100_000 + b"b")) == "its elements are nested too deep"


def test_markdown_keeps_words_and_drops_marks() -> None:
    """Links give their text, code stays, front matter gives the title alone."""
    source = (
        "---\ntitle: 'Tên tài liệu'\ntags: [a]\n---\n"
        "# Đầu *đề*\n\nMột [liên kết](https://x.vn) và **đậm**\nngắt dòng `mã`.\n\n"
        "```\nx = 1\n    y\n```\n\n- một\n- hai\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n<div>thô</div>\n"
    )

    document = assemble(markdown.read(source.encode()), fallback_title="t")

    assert document.title == "Tên tài liệu"
    assert document.text == (
        "Đầu đề\n\nMột liên kết và đậm ngắt dòng mã.\n\nx = 1\n    y\n\n- một\n- hai\n\na: 1 | b: 2\n\nthô"
    )
    assert [heading.text for heading in document.headings] == ["Đầu đề"]


# Plain text ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1258"])
def test_text_is_decoded_in_the_encodings_that_tell_themselves(encoding: str, write: WriteFile) -> None:
    """UTF-8, any byte order mark, and the old Vietnamese code page."""
    text = "Nhân viên đươ\u0323c nghi\u0309 phép năm theo quy đi\u0323nh."  # the code page has marks of their own

    document = parse(write("a.txt", text.encode(encoding)))

    assert document.text == "Nhân viên được nghỉ phép năm theo quy định."


def test_utf8_with_a_few_broken_bytes_is_still_read(write: WriteFile) -> None:
    """A file cut in the middle of a letter is worth more than a refusal."""
    data = ("Nhân viên được nghỉ phép năm. " * 20).encode() + "ế".encode()[:2]

    assert parse(write("a.txt", data)).text.endswith("nghỉ phép năm.")


def test_a_short_line_above_text_is_a_heading_of_plain_text() -> None:
    document = assemble(plain.read("Quy trình\n\nBước đầu\n\nLàm đi.\n\nVí dụ:\n\nHết.".encode()), fallback_title="t")

    assert [(heading.level, heading.text) for heading in document.headings] == [(1, "Quy trình"), (2, "Bước đầu")]
    assert document.title == "Quy trình"


def test_the_file_name_is_the_last_choice_for_a_title(write: WriteFile) -> None:
    assert parse(write("quy_trinh-mua__sam.txt", b"Only a sentence.")).title == "quy trinh mua sam"


# PDF ----------------------------------------------------------------------------------------------------------------


def test_a_paragraph_of_a_pdf_is_one_line(write: WriteFile) -> None:
    """Where the printer broke the line says nothing; where the author broke it does."""
    paragraph = "Every employee may work from home on two days of each week. " * 4

    document = parse(write("a.pdf", make_pdf(f"{paragraph}\nA second paragraph.", title="Microsoft Word - Home.docx")))

    assert document.text.split("\n") == [paragraph.strip(), "", "A second paragraph."]
    assert document.title == "Home"


def test_running_headers_go_but_equal_lines_inside_a_page_stay(write: WriteFile) -> None:
    pages = [f"Text {word}.\n\nSame.\n\nMore.\n\nEnd {word}.\n\nLast {word}." for word in ("one", "two", "three")]

    document = parse(write("a.pdf", make_pdf(*pages, header="Company, internal")))

    assert "Company" not in document.text
    assert document.text.count("Same.") == 3


def lines(*texts: str, page: int = 1, right: float = 500) -> list[Line]:
    return [Line(text, page, 11, False, 50, right, 700 - 14 * number) for number, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ("other words", "an example"),
        ("exam ple", "an exam-ple"),
        ("exam-ple", "an exam-ple"),
        ("exam ple example", "an example"),
    ],
)
def test_a_hyphen_at_a_line_end_goes_unless_the_document_writes_it(before: str, expected: str) -> None:
    """`exam-ple` is a broken word, `full-time` a whole one; the rest of the document tells."""
    blocks = to_blocks([lines(before, "an exam\ufffeple")])

    assert " ".join(block.text for block in blocks) == f"{before} {expected}"


def test_lines_that_count_pages_go_whatever_number_they_start_with() -> None:
    """Printed numbers start after the cover, chapters change the words beside them, and sentences count too."""
    pages = [lines(f"Chương {(n - 1) // 4}: Luật {n + 6}", f"Điều {n} nói một.", page=n) for n in range(1, 9)]

    text = " ".join(block.text for block in to_blocks(pages))

    assert "Luật" not in text
    assert text.count("nói một.") == 8


def test_a_sentence_that_crosses_a_page_is_one_sentence_on_two_pages() -> None:
    document = assemble(
        Draft(to_blocks([lines("Nhân viên có"), lines("mười hai ngày.", page=2)]), page_count=2), fallback_title="t"
    )

    assert document.text == "Nhân viên có mười hai ngày."
    assert [document.text[page.start : page.end] for page in document.pages] == ["Nhân viên có ", "mười hai ngày."]


# DOCX ---------------------------------------------------------------------------------------------------------------


def test_word_styles_become_headings_items_and_rows(write: WriteFile) -> None:
    def fill(document: "docx.document.Document") -> None:
        document.add_heading("Tên", level=0)
        document.add_heading("Mục", level=1)
        document.add_paragraph("Một\tđoạn.")
        document.add_paragraph("a", style="List Bullet")
        document.add_paragraph("b", style="List Number")
        table = document.add_table(rows=2, cols=3)
        table.cell(0, 0).merge(table.cell(0, 1)).text = "gộp"
        table.cell(0, 2).text, table.cell(1, 0).text, table.cell(1, 1).text = "x", "y", "z"

    document = parse(write("a.docx", make_docx(fill)))

    assert document.title == "Tên"
    assert document.text == "Tên\n\nMục\n\nMột đoạn.\n\n- a\n1. b\n\ngộp | x\ny | z"
    assert [(heading.level, heading.text) for heading in document.headings] == [(1, "Tên"), (2, "Mục")]


def test_the_core_title_of_a_word_file_comes_first(write: WriteFile) -> None:
    data = make_docx(lambda document: document.add_heading("Mục", level=1), title="Tên trong thuộc tính")

    assert parse(write("a.docx", data)).title == "Tên trong thuộc tính"


def test_a_word_file_that_unpacks_to_too_much_is_refused(write: WriteFile) -> None:
    """A few kilobytes of zeros can fill the memory."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", b"0" * (65 * 2**20))

    assert reason_of(write("a.docx", file.getvalue())) == "too large when unpacked"


# Refusals -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        pytest.param("a.pdf", make_pdf("text", password="secret"), "encrypted: it opens only with", id="encrypted PDF"),
        pytest.param("a.pdf", make_pdf("", "", ""), "scanned: 3 pages without a text layer", id="scanned PDF"),
        pytest.param("a.pdf", make_pdf("text")[:300], "the file is broken", id="truncated PDF"),
        pytest.param("a.pdf", b"hello", "the file is broken: not readable as PDF", id="no PDF at all"),
        pytest.param("a.docx", b"hello", "the file is broken: not readable as DOCX", id="no DOCX at all"),
        pytest.param("a.docx", make_docx(lambda _: None)[:9000], "the file is broken", id="truncated DOCX"),
        pytest.param("a.docx", make_docx(lambda _: None), "it holds no text", id="empty DOCX"),
        pytest.param(
            "a.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "encrypted, or in the old .doc", id="encrypted DOCX"
        ),
        pytest.param("a.txt", b"", "the file is empty", id="empty"),
        pytest.param("a.txt", b" \n\t ", "the file is empty", id="white space"),
        pytest.param("a.txt", b"a\x00b", "it is not text: it holds NUL bytes", id="NUL bytes"),
        pytest.param("a.txt", b"%PDF-1.7 ...", "it is not text: its content is PDF", id="a PDF in disguise"),
        pytest.param("a.txt", bytes(range(1, 256)) * 9, "its text encoding is unknown", id="binary"),
        pytest.param("a.txt", b"a\x01\x02\x03", "it is not text: its content is binary", id="control characters"),
        pytest.param("a.txt", "Сколько дней".encode("cp1251"), "its text encoding is unknown", id="unknown encoding"),
        pytest.param("a.html", b"<script>x</script>", "it holds no text", id="HTML without text"),
        pytest.param("a.md", b"---\ntitle: x\n---\n", "it holds no text", id="Markdown without text"),
        pytest.param("a.doc", b"\xd0\xcf\x11\xe0", "unknown type", id="old Word"),
        pytest.param("a.ppt", b"\xd0\xcf\x11\xe0", "unknown type", id="old PowerPoint"),
        pytest.param("README", b"text", "unknown type", id="no suffix"),
    ],
)
def test_a_file_that_is_no_document_is_refused_with_its_reason(
    name: str, data: bytes, reason: str, write: WriteFile, capfd: pytest.CaptureFixture[str]
) -> None:
    """Who runs the ingestion reads one reason, without a path, and no library writes beside it."""
    message = reason_of(write(name, data))

    assert message.startswith(reason)
    assert "/" not in message.replace(", ".join(sorted(SUFFIXES)), "").replace("input/output", "")
    assert capfd.readouterr() == ("", "")


def test_a_file_over_the_limit_is_refused_unread(tmp_path: Path) -> None:
    """The size is asked first: a sparse file of a terabyte is refused as quickly as a small one."""
    path = tmp_path / "a.pdf"
    with path.open("wb") as file:
        file.truncate(2**40)

    assert reason_of(path) == f"too large: {2**20} MiB, at most {MAX_FILE_BYTES // 2**20} MiB can be read"


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path: Path) -> None:
    """A named pipe would block the ingestion until somebody writes to it."""
    pipe = tmp_path / "a.txt"
    os.mkfifo(pipe)
    folder = tmp_path / "b.txt"
    folder.mkdir()

    assert reason_of(pipe) == reason_of(folder) == "not a regular file"


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert reason_of(tmp_path / "a.txt") == "the file does not exist"


@settings(deadline=None)  # a busy machine is no fault
@given(data=st.binary(max_size=300), suffix=st.sampled_from(sorted(SUFFIXES)), example=st.booleans())
def test_garbage_gives_a_document_or_a_parse_error(
    data: bytes, suffix: str, example: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Nothing but ParseError leaves the parser, so that one bad file harms no other."""
    path = tmp_path_factory.getbasetemp() / f"garbage{suffix}"
    whole = next((known.read_bytes() for known in sorted(EXAMPLES.iterdir()) if known.suffix == suffix), b"")
    path.write_bytes(whole[: len(whole) // 2] + data + whole[len(whole) // 2 + len(data) :] if example else data)

    try:
        document: Document | None = parse(path)
    except ParseError:
        document = None

    assert document is None or document.text
