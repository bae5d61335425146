"""No text is read in a wrong encoding: it is right, or it is refused with its reason."""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from rag.errors import ParseError
from rag.parsing import charsets, parse, vietnamese
from rag.parsing.blocks import Block, Draft, assemble, restore
from tests.unit.languages import EAST_ASIAN, OTHERS, WESTERN
from tests.unit.old_encodings import to_cp1258, to_tcvn3, to_vni

PROJECT = Path(__file__).parents[2]
XQUAD = PROJECT.parent / "shared" / "data" / "xquad"  # not part of the project; `make eval` uses it too
PROSE = (PROJECT / "examples" / "documents", *(PROJECT / "load" / "evaluation" / "everyday").glob("*/documents"))
LENGTHS = (20, 100, 1000)
SAMPLES = 40
MAX_SAMPLES = 200
LAW = "Cộng hoà xã hội chủ nghĩa Việt Nam. Độc lập - Tự do - Hạnh phúc. Nhân viên được nghỉ mười hai ngày phép mỗi năm."

Encode = Callable[[str], bytes]


def encoder(name: str) -> Encode:
    return lambda text: text.encode(name)


VIETNAMESE_ENCODERS: dict[str, Encode] = {
    "utf-8": encoder("utf-8"),
    "utf-16-le": encoder("utf-16-le"),
    "utf-16-be": encoder("utf-16-be"),
    "cp1258": to_cp1258,
    "tcvn3": to_tcvn3,
    "vni": to_vni,
}
ENGLISH_ENCODERS: dict[str, Encode] = {name: encoder(name) for name in ("utf-8", "utf-16-le", "utf-16-be", "cp1252")}


def examples(language: str) -> str:
    """Return prose of the project's own documents, or of XQuAD where it is at hand."""
    files = sorted(XQUAD.glob(f"xquad.{language}*.json"))
    if not files:
        texts = [parse(path).text for folder in PROSE for path in sorted(folder.iterdir())]
        wanted = "ăâđêôơư" if language == "vi" else ""
        return "\n".join(text for text in texts if bool(set(text) & set("đơư")) == bool(wanted))
    articles = json.loads(files[0].read_text())["data"]
    return "\n".join(paragraph["context"] for article in articles for paragraph in article["paragraphs"])


def with_printed_quotes(text: str) -> str:
    """Return the text with the signs that word processors put: windows-1252 differs from ASCII in them alone."""
    return re.sub(r'"(?=\w)', "“", re.sub(r"(?<=\w)'(?=\w)", "’", text)).replace('"', "”").replace(" - ", " – ")


def cut_samples(text: str, length: int) -> list[str]:
    """Return pieces of the length from everywhere in the text, from word to word, none in ASCII alone."""
    step = max(1, (len(text) - length) // 2000)
    starts = (text.find(" ", at) + 1 for at in range(0, len(text) - length - 100, step))
    pieces = (text[at : at + length].rpartition(" ")[0].strip() for at in starts)
    found = [piece for piece in pieces if piece and not piece.isascii()]
    return found[:: max(1, len(found) // MAX_SAMPLES)]


def same(one: str, other: str) -> bool:
    """Return whether the texts are equal but for capitals, which TCVN3 leaves to the font."""
    return unicodedata.normalize("NFC", one).lower() == unicodedata.normalize("NFC", other).lower()


def judge(text: str, encode: Encode) -> str:
    try:
        data = encode(text)
    except (UnicodeEncodeError, KeyError):
        return "not encodable"
    try:
        return "right" if same(charsets.decode(data), text) else "wrong"
    except ParseError:
        return "refused"


# The evidence -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize(
    ("language", "name"),
    [("vi", name) for name in VIETNAMESE_ENCODERS] + [("en", name) for name in ENGLISH_ENCODERS],
)
def test_no_sample_is_read_wrongly(
    language: str, name: str, length: int, record_property: Callable[[str, object], None]
) -> None:
    """Forty samples and more of each length: right or refused, and a text of a page is nearly always right."""
    text = examples(language) if language == "vi" else with_printed_quotes(examples(language))
    encode = VIETNAMESE_ENCODERS[name] if language == "vi" else ENGLISH_ENCODERS[name]

    verdicts = Counter(judge(sample, encode) for sample in cut_samples(text, length))

    record_property("verdicts", dict(verdicts))
    judged = verdicts.total() - verdicts["not encodable"]
    assert verdicts["wrong"] == 0
    assert judged >= SAMPLES
    # The project's own documents are full of tables and figures, which give less evidence than prose.
    of_100 = 0.85 if XQUAD.is_dir() else 0.8
    assert verdicts["right"] >= {20: 0.1, 100: of_100, 1000: 0.95}[length] * judged


@pytest.mark.parametrize("length", [10, 20, 50, 100, 300])
@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        *((text, encoding) for text in WESTERN.values() for encoding in ("cp1252", "cp850", "cp437", "mac_roman")),
        *((text, encoding) for (_, encoding), text in OTHERS.items()),
        *((text, "cp852") for (_, encoding), text in OTHERS.items() if encoding == "cp1250"),
        *((text, encoding) for (_, encoding), text in EAST_ASIAN.items()),
    ],
)
def test_no_piece_of_another_language_or_code_page_is_read_wrongly(text: str, encoding: str, length: int) -> None:
    """Pieces are cut anywhere, in words too; DOS and Mac OS had other letters in the same places."""
    pieces = {text[at : at + length] for at in range(0, max(1, len(text) - length), 3)}

    wrong = [piece for piece in pieces if not piece.isascii() and judge(piece, encoder(encoding)) == "wrong"]

    assert wrong == []


