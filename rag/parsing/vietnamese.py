"""Know Vietnamese from its syllables, and restore text that was typed in the fonts of before Unicode.

Fonts such as .VnTime (TCVN3, also called ABC) and VNI-Times show Vietnamese where the file holds Western letters:
`Céng hßa` is read as `Cộng hòa` as long as the font is there. Such text is in DOCX, PDF and web pages too, so it is
restored from the characters, not from the bytes. The evidence is the grammar of syllables: Vietnamese is written in
syllables of few forms, and what another encoding makes of them hardly ever has such a form.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final


def _read_list(*lines: str) -> tuple[str, ...]:
    return tuple(" ".join(lines).split())


_TONES: Final = frozenset("\u0300\u0301\u0303\u0309\u0323")
_STOPPED_TONES: Final = frozenset("\u0301\u0323")  # the only tones of syllables that end in c, ch, p or t
_ONSETS: Final = _read_list("ngh ng gh gi nh ch kh ph th tr b c d đ g h k l m n p r s t v x")
_RIMES: Final = frozenset(
    _read_list(
        "a ac ach ai am an ang anh ao ap at au ay ăc ăm ăn ăng ăp ăt âc âm ân âng âp ât âu ây e ec em en eng eo ep",
        "et ê êch  êm ên ênh êp êt êu i ia ich im in inh ip it iu iêc iêm iên iêng iêp iêt iêu o oa oac oach oai",
        "oam oan oang oanh  oao oap oat oay oăc oăm oăn oăng oăt oc oe oen oeo oet oi om on ong oong op ot ô ôc ôi",
        "ôm ôn ông ôp ôt ơ ơi ơm ơn  ơp ơt u ua uân uâng uât uây uê uêch uênh uc ui um un ung up ut uy uya uych",
        "uynh uyên uyêt uyt uyu uơ uôc uôi uôm  uôn uông uôt ư ưa ưc ưi ưng ưt ưu ươc ươi ươm ươn ương ươp ươt ươu",
        "y yêm yên yêng yêt yêu",
    )
)
_RIMES_AFTER_Q: Final = frozenset(
    _read_list(
        "ua uac uach uai uan uang uanh uao uat uau uay uăc uăn uăng uăt uân uât uây ue uen ueo uet uê uên uêt uy",
        "uynh uych  uyên uyêt uyt uyu uơ uôc uit uich",
    )
)
_FRONT_VOWELS: Final = tuple("eêiy")
_FRONT_ONLY: Final = ("k", "gh", "ngh")
_NEVER_FRONT: Final = ("c", "g", "ng")
_MAX_SYLLABLE_CHARS: Final = 7
_WORD = re.compile(r"(?:[^\W\d_]|[\u0300-\u036f])+")

# TCVN 5712:1993, VN3: the code page of .Vn fonts, whose capitals with tones are small letters in a font of capitals.
_TCVN3: Final = dict(
    zip(
        range(0xA1, 0xAF), "ĂÂÊÔƠƯĐăâêôơưđ", strict=True,
    )
) | {
    0xB5: "à", 0xB6: "ả", 0xB7: "ã", 0xB8: "á", 0xB9: "ạ", 0xBB: "ằ", 0xBC: "ẳ", 0xBD: "ẵ", 0xBE: "ắ", 0xC6: "ặ",
    0xC7: "ầ", 0xC8: "ẩ", 0xC9: "ẫ", 0xCA: "ấ", 0xCB: "ậ", 0xCC: "è", 0xCE: "ẻ", 0xCF: "ẽ", 0xD0: "é", 0xD1: "ẹ",
    0xD2: "ề", 0xD3: "ể", 0xD4: "ễ", 0xD5: "ế", 0xD6: "ệ", 0xD7: "ì", 0xD8: "ỉ", 0xDC: "ĩ", 0xDD: "í", 0xDE: "ị",
    0xDF: "ò", 0xE1: "ỏ", 0xE2: "õ", 0xE3: "ó", 0xE4: "ọ", 0xE5: "ồ", 0xE6: "ổ", 0xE7: "ỗ", 0xE8: "ố", 0xE9: "ộ",
    0xEA: "ờ", 0xEB: "ở", 0xEC: "ỡ", 0xED: "ớ", 0xEE: "ợ", 0xEF: "ù", 0xF1: "ủ", 0xF2: "ũ", 0xF3: "ú", 0xF4: "ụ",
    0xF5: "ừ", 0xF6: "ử", 0xF7: "ữ", 0xF8: "ứ", 0xF9: "ự", 0xFA: "ỳ", 0xFB: "ỷ", 0xFC: "ỹ", 0xFD: "ý", 0xFE: "ỵ",
}  # fmt: skip
# VNI for Windows: a vowel, then a character that stands for its marks; a few letters of their own.
_VNI_SINGLE: Final = dict(zip("ñÑôÔöÖìÌíÍæÆóÓòÒîÎ", "đĐơƠưƯìÌíÍỉỈĩĨịỊỵỴ", strict=True))
_VNI_MARKS: Final = {
    "ø": "\u0300", "ù": "\u0301", "û": "\u0309", "õ": "\u0303", "ï": "\u0323", "â": "\u0302",
    "à": "\u0302\u0300", "á": "\u0302\u0301", "å": "\u0302\u0309", "ã": "\u0302\u0303", "ä": "\u0302\u0323",
    "ê": "\u0306", "è": "\u0306\u0300", "é": "\u0306\u0301", "ú": "\u0306\u0309", "ü": "\u0306\u0303",
    "ë": "\u0306\u0323",
}  # fmt: skip
_VNI_LETTER = re.compile("[aeiouyôöAEIOUYÔÖ][øùûõïâàáåãäêèéúüëØÙÛÕÏÂÀÁÅÃÄÊÈÉÚÜË]|[ñÑôÔöÖìÌíÍæÆóÓòÒîÎ]")

# A word as the old fonts write it: their letters are all characters of Latin-1, the soft hyphen among them.
_OLD_WORD = re.compile("[A-Za-z\xa1-\xff]*[\xa1-\xff][A-Za-z\xa1-\xff]*")
_LATER_LETTER = re.compile("[\u0102-\u01b0\u0300-\u036f\u1ea0-\u1ef9]")  # Vietnamese that Latin-1 does not have

_MIN_WORDS: Final = 4  # distinct words that only make sense when they are restored, in one block
_MIN_DOCUMENT_WORDS: Final = 6  # in all blocks, so that shorter ones go along
_MIN_SHARE: Final = 0.9
_MIN_SYLLABLES: Final = 0.7  # of all words of a block that stands for itself


@lru_cache(8192)
def is_syllable(word: str) -> bool:
    """Return whether the word has the form of a Vietnamese syllable, its one tone in its place."""
    if len(word) > 2 * _MAX_SYLLABLE_CHARS or not (word.islower() or word.isupper() or word[1:].islower()):
        return False
    letters = unicodedata.normalize("NFD", word.lower())
    tones = [char for char in letters if char in _TONES]
    bare = unicodedata.normalize("NFC", "".join(char for char in letters if char not in _TONES))
    if len(tones) > 1 or len(bare) > _MAX_SYLLABLE_CHARS:
        return False
    if bare.endswith(("c", "ch", "p", "t")) and not _STOPPED_TONES.issuperset(tones or "x"):
        return False
    if bare.startswith("q"):
        return bare[1:] in _RIMES_AFTER_Q
    if bare in _RIMES or (bare == "gi"):
        return True
    return any(bare.startswith(onset) and _fits(onset, bare[len(onset) :]) for onset in _ONSETS)


def _fits(onset: str, rime: str) -> bool:
    if onset == "gi":
        return rime in _RIMES and not rime.startswith(("i", "y"))
    if onset == "g" and rime.startswith("i"):  # `gì`, `giếng`
        return rime in _RIMES
    is_front = rime.startswith(_FRONT_VOWELS)
    return rime in _RIMES and not (onset in _NEVER_FRONT and is_front) and not (onset in _FRONT_ONLY and not is_front)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for Vietnamese: words with letters beyond ASCII, and all words; how many are syllables, and which."""

    marked: int
    marked_share: float
    share: float
    distinct: int


