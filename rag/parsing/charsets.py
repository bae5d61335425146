"""Decode the bytes of text: by their marks, by evidence, or not at all.

Text in a wrong encoding is found by no question and answers with broken words, so an encoding is taken only if its text
looks like a language that is written in it, and no other encoding does as well. charset-normalizer was weighed: it is
right for long texts, but it always names something, for Vietnamese code pages too, of which it knows only one.
"""

import codecs
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from rag.errors import ParseError
from rag.parsing import vietnamese

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
_C1 = re.compile("[\x80-\x84\x86-\x9f]")

# Declared names that are believed if the bytes fit, as the codec that browsers take for them; of Western ones the
# content is asked first. Not here are names of transformations, and UTF-16, which no page in ASCII can declare.
_WESTERN_NAMES: Final = frozenset("ascii iso8859-1 cp1252 iso8859-15".split())
_DECLARABLE: Final[Mapping[str, str]] = {
    "cp1258": "cp1258", "gb2312": "gb18030", "gbk": "gb18030", "gb18030": "gb18030", "big5": "big5hkscs",
    "big5hkscs": "big5hkscs", "shift_jis": "cp932", "cp932": "cp932", "euc_jp": "euc_jp", "iso2022_jp": "iso2022_jp",
    "euc_kr": "cp949", "cp949": "cp949", "tis-620": "cp874", "cp874": "cp874", "koi8-r": "koi8_r", "koi8-u": "koi8_u",
    "cp1250": "cp1250", "cp1251": "cp1251", "cp1253": "cp1253", "cp1254": "cp1254", "cp1255": "cp1255",
    "cp1256": "cp1256", "cp1257": "cp1257", "iso8859-2": "iso8859-2", "iso8859-5": "iso8859-5",
    "iso8859-7": "iso8859-7", "iso8859-9": "cp1254",
}  # fmt: skip

_MIN_DISTINCT: Final = 3  # different Vietnamese words with marks
_MIN_MARKED_SHARE: Final = 0.95
_MIN_SHARE_FEW: Final = 0.75  # of all words, if only a few have marks
_MIN_SHARE_MANY: Final = 0.4
_MANY: Final = 30


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
    if 10 * damaged <= sum(char > "\x7f" for char in text) - damaged:  # UTF-8, with a few broken bytes perhaps
        return text
    trusted = _try_declared(data, declared) if declared else None
    found = trusted if trusted is not None else _detect(data)
    if found is None and declared and _codec_name(declared) in _WESTERN_NAMES:
        western = _try_decode(data, "cp1252")
        found = western if western is not None and _has_western_shape(western) else None
    if found is None:
        raise ParseError(UNKNOWN)
    return found


def _decode_utf16(data: bytes) -> str | None:
    """Return the text if it is UTF-16 without a mark: in letters of our languages in one byte order alone."""
    if len(data) % 2:
        return None
    texts = [text for name in ("utf-16-le", "utf-16-be") if (text := _try_decode(data, name)) is not None]
    likely = [text for text in texts if len(_UTF16_CHAR.findall(text)) >= _MIN_UTF16_SHARE * len(text)]
    return likely[0] if len(likely) == 1 else None


def _drop_nuls(data: bytes) -> bytes:
    inner = data.rstrip(b"\x00")
    if inner.count(b"\x00") > _MAX_NUL_SHARE * len(inner):
        raise ParseError("it is not text: it holds NUL bytes")
    return inner.replace(b"\x00", b"")


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
    if encoding == "cp1258" and vietnamese.weigh(text).marked_share < _MIN_MARKED_SHARE:
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


def _candidates(data: bytes) -> Iterator[str]:
    text = _try_decode(data, "cp1252")
    readings: tuple[tuple[str | None, Callable[[str], str]], ...] = (
        (_try_decode(data, "cp1258"), str),
        (text, vietnamese.from_tcvn3),
        (text, vietnamese.from_vni),
    )
    for base, read in readings:
        if base is not None and _is_vietnamese(read(base)):
            yield read(base)
    if text is not None and _is_western(text):
        yield text
    for encoding, is_likely in _EAST_ASIAN.items():
        text = _try_decode(data, encoding)
        if text is not None and is_likely(text):
            yield text


# Vietnamese ---------------------------------------------------------------------------------------------------------

_STUCK = re.compile(r"[^\W\d_][\xa1-\xbf\xd7\xf7\u0152\u0160\u0178\u017d\u0192\u02c6\u02dc\u2020-\u2022\u2030][^\W\d_]")


def _is_vietnamese(text: str) -> bool:
    found = vietnamese.weigh(text)
    min_share = _MIN_SHARE_MANY if found.distinct >= _MANY else _MIN_SHARE_FEW
    return (
        found.distinct >= _MIN_DISTINCT
        and found.marked_share >= _MIN_MARKED_SHARE
        and found.share >= min_share
        and len(_STUCK.findall(text)) <= (1 - _MIN_MARKED_SHARE) * found.marked
    )


