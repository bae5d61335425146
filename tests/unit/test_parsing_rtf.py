"""Rich text: Vietnamese in all the ways that it was written down, and what is printed alone."""

from pathlib import Path

import pytest

from tests.unit.parsing_files import read_file, reason_of

FONTS = (
    r"{\fonttbl{\f0\fcharset0 Arial;}{\f1\fswiss\fcharset163 Arial;}{\f2\fcharset0 .VnTime;}{\f3\fcharset128 Mincho;}"
    r"{\f4\fcharset2 Wingdings;}}"
)
STYLES = r"{\stylesheet{\s0 Normal;}{\s1\b heading 1;}{\s2 Title;}{\s3 toc 1;}{\*\cs4 Strong;}}"
HEADER = r"\ansi\ansicpg1252\deff0" + FONTS + STYLES


def make_rtf(body: str) -> bytes:
    return ("{\\rtf1" + HEADER + body + "}").encode("latin-1")


def read_rtf(body: str, folder: Path) -> str:
    return read_file(folder, "a.rtf", make_rtf(body)).text


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(r"Ngh\u7881? ph\u233\'e9p", "Nghỉ phép", id="Unicode with one fallback"),
        pytest.param(r"\uc2 Ngh\u7881\'81\'40 {\uc0 ph\u233 p}\u7881 xyz", "Nghỉ phépỉz", id="fallbacks of a group"),
        pytest.param(r"\f1 \'f0\'fd\'f5\'f2c", "được", id="code page 1258 of the font"),
        pytest.param(r"\f3 \'93\'fa\'96\'7b", "日本", id="two bytes for one character"),
        pytest.param(r"\u-10179?\u-8704?", "😀", id="outside the first plane"),
        pytest.param(r"\'93a\'94\emdash b\~c\_d\lquote e\rquote\bullet", "“a”—b c-d‘e’•", id="symbols"),
        pytest.param(r"a\{b\}\\c", r"a{b}\c", id="escaped characters"),
        pytest.param("a\\\nb\nc\\line d", "a\n\nbc\nd", id="line breaks of the file are none of the text"),
    ],
)
def test_characters_are_what_was_written(body: str, expected: str, tmp_path: Path) -> None:
    assert read_rtf(body, tmp_path) == expected


def test_styles_become_headings_and_items(tmp_path: Path) -> None:
    body = (
        r"{\info{\title S\u7893? tay c\u244?ng ty}{\author Lan}}"
        r"\pard\s2 S\u7893? tay\par\pard\s3 Ngh\u7881? ph\'e9p 3\par\pard\s1 Ngh\u7881? ph\'e9p\par"
        r"\pard\outlinelevel1 Nh\u7853?p\par\pard M\u7897?t.\par"
        r"\pard\ls1{\listtext\tab 1.}m\u7897?t\par{\listtext\tab 2.}hai\par\pard h\u7871?t\par"
    )

    document = read_file(tmp_path, "a.rtf", make_rtf(body))

    assert document.title == "Sổ tay công ty"
    assert document.text == "Sổ tay\n\nNghỉ phép\n\nNhập\n\nMột.\n\n1. một\n2. hai\n\nhết"
    assert [heading.level for heading in document.headings] == [1, 2, 3]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(
            r"\pard\ls1{\listtext\pard\plain\f0 \u272\'d0i\u7873?u 2.\tab}Ngh\u7881?\par",
            "Điều 2. Nghỉ",
            id="a number with its word, in a paragraph of its own",
        ),
        pytest.param(r"\pard\outlinelevel0{\listtext 1.2\tab}Ph\'e9p\par", "1.2 Phép", id="a heading"),
        pytest.param(r"\pard{\pntext\f0 a)\tab}m\u7897?t\par", "a) một", id="of earlier programs"),
        pytest.param(r"\pard\ls1{\listtext\f4\'b7\tab}m\u7897?t\par", "- một", id="a bullet"),
        pytest.param(r"\pard\ls1{\listtext\f4 n\tab}m\u7897?t\par", "- một", id="a letter that draws a bullet"),
        pytest.param(r"\pard\ls1{\listtext\f0 o\tab}m\u7897?t\par", "- một", id="the letter o as a bullet"),
        pytest.param(r"\pard\ls1 m\u7897?t\par", "- một", id="without a mark"),
    ],
)
def test_numbers_of_lists_are_read(body: str, expected: str, tmp_path: Path) -> None:
    """People cite "Điều 2.", which stands in no text but in what is printed before it."""
    assert read_rtf(body, tmp_path) == expected