def weigh(text: str) -> Evidence:
    """Return the evidence that the text is Vietnamese, read in the right encoding."""
    found = _WORD.findall(unicodedata.normalize("NFC", text))
    marked = [word for word in found if not word.isascii()]
    good = [word for word in marked if is_syllable(word)]
    syllables = sum(map(is_syllable, found))
    return Evidence(
        len(marked),
        len(good) / max(1, len(marked)),
        syllables / max(1, len(found)),
        len({word.lower() for word in good if len(word) > 1}),
    )


def from_tcvn3(text: str) -> str:
    """Return the text with every word of it read as TCVN3; figures and ASCII stay."""
    return _OLD_WORD.sub(lambda found: _restore_word(found.group(), _read_tcvn3), text)


def from_vni(text: str) -> str:
    """Return the text with every word of it read as VNI; figures and ASCII stay."""
    return _OLD_WORD.sub(lambda found: _restore_word(found.group(), _read_vni), text)


def restore(texts: Sequence[str]) -> list[str]:
    """Return the blocks of a document with those restored that old Vietnamese fonts wrote; in doubt they stay as is."""
    restored = list(texts)
    for read in (_read_tcvn3, _read_vni):
        blocks = {at: block for at, text in enumerate(restored) if (block := _Block.judge(text, read)).words}
        known = {word for block in blocks.values() if block.share >= _MIN_SHARE for word in block.good}
        if not known:
            continue
        is_old = len(known) >= _MIN_DOCUMENT_WORDS
        is_mixed = any(_LATER_LETTER.search(text) for text in restored)
        for at, block in blocks.items():
            if block.stands_alone(restored[at]) or (is_old and block.goes_along(is_mixed=is_mixed)):
                restored[at] = _restore_block(restored[at], block, read)
    return restored


