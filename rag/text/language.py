"""Define the words, the sentences and the language of Vietnamese and English text.

Chunks, citations, the lexical index and the check of a sentence must agree on what a word and a sentence are. These are
rules, not a library: pysbd and syntok do not support Vietnamese, and a streamed draft needs boundaries that later text
does not move. A boundary here depends only on its own line and on the two words after it.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, Literal

Language = Literal["vi", "en", "other"]

# An NFC letter or digit, or a combining mark that has no composed form.
_CHAR = r"(?:[^\W_]|[\u0300-\u036f])"
# Separators inside a number and apostrophes inside a word belong to it; a possessive 's is left out.
_WORD = re.compile(rf"({_CHAR}+(?:(?:(?<=\d)[.,](?=\d)|['’](?!s\b)){_CHAR}+)*)(?:['’]s\b)?")

_CLOSERS = "\"'”’»›)\\]}」』】）］*_"
# A stop, the closing marks after it, and footnote-like references (`[3]`, ` [S1]`), which belong to the sentence
# before.
_STOP = re.compile(rf"([.!?…।؟。！？｡]+)([{_CLOSERS}]*)(?: ?\[[A-Za-z]?\d{{1,3}}\])*")
_CJK_STOPS: Final = frozenset("。！？｡")
_NEXT_WORD = re.compile(r"\s+[^\w\s]{0,4}(\w{0,24})")
_LAST_TOKEN = re.compile(r"[^\s(\[\"“'/-]{1,24}\Z")
_LOOK_BACK_CHARS: Final = 25

# Characters that no reader sees: soft hyphens, zero-width characters, direction marks.
_UNSEEN: Final[dict[int, None]] = dict.fromkeys(
    (0xAD, 0x34F, 0x61C, 0x180E, 0xFEFF, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070))
)
_ANY_UNSEEN = re.compile("[" + "".join(map(chr, _UNSEEN)) + "]")
# The tone in an open syllable is placed in two ways: `hoà` and `hòa`, `thuý` and `thúy`. `quý` has only one.
_NEW_TONES: Final[dict[str, str]] = {
    new: old
    for lower in ("oà òa", "oá óa", "oả ỏa", "oã õa", "oạ ọa", "oè òe", "oé óe", "oẻ ỏe", "oẽ õe", "oẹ ọe",
                  "uỳ ùy", "uý úy", "uỷ ủy", "uỹ ũy", "uỵ ụy")
    for pair in (lower, lower.title(), lower.upper())
    for new, old in (pair.split(),)
}  # fmt: skip
_NEW_TONE = re.compile(rf"(?<![qQ])(?:{'|'.join(_NEW_TONES)})(?!{_CHAR})")
_MARK = re.compile("[\u0300-\u036f]")

# A line that begins a sentence of its own: a list item.
_OWN_LINE = re.compile(r"[^\S\n]*(?:[-*+•‣◦▪●○–—][^\S\n]|\(?(?:\d{1,3}|[a-zđ]|[ivx]{1,4})\)[^\S\n]|\d{1,3}\.[^\S\n])")
_HEADING_LINE = re.compile(r"[^\S\n]{0,3}#{1,6}[^\S\n]")

# "1.", "2.3.", "IV.", "Điều 5." at the start of a sentence number what follows.
_ENUMERATOR = re.compile(
    r"[(\"“*_#\s-]*(?:(?:điều|khoản|chương|mục|phần|bước|câu|bài|hình|bảng|phụ lục|step|section|article|chapter|part"
    r"|figure|table|appendix)\s+)?(?:\d{1,3}(?:\.\d{1,3})*|[a-zđ]|[ivx]{1,5})",
    re.IGNORECASE,
)
_ENUMERATOR_CHARS: Final = 24


def _lexicon(*lines: str) -> frozenset[str]:
    return frozenset(" ".join(lines).split())


# Abbreviations before a name: no sentence ends with them.
_INTRODUCING: Final = _lexicon(
    "mr mrs ms mx messrs dr prof rev hon mt gen capt lt sgt vs cf e.g i.e viz approx incl excl dept",
    "tp tx kp ts t.s ths th.s tskh pgs gs bs bscki bsckii ks kts ktv ls đd nsnd nsưt ng cty đc stt vd nxb",
)
# The same with a stroke: "V/v. Khen thưởng", "Đ/c. Bảy".
_SLASHED = re.compile(r"(?<!\w)[vVđĐ]/[vcVC]\Z")
# Abbreviations only before a number: "No. 5", "tr. 12"; but "The answer is no." ends.
_NUMBERING: Final = _lexicon(
    "no nos nr fig figs eq sec ch vol p pp q f art arts para paras cl reg regs pt max min tel fax ext",
    "tr đ k th số sđt đt nđ qđ tt nq ct cv tb kh hd hđ lđ pl tk stk mst cccd cmnd",
)
_ROMAN_NUMBER = re.compile("[IVXLC]{2,6}|[VX]")
# Capital letters that stand before a name: "CTCP. Sữa Việt Nam", "KT. GIÁM ĐỐC". Far more often a sentence ends with
# them, so the name must show: two words with capitals, of which the first begins no sentence.
_BEFORE_NAMES: Final = _lexicon(
    "CTCP TNHH BHXH BHYT UBND HĐND TT GD CN TCT VP VPĐD ĐH CĐ THPT THCS NH HTX TGĐ PGĐ GĐ KT TM TL TUQ",
)
_NO_NAMES: Final = _lexicon("Ông Bà Anh Chị Bộ Sở Công")
_PLACES: Final = frozenset({("Thành", "phố"), ("Thị", "xã"), ("Thị", "trấn")})
_SECOND_WORD = re.compile(r"\s+(\w{1,24})")
# These end a sentence if the next word clearly begins one: "Acme Inc. The board met." but "Acme Inc. Board".
_TRAILING: Final = _lexicon(
    "inc corp ltd pte co bros jr sr al est ed eds ph.d m.sc st ave blvd rd ft",
    "jan feb mar apr jun jul aug sep sept oct nov dec",
)
_SENTENCE_STARTERS: Final = _lexicon(
    "The A An In On At It Its He She They We You This That These Those There Then When While If But And For From To As",
    "By After Before However Since Because His Her Their Our No Not Each Every All Some What Who How Why Where Please",
    "Các Những Nếu Khi Trong Mỗi Tuy Để Theo Sau Trước Tại Với Từ Đây Đó Việc Mọi Người Tôi Chúng Bạn Không Có Và Do",
    "Vì Nhưng Ngoài Đối Hiện Trên Dưới Một Hai Ba Hãy Vui Được Bởi Cả",
)
_DOTTED_LETTERS = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]")

_SAMPLE_CHARS: Final = 4_000
_VI_ONLY = re.compile("[ăđơưạ-ỹ]")  # the range is U+1EA1 to U+1EF9, made for Vietnamese
# Letters that Vietnamese shares with other languages count only in a word with the form of a Vietnamese syllable.
_VI_SYLLABLE = re.compile(
    "(?:b|ch?|d|gh?|gi|h|kh?|l|m|n|ngh?|nh|ph?|qu|r|s|t|th|tr|v|x)?[aeiouyàáâãèéêìíòóôõùúýĩũ]{1,3}(?:ch?|m|ng?|nh|p|t)?"
)
_VI_WORDS: Final = _lexicon(
    "là và có của cho không các này khi trong ngày năm với theo bao nhiêu gì ai ra sao mà như vì hay công ty nhân viên",
    # without diacritics, as people type in a hurry; none is a common English word
    "khong nhung duoc nguoi ngay cua nhieu nao voi mot cac phai truoc neu toi nhan vien nghi phep",
)
_EN_WORDS: Final = _lexicon(
    "the a an of to in on at is are was were be been do does did has have had what which who whom whose when where why",
    "how many much and or not with by for from as it its this that these those he she they we you i my your our their",
    "can may must will would should there if than then but into about after before during between",
)
_OTHER_WORDS: Final = _lexicon(
    "le les des du une est et dans pour que qui avec sur pas quelle quel el los las del un una es y por para como qué",
    "cuál con der das und ist ein eine nicht mit auf den dem von wie wird il di che della per sono não uma os ao de la",
    "se en où sí tú é à",
)


def words(text: str) -> list[str]:
    """Return the words in order: NFC, case-folded, diacritics kept; `1,000`, `2.5` and `don't` are one word each."""
    return _WORD.findall(normalize(text.casefold()))


def normalize(text: str) -> str:
    """Return one spelling for texts that read the same: NFC, tones in the older place (`hòa`), nothing invisible."""
    if text.isascii():
        return text
    if _ANY_UNSEEN.search(text):
        text = text.translate(_UNSEEN)
    return place_tones(unicodedata.normalize("NFC", text))


def place_tones(text: str) -> str:
    """Return the text, which must be NFC, with every tone in the older place; its length stays the same."""
    return _NEW_TONE.sub(lambda found: _NEW_TONES[found.group()], text)


def fold(text: str) -> str:
    """Return the text without diacritics, as typed on a phone: `nghỉ phép` → `nghi phep`."""
    if text.isascii():
        return text
    return _MARK.sub("", unicodedata.normalize("NFD", text)).replace("đ", "d").replace("Đ", "D")


@lru_cache(2048)
def word_set(text: str) -> frozenset[str]:
    """Return the distinct words of a stored text; the last results are cached, because texts recur."""
    return frozenset(words(text))


@lru_cache(2048)
def stored_language(text: str) -> Language:
    """Return `detect_language` of a stored text; the last results are cached."""
    return detect_language(text)


def detect_language(text: str) -> Language:
    """Return the language of most of the text, even of a few words; unknown words in plain letters count as English."""
    sample = words(text[:_SAMPLE_CHARS])
    vietnamese = sum(1 for word in sample if _is_vietnamese(word))
    english = sum(1 for word in sample if word in _EN_WORDS)
    foreign = sum(1 for word in sample if word in _OTHER_WORDS or not (word.isascii() or _is_vietnamese(word)))
    if vietnamese > max(english, foreign):
        return "vi"
    if foreign > english:
        return "other"
    return "en" if any(word.isascii() and not word.isdigit() for word in sample) else "other"


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Return the sentences as (start, end): ordered, disjoint, trimmed, with every character except white space.

    A blank line, a list item, a heading line and a table row (`a | b`) separate sentences; a single line break does
    not. Text that is appended later moves only the last two spans, unless it turns the last line into a row.
    """
    spans: list[tuple[int, int]] = []
    for block_start, block_end in _blocks(text):
        start = block_start
        for stop in _STOP.finditer(text, block_start, block_end):
            if _ends_sentence(text, start, stop, block_end):
                spans.append((start, stop.end()))
                start = _skip_space(text, stop.end(), block_end)
        if start < block_end:
            spans.append((start, block_end))
    return spans


