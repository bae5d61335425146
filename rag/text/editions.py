"""Read the edition of a document from its own words: `effective from 1 April 2026`, `Version 2.1`, `Policy 2024`.

Two editions of one policy contradict each other, and the newest is valid. An edition is a text that sorts by age; it is
read when the document is ingested, and stored with each of its chunks.
"""

import re
from collections.abc import Iterable
from typing import Final

from rag.text.language import fold, words

# The parts of a document that state its date.
_OPENING_CHARS: Final = 2_000
_CLOSING_CHARS: Final = 600
_HEAD_CHARS: Final = 200  # versions further down are those of other things
_MONTHS: Final = (
    *("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november"),
    "december",
)
_MONTH_NUMBERS: Final = {name[:3]: number for number, name in enumerate(_MONTHS, start=1)}
_MONTH = "|".join(f"{name[:3]}(?:{name[3:]})?" for name in _MONTHS)
_DATE: Final = (
    rf"(?:(?P<d1>\d{{1,2}})(?:st|nd|rd|th)? (?:of )?(?P<m1>{_MONTH})\.?,? (?P<y1>\d{{4}})"
    rf"|(?P<m2>{_MONTH})\.? (?P<d2>\d{{1,2}})(?:st|nd|rd|th)?,? (?P<y2>\d{{4}})"
    r"|(?P<y3>\d{4})-(?P<m3>\d{2})-(?P<d3>\d{2})"
    r"|(?:ngày )?(?P<d4>\d{1,2})[/.-](?P<m4>\d{1,2})[/.-](?P<y4>\d{4})"
    r"|(?:ngày )?(?P<d5>\d{1,2}) tháng (?P<m5>\d{1,2}),? năm (?P<y5>\d{4})"
    rf"|(?P<m6>{_MONTH}) (?P<y6>\d{{4}})|tháng (?P<m7>\d{{1,2}})(?: năm |/)(?P<y7>\d{{4}}))"
)
_IN_FORCE = re.compile(
    r"(?:effective(?: date)?(?: from| as of| on)?|in force (?:from|since)|valid from|takes effect(?: on)?|applies from"
    r"|(?:có )?hiệu lực(?: thi hành)?(?: kể)?(?: từ)?|áp dụng(?: kể)? từ|ban hành)[\s:*_]{1,6}(?:the )?" + _DATE,
    re.IGNORECASE,
)
_VERSION = re.compile(
    r"\b(?:version|ver\.?|v|edition|revision|rev\.?|issue|phiên bản|bản số|lần ban hành)[ .:]{0,2}"
    r"(\d{1,3}(?:\.\d{1,3}){0,2})\b",
    re.IGNORECASE,
)
_YEAR = re.compile(r"(?<![\d./-])(?:19|20)\d{2}(?![\d/-])")
_REPLACES = re.compile(
    r"\b(?:replaces|supersedes|replacing|superseding)\b|\b(?:thay thế|thay cho) (?:cho |bản|quy|chính|nội|văn|quyết)",
    re.IGNORECASE,
)
_REPLACING: Final = "v9999"
# Words that distinguish editions of one document, not documents.
_EDITION_WORDS: Final = frozenset(
    (
        *("version", "ver", "v", "edition", "revision", "rev", "issue", "new", "old", "updated", "current", "previous"),
        *("former", "draft", "final", "superseded", "archived", "year", "phien", "ban", "moi", "cu", "nam", "lan"),
        *("hanh", "sua", "doi", "bo", "sung", "cap", "nhat", "hien", "hieu", "luc", "het"),
    )
) | {name for month in _MONTHS for name in (month, month[:3])}


def read_edition(title: str, text: str) -> str:
    """Return the edition: `2026-04-01`, `2026` from a title, or `v0002.0001`; empty if the document does not state one.

    `v9999` is a document that only says that it replaces another. Dates and versions are not comparable otherwise.
    """
    said = f"{text[:_OPENING_CHARS]}\n{text[-_CLOSING_CHARS:]}"
    if in_force := _IN_FORCE.search(said):
        return _render_date(in_force)
    if year := _YEAR.search(title):
        return year.group()
    if version := _VERSION.search(title) or _VERSION.search(text[:_HEAD_CHARS]):
        return "v" + ".".join(f"{int(part):04d}" for part in version.group(1).split("."))
    return _REPLACING if _REPLACES.search(said) else ""


def family_of(title: str) -> frozenset[str]:
    """Return the words of a title that all editions of the document share; empty if none are left."""
    plain = _YEAR.sub(" ", _VERSION.sub(" ", re.sub(_DATE, " ", title, flags=re.IGNORECASE)))
    return frozenset(word for word in map(fold, words(plain)) if word not in _EDITION_WORDS)


def are_comparable(editions: Iterable[str]) -> bool:
    """Return whether these say which document is the newest: all by dates, or all by versions."""
    return len({each.startswith("v") for each in editions if each != _REPLACING}) <= 1


def names_edition(question: str, edition: str) -> bool:
    """Return whether the question asks for this edition, by its year or its version number."""
    if edition.startswith("v"):
        number = ".".join(str(int(part)) for part in edition[1:].split("."))
        return any(found.group(1) == number for found in _VERSION.finditer(question))
    return bool(edition) and edition[:4] in _YEAR.findall(question)


def _render_date(found: re.Match[str]) -> str:
    groups = found.groupdict()
    form = next(number for number in range(1, 8) if groups.get(f"y{number}"))
    month = groups[f"m{form}"] or ""
    number = int(month) if month.isdigit() else _MONTH_NUMBERS[month[:3].lower()]
    return f"{groups[f'y{form}']}-{number:02d}-{int(groups.get(f'd{form}') or 1):02d}"
