"""Find what a reader would click, call, write to or type in: links, e-mail addresses, handles, phone numbers, codes.

One wrong character makes an address somebody else's. So partial overlap does not count: a passage holds the whole
address, or the sentence is rejected. Addresses are compared as they are used: without case, scheme and final
punctuation, a telephone number without its separators, a code with or without its hyphens.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import Final

_TLD: Final = (
    "com|org|net|edu|gov|mil|int|info|biz|io|ai|app|dev|co|me|tv|xyz|online|site|shop|cloud|tech|asia"
    "|vn|uk|us|eu|de|fr|es|it|nl|be|ch|at|se|dk|fi|pl|cz|ru|cn|jp|kr|tw|hk|sg|my|th|id|ph|in|au|nz|ca|br|mx|za"
)
_HOST: Final = r"(?:[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?\.){1,8}"
_REST: Final = r"[^\s<>\"“”'`\[\]{}|]"
_LINK = re.compile(
    rf"(?:https?|ftp|file|ssh|data|javascript|tel|sms|mailto):(?://)?{_REST}{{2,2000}}"
    rf"|\bwww\.{_REST}{{2,2000}}"
    r"|(?<=\]\()[^\s()<>]{1,2000}"  # the target of a Markdown link, whatever it is
    rf"|(?<![\w@.+-])[\w.+-]{{1,64}}@{_HOST}[a-z]{{2,24}}\b"
    rf"|(?<![\w@./-]){_HOST}(?-i:{_TLD}|COM|ORG|NET|VN)\b(?![.-]?\w)(?:[/:?#]{_REST}{{0,2000}})?"
    r"|(?<![\w@./])@[a-z0-9_](?:[a-z0-9_.-]{0,38}[a-z0-9_])?",
    re.IGNORECASE,
)
_BETWEEN_DIGITS: Final = r"[\s.,()\u2010-\u2013-]{0,3}"
_PHONE = re.compile(
    # With a plus, an area code in brackets or a leading zero; or too long and too uneven to be a count.
    rf"(?<![\w.,+/-])(?:\+\s?\d|\(\+?\d{{1,4}}\)|0(?!\.)\d)(?:{_BETWEEN_DIGITS}\d){{6,13}}(?![\w/]|[.,]\d)"
    r"|(?<![\w.,+/-])\d{8,30}(?<!000)(?![\w/]|[.,]\d)"
)
_DATES = re.compile(rf"\d{{1,2}}[.-]\d{{1,2}}[.-]\d{{2,4}}(?:{_BETWEEN_DIGITS}\d{{1,2}}[.-]\d{{1,2}}[.-]\d{{2,4}})?")
_HYPHEN: Final = r"[-_\u2010\u2011]"
_CODE = re.compile(
    rf"(?<![\w/.-])(?=[\w\u2010\u2011-]*\d)(?:"
    rf"(?=[\w\u2010\u2011-]*[A-Z])[A-Z0-9]{{1,30}}(?:{_HYPHEN}[A-Z0-9]{{1,30}}){{1,8}}"  # AB-1234, RC7-X
    rf"|(?:[A-Za-z0-9]{{1,30}}{_HYPHEN}){{1,8}}(?=[a-z]*[A-Z])(?=[A-Za-z]*\d)[A-Za-z0-9]{{1,30}}"  # Galaxy-S8
    r"|[A-Z]{1,20}\d[A-Z0-9]{2,30}|[A-Z]{3,20}\d"  # H1N1
    r")(?!\w)"
)
# Most sentences hold no address; these cheap patterns pass them over.
_MAYBE_LINK = re.compile(r"[:@]|\]\(|\.[A-Za-z]")
_MAYBE_PHONE = re.compile(rf"\d(?:{_BETWEEN_DIGITS}\d){{7}}")
_MAYBE_CODE = re.compile(rf"{_HYPHEN}|[A-Z]\d")
_TRAILING: Final = ".,;:!?…。！？)]}>»”’\"'*_`/"
_FRONT = re.compile(r"\A(?:(?:https?|mailto|tel|sms):(?://)?)?(?:www\.)?", re.IGNORECASE)
_CODE_PART = re.compile(r"[A-Za-z]+|\d+")


def without_addresses(text: str) -> str:
    """Return the text, composed (NFC), with each address replaced by spaces."""
    text = unicodedata.normalize("NFC", text)
    for start, end, _ in list(_find(text)):
        text = text[:start] + " " * (end - start) + text[end:]
    return text


def is_address_missing(text: str, passages: Sequence[str]) -> bool:
    """Return whether the text has an address that none of these passages holds."""
    wanted = [pattern for _, _, pattern in _find(unicodedata.normalize("NFC", text))]
    return any(not any(pattern.search(passage) for passage in passages) for pattern in wanted)


def _find(text: str) -> Iterator[tuple[int, int, re.Pattern[str]]]:
    """Yield each address as (start, end, pattern of its notations); a number within a link does not count by itself."""
    taken: list[tuple[int, int]] = []
    kinds: tuple[tuple[re.Pattern[str], re.Pattern[str], Callable[[str], str]], ...] = (
        (_MAYBE_LINK, _LINK, _link_pattern),
        (_MAYBE_PHONE, _PHONE, _phone_pattern),
        (_MAYBE_CODE, _CODE, _code_pattern),
    )
    for glance, form, written in kinds:
        for found in form.finditer(text) if glance.search(text) else ():
            start, end = found.span()
            is_date = form is _PHONE and _DATES.fullmatch(found[0])
            if is_date or any(start < last and first < end for first, last in taken):
                continue
            taken.append((start, end))
            yield start, end, re.compile(written(found[0]), re.IGNORECASE)


def _link_pattern(link: str) -> str:
    core = _FRONT.sub("", link.rstrip(_TRAILING), count=1)
    return rf"(?:(?<![\w@.+-])|(?<=www\.)){re.escape(core)}(?![\w@-]|[.?#=&]\w|/[\w?#])"


def _phone_pattern(number: str) -> str:
    """Return the pattern of a telephone number; +84 912 345 678 and 0912 345 678 are the same."""
    digits = [char for char in number if char.isdigit()]
    if number.lstrip()[0] == "0":
        return rf"(?:(?<!\d)0|\d{{1,3}}){_BETWEEN_DIGITS}{_BETWEEN_DIGITS.join(digits[1:])}(?!\d)"
    return rf"(?<!\d){_BETWEEN_DIGITS.join(digits)}(?!\d)"


def _code_pattern(code: str) -> str:
    parts = r"[\s_\u2010-\u2013-]?".join(_CODE_PART.findall(code))
    return rf"(?<![A-Za-z0-9]){parts}s?(?![A-Za-z0-9])(?!-(?-i:[A-Z0-9]))"
