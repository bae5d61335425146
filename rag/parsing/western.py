"""Know text in the languages of Western Europe, which windows-1252 was made for, and Latin-1 before it.

The other code pages of one byte have other letters and signs in the same places. So the evidence is what stands where:
letters that the language has, in words of its form, among its frequent words, and signs in their positions.
"""

import re
from typing import Final


class _Language:
    """The letters of a language beyond ASCII, and frequent words that tell it from its neighbours."""

    def __init__(self, letters: str, *words: str) -> None:
        self.letters = frozenset(letters)
        self.words = frozenset(" ".join(words).split())


_LANGUAGES: Final = (
    _Language(
        "éèêëàâçîïôùûüñáóíöäøå",
        "the of and to in is that for on with are was be this by or from at it an not which have has can will",
        "must may each all any we you they who when what if no per more than there were had his her its their",
        "also been but one two other",
    ),
    _Language(
        "äöüßéàè",
        "der die das und ist nicht mit für von auf den dem des ein eine einer eines im zu sich bei aus nach",
        "wird werden sind oder als auch an am zum zur über durch es hat haben kann wie vor bis nur mehr wenn",
        "in war er sie wurde um einen einem",
    ),
    _Language(
        "éèêëàâçîïôùûüœæÿ",
        "le la les des du une un est et dans pour que qui avec sur pas par au aux ce cette il elle en son sa",
        "ses ou sont être plus ne se de leur nous vous à été a ans jours tout",
    ),
    _Language(
        "ñáéíóúüïç",
        "el la los las del un una es y por para con que en se no al su sus lo como más o de a este esta son",
        "ser días años está ha si sobre entre",
    ),
    _Language(
        "ãáâàçéêíóôõúü",
        "o a os as do da dos das um uma e é para com que em não no na se por ao à ou de são mais ser seu sua",
        "dias anos como está foi",
    ),
    _Language(
        "àèéìíòóùî",
        "il lo la i gli le di del della dei delle un una è e per con che in non si da al alla sono più o nel",
        "nella dal come giorni anni ha ogni",
    ),
    _Language(
        "éèëïöüóáêç",
        "de het een en van is in op te dat die voor met zijn niet aan om er als bij ook of door over naar",
        "worden wordt heeft uit tot dagen jaar deze",
    ),
    _Language(
        "åäöéüà",
        "och att det som en på är av för med den till i inte ett om har de var eller från vid kan ska efter",
        "dagar år alla mellan under",
    ),
    _Language(
        "æøåéäöòôó",
        "og at det som en på er af for med den til i ikke et om har de var eller fra ved kan skal efter dage",
        "år alle av å etter dager mellem mellom ble blev",
    ),
    _Language(
        "äöåéšž",
        "ja on ei että se oli mutta tai kun joka ovat myös niin kuin voi hän sen päivää vuoden jos ole ovat",
        "sekä mukaan",
    ),
)
_LOAN_SHARE: Final = 0.25  # English has few words with marks
_MIN_COMMON: Final = 2
_MANY_MARKED: Final = 3
_ELIDING: Final = frozenset(("les", "gli"))  # French and Italian write `l’été`
_MIN_COMMON_SHARE: Final = 0.2
_MIN_COMMON_SHARE_OF_SIGNS: Final = 0.1  # if quotation marks, dashes and signs are all that is beyond ASCII
_WESTERN_WORD = re.compile("[A-Za-zªºÀ-ÖØ-öø-ÿŒœŠšŽžŸƒ]+")
# Positions in which no Western text has the character, but a letter of another code page would stand.
_LETTER: Final = r"[^\W\d_]"
MISPLACED = re.compile(
    rf"{_LETTER}[\u201a\u201e\u2039\u02c6\u02dc¿¡£¥¢¤¨´¸¯¬¦¶§©\u2020\u2021\u2030\u2022\xad](?!\w)"
    rf"|\w[«»\u201a\u201c\u201d\u201e\u2018\u2026\u2122©®±²³¹½¼¾µ\xad·×÷\u2039\u203a€\u02c6\u02dc¿¡£¥¢¤¨´¸¯¬¦¶§\u2020-\u2022\u2030]"
    rf"{_LETTER}|(?<!\w)[\u201d\xad\u2020\u2021\u2030\u2122²³¹¨´¸¯¬¦±¤\u02c6\u02dc©]{_LETTER}"
    rf"|{_LETTER}[°ºª±÷×¼½¾]{_LETTER}|{_LETTER}[±÷×¼½¾]|\d[À-ÖØ-öø-ÿŒœŠšŽžŸƒ]|[À-ÖØ-öø-ÿŒœŠšŽžŸƒ]\d|[\ufffd\x80-\x9f]"
)
_STUCK_SPACE = re.compile(rf"{_LETTER}\xa0{_LETTER}")  # á in the code pages of DOS
_INNER_APOSTROPHE = re.compile(rf"{_LETTER}\u2019{_LETTER}")
_ELISION = re.compile(
    rf"\b(?:[cdjlmnst]|qu|jusqu|lorsqu|puisqu|quoiqu|aujourd|quelqu|presqu|un|\w{{0,4}}(?:ll|gl)|com|dov|cos|anch)\u2019{_LETTER}",
    re.IGNORECASE,
)
_CONTRACTION = re.compile(rf"{_LETTER}\u2019(?:s|t|re|ve|ll|d|m|clock)\b|\b[odl]\u2019{_LETTER}", re.IGNORECASE)
_INNER_DASH = re.compile(rf"{_LETTER}[\u2013\u2014]{_LETTER}")
_CLOSING_AS_OPENING = re.compile(rf"{_LETTER}[\u2018\u201c](?!\w)")  # right after a German opening mark only
_LONE = frozenset("àéèóáúíyêôâåöøæœÀÉÈÓÁÚÍÅÖØ")
_SIGN = re.compile("[\u2018\u2019\u201c\u201d\u2013\u2014\u20ac£§°©®\xa0\u2022«»„½¼¾×±²³]")