# Western ------------------------------------------------------------------------------------------------------------

# For each language: its letters beyond ASCII, and frequent words that tell it from its neighbours.
_LANGUAGES: Final[tuple[tuple[str, frozenset[str]], ...]] = tuple(
    (letters, frozenset(common.split()))
    for letters, common in (
        ("éèêëàâçîïôùûüœñáóíöäãøå", "the of and to in is that for on with as are was be this by or from at it an not "
         "which have has can will must may each all any we you they who when what if no per more than there a "
         "were had his her its their also been but one two other"),
        ("äöüßéàè", "der die das und ist nicht mit für von auf den dem des ein eine einer eines im zu sich bei aus nach "
         "wird werden sind oder als auch an am zum zur über durch es hat haben kann wie vor bis nur mehr wenn in "
         "war er sie wurde um einen einem"),
        ("éèêëàâçîïôùûüœæÿ", "le la les des du une un est et dans pour que qui avec sur pas par au aux ce cette il elle "
         "en son sa ses ou sont être plus ne se de leur nous vous à été a ans jours tout"),
        ("ñáéíóúüïç", "el la los las del un una es y por para con que en se no al su sus lo como más o de a este "
         "esta son ser días años está ha si sobre entre"),
        ("ãáâàçéêíóôõúü", "o a os as do da dos das um uma e é para com que em não no na se por ao à ou de são mais "
         "ser seu sua dias anos como está foi"),
        ("àèéìíòóùî", "il lo la i gli le di del della dei delle un una è e per con che in non si da al alla sono "
         "più o nel nella dal come giorni anni ha ogni"),
        ("éèëïöüóáêç", "de het een en van is in op te dat die voor met zijn niet aan om er als bij ook of door over "
         "naar worden wordt heeft uit tot dagen jaar deze"),
        ("åäöéüà", "och att det som en på är av för med den till i inte ett om har de var eller från vid kan ska "
         "efter dagar år alla mellan under"),
        ("æøåéäöòôó", "og at det som en på er af for med den til i ikke et om har de var eller fra ved kan skal "
         "efter dage år alle av å etter dager mellem mellom ble blev"),
        ("äöåéšž", "ja on ei että se oli mutta tai kun joka ovat myös niin kuin voi hän sen päivää vuoden jos "
         "ole ovat sekä mukaan"),
    )
)  # fmt: skip
_LOAN_SHARE: Final = 0.25  # English has few words with marks
_MIN_COMMON: Final = 2
_MIN_COMMON_SHARE: Final = 0.2
_WESTERN_WORD = re.compile(r"[^\W\d_]+")
# Positions in which no Western text has the character, but a letter of another code page would stand.
_MISPLACED = re.compile(
    r"[^\W\d_][\u201a\u201e\u2039\u02c6\u02dc¿¡£¥¢¤¨´¸¯¬¦¶§\u2020\u2021\u2030\u2022]"
    r"|\w[«»\u201c\u201d\u2018\u2026\u2122©®±²³¹½¼¾µ\xad·×÷\u203a€][^\W\d_]|[^\W\d_][°ºª][^\W\d_]"
    r"|[^\W\d_][±÷×¼½¾][^\W\d_]|[\ufffd\x80-\x9f]|\d[À-ÖØ-öø-ÿŒœŠšŽžŸƒ]|[À-ÖØ-öø-ÿŒœŠšŽžŸƒ]\d"
)
_GUILLEMETS = re.compile(r"»[^\W\d_]")
_LONE = frozenset("àéèóáúíyêôâåöøæœÀÉÈÓÁÚÍÅÖØ")
_PUNCTUATION_ONLY = re.compile("[\u2018\u2019\u201c\u201d\u2013\u2014\u20ac§°©®\xa0\u2022«»„]")


def _has_western_shape(text: str) -> bool:
    """Return whether marked letters stand in words as they do in the languages of Western Europe."""
    found = [word for word in _WESTERN_WORD.findall(text) if not word.isascii()]
    odd = sum(1 for word in found if not _is_word_like(word))
    return not _MISPLACED.search(text) and 10 * odd <= len(found)


def _is_word_like(word: str) -> bool:
    has_case = word.islower() or word.isupper() or word[1:].islower()
    marked = sum(not char.isascii() for char in word)
    return has_case and (2 * marked <= len(word) or word in _LONE)


def _is_western(text: str) -> bool:
    if not _has_western_shape(text):
        return False
    found = _WESTERN_WORD.findall(text)
    lowered = [word.lower() for word in found]
    marked = [word for word in found if not word.isascii()]
    letters = {char for word in marked for char in word.lower() if not char.isascii()}
    if not marked and not _has_quotation_marks_only(text):
        return False
    for number, (allowed, common) in enumerate(_LANGUAGES):
        hits = sum(word in common for word in lowered)
        if not letters.issubset(allowed) or not all(map(_is_word_like, marked)):
            continue
        is_english = number == 0
        if is_english and len(marked) > _LOAN_SHARE * len(found):
            continue
        if hits >= max(_MIN_COMMON, _MIN_COMMON_SHARE * len(found)):
            return True
    return False