def ends_sentence(text: str, stop: int) -> bool:
    """Return whether the mark at `stop` ends the sentence that `text` begins with.

    `text` must continue for a word or two after the mark.
    """
    found = _STOP.match(text, stop)
    return found is not None and _ends_sentence(text, 0, found, len(text))


def begins_own_line(line: str) -> bool:
    """Return whether a line begins a sentence of its own wherever it stands: a list item, a heading line, a row."""
    return bool(_OWN_LINE.match(line) or _HEADING_LINE.match(line)) or " | " in line


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    """Yield the stretches that no sentence crosses, trimmed and not empty."""
    start = end = 0
    own_line_before = False
    line_start = 0
    for line in text.split("\n"):
        stripped = line.strip()
        alone = bool(_HEADING_LINE.match(line)) or " | " in line
        if not stripped or alone or own_line_before or _OWN_LINE.match(line):
            if start < end:
                yield start, end
            start = end = line_start
        if stripped:
            first = line_start + len(line) - len(line.lstrip())
            start = first if start == end else start
            end = first + len(stripped)
        own_line_before = alone
        line_start += len(line) + 1
    if start < end:
        yield start, end


def _skip_space(text: str, start: int, end: int) -> int:
    while start < end and text[start].isspace():
        start += 1
    return start