@pytest.mark.parametrize("text", WESTERN.values(), ids=WESTERN)
def test_a_passage_in_a_western_language_is_read(text: str) -> None:
    assert charsets.decode(text.encode("cp1252")) == text


@pytest.mark.parametrize(("case", "text"), EAST_ASIAN.items(), ids=str)
def test_a_passage_in_an_east_asian_language_is_read(case: tuple[str, str], text: str) -> None:
    assert charsets.decode(text.encode(case[1])) == text


def test_japanese_mail_is_read() -> None:
    """ISO-2022-JP is in seven bits, and would pass for ASCII."""
    text = "年次有給休暇は十二日です。"

    assert charsets.decode(text.encode("iso2022_jp")) == text


# Bytes --------------------------------------------------------------------------------------------------------------


def test_a_single_nul_does_not_make_a_text_binary() -> None:
    """It stood between two strings once."""
    assert charsets.decode((LAW + "\0" + LAW).encode() + b"\0") == f"{LAW} {LAW}"


def test_utf16_without_a_mark_is_known_by_its_letters() -> None:
    assert charsets.decode(LAW.encode("utf-16-le")) == LAW
    assert charsets.decode(LAW.encode("utf-16-be")) == LAW


@pytest.mark.parametrize(
    ("declared", "text", "encoding"),
    [
        ("iso-8859-1", "Die Größe – 5 €", "cp1252"),  # as browsers read the name
        ("windows-1251", "Сколько дней", "cp1251"),
        ("gb2312", "員工", "gb18030"),
        ("shift_jis", "有給", "cp932"),
        ("windows-1252", LAW, "cp1258"),  # the content knows better
        ("utf-16", LAW, "utf-8"),
        ("unicode_escape", "Größe der Straße für fünf Äpfel, und die ist nicht klein", "cp1252"),  # no encoding of text
    ],
)
def test_a_declared_encoding_is_believed_if_the_bytes_fit(declared: str, text: str, encoding: str) -> None:
    data = to_cp1258(text) if encoding == "cp1258" else text.encode(encoding)

    assert unicodedata.normalize("NFC", charsets.decode(data, declared)) == text


def test_a_western_declaration_does_not_turn_russian_into_western_letters() -> None:
    with pytest.raises(ParseError, match="its text encoding is unknown: save it as UTF-8"):
        charsets.decode("Сколько дней отпуска".encode("cp1251"), "windows-1252")


@pytest.mark.parametrize(
    ("data", "name"), [(b"{\\rtf1\\ansi", "RTF"), (b"\xff\xd8\xff\xe0", "JPEG"), (b"GIF89a", "GIF")]
)
def test_other_formats_are_refused_by_name(data: bytes, name: str) -> None:
    with pytest.raises(ParseError, match=f"its content is {name}"):
        charsets.decode(data)


def test_broken_bytes_are_told() -> None:
    """They are not in the text, and whoever adds the file is to know it."""
    text = charsets.decode(LAW.encode() + b"\xe1\xba")

    assert assemble(Draft([Block(text)]), fallback_title="t").warnings == ("not in the text: 1 broken character",)


# Characters ---------------------------------------------------------------------------------------------------------


def as_pasted(text: str, encode: Encode) -> str:
    return encode(text).decode("cp1252")


@pytest.mark.parametrize("encode", [to_tcvn3, to_vni])
def test_text_of_old_fonts_is_restored_in_every_format(encode: Encode) -> None:
    """In DOCX, PDF and UTF-8 too the file holds Western letters, which only the font shows as Vietnamese."""
    document = assemble(Draft(restore([Block(as_pasted(LAW, encode))])), fallback_title="t")

    assert document.text == LAW


def test_short_blocks_of_an_old_document_go_along_and_others_stay() -> None:
    texts = [as_pasted(LAW, to_tcvn3), as_pasted("Điều 1", to_tcvn3), "Café 5 °C, 10 m²", "Lương: 1.500.000"]

    assert charsets.restore(texts) == [LAW, "Điều 1", "Café 5 °C, 10 m²", "Lương: 1.500.000"]


def test_capitals_of_the_old_fonts_are_capitals() -> None:
    """`CéNG` was typed for CỘNG in the font of capitals."""
    assert vietnamese.restore(["CéNG HOµ HéI CHñ NGHÜA VIÖT NAM, §éc lËp"]) == [
        "CỘNG HOÀ HỘI CHỦ NGHĨA VIỆT NAM, Độc lập"
    ]


@pytest.mark.parametrize("text", [*WESTERN.values(), *(text for text in OTHERS.values()), LAW, "«Été» § 5 © ½ · ®"])
def test_text_that_is_right_stays_as_it_is(text: str) -> None:
    assert charsets.restore([text]) == [text]


def test_vietnamese_of_the_examples_stays_as_it_is() -> None:
    paragraphs = [line for path in sorted(PROSE[0].iterdir()) for line in parse(path).text.split("\n")]

    assert charsets.restore(paragraphs) == paragraphs


def test_utf8_that_was_read_as_windows_1252_is_restored() -> None:
    """An export that decodes twice leaves `NhÃ¢n viÃªn`."""
    broken = "Nhân viên: 5 €".encode().decode("cp1252")

    assert charsets.restore([broken, "A is Â"]) == ["Nhân viên: 5 €", "A is Â"]


@pytest.mark.parametrize("word", ["nghiêng", "quốc", "gì", "giếng", "khuya", "oằn", "uỷ", "ĐẮC", "thuở", "quý", "Yêu"])
def test_syllables_are_known(word: str) -> None:
    assert vietnamese.is_syllable(word)


@pytest.mark.parametrize("word", ["thât", "für", "été", "ngiêng", "kà", "cê", "nãời", "Việtnam"])
def test_what_is_no_syllable_is_known(word: str) -> None:
    assert not vietnamese.is_syllable(word)
