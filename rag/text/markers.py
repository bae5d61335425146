"""Define what a citation marker looks like, in every form that a model or a document may write it.

The contract allows one form to leave the service, our own `[S<n>]`, and no other text that a reader could take for an
id. So one grammar has three uses: it parses drafts, cleans texts, and bars matching sentences of documents from
quotation. It is strict on purpose: a product called S24 is taken for a marker too, but `DVB-S2`, which a hyphen makes
one word, is not.

Matching runs on folded text (fullwidth forms as ASCII, same length), so the grammar is written once, in ASCII.
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

# Superscript and subscript digits: alone they are footnotes, after a letter or a digit (m², 10⁶) they are not.
_SMALL_DIGITS: Final = "⁰¹²³⁴⁵⁶⁷⁸⁹₀₁₂₃₄₅₆₇₈₉"
_FOLD: Final[dict[int, int | str]] = {
    **{0xFF01 + offset: 0x21 + offset for offset in range(94)},
    **dict.fromkeys(map(ord, "【〔〖⟦「『〈｢❲"), "["),
    **dict.fromkeys(map(ord, "】〕〗⟧」』〉｣❳"), "]"),
    **dict.fromkeys(map(ord, "、，"), ","),
    **dict.fromkeys(map(ord, "‐‑"), "-"),  # hyphens, which join a word …
    **dict.fromkeys(map(ord, "‒—−"), "–"),  # … and dashes, which separate two
    # Letters and digits of other alphabets and styles that look like ours: Ѕ, 𝐒, Ⓢ, 𝟗.
    **{
        code: plain
        for code in (*range(0x1D400, 0x1D800), *range(0x24B6, 0x24EA))
        if len(plain := unicodedata.normalize("NFKC", chr(code))) == 1 and plain.isascii()
    },
    **dict.fromkeys((0x405, 0x455), "S"),
    # To private-use characters, which the grammar distinguishes from digits on the line.
    **{ord(digit): 0xE000 + at % 10 for at, digit in enumerate(_SMALL_DIGITS)},
}
_UNFOLD_DIGITS: Final = {0xE000 + value: 0x30 + value for value in range(10)}
_MAX_RANGE: Final = 20  # `[S1-S20]` is read as a range; a wider one as its two ends

# Phrases that only introduce a marker: they are removed with it.
_PHRASES: Final = (
    *("according to", "as stated in", "as described in", "as mentioned in", "as noted in", "as shown in", "based on"),
    *("see also", "see", "sources", "source", "references", "reference", "citations", "citation", "cited in", "cite"),
    *("theo nguồn", "theo", "nguồn", "xem", "dựa trên", "dựa vào", "trích từ", "tham khảo", "来源", "來源"),
)
_CONJUNCTIONS: Final = ("and", "và", "or")

_H = r"[^\S\n]"
_DASH = "[–-]"
_DIGIT = r"[\d\uE000-\uE009]"
_NUMBER = rf"{_DIGIT}{{1,1000}}"
_WORD = (
    r"(?:sources?|src|refs?|cites?|citations?|documents?|docs?|passages?|contexts?|nguồn|tài liệu|đoạn|来源|來源)"
    rf"{_H}?[:#.]?{_H}?"
)
_S = r"S\s{0,2}[._#:+=/–-]?\s?"  # inside brackets, where a line break hides nothing
_TAG = rf"(?:{_WORD}(?:{_S})?|{_S})"
_JOINT = rf"(?:{_H}{{0,2}}(?:[,;&/+|]|and\b|và\b|or\b){_H}{{0,2}}|{_H}{{1,2}})"
_SUFFIX = r"(?:[a-z](?![a-z]))?"
_TAGGED = rf"{_TAG}{_NUMBER}{_SUFFIX}(?:{_H}?{_DASH}{_H}?(?:{_TAG})?{_NUMBER}{_SUFFIX})?"
_LIST = rf"{_TAGGED}(?:{_JOINT}(?:{_TAGGED}|{_NUMBER})){{0,11}}"
_PLAIN = rf"[#n№]?{_DIGIT}{{1,3}}(?:{_H}?{_DASH}{_H}?{_DIGIT}{{1,3}})?"
_INTRO = rf"(?:\b(?:{'|'.join(_PHRASES)}){_H}?:?{_H}?(?:the{_H})?)?"
_OPEN = rf"\\?\[\[?\s{{0,3}}[\"'“]?{_INTRO}\^?"
_CLOSE = rf"[\"'”]?\s{{0,3}}[;,.]?{_H}?\\?\]\]?"
_BRACKETED = (
    rf"{_OPEN}{_LIST}(?:{_H}?[:,|†‡][^\[\]\n]{{0,60}})?{_CLOSE}"  # `[S1]`, `[S1, S2]`, `[S1: page 3]`, `[see S1]`
    # `[1]`, `[1, 2]`, `[1†source]`; `[2020]` is none
    rf"|{_OPEN}{_PLAIN}(?:{_JOINT}(?:{_TAGGED}|{_PLAIN})){{0,11}}(?:{_H}?[†‡][^\[\]\n]{{0,60}})?{_CLOSE}"
    rf"|\[{_H}{{0,3}}{_PLAIN}[a-z]?{_H}*\Z"  # never closed
    rf"|[({{<«]{_H}?{_LIST}{_H}?[)}}>»]"  # `(S1)`; a plain `(1)` numbers a list
    rf"|<sup>{_H}?\[?(?:{_LIST}|{_PLAIN})\]?{_H}?</sup>"
)
_LATIN = r"0-9A-Za-zÀ-ɏḀ-ỿ"
_ENDS = rf"(?![{_LATIN}%])(?![.,]\d)"
# A word for a source with a number counts at the end of a phrase, or before a capital; not in "source 12 parts".
_ENDS_PHRASE = r"(?=\s*(?:[.,;:!?()\[\]{}<]|\Z|(?-i:[A-ZÀ-ÞĂĐƠƯẠ-Ỹ])))"
_BARE = (
    # half a bracket is removed with the marker it held; `DVB-S2` is a word
    rf"(?:\[{_H}?)?(?:(?<![{_LATIN}'’])(?<![{_LATIN}]-)|(?-i:(?<=[a-zà-ỹ])(?=S)))"
    rf"(?:S{{1,2}}{_NUMBER}{_SUFFIX}(?:{_H}?{_DASH}{_H}?S?{_NUMBER}|(?:S{_NUMBER}){{1,9}})?"
    rf"(?:(?![{_LATIN}])|(?-i:(?=[a-zà-ỹ]?[A-ZÀ-ÞĂĐƠƯẠ-Ỹ])))"  # `S99Staff` runs into the next word
    rf"|(?-i:S)(?:{_H}|[–_#:.-]){_NUMBER}{_ENDS}"  # `S 9`; in "it's 9" it is no marker
    rf"|(?-i:S)[({{]{_NUMBER}[)}}]"
    rf"|(?:sources?|citations?|documents?|nguồn|来源|來源){_H}?[:#.]?{_H}?{_NUMBER}{_ENDS}{_ENDS_PHRASE})"
    r"(?:[;,.]?\])?"
    rf"|(?<![\w\uE000-\uE009])\^?[\uE000-\uE009]+|(?<!\w)\^{_DIGIT}{{1,3}}(?!\w)"
)
_MARK = rf"(?:{_BRACKETED}|{_BARE})"
_RUN = rf"{_MARK}(?:{_JOINT}?{_MARK}){{0,15}}"
_PATTERN = rf"(?:\({_H}?{_INTRO}{_RUN}{_H}?\)|\*\*{_RUN}\*\*|\*{_RUN}\*|`{_RUN}`|{_INTRO}{_RUN})"

_MARKER = re.compile(_PATTERN, re.IGNORECASE)
_ITEM = re.compile(rf"({_TAG})?({_NUMBER}){_SUFFIX}(?:{_H}?{_DASH}{_H}?(?:{_TAG})?({_NUMBER}))?", re.IGNORECASE)
_BETWEEN_ITEMS = re.compile(rf"[\[\]\s^,;&/+|]*(?:and|và|or)?{_H}*", re.IGNORECASE)
_OPENS_ITEM = re.compile(rf"\[{_H}?[\"'“]?{_INTRO}\^?\Z", re.IGNORECASE)
# Every marker has a digit, and most texts have none: this passes them over quickly.
_ANY_DIGIT = re.compile(rf"[\d{_SMALL_DIGITS}]")

_SAME_LINE = re.compile(rf"(?:{_H}{{0,3}}{_PATTERN}[.。]?){{0,8}}", re.IGNORECASE)
_LINES_OF_THEIR_OWN = re.compile(rf"(?:\s{{1,8}}{_PATTERN}[.。]?){{1,8}}(?={_H}*(?:\n|\Z))", re.IGNORECASE)
_COMPLETE = re.compile(rf"\s*(?:{_JOINT})?[*`(]{{0,2}}{_INTRO}{_MARK}[*`)]{{0,2}}[.。]*", re.IGNORECASE)
# Accepts more than the grammar on purpose: any opening of a marker waits until it is closed, or clearly is none.
_BEGINNING = re.compile(
    rf"\s*(?:[,;&/+|]{_H}{{0,2}}|(?:{'|'.join(_CONJUNCTIONS)}){_H}{{0,2}})?"
    rf"(?:{_H}?{_DASH}{_H}?S?{_DIGIT}*"
    rf"|{_INTRO}(?:[*`]{{0,2}}\\?[\[({{<«\\][^\])}}>»]{{0,100}}\\?[\])}}>»]?[\])}}>»*`]{{0,2}}"
    rf"|\^{_DIGIT}*|S[\s._#:-]?[({{]?{_DIGIT}*[a-z]?|)"
    rf"|<sup>[^<\n]{{0,100}}<?/?s?u?p?>?"
    rf"|(?:{'|'.join(_PHRASES)}){_H}?[:#.]?{_H}?{_DIGIT}+|\^?[\uE000-\uE009]+"
    rf"|[*`]{{1,2}}(?:[\[({{<S][^*`\n]*[*`]?)?){_H}*",
    re.IGNORECASE,
)


def has_marker(text: str) -> bool:
    """Return whether any part of the text can be taken for a marker, known or not."""
    return _ANY_DIGIT.search(text) is not None and _MARKER.search(_fold(text)) is not None


def strip_markers(text: str) -> str:
    """Return the text without anything that looks like a marker, and without the gaps that removal leaves."""
    return split_markers(text)[0]


def split_markers(text: str) -> tuple[str, list[int]]:
    """Return the text without its markers, trimmed, and their numbers in order, with repeats.

    Removing one marker can form another (`[S[S1]2]`), so this repeats until none is left.
    """
    numbers: list[int] = []
    while found := _find(text):
        kept, position = "", 0
        for match in found:
            numbers.extend(_numbers(match.group()))
            kept = _joined(kept, text[position : match.start()]) if position else text[: match.start()]
            position = match.end()
        text = _joined(kept, text[position:])
    return text.strip(), numbers


def marker_spans(text: str) -> list[tuple[int, int]]:
    """Return the positions of the markers, as (start, end)."""
    return [match.span() for match in _find(text)]


def trailing_markers(text: str) -> int:
    """Return how many characters at the start of `text` are markers of the sentence that ends before it.

    On the same line these are all that follow directly; on the next lines only markers that stand alone on their line.
    """
    folded = _fold(text)
    same_line = _SAME_LINE.match(folded)
    end = same_line.end() if same_line else 0
    own_lines = _LINES_OF_THEIR_OWN.match(folded, end)
    end = own_lines.end() if own_lines else end
    followed_by = folded[end:].lstrip()[:1]
    if end and folded[end - 1].isdigit() and followed_by.islower():
        return 0  # "S1 states that …": it is the subject of the next sentence
    return end


def may_begin_marker(text: str) -> bool:
    """Return whether more text could make `text` begin with a marker, or with a longer one; may err towards True."""
    folded = _fold(text)
    start = 0
    while complete := _COMPLETE.match(folded, start):
        if _may_begin(folded[start:]):
            return True
        start = complete.end()
    return _may_begin(folded[start:])


def _may_begin(folded: str) -> bool:
    begun = folded.lstrip().lower()
    if any(phrase.startswith(begun) for phrase in (*_PHRASES, *_CONJUNCTIONS)):
        return True
    return _BEGINNING.fullmatch(folded) is not None


def _find(text: str) -> list[re.Match[str]]:
    return list(_MARKER.finditer(_fold(text))) if _ANY_DIGIT.search(text) else []


def _fold(text: str) -> str:
    return text.translate(_FOLD)


def _numbers(marker: str) -> Iterator[int]:
    """Yield the numbers of one folded marker, without the digits of a remark inside it (`[S1, page 3]`)."""
    end: int | None = None
    for item in _ITEM.finditer(marker):
        tag, first, last = item.groups()
        opens = _OPENS_ITEM.search(marker[: item.start()]) is not None
        if tag or opens or (end is not None and _BETWEEN_ITEMS.fullmatch(marker, end, item.start())):
            low, high = (int(number.translate(_UNFOLD_DIGITS)) for number in (first, last or first))
            yield from range(low, high + 1) if low <= high < low + _MAX_RANGE else (low, high)
            end = item.end()


def _joined(left: str, right: str) -> str:
    """Join the two sides of a removed marker without a doubled space or comma."""
    if not left.strip():
        return left + right.lstrip(" \t\xa0,;:")
    if not right.strip() or right[0].isspace() or right[0] in ".,;:!?)…。！？":
        left = left.rstrip(" \t\xa0")
        if right[:1] in {".", ",", ";"}:
            left = left.rstrip(",;")
    elif left[-1].isalnum() and right[0].isalnum():
        left += " "  # "12[S1]3" must not become 123
    return left + right