def _ends_sentence(text: str, start: int, stop: re.Match[str], block_end: int) -> bool:
    marks, closers = stop.group(1), stop.group(2)
    if stop.end() == block_end or marks[-1] in _CJK_STOPS:
        return True
    following = _NEXT_WORD.match(text, stop.end(), block_end)
    if following is None:  # no white space follows: a decimal, a URL, a file name
        return False
    word = following.group(1)
    if word[:1].islower() and not word[1:2].isupper():  # `iPhone` and `eSIM` may begin a sentence
        return marks[-1] in "!?" and not closers
    second = _SECOND_WORD.match(text, following.end(1), block_end)
    return marks != "." or not _is_abbreviation(text, start, stop.start(), (word, second.group(1) if second else ""))


def _is_abbreviation(text: str, start: int, stop: int, following: tuple[str, str]) -> bool:
    """Return whether the full stop at `stop` belongs to the word before it, and not to the sentence."""
    next_word, second_word = following
    if stop - start <= _ENUMERATOR_CHARS and _ENUMERATOR.fullmatch(text, start, stop):
        return True
    found = _LAST_TOKEN.search(text, max(start, stop - _LOOK_BACK_CHARS), stop)
    if found is None:
        return False
    token = found.group()
    last_part = token.lower().rpartition(".")[2]  # "ts" in "PGS.TS"
    if token.lower() in _INTRODUCING or last_part in _INTRODUCING or _SLASHED.search(text, max(start, stop - 3), stop):
        return True
    if last_part in _NUMBERING and _is_number(next_word, last_part):
        return True
    is_initial = len(token) == 1 and token.isupper()
    if is_initial or token.lower() in _TRAILING or (_DOTTED_LETTERS.fullmatch(token) and token.lower() != "v.v"):
        return bool(next_word) and next_word not in _SENTENCE_STARTERS
    return token in _BEFORE_NAMES and _is_name(next_word, second_word)


def _is_number(word: str, before: str) -> bool:
    """Return whether a word is a number, in Roman figures too; "no. I" may be an answer and its reason."""
    return word[:1].isdigit() or (before != "no" and _ROMAN_NUMBER.fullmatch(word) is not None)


def _is_name(word: str, second: str) -> bool:
    """Return whether two words after capital letters are a name, and not the beginning of a sentence."""
    if (word, second) in _PLACES or (len(word) > 1 and word.isupper()):
        return True
    return word[:1].isupper() and second[:1].isupper() and word not in _SENTENCE_STARTERS and word not in _NO_NAMES


def _is_vietnamese(word: str) -> bool:
    if word in _VI_WORDS or _VI_ONLY.search(word):
        return True
    return not word.isascii() and _VI_SYLLABLE.fullmatch(word) is not None
