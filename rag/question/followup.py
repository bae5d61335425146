"""Make a follow-up a question that stands on its own, by rules alone: `And the Birk D8?` → `How much does the Birk D8 weigh?`

A question that asks something of its own about something of its own is left as it is. What is missing comes from the
last question: its place is taken (`for part-time staff` for `full-time staff`), or its names and nouns are added. The
rules see words, not meaning: if they are unsure they add, and what the new question says is never replaced.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from rag.question.terms import Chunk, Kind, Term, find_contrasts, is_attribute, read_chunks, read_terms, term_has_figure
from rag.text.language import Language
from schemas.request import QUESTION_MAX_CHARS

_ROUNDS: Final = 3
# Of an answer: more names are of its other sentences.
_NAMES_OF_ANSWER: Final = 1
_FEW_WORDS: Final[dict[Language, int]] = {"en": 1, "vi": 2, "other": 1}
_BARE_WORDS: Final[dict[Language, int]] = {"en": 4, "vi": 6, "other": 4}
_OPENING_ANY: Final = r"and|what about|how about|what if|(?:the )?same (?:question )?(?=for\b)|còn|thế còn|vậy còn|và"
_OPENING: Final[dict[Language, re.Pattern[str]]] = {
    "en": re.compile(rf"\W*(?:(?:{_OPENING_ANY}|but|so|or|also|then|plus|ok|okay|well|thanks|thank you|great)\b,?\s*)+", re.IGNORECASE),
    "vi": re.compile(
        rf"\W*(?:(?:{_OPENING_ANY}|thế thì|vậy thì|thế(?! nào)|vậy|rồi|nhưng|so với|(?:cảm|cám) ơn(?: bạn)?)\b,?\s*)+", re.IGNORECASE
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
        r"|\b(?!(?:ngày|tháng|năm|tuần|hôm|lúc|hiện|giờ|buổi|sáng|chiều|tối|khi|sau|trước|quý|từ)\b)\w+ (?:đó|này|ấy|kia)\b"
        r"|\b(?:viec|cai|dieu|loai) (?:nay|do|kia|ay)\b|^\W*(?:đó|đấy)\b",
        re.IGNORECASE,
    ),
}
# `how long does it take to get a refund`: `it` stands for what follows.
_EXPLETIVE = re.compile(r"\bit (?:\w+ ){0,2}(?:to|that)\b|\bit (?:rains|snows)\b", re.IGNORECASE)
# `do employees get their pay slips`: what they belong to mostly stands before them.
_POSSESSIVES: Final = frozenset(("its", "their", "his", "her"))
_WITHIN_FROM: Final[dict[Language, int]] = {"en": 2, "vi": 4, "other": 2}
_SUBJECT_EN = re.compile(
    r"\b(?:is|are|was|were|do|does|did|can|may|must|should|will)\b\s+(?:(?:the|an?|my|our)\s+)?$", re.IGNORECASE
)
_ARTICLE = re.compile(r"(?:the|an?|my|our|your)\s+", re.IGNORECASE)
_OTHERS = re.compile(r"\b(?:other|others|another|different|elsewhere|khác|khac)\b", re.IGNORECASE)
_CONDITION_VI = re.compile(r"^(?:nếu |khi )?(.+?)(?=\s+thì\b)", re.IGNORECASE)
# As this file writes what it has completed.
_COMPLETED = re.compile(r"\([^()]+\)\?\Z|\AVề [^:]+: ")
_END: Final = " \t\n?？.!…,;:"


@dataclass(frozen=True)
class _Asked:
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
        if " " in found.group() or found.start() == 0 or not self.core[found.end() :].strip(_END):
            return True
        before = [term for term in self.terms if term.end <= found.start() and term.kind in ("content", "name")]
        within_from = 1 if found.group().casefold() in _POSSESSIVES else _WITHIN_FROM[self.language]
        return len(before) < within_from


@dataclass(frozen=True, slots=True)
class Before:
    """The question before, which stands on its own, its language, and what was answered."""

    text: str
    language: Language
    said: str = ""


def stand_alone(
    question: str, before: Before, language: Language, *, names: Collection[str] = (), is_folded: bool = False
) -> str:
    """Return the question with what it lacks from the one before it; the question itself if it lacks nothing.

    The answer gives a name only if the question before has none. `names` are words that the documents write with a
    capital letter. `is_folded`: it was typed without diacritics. The result is never longer than a question may be, and
    stays the same if it is made standalone again.
    """
    made = question
    for _ in range(_ROUNDS):
        again = _complete(made, before, language, names, is_folded=is_folded)
        if again == made:
            return made if len(made) <= QUESTION_MAX_CHARS else question
        made = again
    return question


def _complete(question: str, before: Before, language: Language, names: Collection[str], *, is_folded: bool) -> str:
    asked = _read(question, language, names, is_folded=is_folded)
    if not asked.terms or _COMPLETED.search(question):
        return question
    old = _Asked(before.text, before.text.strip(_END), before.language, names, is_opened=False, is_elliptic=False)
    topic = old.topic if old.names else [*_names_of(before.said, names), *old.topic]
    few = _FEW_WORDS[language]
    if asked.refers:
        return _attach(asked, topic)
    if asked.asks:
        if asked.content_words <= few and not asked.names and not asked.is_expletive:
            return _attach(asked, topic)
        if asked.is_opened and not asked.names:
            return _attach(asked, old.names or topic[:1])
        return question
    if not asked.topic and not asked.of_kind("attribute"):
        return question  # `vậy à?`
    begins_inside = asked.terms[0].kind == "preposition"
    if asked.is_opened or asked.is_elliptic or begins_inside:
        return _contrast(asked, old, topic) or _attach(old, [asked.core])
    if asked.content_words <= _BARE_WORDS[language]:
        return _put_in_place(asked, old) or question
    return question


def _read(question: str, language: Language, names: Collection[str], *, is_folded: bool) -> _Asked:
    """Strip the question of its opening and its closing."""
    opening = (_OPENING.get(language) or _OPENING["en"]).match(question)
    closing = _CLOSING.search(question)
    end = closing.start() if closing else len(question)
    is_elliptic = closing is not None and _ELLIPTIC_CLOSING.search(closing.group()) is not None
    start = opening.end() if opening and opening.end() < end else 0
    asked = _Asked(question, question[start:end].strip(_END), language, names, start > 0, is_elliptic)
    folded = _OPENING_FOLDED.match(question) if is_folded and language == "vi" and not start else None
    if folded and folded.end() < end and not asked.asks:
        return _Asked(question, question[folded.end() : end].strip(_END), language, names, True, is_elliptic)
    return asked


def _names_of(said: str, names: Collection[str]) -> list[str]:
    terms = read_terms(said, names)
    return [chunk.of(said) for chunk in read_chunks(said, terms) if chunk.kind == "name"][:_NAMES_OF_ANSWER]


def _attach(asked: _Asked, pieces: Sequence[str]) -> str:
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
    return f"Về {listed}: {asked.core}?" if asked.language == "vi" else f"{_begin(asked.core)} ({listed})?"


def _begin(text: str) -> str:
    return text[:1].upper() + text[1:]


def _contrast(asked: _Asked, old: _Asked, topic: Sequence[str]) -> str | None:
    """Return the old question asked of the new thing, or what it is about asked for the new property."""
    placed = _put_in_place(asked, old)
    if placed is not None:
        return placed
    content = asked.of_kind("content")
    if not content or asked.names:
        return None
    head = content[0].terms[0 if asked.language == "vi" else -1]
    is_definite = asked.core.casefold().startswith("the ")
    if is_attribute(head) or is_definite or _narrows(asked, old):
        return _attach(asked, old.names or topic)
    return _put_for_object(asked, old)


def _put_in_place(asked: _Asked, old: _Asked) -> str | None:
    """Put the new words in the place of those that they are set against; None if nothing tells which these are."""
    for put in (
        _put_for_opposite,
        _put_after_preposition,
        _put_for_name,
        _put_for_others,
        _put_for_like,
        _put_for_case,
    ):
        placed = put(asked, old)
        if placed is not None:
            return placed
    return None


def _put_for_opposite(asked: _Asked, old: _Asked) -> str | None:
    for start, end, group in find_contrasts(asked.core):
        for old_start, old_end, old_group in find_contrasts(old.core):
            new, replaced = asked.core[start:end], old.core[old_start:old_end]
            if group is old_group and new.casefold() != replaced.casefold():
                return _replace(old, old_start, old_end, new, asked)
    return None


def _put_after_preposition(asked: _Asked, old: _Asked) -> str | None:
    """`for part-time staff` takes the place of what stands after `for`."""
    if len(asked.chunks) < 2 or asked.chunks[0].kind != "preposition" or asked.terms[1].kind == "name":
        return None
    words = {asked.terms[0].word, *({"ở", "tại"} if asked.terms[0].word in ("ở", "tại") else ())}
    for at, chunk in enumerate(old.chunks[:-1]):
        following = old.chunks[at + 1]
        if chunk.kind == "preposition" and chunk.terms[-1].word in words and following.kind == "content":
            return _replace(old, following.start, following.end, asked.core[asked.terms[1].start :], asked)
    return None


def _put_for_name(asked: _Asked, old: _Asked) -> str | None:
    """A name takes the place of the name that is most like it."""
    new, named = asked.of_kind("name"), old.of_kind("name")
    if not new or not named or {*new[0].keys} <= {key for chunk in named for key in chunk.keys}:
        return None
    name = new[0]

    def likeness(chunk: Chunk) -> tuple[int, bool, int]:
        has_figure = [any(term_has_figure(term.word) for term in each.terms) for each in (name, chunk)]
        return len({*name.keys} & {*chunk.keys}), has_figure[0] == has_figure[1], chunk.start

    place = max(named, key=likeness)
    figures = [term for term in place.terms if term_has_figure(term.word)]
    start, end = place.start, place.end
    if figures and all(term_has_figure(term.word) for term in name.terms):
        start, end = figures[0].start, figures[-1].end  # the name stays: `Quillpad 4.2.0`, `4.1.3`
    return _replace(old, start, end, name.of(asked.core), asked)


def _put_for_others(asked: _Asked, old: _Asked) -> str | None:
    """`other countries` takes the place of the first name; the last one is mostly whose documents are asked."""
    named = old.of_kind("name")
    if not named or asked.names or not _OTHERS.search(asked.core):
        return None
    return _replace(old, named[0].start, named[0].end, asked.core, asked)


def _put_for_case(asked: _Asked, old: _Asked) -> str | None:
    """`vợ sinh con thì sao` takes the place of the case that stands before `thì`."""
    case = _CONDITION_VI.match(old.core) if asked.is_elliptic or asked.is_opened else None
    return _replace(old, case.start(1), case.end(1), asked.core, asked) if case else None


def _put_for_like(asked: _Asked, old: _Asked) -> str | None:
    """Words that share their head take each other's place: `part-time staff` and `full-time staff`."""
    for chunk in asked.of_kind("content"):
        for place in old.of_kind("content"):
            shared = _share(chunk, place)
            if shared is None:
                continue
            at, old_at, length = shared
            lead, tail = chunk.terms[:at], chunk.terms[at + length :]
            old_lead = place.terms[:old_at]
            if not lead and not tail:
                continue  # it says nothing that the old question does not
            if asked.language == "vi":
                if lead and not old_lead:
                    return None  # a new head: another thing about the same
                begin = 0 if lead else old_at
                end = _end_in_vietnamese(place, old_at, length, chunk) if tail else old_at + length
            else:
                if tail:
                    return None
                begin, end = (0 if old_lead else old_at), old_at + length
            return _replace(old, place.terms[begin].start, place.terms[end - 1].end, chunk.of(asked.core), asked)
    return None


