"""Encoders of the tests' own for the encodings of before Unicode that Python lacks, written from the standards anew."""

import unicodedata
from typing import Final

# TCVN 5712:1993, VN3, in the order of the bytes; a dot is a byte without a letter.
_TCVN3_FROM_A1: Final = (
    "ĂÂÊÔƠƯĐăâêôơưđ" + "......" + "àảãáạ" + "." + "ằẳẵắ" + "......." + "ặầẩẫấậè" + "." + "ẻẽéẹềểễếệìỉ" + "..."
    "ĩíịò" + "." + "ỏõóọồổỗốộờởỡớợù" + "." + "ủũúụừửữứựỳỷỹýỵ"
)
_VNI_LETTERS: Final = dict(zip("đĐơƠưƯìÌíÍỉỈĩĨịỊỵỴ", "ñÑôÔöÖìÌíÍæÆóÓòÒîÎ", strict=True))
_VNI_TONES: Final = dict(zip("\u0300\u0301\u0309\u0303\u0323", "øùûõï", strict=True))
_VNI_WITH_CIRCUMFLEX: Final = dict(zip("\u0300\u0301\u0309\u0303\u0323", "àáåãä", strict=True)) | {"": "â"}
_VNI_WITH_BREVE: Final = dict(zip("\u0300\u0301\u0309\u0303\u0323", "èéúüë", strict=True)) | {"": "ê"}
_TONES: Final = "\u0300\u0301\u0303\u0309\u0323"


def to_tcvn3(text: str) -> bytes:
    """Encode in TCVN3; capitals with tones are small letters, as the font of capitals shows them.

    Raises: UnicodeEncodeError: another character is no part of it.
    """
    codes = {letter: 0xA1 + at for at, letter in enumerate(_TCVN3_FROM_A1) if letter != "."}
    return b"".join(
        bytes([codes.get(char, codes.get(char.lower(), 0))]) if char in codes or char.lower() in codes
        else char.encode("ascii")
        for char in unicodedata.normalize("NFC", text)
    )  # fmt: skip


def to_vni(text: str) -> bytes:
    """Encode in VNI for Windows: each vowel with marks is the vowel and a second character."""
    return "".join(map(_to_vni_char, unicodedata.normalize("NFC", text))).encode("latin-1")


def _to_vni_char(char: str) -> str:
    if char in _VNI_LETTERS or char.isascii():
        return _VNI_LETTERS.get(char, char)
    base, marks = char_parts(char)
    if base.lower() not in set("aeiouy"):
        raise UnicodeEncodeError("vni", char, 0, 1, "no Vietnamese letter")
    tone = "".join(mark for mark in marks if mark in _TONES)
    shape = "".join(mark for mark in marks if mark not in _TONES)
    if shape == "\u031b":
        base, shape = _VNI_LETTERS[unicodedata.normalize("NFC", base + shape)], ""
    signs = {"\u0302": _VNI_WITH_CIRCUMFLEX, "\u0306": _VNI_WITH_BREVE, "": _VNI_TONES}[shape]
    sign = signs[tone]
    return base + (sign.upper() if char.isupper() else sign)


def to_cp1258(text: str) -> bytes:
    """Encode in windows-1258, which has letters with shapes, and tones as characters of their own."""
    return b"".join(map(_to_cp1258_char, unicodedata.normalize("NFC", text)))


def _to_cp1258_char(char: str) -> bytes:
    try:
        return char.encode("cp1258")
    except UnicodeEncodeError:
        base, marks = char_parts(char)
        tone = "".join(mark for mark in marks if mark in _TONES)
        shape = "".join(mark for mark in marks if mark not in _TONES)
        return (unicodedata.normalize("NFC", base + shape) + tone).encode("cp1258")


def char_parts(char: str) -> tuple[str, str]:
    """Return the letter and its marks."""
    parts = unicodedata.normalize("NFD", char)
    return parts[0], parts[1:]