def _read_tcvn3(word: str) -> str:
    letters = word.translate(_TCVN3)
    plain = [char for char in word if char.isascii()]
    # In the fonts of capitals only the letters of ASCII are typed as capitals: `CéNG` is `CỘNG`.
    is_capital = bool(plain) and all(map(str.isupper, plain)) and (len(plain) > 1 or word[0] != plain[0])
    return letters.upper() if is_capital else letters


def _read_vni(word: str) -> str:
    return _VNI_LETTER.sub(_read_vni_letter, word)


def _read_vni_letter(found: re.Match[str]) -> str:
    letter = _VNI_SINGLE.get(found.group()[0], found.group()[0])
    return unicodedata.normalize("NFC", letter + "".join(_VNI_MARKS[mark.lower()] for mark in found.group()[1:]))


def _restore_word(word: str, read: Callable[[str], str]) -> str:
    """Read a word anew; a sign that stands alone, such as `§` or `©`, stays unless it becomes a syllable."""
    letters = read(word)
    return letters if is_syllable(letters) or any(char.isascii() for char in word) else word


@dataclass(frozen=True, slots=True)
class _Block:
    """The old-font words of a block: all, those that are no Vietnamese as they stand, and of these the restorable."""

    words: frozenset[str]
    odd: frozenset[str]
    good: frozenset[str]

    @classmethod
    def judge(cls, text: str, read: Callable[[str], str]) -> "_Block":
        words = frozenset(_OLD_WORD.findall(text))
        odd = frozenset(word for word in words if not is_syllable(word) and any(char.isascii() for char in word))
        return cls(words, odd, frozenset(word for word in odd if is_syllable(read(word))))

    @property
    def share(self) -> float:
        return len(self.good) / len(self.odd) if self.odd else 0.0

    def stands_alone(self, text: str) -> bool:
        """Return whether the block is evidence enough: many odd words, all restorable, among other syllables."""
        if len(self.good) < _MIN_WORDS or self.share < _MIN_SHARE:
            return False
        found = _WORD.findall(_OLD_WORD.sub(" ", text))
        return sum(map(is_syllable, found)) >= _MIN_SYLLABLES * len(found)

    def goes_along(self, *, is_mixed: bool) -> bool:
        """Return whether a block of a document in an old font is in it too."""
        if self.odd:
            return self.share >= _MIN_SHARE
        return bool(self.words) and not is_mixed


def _restore_block(text: str, block: _Block, read: Callable[[str], str]) -> str:
    is_mixed = _LATER_LETTER.search(text) is not None  # then only the words that make no sense as they stand

    def replace(found: re.Match[str]) -> str:
        word = found.group()
        return word if is_mixed and word not in block.good else _restore_word(word, read)

    return _OLD_WORD.sub(replace, text)
