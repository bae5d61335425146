"""Put the words of a follow-up into the question before: `for part-time staff` in the place of `full-time staff`."""

import re

from rag.question.terms import Chunk, find_contrasts, is_attribute, term_has_figure
from rag.question.wording import Wording, attach, begin

_SUBJECT_EN = re.compile(
    r"\b(?:is|are|was|were|do|does|did|can|may|must|should|will)\b\s+(?:(?:the|an?|my|our)\s+)?$", re.IGNORECASE
)
_ARTICLE = re.compile(r"(?:the|an?|my|our|your)\s+", re.IGNORECASE)
_OTHERS = re.compile(r"\b(?:other|others|another|different|elsewhere|khác|khac)\b", re.IGNORECASE)
_CONDITION_VI = re.compile(r"^(?:nếu |khi )?(.+?)(?=\s+thì\b)", re.IGNORECASE)


def put_in_place(asked: Wording, old: Wording) -> str | None:
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


def _put_for_opposite(asked: Wording, old: Wording) -> str | None:
    for start, end, group in find_contrasts(asked.core):
        for old_start, old_end, old_group in find_contrasts(old.core):
            new, replaced = asked.core[start:end], old.core[old_start:old_end]
            if group is old_group and new.casefold() != replaced.casefold():
                return _replace(old, old_start, old_end, new, asked)
    return None


def _put_after_preposition(asked: Wording, old: Wording) -> str | None:
    """`for part-time staff` takes the place of what stands after `for`."""
    if len(asked.chunks) < 2 or asked.chunks[0].kind != "preposition" or asked.terms[1].kind == "name":
        return None
    words = {asked.terms[0].word, *({"ở", "tại"} if asked.terms[0].word in ("ở", "tại") else ())}
    for at, chunk in enumerate(old.chunks[:-1]):
        following = old.chunks[at + 1]
        if chunk.kind == "preposition" and chunk.terms[-1].word in words and following.kind == "content":
            return _replace(old, following.start, following.end, asked.core[asked.terms[1].start :], asked)
    return None


def _put_for_name(asked: Wording, old: Wording) -> str | None:
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


def _put_for_others(asked: Wording, old: Wording) -> str | None:
    """`other countries` takes the place of the first name; the last one is mostly whose documents are asked."""
    named = old.of_kind("name")
    if not named or asked.names or not _OTHERS.search(asked.core):
        return None
    return _replace(old, named[0].start, named[0].end, asked.core, asked)


def _put_for_case(asked: Wording, old: Wording) -> str | None:
    """`vợ sinh con thì sao` takes the place of the case that stands before `thì`."""
    case = _CONDITION_VI.match(old.core) if asked.is_elliptic or asked.is_opened else None
    return _replace(old, case.start(1), case.end(1), asked.core, asked) if case else None


def _put_for_like(asked: Wording, old: Wording) -> str | None:
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


def narrows(asked: Wording, old: Wording) -> bool:
    """Return whether it names something new of what the old question names: `lương thử việc` after `thử việc`."""
    return any(_share(chunk, place) for chunk in asked.of_kind("content") for place in old.of_kind("content"))


def put_for_object(asked: Wording, old: Wording) -> str | None:
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


def _replace(old: Wording, start: int, end: int, new: str, asked: Wording) -> str:
    """Return the old question with `new` at `start:end`, and what else the new question says."""
    changed = f"{old.core[:start]}{_ARTICLE.sub('', new, count=1)}{old.core[end:]}"
    mixed = Wording(f"{begin(changed)}?", changed, old.language, old.names_known, is_opened=False, is_elliptic=False)
    pieces = [chunk.of(asked.core) for chunk in asked.of_kind("name", "content")]
    attached = attach(mixed, pieces)
    return attached if attached != mixed.text else mixed.text
