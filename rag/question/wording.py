"""Read the words of a follow-up: what ties it to the question before, what it asks, and what it is about."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from rag.question.terms import Chunk, Kind, Term, read_chunks, read_terms
from rag.text.language import Language

_OPENING_ANY: Final = r"and|what about|how about|what if|(?:the )?same (?:question )?(?=for\b)|còn|thế còn|vậy còn|và"
_OPENING: Final[dict[Language, re.Pattern[str]]] = {
    "en": re.compile(
        rf"\W*(?:(?:{_OPENING_ANY}|but|so|or|also|then|plus|ok|okay|well|thanks|thank you|great)\b,?\s*)+",
        re.IGNORECASE,
    ),
    "vi": re.compile(
        rf"\W*(?:(?:{_OPENING_ANY}|thế thì|vậy thì|thế(?! nào)|vậy|rồi|nhưng|so với|(?:cảm|cám) ơn(?: bạn)?)\b,?\s*)+",
        re.IGNORECASE,
    ),
}
# As typed without diacritics; `con` and `the` are other words too, and count only if the question lacks its own asking.
_OPENING_FOLDED = re.compile(r"\W*(?:(?:the con|vay con|con|the|vay|roi|va|nhung)\b,?\s*)+", re.IGNORECASE)
_CLOSING = re.compile(
    r"(?:,?\s*\b(?:thì sao|thi sao|thì (?:như )?thế nào|thi (?:nhu )?the nao|thì ra sao|then|though|instead|as well|too"
    r"|please|nhỉ|ạ|vậy|thế|nhé|hả))+\W*$",
    re.IGNORECASE,
)
_ELLIPTIC_CLOSING = re.compile(r"\bth[iì] (?:sao|ra sao|(?:nh[ưu] )?th[eế] n[aà]o)", re.IGNORECASE)
_ASKS_EN = re.compile(
    r"\W*(?:(?:for|in|at|on|from|to|with|by|of|until|since|under) )?(?:what|which|who|whom|whose|when|where|why|how)\b"
    r"|\W*(?:is|are|am|was|were|do|does|did|can|could|may|must|should|will|would|has|have|had)(?:n't)?\b"
    r"|\W*(?:tell me|list|show|explain|give me|name)\b",
    re.IGNORECASE,
)
_TIME_EN: Final = r"(?:year|month|week|day|morning|afternoon|evening|time|who|which)"
_REFERS: Final[dict[Language, re.Pattern[str]]] = {
    "en": re.compile(
        r"\b(?:it|its|it's|they|them|their|theirs|he|she|him|his|her|hers)\b"
        r"|\b(?:does|is|was|did|will|can|do|about|for|of|after|before|with|in|on|to|like|than|as|if)"
        rf" (?:that|this|these|those)\b(?! {_TIME_EN}\b)"
        rf"|^\W*(?:that|this|these|those)\b(?! {_TIME_EN}\b)",
        re.IGNORECASE,
    ),
    "vi": re.compile(
        r"\b(?:nó|chúng(?! (?:tôi|ta|mình|em)\b)|họ(?! (?:và )?tên\b))\b|^\W*no\b(?= )"
        r"|\b(?!(?:ngày|tháng|năm|tuần|hôm|lúc|hiện|giờ|buổi|sáng|chiều|tối|khi|sau|trước|quý|từ)\b)"
        r"\w+ (?:đó|này|ấy|kia)\b"
        r"|\b(?:viec|cai|dieu|loai) (?:nay|do|kia|ay)\b|^\W*(?:đó|đấy)\b",
        re.IGNORECASE,
    ),
}
# `how long does it take to get a refund`: `it` stands for what follows.
_EXPLETIVE = re.compile(r"\bit (?:\w+ ){0,2}(?:to|that)\b|\bit (?:rains|snows)\b", re.IGNORECASE)
# `do employees get their pay slips`: what they belong to mostly stands before them.
_POSSESSIVES: Final = frozenset(("its", "their", "his", "her"))
_WITHIN_FROM: Final[dict[Language, int]] = {"en": 2, "vi": 4, "other": 2}
# As this file writes what it has completed.
_COMPLETED = re.compile(r"\([^()]+\)\?\Z|\AVề [^:]+: ")
END: Final = " \t\n?？.!…,;:"


@dataclass(frozen=True)
class Wording:
    """A question without the words that tie it to the one before (`core`), taken apart."""

    text: str
    core: str
    language: Language
    names_known: Collection[str]
    is_opened: bool
    is_elliptic: bool

    @cached_property
    def terms(self) -> list[Term]:
        return read_terms(self.core, self.names_known)

    @cached_property
    def chunks(self) -> list[Chunk]:
        return read_chunks(self.core, self.terms)

    def of_kind(self, *kinds: Kind) -> list[Chunk]:
        return [chunk for chunk in self.chunks if chunk.kind in kinds]

    @property
    def topic(self) -> list[str]:
        """What it is about: names first, then the other words with content."""
        chunks = [*self.of_kind("name"), *self.of_kind("content")]
        return [chunk.of(self.core) for chunk in chunks]

    @property
    def names(self) -> list[str]:
        return [chunk.of(self.core) for chunk in self.of_kind("name")]

    @property
    def asks(self) -> bool:
        """Whether it says what it wants to know."""
        if self.is_elliptic:
            return False
        if _ASKS_EN.match(self.core):
            return True
        return self.language == "vi" and any(term.kind == "asking" for term in self.terms)

    @property
    def content_words(self) -> int:
        return sum(term.kind == "content" for term in self.terms)

    @property
    def is_expletive(self) -> bool:
        return self.language == "en" and self.content_words > 0 and _EXPLETIVE.search(self.core) is not None

    @property
    def refers(self) -> bool:
        """Whether a pronoun stands for something that it does not name itself."""
        pattern = _REFERS.get(self.language)
        found = pattern.search(self.core) if pattern else None
        if found is None or self.is_expletive:
            return False
        if " " in found.group() or found.start() == 0 or not self.core[found.end() :].strip(END):
            return True
        before = [term for term in self.terms if term.end <= found.start() and term.kind in ("content", "name")]
        within_from = 1 if found.group().casefold() in _POSSESSIVES else _WITHIN_FROM[self.language]
        return len(before) < within_from


def read_wording(question: str, language: Language, names: Collection[str], *, is_folded: bool) -> Wording:
    """Strip the question of its opening and its closing."""
    opening = (_OPENING.get(language) or _OPENING["en"]).match(question)
    closing = _CLOSING.search(question)
    end = closing.start() if closing else len(question)
    is_elliptic = closing is not None and _ELLIPTIC_CLOSING.search(closing.group()) is not None
    start = opening.end() if opening and opening.end() < end else 0
    asked = Wording(question, question[start:end].strip(END), language, names, start > 0, is_elliptic)
    folded = _OPENING_FOLDED.match(question) if is_folded and language == "vi" and not start else None
    if folded and folded.end() < end and not asked.asks:
        return Wording(question, question[folded.end() : end].strip(END), language, names, True, is_elliptic)
    return asked


def attach(asked: Wording, pieces: Sequence[str]) -> str:
    """Add the pieces that the question lacks: after it in English, before it in Vietnamese, whose asking ends it."""
    known = {term.key for term in asked.terms}
    missing = []
    for piece in dict.fromkeys(pieces):
        keys = {term.key for term in read_terms(piece)}
        if not keys <= known:
            missing.append(piece)
            known |= keys
    if not missing:
        return asked.text
    listed = ", ".join(missing)
    return f"Về {listed}: {asked.core}?" if asked.language == "vi" else f"{begin(asked.core)} ({listed})?"


def begin(text: str) -> str:
    return text[:1].upper() + text[1:]


def is_completed(question: str) -> bool:
    """Return whether the question was completed by `attach`: it lacks nothing any more."""
    return _COMPLETED.search(question) is not None
