"""Web pages as people have them: what is seen is read, what is left out is told, and no figure changes."""

import random

import pytest

from rag.errors import ParseError
from rag.parsing import html
from rag.parsing.blocks import assemble
from rag.types import Document


def read(markup: str) -> Document:
    return assemble(html.read_text(markup), fallback_title="t")


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        pytest.param("<ol start=3><li>a<li>b</ol>", "3. a\n4. b", id="start"),
        pytest.param("<ol reversed><li>a<li>b</ol>", "2. a\n1. b", id="reversed"),
        pytest.param("<ol><li value=7>a<li>b</ol>", "7. a\n8. b", id="value"),
        pytest.param("<ol type=a><li>x<li>y</ol><ol type=I start=4><li>z</ol>", "a. x\nb. y\n\nIV. z", id="type"),
        pytest.param("<ol><li>a<ul><li>b</ul><li>c</ol>", "1. a\n- b\n2. c", id="nested"),
        pytest.param("<ol start=x><li>a</ol>", "1. a", id="broken start"),
    ],
)
def test_items_have_the_numbers_that_the_page_shows(markup: str, expected: str) -> None:
    """`See item 7` must lead to item 7."""
    assert read(markup).text == expected


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("10<sup>6</sup> đồng", "10⁶ đồng"),
        ("10<sup>-6</sup>", "10⁻⁶"),
        ("100 m<sup>2</sup>, 5 km<sup>2</sup>", "100 m², 5 km²"),
        ("H<sub>2</sub>O, CO<sub>2</sub>", "H2O, CO2"),
        ("x<sub>1</sub>2", "x₁2"),
        ("500.000<sup>1</sup> đồng", "500.000[1] đồng"),
        ("đồng<sup>[1]</sup>.", "đồng[1]."),
        ("12<sup><a href=#fn1>3</a></sup> ngày", "12[3] ngày"),
        ("1<sup>st</sup>, n<sup>o</sup>", "1st, no"),
        ("10<sup>6,5</sup>", "10^6,5"),
        ("<math><msup><mn>10</mn><mn>6</mn></msup></math>", "10⁶"),
        ("<math><mi>x</mi><mo>=</mo><mfrac><mn>1</mn><mn>12</mn></mfrac></math>", "x = 1/12"),
        ("<math><semantics><mi>x</mi><annotation>x\\alpha</annotation></semantics></math>", "x"),
    ],
)
def test_raised_figures_are_not_glued_to_others(markup: str, expected: str) -> None:
    """10<sup>6</sup> is not 106, and the mark of a footnote is no part of a price."""
    assert read(f"<p>{markup}</p>").text == expected


def test_struck_out_text_is_left_out_and_told() -> None:
    """Of two prices the struck-out one is no longer true."""
    document = read("<p>Giá: <del>500.000</del> <s>450.000</s> <ins>400.000</ins> đồng</p>")

    assert document.text == "Giá: 400.000 đồng"
    assert document.warnings == ("not in the text: 2 struck-out passages",)


def test_terms_stand_before_their_descriptions() -> None:
    markup = "<dl><dt>Phép năm</dt><dd>12 ngày</dd><dt>A<dt>B?<dd>6 tháng<dd>hơn<dt>C</dl>"

    assert read(markup).text == "Phép năm: 12 ngày\n\nA, B? 6 tháng\n\nhơn\n\nC"


def test_details_at_the_top_of_a_page_are_its_text() -> None:
    """libxml2 takes an element that it does not know for a part of the head."""
    assert (
        read("<meta charset=utf-8><details><summary>Có không?</summary><p>Có.</p></details>").text == "Có không?\n\nCó."
    )


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("<label><input type=checkbox checked> Có</label> <input type=radio> Không", "[x] Có [ ] Không"),
        ("<label>Tên <input value='An'></label><input type=hidden value=k><input type=password value=p>", "Tên An"),
        ("Tỉnh <select><option selected>Huế<option>Vinh</select>", "Tỉnh Huế"),
        ("<textarea>Ghi chú</textarea><button>Gửi</button>", "Ghi chú"),
        ("<h3><button>Có hoàn tiền không?</button></h3><p>Có.", "Có hoàn tiền không?\n\nCó."),
    ],
)
def test_forms_say_what_was_chosen_and_written(markup: str, expected: str) -> None:
    """A filled form is a document; its buttons are not, unless they are the questions of a list."""
    assert read(f"<form>{markup}</form>").text == expected