def _has_quotation_marks_only(text: str) -> bool:
    """Return whether the characters beyond ASCII are quotation marks, dashes and the like, placed as such."""
    return not [char for char in text if not char.isascii() and not _PUNCTUATION_ONLY.match(char)]


# East Asian ---------------------------------------------------------------------------------------------------------

# The most frequent characters of each script: two fifths of any text of it.
_SIMPLIFIED: Final = frozenset(
    "的一是不了在有人我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成方"
    "多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把机十民第公此已工使情"
    "明性知全三又关点正业外将两高间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加西斯月话合回特代内信表化老给"
    "世位次度门任常先海通教儿原东声提立及比员解水名真论处走义各入几口认条平系气题活尔更别打女变四神总何电数安少报才结反受目太"
    "量再感建务做接必场件计管期市直德资命山金指克许统区保至队形社便空决治展马科司五基眼书非则听白却界达光放强即像难且权思王象"
    "完设式色路记南品住告类求据程北边死张该交规万取拉格望觉术领共确传师观清今切院让识候带导争运"
)
_TRADITIONAL: Final = frozenset(
    "的一是不了在有人我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得於著下自之年過發後作裡用道行所然家種事成方"
    "多經麼去法學如都同現當沒動面起看定天分還進好小部其些主樣理心她本前開但因只從想實日軍者意無力它與長把機十民第公此已工使情"
    "明性知全三又關點正業外將兩高間由問很最重並物手應戰向頭文體政美相見被利什二等產或新己制身果加西斯月話合回特代內信表化老給"
    "世位次度門任常先海通教兒原東聲提立及比員解水名真論處走義各入幾口認條平系氣題活爾更別打女變四神總何電數安少報才結反受目太"
)
_HANGUL: Final = frozenset("이다는의에을가고지하한로를은인사도기어서나아자그리시일수정대해있스전부라들해과원장무여년오구보제주상동성")
_HAN = re.compile("[\u3400-\u9fff]")
_KANA = re.compile("[\u3041-\u3096\u30a1-\u30fa\u30fc]")
_HIRAGANA = re.compile("[\u3041-\u3096]")
_SYLLABLE = re.compile("[\uac00-\ud7a3]")
_EAST_ASIAN_CHAR = re.compile("[\u3000-\u303f\u3041-\u3096\u30a1-\u30fc\u3400-\u9fff\uac00-\ud7a3\uff01-\uff65]")
_MIN_EAST_ASIAN: Final = 6  # characters
_MIN_FREQUENT_SHARE: Final = 0.3
_MIN_HIRAGANA_SHARE: Final = 0.2


def _is_east_asian(text: str) -> bool:
    """Return whether nearly all that is not ASCII is in the scripts of East Asia."""
    beyond = sum(not char.isascii() for char in text)
    return (
        beyond >= _MIN_EAST_ASIAN
        and len(_EAST_ASIAN_CHAR.findall(text)) + len(_PUNCTUATION_ONLY.findall(text)) >= 0.98 * beyond
    )


def _share_of(frequent: frozenset[str], found: list[str]) -> float:
    return sum(char in frequent for char in found) / max(1, len(found))


def _is_chinese(text: str, frequent: frozenset[str]) -> bool:
    han = _HAN.findall(text)
    return (
        _is_east_asian(text)
        and len(han) >= _MIN_EAST_ASIAN
        and not _SYLLABLE.search(text)
        and 20 * len(_KANA.findall(text)) <= len(han)
        and _share_of(frequent, han) >= _MIN_FREQUENT_SHARE
    )


def _is_simplified(text: str) -> bool:
    return _is_chinese(text, _SIMPLIFIED)


def _is_traditional(text: str) -> bool:
    return _is_chinese(text, _TRADITIONAL)


def _is_japanese(text: str) -> bool:
    script = len(_KANA.findall(text)) + len(_HAN.findall(text))
    return (
        _is_east_asian(text)
        and not _SYLLABLE.search(text)
        and len(_HIRAGANA.findall(text)) >= _MIN_HIRAGANA_SHARE * script
    )


def _is_korean(text: str) -> bool:
    hangul = _SYLLABLE.findall(text)
    return (
        _is_east_asian(text)
        and len(hangul) >= 4 * len(_HAN.findall(text))
        and not _KANA.search(text)
        and _share_of(_HANGUL, hangul) >= _MIN_FREQUENT_SHARE
    )


_EAST_ASIAN: Final[Mapping[str, Callable[[str], bool]]] = {
    "gb18030": _is_simplified,
    "cp932": _is_japanese,
    "euc_jp": _is_japanese,
    "cp949": _is_korean,
    "big5hkscs": _is_traditional,
}
