"""Judge a line that begins with the label of a part of a law: is it a heading, and where does its title end?

The same words stand in references ("Khoản 2 Điều 5 của Luật này"), and one at the start of a wrapped line is no
heading: what comes before a label and after it decides.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from rag.parsing.blocks import Glue

Kind = Literal["part", "chapter", "division", "subdivision", "article", "section", "clause"]

_KINDS: Final[Mapping[str, Kind]] = {
    "phần": "part", "phụ lục": "part", "part": "part", "appendix": "part", "annex": "part", "schedule": "part",
    "chương": "chapter", "chapter": "chapter", "mục": "division", "tiểu mục": "subdivision",
    "điều": "article", "article": "article", "§": "article", "section": "section",
    "khoản": "clause", "clause": "clause",
}  # fmt: skip
_ROMAN: Final = r"[IVXLC]{1,7}"
_COUNT: Final = r"(?:One|Two|Three|Four|Five|Six|Seven|Eight|Nine|Ten|ONE|TWO|THREE|FOUR|FIVE|SIX|SEVEN|EIGHT|NINE|TEN)"
LABEL = re.compile(
    r"(?P<word>Phần|PHẦN|Phụ lục|PHỤ LỤC|Part|PART|Appendix|APPENDIX|Annex|ANNEX|Schedule|SCHEDULE|Chương|CHƯƠNG"
    r"|Chapter|CHAPTER|Mục|MỤC|Tiểu mục|TIỂU MỤC|Điều|ĐIỀU|Article|ARTICLE|Section|SECTION|Khoản|KHOẢN|Clause|CLAUSE|§)"
    rf"(?:(?<=§)\s*|\s+)(?P<number>(?:[Tt]hứ|THỨ)\s+\w+|\d{{1,4}}(?:\.\d{{1,3}})*[a-zđA-Z]?|{_ROMAN}|{_COUNT}|[A-Z])(?!\w)"
)
_DOT = re.compile(r"\s?[.:](?=\s|[^\W\d_]|\Z)")
_DASH = re.compile(r"\s*[-–—](?=\s)")
_ENUMERATOR = re.compile(r"\(?(?:\d{1,3}(?:\.\d{1,3})*|[a-zđ]|[ivx]{1,4})[.)]\s|[-•–*+]\s")
_LEADERS = re.compile(r"\.{4,}|…{2,}|_{4,}")
_ENDS_SENTENCE = re.compile(r"[.;:!?…][\"'”’»)\]]*\Z|[)\]”»]\Z")
_ENDS_NO_TITLE = re.compile(r"[.,;:!?…][\"'”’»)\]]*\Z")
_SENTENCE_INSIDE = re.compile(r"[^\W\d_]{3}[.;:!?] +[^\W\d_a-z]")
# With these a line goes on in the next one, which may then begin with a reference.
_GOES_ON = re.compile(
    r"(?:,|[-–(/]|\b(?:tại|theo|của|và|hoặc|các|với|đến|từ|trừ|này|là|cho|về|ở|trong|ngoài|được|khoản|điểm|điều|số|bởi"
    r"|(?:khoản|điểm|điều|mục|chương|article|section|clause|chapter)\s+(?:\d{1,4}[a-zđ]?|[ivxlc]{1,6}|[a-zđ])"
    r"|in|of|under|to|and|or|by|see|with|per|at|the|from|for|than|is|are|this|that|on|as))\Z",
    re.IGNORECASE,
)
_REFERS_TO = re.compile(r"\b(?:Act|Regulation|GDPR|Law|Code|Directive|shall|must|may|applies|apply|is|are)\b")

_MAX_TITLE_CHARS: Final = 200
_MAX_OPEN_TITLE_CHARS: Final = 80  # of a title in small letters that nothing separates from its label
MAX_TITLE_LINES: Final = 3


@dataclass(slots=True)
class Place:
    """What is known before a line: the line above, and the numbers of the headings so far."""

    before: str
    is_after_heading: bool
    is_row: bool
    last: dict[Kind, str]


def has_label(text: str) -> bool:
    """Return whether a text begins with the label of a part of a law, such as "Điều 5"."""
    return LABEL.match(text) is not None


def end_of_label(line: str, found: re.Match[str], place: Place, glue: Glue) -> int:
    """Return where the label of a heading ends, with its full stop; 0 if the line is no heading."""
    if " | " in line or _LEADERS.search(line) or not _may_begin(found, place, glue):
        return 0
    tail = line[found.end() :]
    if not tail.strip():
        return len(line)
    mark = _DOT.match(tail) or _DASH.match(tail)
    if mark:
        rest = tail[mark.end() :].strip()
        is_cell = ":" in mark.group() and place.is_row and rest
        return 0 if rest[:1].islower() or is_cell else found.end() + mark.end()
    rest = tail.strip()
    if not tail[:1].isspace() or has_label(rest):
        return 0
    if is_capitals(rest):
        return found.end()
    is_foreign = found["word"].isascii() or found["word"] == "§"
    is_title = rest[:1].isupper() and len(rest) <= _MAX_OPEN_TITLE_CHARS and _is_title(rest)
    is_next = _follows(place.last.get(kind_of(found), ""), found["number"]) and _ENDS_SENTENCE.search(place.before)
    stands_alone = glue == "\n\n" or is_next
    return found.end() if is_foreign and is_title and stands_alone and not _REFERS_TO.search(rest) else 0


def _may_begin(found: re.Match[str], place: Place, glue: Glue) -> bool:
    """Return whether what is above a line lets a heading begin with it."""
    if place.is_after_heading or not place.before:
        return True
    if glue == " " or _GOES_ON.search(place.before):
        return False
    if glue == "\n\n" or _ENDS_SENTENCE.search(place.before) or is_capitals(place.before):
        return True
    kind = kind_of(found)
    return _follows(place.last.get(kind, ""), found["number"])


def _follows(before: str, number: str) -> bool:
    return before.isdigit() and number.isdigit() and int(number) == int(before) + 1


def title_lines(lines: Sequence[str], at: int, label_end: int) -> tuple[int, str]:
    """Return how many lines the heading takes, and the text after its label if that is no title but text."""
    line = lines[at].strip()
    title = strip_mark(line[label_end:])
    used = 1
    if not title:
        while at + used < len(lines) and used <= MAX_TITLE_LINES and is_capitals(lines[at + used]):
            used += 1
        following = lines[at + used].strip() if at + used < len(lines) else ""
        if used == 1 and following and at + 2 < len(lines) and is_open_title(following):
            used = 2
        return used, ""
    while at + used < len(lines) and used < MAX_TITLE_LINES and len(title) <= _MAX_TITLE_CHARS:
        following = lines[at + used].strip()
        goes_on = following[:1].islower() and not _ENUMERATOR.match(following)
        if not (goes_on or (is_capitals(title) and is_capitals(following))) or _ENDS_NO_TITLE.search(title):
            break
        title = f"{title} {following}"
        used += 1
    return (used, "") if _is_title(title) else (1, line[label_end:].strip())


def strip_mark(text: str) -> str:
    return text.strip().lstrip(".:-–— ").strip()


def _is_title(text: str) -> bool:
    return (
        len(text) <= _MAX_TITLE_CHARS
        and not _ENDS_NO_TITLE.search(text)
        and not _GOES_ON.search(text)
        and not _ENUMERATOR.match(text)
        and not _SENTENCE_INSIDE.search(text)
    )


def is_open_title(text: str) -> bool:
    """Return whether a line of its own, in small letters too, can be the title of the label above it."""
    return (
        text[:1].isupper()
        and len(text) <= _MAX_OPEN_TITLE_CHARS
        and "\n" not in text
        and " | " not in text
        and not has_label(text)
        and _is_title(text)
    )


def is_capitals(text: str) -> bool:
    text = text.strip()
    is_short = len(text) <= _MAX_TITLE_CHARS and "\n" not in text and " | " not in text
    return is_short and text.isupper() and not LABEL.match(text) and not _ENDS_NO_TITLE.search(text)


def begins_item(text: str) -> bool:
    """Return whether a text begins as an item of a list does."""
    return _ENUMERATOR.match(text) is not None


def kind_of(found: re.Match[str]) -> Kind:
    return _KINDS[found["word"].lower()]