def has_western_shape(text: str) -> bool:
    """Return whether marked letters stand in words as they do in the languages of Western Europe."""
    found = [word for word in _WESTERN_WORD.findall(text) if not word.isascii()]
    odd = sum(1 for word in found if not _is_word_like(word))
    if _CLOSING_AS_OPENING.search(text) and not ("\u201e" in text or "\u201a" in text):
        return False
    return not MISPLACED.search(text) and 10 * odd <= len(found)


def _is_word_like(word: str) -> bool:
    has_case = word.islower() or word.isupper() or word[1:].islower()
    marked = sum(not char.isascii() for char in word)
    return has_case and (2 * marked <= len(word) or word in _LONE)


def is_western(text: str) -> bool:
    """Return whether the text is in a language of windows-1252: by its letters, its frequent words and its shape."""
    if not has_western_shape(text):
        return False
    found = [word.lower() for word in _WESTERN_WORD.findall(text)]
    marked = [word for word in found if not word.isascii()]
    letters = {char for word in marked for char in word if not char.isascii()}
    english, *others = _LANGUAGES
    if not letters:
        return _is_signed_english(text, found, english.words)
    is_english = _fits_apostrophes(text, _CONTRACTION)
    if (
        is_english
        and letters.issubset(english.letters)
        and len(marked) <= _LOAN_SHARE * len(found)
        and _speaks(found, marked, english.words)
    ):
        return True
    return not _INNER_DASH.search(text) and any(
        letters.issubset(other.letters)
        and _speaks(found, marked, other.words)
        and _fits_apostrophes(text, _ELISION if other.words & _ELIDING else None)
        for other in others
    )


def _fits_apostrophes(text: str, expected: re.Pattern[str] | None) -> bool:
    """Return whether every apostrophe between letters stands where the language has one; Mac OS has í there."""
    found = len(_INNER_APOSTROPHE.findall(text))
    return not found or (expected is not None and len(expected.findall(text)) >= 0.8 * found)


def _speaks(found: list[str], marked: list[str], common: frozenset[str]) -> bool:
    """Return whether enough of the words are frequent ones of a language; a few do if many have its marks."""
    hits = sum(word in common for word in found)
    enough = _MIN_COMMON if len(set(marked)) >= _MANY_MARKED else _MIN_COMMON + 1
    return hits >= max(enough, _MIN_COMMON_SHARE * len(found))


def _is_signed_english(text: str, found: list[str], common: frozenset[str]) -> bool:
    """Return whether quotation marks, dashes and signs are all that is beyond ASCII in a text that is English."""
    if _STUCK_SPACE.search(text) or not _fits_apostrophes(text, _CONTRACTION):
        return False
    if any(not (c.isascii() or _SIGN.match(c)) for c in text):
        return False
    distinct, hits = len(common.intersection(found)), sum(word in common for word in found)
    min_share = 0.3 if distinct == _MIN_COMMON else _MIN_COMMON_SHARE_OF_SIGNS
    return distinct >= _MIN_COMMON and hits >= min_share * len(found)
