"""Find statements of older editions that a newer edition replaces: they answer no question any more.

Editions are documents whose titles differ only in dates and versions (`rag.text.editions`). A statement of the older
edition is superseded by the newer edition's statement that shares most of its words; if the newer edition has none, it
still holds. A question that names the older edition asks for it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rag.text.editions import are_comparable, family_of, names_edition
from rag.text.stems import is_function_word
from rag.types import Passage
from rag.verification.sources import Quotable, Source

_SAME_MATTER: Final = 0.6
_SHARED_WORDS: Final = 3


@dataclass(frozen=True, slots=True)
class Superseded:
    """What newer editions supersede.

    `by` maps the key of each superseded statement to its replacement. `older` are the numbers of the passages of older
    editions. `contradicts` maps the key of a replacement with other figures to the older statement.
    """

    by: Mapping[str, Quotable]
    older: frozenset[int]
    contradicts: Mapping[str, Quotable]


def find_older(question: str, sources: Iterable[Source]) -> dict[int, frozenset[int]]:
    """Return the passage numbers of older editions, each with those of the newest edition.

    A family is left out if the question names one of its older editions, or if nothing says which one is the newest.
    """
    families: dict[frozenset[str], list[Passage]] = {}
    for source in sources:
        family = family_of(source.passage.chunk.title)
        if family and source.passage.chunk.edition:
            families.setdefault(family, []).append(source.passage)
    found: dict[int, frozenset[int]] = {}
    for passages in families.values():
        if not are_comparable(each.chunk.edition for each in passages):
            continue
        newest = max(each.chunk.edition for each in passages)
        older = [each for each in passages if each.chunk.edition < newest]
        if not any(names_edition(question, each.chunk.edition) for each in older):
            fresh = frozenset(each.number for each in passages if each.chunk.edition == newest)
            found |= {each.number: fresh for each in older}
    return found


def find_superseded(older: Mapping[int, frozenset[int]], quotables: Sequence[Quotable]) -> Superseded:
    """Find the statements of the passages in `older` that no longer hold."""
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
    """Return the share of the shorter one's content words that both hold; 0 if they share too few."""
    words, others = (
        {stem for stem in each.facts.stems if not is_function_word(stem) and stem.isalpha()} for each in (one, other)
    )
    shared, least = len(words & others), min(len(words), len(others))
    return shared / least if shared >= _SHARED_WORDS else 0.0
