"""Decode the bytes of text: by their marks, by evidence, or not at all.

Text in a wrong encoding is found by no question and answers with broken words, so an encoding is taken only if its text
looks like a language that is written in it, and no other encoding does as well. charset-normalizer 3.5 and chardet 7.7
were measured and rejected (`python -m load.reading.encodings`): both know UTF-16 and windows-1258 as well as this, and
more languages; but of TCVN3 and VNI, which they do not know, they read 91 and all of 132 samples as something else.
"""

import codecs
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from rag.errors import ParseError
from rag.parsing import east_asian, vietnamese, western

UNKNOWN: Final = "its text encoding is unknown: save it as UTF-8"

_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is a prefix of it
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SIGNATURES: Final = (
    (b"%PDF-", "PDF"), (b"PK\x03\x04", "ZIP"), (b"\xd0\xcf\x11\xe0", "Office"), (b"\x89PNG", "PNG"),
    (b"\xff\xd8\xff", "JPEG"), (b"GIF8", "GIF"), (b"\x1f\x8b", "gzip"), (b"7z\xbc\xaf", "7z"), (b"Rar!", "RAR"),
    (b"{\\rtf", "RTF"),
)  # fmt: skip
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f]")
_MAX_CONTROL_SHARE: Final = 0.01
_MAX_NUL_SHARE: Final = 0.01  # of a text that has a few in it; more of them are another format
_UTF16_CHAR = re.compile("[\t\n\x0c\r\x20-\x7e\xa0-\u024f\u0300-\u036f\u1e00-\u1eff\u2000-\u206f\u20a0-\u20bf]")
_MIN_UTF16_SHARE: Final = 0.9
_MIN_UTF16_BYTES: Final = 16
_FEW: Final = 3  # so few characters are UTF-8 by accident now and then: TCVN3 and VISCII have words that are
_MIXED_SCRIPTS = re.compile("[A-Za-z][\u0370-\u1dff]|[\u0370-\u1dff][A-Za-z]")
_CP1252: Final = frozenset(bytes(set(range(256)) - {0x81, 0x8D, 0x8F, 0x90, 0x9D}).decode("cp1252"))
_DOUBLED = re.compile("[\xc2-\xf4][^\x00-\x7f]")
_MARKUP = re.compile(
    r"<(?:script|style)\b[^<]*(?:<(?!/(?:script|style)\b)[^<]*)*|</?[a-z!?][^<>]*>|&#?\w{1,8};", re.IGNORECASE
)
_ACCENT_AS_APOSTROPHE = re.compile(r"(?<=[A-Za-z])[´`](?=(?:s|t|re|ve|ll|d|m)\b)")  # we´re, as many type it
_C1 = re.compile("[\x80-\x84\x86-\x9f]")

# Declared names that are believed if the bytes fit, as the codec that browsers take for them; of Western ones the
# content is asked first. Not here are names of transformations, and UTF-16, which no page in ASCII can declare.
_WESTERN_NAMES: Final = frozenset(("ascii", "iso8859-1", "cp1252", "iso8859-15"))
_DECLARABLE: Final[Mapping[str, str]] = {
    "cp1258": "cp1258", "gb2312": "gb18030", "gbk": "gb18030", "gb18030": "gb18030", "big5": "big5hkscs",
    "big5hkscs": "big5hkscs", "shift_jis": "cp932", "cp932": "cp932", "euc_jp": "euc_jp", "iso2022_jp": "iso2022_jp",
    "euc_kr": "cp949", "cp949": "cp949", "tis-620": "cp874", "cp874": "cp874", "koi8-r": "koi8_r", "koi8-u": "koi8_u",
    "cp1250": "cp1250", "cp1251": "cp1251", "cp1253": "cp1253", "cp1254": "cp1254", "cp1255": "cp1255",
    "cp1256": "cp1256", "cp1257": "cp1257", "iso8859-2": "iso8859-2", "iso8859-5": "iso8859-5",
    "iso8859-7": "iso8859-7", "iso8859-9": "cp1254",
}  # fmt: skip