def _end_in_vietnamese(place: Chunk, old_at: int, length: int, chunk: Chunk) -> int:
    """Return where the words end that `chunk` replaces: a name in small letters may follow them."""
    rest = len(place.terms) - old_at
    return len(place.terms) if rest <= len(chunk.terms) + 1 else max(old_at + len(chunk.terms), old_at + length)


def _share(chunk: Chunk, place: Chunk) -> tuple[int, int, int] | None:
    """Return the longest run of words that both have, as (start in chunk, start in place, length)."""
    best: tuple[int, int, int] | None = None
    for at in range(len(chunk.terms)):
        for old_at in range(len(place.terms)):
            length = 0
            while (
                at + length < len(chunk.terms)
                and old_at + length < len(place.terms)
                and chunk.terms[at + length].key == place.terms[old_at + length].key
            ):
                length += 1
            if length and (best is None or length > best[2]):
                best = at, old_at, length
    return best


def _narrows(asked: _Asked, old: _Asked) -> bool:
    """Return whether it names something new of what the old question names: `lương thử việc` after `thử việc`."""
    return any(_share(chunk, place) for chunk in asked.of_kind("content") for place in old.of_kind("content"))


def _put_for_object(asked: _Asked, old: _Asked) -> str | None:
    """Put a lone thing where the old question has the thing that it asks about; None if it has no such place."""
    content = asked.of_kind("content")
    if len(content) != 1:
        return None
    size = len(content[0].terms)
    for place in old.of_kind("content"):
        if asked.language == "vi":
            if len(place.terms) > size:  # a head stays: `phí gửi xe máy`
                return _replace(old, place.terms[-size].start, place.end, content[0].of(asked.core), asked)
        elif (
            _SUBJECT_EN.search(old.core[: place.start])
            and not find_contrasts(place.of(old.core))
            and not is_attribute(place.terms[-1])
        ):
            return _replace(old, place.start, place.end, content[0].of(asked.core), asked)
    return None


def _replace(old: _Asked, start: int, end: int, new: str, asked: _Asked) -> str:
    """Return the old question with `new` at `start:end`, and what else the new question says."""
    changed = f"{old.core[:start]}{_ARTICLE.sub('', new, count=1)}{old.core[end:]}"
    mixed = _Asked(f"{_begin(changed)}?", changed, old.language, old.names_known, is_opened=False, is_elliptic=False)
    pieces = [chunk.of(asked.core) for chunk in asked.of_kind("name", "content")]
    attached = _attach(mixed, pieces)
    return attached if attached != mixed.text else mixed.text