def test_a_title_that_comes_again_in_unicode_is_read_once(tmp_path: Path) -> None:
    """Word writes question marks for readers without Unicode first."""
    body = r"{\info{\upr{\title ??}{\*\ud{\title Lu\u7853?t}}}}\pard a\par"

    assert read_file(tmp_path, "a.rtf", make_rtf(body)).title == "Luật"


def test_rows_name_their_columns(tmp_path: Path) -> None:
    """The edges of the cells tell which columns a cell covers; a cell that goes on has its text in each row."""
    body = (
        r"\trowd\trhdr\cellx1000\cellx3000\pard\intbl Khu\cell Gi\'e1\cell\row"
        r"\trowd\clvmgf\cellx1000\cellx2000\cellx3010\pard\intbl B\u7855?c\par Nam\cell 1\cell 2\cell\row"
        r"\trowd\clvmrg\cellx1000\cellx2000\cellx3000\pard\intbl\cell 3\cell 4\cell\row\pard sau\par"
    )

    assert read_rtf(body, tmp_path) == "Khu: Bắc Nam | Giá: 1 | Giá: 2\nKhu: Bắc Nam | Giá: 3 | Giá: 4\n\nsau"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(r"100{\super\chftn{\footnote\pard{\super\chftn} Ch\'fa {\i th\'edch} {\b 12}.\par}} \'f0\par b",
                     "100 ð\n\nChú thích 12.\n\nb", id="footnote"),
        pytest.param(r"a{\*\footnote b} c", "a c\n\nb", id="footnote of LibreOffice"),
        pytest.param(r"a{\shp{\*\shpinst{\sp{\sn x}{\sv 1}}{\shptxt h\'f4p\par}}{\shprslt h\'f4p}}b", "ab\n\nhôp",
                     id="text box"),
        pytest.param(r'{\field{\*\fldinst HYPERLINK "x"}{\fldrslt trang}}', "trang", id="field"),
        pytest.param(r"a{\deleted b}\deleted c\plain d{\*\annotation e}{\header f}{\*\xyz g}{\xe h}", "ad",
                     id="deleted, comments, headers, unknown"),
        pytest.param(r"10{\super 2} m\super 3\nosupersub  H{\sub 2}O a{\super b}", "10² m³ H₂O ab",
                     id="raised figures"),
        pytest.param("a\\bin4 }}}}b", "ab", id="bytes"),
    ],
)  # fmt: skip
def test_rich_text_reads_as_it_is_printed(body: str, expected: str, tmp_path: Path) -> None:
    assert read_rtf(body, tmp_path) == expected


def test_what_of_rich_text_is_not_read_is_told(tmp_path: Path) -> None:
    body = r"a{\v b}{\strike b}{\*\shppict{\pict 0a0b}}{\nonshppict{\pict 0a}}{\*\moMath{\mr c}}"

    whole = read_file(tmp_path, "a.rtf", make_rtf(body))
    cut = read_file(tmp_path, "a.rtf", make_rtf(body)[:-1] + b"{\\b d")

    assert (whole.text, cut.text) == ("a", "ad")
    assert whole.warnings == (
        "formulas: 1, whose text is not read",
        "hidden or struck-out parts: 2, whose text is not read",
        "pictures and embedded objects: 1, whose text is not read",
    )
    assert cut.warnings[-1] == "the file is cut off: its end is missing"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "the file is empty", id="empty"),
        pytest.param(b"hello", "the file is broken: not readable as RTF", id="no rich text"),
        pytest.param(make_rtf(""), "it holds no text", id="no text"),
        pytest.param(make_rtf(r"\f2 C\'e9ng ho\'b5"), "its text is in a font of the time before Unicode", id="TCVN3"),
        pytest.param(b"{\\rtf1 " + b"{" * 100_000, "its groups are nested too deep", id="groups without end"),
        pytest.param(make_rtf("a" * 10_000_001), "too much text", id="too much text"),
        pytest.param(
            make_rtf(r"\trowd\cellx1 " + "a" * 99_999 + r"\cell\row" + r"\trowd\clvmrg\cellx1\cell\row" * 999),
            "too much text",
            id="a cell that goes on and on",
        ),
    ],
)
def test_what_is_no_rich_text_is_refused(data: bytes, reason: str, tmp_path: Path) -> None:
    assert reason_of(tmp_path, "a.rtf", data).startswith(reason)