def test_a_list_in_which_nothing_is_chosen_is_told() -> None:
    assert read("<p>a<select><option>b</select>").warnings == ("not in the text: 1 list to choose from",)


def test_a_set_of_frames_is_refused_by_name() -> None:
    """Its text is in other files, and a line for old browsers is not the document."""
    markup = "<frameset cols='20%,*'><frame src=x/a.html><frame src=b.html><noframes>Không hỗ trợ</noframes></frameset>"

    with pytest.raises(ParseError, match=r"it is a set of frames: its text is in other files \(a\.html, b\.html\)"):
        read(markup)


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("<ul class=menu><li><a>Trang chủ</a><li><a>Liên hệ</a></ul><p>a", "a"),
        ("<div role=navigation>x</div><div id=breadcrumb><a>x</a> › <a>y</a></div><p>a", "a"),
        ("<div class='cookie-banner'>Trang này dùng cookie. <button>Đồng ý</button></div><p>a", "a"),
        ("<div class=menu><p>Phở bò: 50.000 đồng</div>", "Phở bò: 50.000 đồng"),
        (
            "<section id=cookies><h2>Cookie</h2><p>Chúng tôi lưu cookie 30 ngày.</section>",
            "Cookie\n\nChúng tôi lưu cookie 30 ngày.",
        ),
        ("<div class=navbar><main><p><a>a</a></main></div>", "a"),
        ("<nav><article>a</article></nav>", "a"),
    ],
)
def test_menus_are_left_out_and_the_body_never(markup: str, expected: str) -> None:
    """A name is no proof: a menu is mostly links, and a restaurant has another."""
    assert read(markup).text == expected


