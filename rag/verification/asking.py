"""Read what a question asks for: its words, names and codes, and the kind of thing that would answer it."""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from rag.question.parts import find_names
from rag.text.language import fold, words
from rag.text.stems import stem
from rag.verification.support import Claim, Facts, Idf, read_claim, weighed_words

AnswerKind = Literal["figure", "money", "duration", "time", "name", "contact", "reason", "called"]


# A pattern takes 5 µs for a statement, and a question meets every statement of its passages.
_KEPT_TEXTS: Final = 16_384


def _pattern(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(alternatives), re.IGNORECASE)


# The most specific kind first: a question for a phone number also asks for a number.
_SOUGHT: Final[dict[AnswerKind, re.Pattern[str]]] = {
    "contact": _pattern(
        r"\b(?:phone|telephone|e-?mail|hotline|contact|web ?site|url|link)\b(?! (?:policy|rules?|cent(?:re|er)))",
        r"\b(?:số điện thoại|điện thoại|email|hotline|tổng đài|liên hệ|website|trang web|đường dây)\b",
    ),
    "reason": _pattern(r"\bwhy\b|\bwhat (?:caused|was the reason|is the reason)\b|\b(?:vì sao|tại sao|do đâu|lý do)\b"),
    "called": _pattern(
        r"\b(?:what(?:'s| is| are)|tell me) (?:\w+ ){0,4}names?\b", r"\btên (?:của|là|gì)\b|\btên\b.*\blà gì\b"
    ),
    "money": _pattern(
        r"\bhow much (?:does|do|is|are|will|would|money|per|for|can i (?:spend|claim))\b",
        r"\b(?:prices?|costs?|fees?|fares?|salary|paid|deposit|fine|allowance|budget)\b(?! for what)",
        r"\b(?:bao nhiêu tiền|giá|mức phí|phí|lệ phí|học phí|chi phí|lương|phụ cấp|tiền phạt|mức phạt|tiền cọc)\b",
    ),
    "duration": _pattern(
        r"\bhow (?:long|many (?:working |business |calendar )?(?:seconds|minutes|hours|days|weeks|months|years))\b",
        r"\b(?:bao lâu|mất mấy|thời hạn|(?:bao nhiêu|mấy) (?:phút|giờ|tiếng|ngày|tuần|tháng|năm|buổi))\b",
    ),
    "time": _pattern(
        r"\bwhen\b|\b(?:what|which) (?:year|date|day|month|time|century|decade)\b|\bdeadline\b|\bby when\b",
        r"\b(?:khi nào|bao giờ|hồi nào|lúc nào|hạn chót|mấy giờ|(?:năm|ngày|tháng|thế kỷ|thời gian|thời điểm) nào)\b",
        r"\b(?:năm bao nhiêu|ngày mấy|tháng mấy|thứ mấy)\b",
    ),
    "figure": _pattern(
        r"\bhow (?:many|much|old|far|tall|high|deep|large|big|fast|often|loud|heavy|wide)\b",
        r"\bwhat (?:\w+ ){0,2}(?:percent|percentage|number|amount|population|share|limit|maximum|minimum)\b",
        r"\bwhat (?:\w+ ){0,2}(?:rate|weight|height|width|size|speed|temperature)\b",
        r"\b(?:bao nhiêu|mấy|bao xa|tỷ lệ|tỉ lệ|phần trăm|số lượng|tối đa|tối thiểu)\b",
    ),
    "name": _pattern(
        r"\b(?:(?-i:[Ww]ho)|whom|whose|where)\b",  # WHO is a name, and AI is not `ai`
        r"\b(?:what|which) (?:person|team|player|company|king|scientist|city|country|state|place|region)\b",
        r"\b(?:(?-i:[Aa]i)|người nào|ở đâu|đâu|nơi nào|thành phố nào|quốc gia nào|nước nào|phòng nào|bộ phận nào)\b",
    ),
}
_LIST_SOUGHT = _pattern(
    r"\b(?:what|which) (?:\w+ ){0,3}(?:documents|papers|steps|cases|items|things|conditions|requirements|exceptions"
    r"|reasons|features|changes|benefits|expenses|costs|options|methods|ways|types|kinds|duties|exclusions|forms)\b",
    r"\bwhat(?:'s| is| are|s)? (?:not |in|ex|never )?(?:covered|included|excluded|allowed|needed|required|new)\b",
    r"\b(?:how (?:do|can|should|to)\b|list\b|steps|procedure|process)",
    r"\b(?:các|những) (?:\w+ ){1,4}(?:nào|gì)\b",
    r"\b(?:gồm|cần|bao gồm|mang theo|nộp) (?:những )?(?:\w+ ){0,3}(?:gì|nào)\b",
    r"\b(?:các bước|thủ tục|quy trình|giấy tờ|hồ sơ|làm thế nào|làm sao|cách nào|trường hợp nào|điều kiện)\b",
)
_NEGATED = _pattern(
    r"\b(?:not|n't|never|no|except|exclud\w+|exclusions?|exceptions?|refus\w+|forbidden|prohibited|cannot|banned)\b",
    r"n't\b",
    r"\b(?:không|chưa|trừ|ngoại trừ|loại trừ|ngoại lệ|cấm|từ chối|đừng)\b",
)
_ASKS_WHETHER = _pattern(
    r"(?:\A|[.!?] )(?:is|are|was|were|do|does|did|can|could|may|must|should|will|would|has|have|had|am)(?:n't)?\b",
    r"\b(?:không|chưa|ko|phải không)\s*[?？.]?\s*\Z",
)
_YES_OR_NO = _pattern(r"\b(?:không|chưa|ko)\s*[?？]?\s*\Z")  # a Vietnamese question with this ending is not negated
_MONEY = _pattern(
    r"[$€£¥₫]\s?\d|\d\s?(?:[$€£¥₫]|(?:k|đ|đồng|vnd|vnđ|usd|eur|gbp|triệu|nghìn|ngàn|tỷ|percent|pence|pounds?|dollars?|euros?|cents?)\b)",
    r"\bfree\b|miễn phí|\btimes the\b",
)
_DURATION = _pattern(
    r"(?:\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|twelve|một|hai|ba|bốn|năm|sáu|bảy|tám|chín|mười))"
    r"[\s-](?:\w+ )?(?:seconds?|secs?|minutes?|mins?|hours?|hrs?|h|days?|weeks?|months?|years?"
    r"|giây|phút|giờ|tiếng|ngày|tuần|tháng|năm|buổi)\b",
)
_CONTACT = _pattern(r"[\w.+-]+@\w|https?://|www\.|\b\w[\w-]*\.(?:com|org|net|vn|io|gov|edu)\b|(?:\+?\d[\d .()-]{5,}\d)")
_REASON = _pattern(
    r"\b(?:because|since|due to|owing to|reason|caused?|so that|therefore|in order to)\b",
    r"\b(?:vì|do|bởi|nguyên nhân|lý do|nhằm|để|nên)\b",
)
_CLOCK = _pattern(
    r"\b\d{1,2}(?::|h|g)\d{0,2}\b|\b\d{1,2} ?(?:am|pm|giờ)\b|\d{1,2}/\d{1,2}",
    r"\b(?:mon|tues|wednes|thurs|fri|satur|sun)days?\b|\bthứ (?:hai|ba|tư|năm|sáu|bảy)\b|\bchủ nhật\b",
)