_MIN_DISTINCT: Final = 3  # different Vietnamese words with marks
_MAX_SAMPLE: Final = 200_000  # characters that the evidence for Vietnamese is taken from
_PART: Final = 60_000
_CLEAR: Final = 8  # with fewer, no other reading may have half as many
_RIVAL_SHARE: Final = 0.6
_MIN_MARKED_SHARE: Final = 0.95
# Of all words, by the number of different ones with marks: names and English words stand in Vietnamese text too.
_MIN_SHARES: Final = ((30, 0.3), (8, 0.4), (5, 0.6), (_MIN_DISTINCT, 0.75))


def decode(data: bytes, declared: str | None = None) -> str:
    """Decode bytes: by byte order mark, as UTF-8, as declared, or in an encoding that their content gives evidence of.

    U+FFFD stands for the broken bytes of text that is UTF-8 otherwise.

    Raises: ParseError: the bytes are no text, or their encoding is unknown.
    """
    for signature, name in _SIGNATURES:
        if data.startswith(signature):
            raise ParseError(f"it is not text: its content is {name}")
    text = _decode(data, declared)
    if len(_CONTROL.findall(text)) > _MAX_CONTROL_SHARE * len(text):
        raise ParseError("it is not text: its content is binary")
    return text


def restore(texts: Sequence[str]) -> list[str]:
    """Return the blocks of a document with those restored that were decoded wrongly before they came into the file.

    These are UTF-8 that was read as windows-1252, and the Vietnamese of old fonts. In doubt a block stays as it is.
    """
    return vietnamese.restore([_undo_double(text) if _DOUBLED.search(text) else text for text in texts])


def _undo_double(text: str) -> str:
    try:
        data = b"".join(char.encode("cp1252" if char in _CP1252 else "latin-1") for char in text)
        return data.decode("utf-8")
    except UnicodeError:
        return text


def _decode(data: bytes, declared: str | None) -> str:
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return data.decode(encoding, errors="replace").removeprefix("\ufeff")
    if b"\x00" in data:
        wide = _decode_utf16(data)
        if wide is not None:
            return wide
        data = _drop_nuls(data)
    if b"\x1b$" in data or b"\x1b(" in data:
        japanese = _try_decode(data, "iso2022_jp")
        if japanese is not None:
            return japanese
    # UTF-8 before the declared encoding: pages often declare a former one, and text in others is not valid UTF-8 by
    # accident.
    text = data.decode("utf-8", errors="replace")
    damaged = text.count("\ufffd")
    beyond = sum(char > "\x7f" for char in text) - damaged
    if 10 * damaged <= beyond and not (beyond <= _FEW and _MIXED_SCRIPTS.search(text)):
        return text  # UTF-8, with a few broken bytes perhaps
    trusted = _try_declared(data, declared) if declared else None
    found = trusted if trusted is not None else _detect(data)
    if found is None and declared and _codec_name(declared) in _WESTERN_NAMES:
        text = _try_decode(data, "cp1252") or ""
        found = text if western.has_western_shape(_ACCENT_AS_APOSTROPHE.sub("’", _strip_markup(text))) else None
    if not found:
        raise ParseError(UNKNOWN)
    return found


def _decode_utf16(data: bytes) -> str | None:
    """Return the text if it is UTF-16 without a mark: in letters of our languages in one byte order alone."""
    if len(data) % 2 or len(data) < _MIN_UTF16_BYTES:
        return None
    texts = [text for name in ("utf-16-le", "utf-16-be") if (text := _try_decode(data, name)) is not None]
    likely = [text for text in texts if len(_UTF16_CHAR.findall(text)) >= _MIN_UTF16_SHARE * len(text)]
    return likely[0] if len(likely) == 1 else None


def _drop_nuls(data: bytes) -> bytes:
    if data.count(b"\x00") > _MAX_NUL_SHARE * len(data):
        raise ParseError("it is not text: it holds NUL bytes")
    return data.rstrip(b"\x00").replace(b"\x00", b" ")  # more often between two strings than inside of a word


def _codec_name(label: str) -> str:
    try:
        return codecs.lookup(label.strip()).name
    except (LookupError, ValueError):
        return ""