@pytest.mark.parametrize(
    ("markup", "expected", "warnings"),
    [
        ("<p>a<div hidden>x</div>", "a", ("not in the text: 1 hidden passage",)),
        ("<p>a<div style='display: none'>x</div><template>y</template>", "a", ("not in the text: 2 hidden passages",)),
        (
            "<p>a<div role=tabpanel hidden>b</div><div class='faq-answer' style='display:none'>c</div>",
            "a\n\nb\n\nc",
            (),
        ),
        ("<p>a<i aria-hidden=true>›</i><span class=icon aria-hidden=true>home</span>", "a", None),
        ("<main aria-hidden=true><p>a</main>", "a", ()),  # a page that was saved with a dialog open
        ("<body style='display:none'><div hidden>a</div>", "a", ()),  # nothing else is there
        ("<p>a<iframe src=x></iframe>", "a", ("not in the text: 1 embedded frame",)),
        (
            "<p>a<noscript>b</noscript><noscript>Bật JavaScript</noscript><svg><title>t</title><text>c</text></svg>",
            "a\n\nb\n\nc",
            (),
        ),
    ],
)
def test_what_is_hidden_is_told_and_what_a_click_shows_is_read(
    markup: str, expected: str, warnings: tuple[str, ...] | None
) -> None:
    document = read(markup)

    assert document.text == expected
    assert warnings is None or document.warnings == warnings


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("<p>x <img alt='Doanh thu 5 tỷ'>", "x Doanh thu 5 tỷ"),
        ("<p>x<img alt='IMG_001.jpg'>", "x"),
        ("<figure><img alt=Sơ><figcaption>Sơ</figcaption></figure>", "Sơ"),
        (
            "<p><a href='mailto:hr@x.vn?subject=a'>Liên hệ</a>, <a href='mailto:a@x.vn'>a@x.vn</a>",
            "Liên hệ (hr@x.vn), a@x.vn",
        ),
        ("<p><a href='tel:+84281234567'>Gọi</a>", "Gọi (+84281234567)"),
        ("<my-card>a</my-card><my-card>b</my-card>", "a b"),
        ("<p><q>a</q>", "“a”"),
    ],
)
def test_pictures_and_links_say_what_their_words_do_not(markup: str, expected: str) -> None:
    assert read(markup).text == expected


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        pytest.param(
            "<table><tr><td><h3>Chính sách</h3><td>Giá trị<tr><td>Phép<td>12 ngày</table>",
            "Chính sách: Giá trị\nPhép: 12 ngày",
            id="headings in cells",
        ),
        pytest.param(
            "<table><tr><th>A<th>B<tr><td>x<td><table><tr><th>P<th>Q<tr><td>1<td>2<tr><td>3<td>4</table></table>",
            "A: x | B: P: 1, Q: 2; P: 3, Q: 4",
            id="a table in a cell",
        ),
        pytest.param("<table><tr><td><table><tr><td>a<td>b</table><td>c</table>", "a: b\n\nc", id="a table for layout"),
        pytest.param(
            "<table><tr><th><th>T1<th>T2<tr><td>Lợi nhuận<td><td>5</table>",
            "T1\nLợi nhuận | T2: 5",
            id="empty first cell",
        ),
        pytest.param(
            "<table><tr><th>A<th>T1<th>T2<tr><td>x<td colspan=2>nghỉ</table>", "A: x | T1, T2: nghỉ", id="a wide cell"
        ),
        pytest.param(
            "<table><tr><th colspan=2>Giá vé<tr><th>Tuyến<th>Giá<tr><td>1<td>5</table>",
            "Giá vé\nTuyến: 1 | Giá: 5",
            id="a title above the names",
        ),
        pytest.param(
            "<table><tr><th>A<th>B<tr><td>1<td>2<tr><th colspan=2>Nhóm hai<tr><td>3<td>4"
            "<tr><th>C<th>D<tr><td>5<td>6</table>",
            "A: 1 | B: 2\nNhóm hai\nA: 3 | B: 4\nC: 5 | D: 6",
            id="titles and names further down",
        ),
        pytest.param(
            "<table><tr><th>A<th>B<tr><td>x<td><ol><li>m<li>n</ol></table>",
            "A: x | B: 1. m; 2. n",
            id="a list in a cell",
        ),
        pytest.param(
            "<table><tr><th>A<th>B<tr><td rowspan=0>x<td>1<tr><td>2</table>",
            "A: x | B: 1\nA: x | B: 2",
            id="to the end",
        ),
    ],
)
def test_rows_of_tables_keep_the_names_of_their_columns(markup: str, expected: str) -> None:
    assert read(markup).text == expected


def test_a_cell_over_a_hundred_rows_does_not_shift_the_figures_below() -> None:
    rows = "".join(f"<tr><td>{number}" for number in range(2, 101))

    lines = read(f"<table><tr><th>A<th>B<tr><td rowspan=100>x<td>1{rows}</table>").text.split("\n")

    assert lines[-1] == "A: x | B: 100"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            "<meta charset=windows-1252><p>Le café coûte 5 € — “déjà vu”".encode("cp1252"),
            "Le café coûte 5 € — “déjà vu”",
        ),
        (
            "<html><p>Die Größe der Straße beträgt fünf Kilometer.</p>".encode("cp1252"),
            "Die Größe der Straße beträgt fünf Kilometer.",
        ),
        ("<meta charset=windows-1258><p>Nhân viên có 12 ngày.".encode("cp1258"), "Nhân viên có 12 ngày."),
    ],
)
def test_code_pages_are_read_declared_or_not(data: bytes, expected: str) -> None:
    assert assemble(html.read(data), fallback_title="t").text == expected


_TAGS = "p div ul ol li table tr td th dl dt dd h1 pre br q a sup sub section span caption tbody label my-x math msup"


@pytest.mark.parametrize("seed", range(300))
def test_no_word_is_lost_whatever_the_markup(seed: int) -> None:
    """Elements that nobody closes, cells without rows and terms without descriptions hold words all the same."""
    chance = random.Random(seed)
    words = [f"w{number}x" for number in range(20)]
    markup = "".join(
        f"<{chance.choice(['', '/'])}{chance.choice(_TAGS.split())}>{word if chance.random() < 0.5 else ''} {word}"
        for word in words
    )

    text = read(markup).text

    assert [word for word in words if word not in text] == []