# `D9`, `RC7`, `4.3`; not `3rd`, `10kg`, `2.5m`, `12h`.
_CODE = re.compile(r"(?=.*\d)(?=.*[a-zđ])[\w-]{2,16}|\d{1,3}(?:\.\d{1,3}){1,3}")
_QUANTITY = re.compile(r"\d+(?:[.,]\d+)?(?:st|nd|rd|th|s|k|m|g|h|kg|km|cm|mm|gb|mb|tb|hz|w|kw|kwh|am|pm|tr|đ|p)")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a question asks: its words, read as a claim, and the kind of thing that would answer it (None: unknown)."""

    claim: Claim
    names: tuple[tuple[str, ...], ...]  # the stems of each name, without diacritics
    codes: tuple[str, ...]  # words of letters and digits, and version numbers
    kind: AnswerKind | None
    seeks_list: bool
    is_negated: bool
    is_yes_or_no: bool


def read_asked(question: str, idf: Idf) -> Asked:
    """Read a question, in any Unicode form and spacing."""
    question = _tidy(question)
    return Asked(
        read_claim(question, idf),
        names=tuple(tuple(fold(stem(word)) for word in words(name)) for name in find_names(question)),
        codes=tuple(word for word in words(question) if _CODE.fullmatch(word) and not _QUANTITY.fullmatch(word)),
        kind=next((kind for kind, sought in _SOUGHT.items() if sought.search(question)), None),
        seeks_list=_LIST_SOUGHT.search(question) is not None,
        is_negated=is_negated(_YES_OR_NO.sub("", question)),
        is_yes_or_no=_ASKS_WHETHER.search(question) is not None,
    )


def asked_words(question: str) -> list[str]:
    """Return the words whose weights `read_asked` asks for."""
    return weighed_words(_tidy(question))


def _tidy(question: str) -> str:
    return " ".join(unicodedata.normalize("NFC", question).split())


def is_negated(text: str) -> bool:
    """Return whether the text holds a negation or an exclusion."""
    return _NEGATED.search(text) is not None


@lru_cache(_KEPT_TEXTS)
def is_stored_negated(text: str) -> bool:
    """Return `is_negated` of a stored text; the last results are cached."""
    return is_negated(text)


def is_of_kind(asked: Asked, facts: Facts, text: str) -> bool:
    """Return whether a statement holds a thing of the kind asked for that the question does not name."""
    if asked.kind is None:
        return False
    return _HOLDS[asked.kind](asked, facts, text)


def _is_new_name(asked: Asked, name: str) -> bool:
    """Return whether it is a full name that shares no word with the question."""
    parts = words(name)
    return len(parts) > 1 and not any(stem(part) in asked.claim.content for part in parts)


def _brings_figure(asked: Asked, facts: Facts) -> bool:
    return bool(facts.figures.difference(asked.claim.figures))


@lru_cache(_KEPT_TEXTS)
def _holds(pattern: re.Pattern[str], text: str) -> bool:
    """Return whether a stored text holds the pattern; the last results are cached, because texts recur."""
    return pattern.search(text) is not None


@lru_cache(_KEPT_TEXTS)
def _names_in(text: str) -> tuple[str, ...]:
    return tuple(find_names(text))


_HOLDS: Final[dict[AnswerKind, Callable[[Asked, Facts, str], bool]]] = {
    "reason": lambda _, __, text: _holds(_REASON, text),
    "called": lambda asked, _, text: any(_is_new_name(asked, name) for name in _names_in(text)),
    "contact": lambda _, __, text: _holds(_CONTACT, text),
    "money": lambda asked, facts, text: _brings_figure(asked, facts) and _holds(_MONEY, text),
    "duration": lambda asked, facts, text: _brings_figure(asked, facts) and _holds(_DURATION, text),
    "time": lambda asked, facts, text: (
        _brings_figure(asked, facts) and (facts.is_dated or _holds(_CLOCK, text) or _holds(_DURATION, text))
    ),
    "figure": lambda asked, facts, _: _brings_figure(asked, facts),
    "name": lambda asked, facts, _: bool(facts.names - asked.claim.content.keys() - set(asked.claim.names)),
}