def _try_declared(data: bytes, declared: str) -> str | None:
    encoding = _DECLARABLE.get(_codec_name(declared))
    text = _try_decode(data, encoding) if encoding else None
    if text is None or _C1.search(text):
        return None
    if encoding == "cp1258" and vietnamese.weigh(_strip_markup(text)).marked_share < _MIN_MARKED_SHARE:
        return _detect(data) or text
    return text


def _try_decode(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


def _detect(data: bytes) -> str | None:
    """Return the text in the one encoding that makes language of it; None if there is none, or several differ."""
    texts = {unicodedata.normalize("NFC", text) for text in _candidates(data)}
    return texts.pop() if len(texts) == 1 else None


def _strip_markup(text: str) -> str:
    """Return the text of a page without what is English in every page."""
    return _MARKUP.sub(" ", text) if "<" in text else text


def _take_sample(text: str) -> str:
    """Return the text without markup; of a long one its beginning, middle and end, which tell enough."""
    middle = len(text) // 2
    parts = [text] if len(text) <= _MAX_SAMPLE else [text[:_PART], text[middle : middle + _PART], text[-_PART:]]
    return " ".join(map(_strip_markup, parts))


def _candidates(data: bytes) -> Iterator[str]:
    """Yield the text in each encoding that makes language of it."""
    text = _try_decode(data, "cp1252")
    readings: list[tuple[str, Callable[[str], str]]] = [(_decode_viscii(data), str)]
    cp1258 = _try_decode(data, "cp1258")
    if cp1258 is not None:
        readings.append((cp1258, str))
    if text is not None:
        readings += [(text, vietnamese.from_tcvn3), (text, vietnamese.from_vni)]
    samples = [read(_take_sample(base)) for base, read in readings]
    evidence = [vietnamese.weigh(sample) for sample in samples]
    for (base, read), sample, found in zip(readings, samples, evidence, strict=True):
        rivals = [other for other in evidence if other != found and other.marked_share >= _RIVAL_SHARE]
        is_clear = found.distinct >= _CLEAR or all(2 * rival.distinct <= found.distinct for rival in rivals)
        if is_clear and _is_vietnamese(sample, found):
            yield read(base)
    could_be_old = any(
        found.distinct and found.marked_share >= _MIN_MARKED_SHARE
        for (base, _), found in zip(readings, evidence, strict=True)
        if base != cp1258
    )
    if text is not None and not could_be_old and western.is_western(_strip_markup(text)):
        yield text
    for encoding, is_likely in east_asian.ENCODINGS.items():
        decoded = _try_decode(data, encoding)
        if decoded is not None and is_likely(decoded):
            yield decoded


# RFC 1456, from byte 80 on; six capitals stand among the control characters.
_VISCII: Final = (
    "ẠẮẰẶẤẦẨẬẼẸẾỀỂỄỆỐỒỔỖỘỢỚỜỞỊỎỌỈỦŨỤỲÕắằặấầẩậẽẹếềểễệốồổỗỠƠộờởịỰỨỪỬơớƯ"
    "ÀÁÂÃẢĂẳẵÈÉÊẺÌÍĨỳĐứÒÓÔạỷừửÙÚỹỵÝỡưàáâãảăữẫèéêẻìíĩỉđựòóôõỏọụùúũủýợỮ"
)
_VISCII_CONTROLS: Final = {0x02: "Ẳ", 0x05: "Ẵ", 0x06: "Ẫ", 0x14: "Ỷ", 0x19: "Ỹ", 0x1E: "Ỵ"}


def _decode_viscii(data: bytes) -> str:
    table = {0x80 + at: letter for at, letter in enumerate(_VISCII)} | _VISCII_CONTROLS
    return data.decode("latin-1").translate(table)


def _is_vietnamese(text: str, found: vietnamese.Evidence) -> bool:
    min_share = next((share for distinct, share in _MIN_SHARES if found.distinct >= distinct), 2.0)
    return (
        found.share >= min_share
        and found.marked_share >= _MIN_MARKED_SHARE
        and len(western.MISPLACED.findall(text)) <= (1 - _MIN_MARKED_SHARE) * found.marked
    )
