"""What an older edition of a document says that a newer one says otherwise: it answers no question any more.

Editions are documents whose titles differ in nothing but dates and versions (`rag.editions`). A statement of the older
one is superseded by the newer one's statement that shares most of its words; whatever the newer one does not speak of
still holds. A question that names the older edition asks for it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rag.editions import family_of, names_edition
from rag.stems import is_function_word
from rag.types import Passage
from rag.verification.sources import Quotable, Source

_SAME_MATTER: Final = 0.6
_SHARED_WORDS: Final = 3


@dataclass(frozen=True, slots=True)
class Superseded:
    """`by` is, for the key of each superseded statement, what says it now; `older` are the passages that are older.

    `contradicts` holds, for the key of a statement that says something else than the older edition, what that says.
    """

    by: Mapping[str, Quotable]
    older: frozenset[int]
    contradicts: Mapping[str, Quotable]


def find_older(question: str, sources: Iterable[Source]) -> dict[int, frozenset[int]]:
    """The passages of older editions by their numbers, each with those of the newest; none that the question names."""
    families: dict[frozenset[str], list[Passage]] = {}
    for source in sources:
        family = family_of(source.passage.chunk.title)
        if family and source.passage.chunk.edition:
            families.setdefault(family, []).append(source.passage)
    found: dict[int, frozenset[int]] = {}
    for passages in families.values():
        newest = max(each.chunk.edition for each in passages)
        older = [each for each in passages if each.chunk.edition < newest]
        if not any(names_edition(question, each.chunk.edition) for each in older):
            fresh = frozenset(each.number for each in passages if each.chunk.edition == newest)
            found |= {each.number: fresh for each in older}
    return found


def find_superseded(older: Mapping[int, frozenset[int]], quotables: Sequence[Quotable]) -> Superseded:
    """What the passages of older editions say that no longer holds."""
    by: dict[str, Quotable] = {}
    contradicts: dict[str, Quotable] = {}
    for quotable in quotables:
        fresh = older.get(quotable.source.passage.number)
        rivals = [each for each in quotables if each.source.passage.number in fresh] if fresh else []
        nearest = max(rivals, key=lambda each: _likeness(quotable, each), default=None)
        if nearest is not None and _likeness(quotable, nearest) >= _SAME_MATTER:
            by[quotable.statement.key] = nearest
            if quotable.facts.figures != nearest.facts.figures:
                contradicts[nearest.statement.key] = quotable
    return Superseded(by, frozenset(older), contradicts)


def _likeness(one: Quotable, other: Quotable) -> float:
    """The share of the words with content of the shorter one that stand in both."""
    words, others = (
        {stem for stem in each.facts.stems if not is_function_word(stem) and stem.isalpha()} for each in (one, other)
    )
    shared, least = len(words & others), min(len(words), len(others))
    return shared / least if shared >= _SHARED_WORDS else 0.0
