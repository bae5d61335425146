"""What an older edition of a document says that a newer one says otherwise: it answers no question any more.

Editions are documents whose titles differ in nothing but dates and versions (`rag.editions`). A statement of the older
one is superseded by the newer one's statement that shares most of its words; whatever the newer one does not speak of
still holds. A question that names the older edition asks for it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from rag.editions import family_of, names_edition
from rag.verification.sources import Quotable, Source

_SAME_MATTER: Final = 0.5  # of the stems of both statements together


@dataclass(frozen=True, slots=True)
class Superseded:
    """`by` is, for the key of each superseded statement, what says it now; `older` are the passages that are older.

    `contradicts` holds, for the key of a statement that says something else than the older edition, what that says.
    """

    by: dict[str, Quotable] = field(default_factory=dict)
    older: frozenset[int] = frozenset()
    contradicts: dict[str, Quotable] = field(default_factory=dict)


def find_superseded(question: str, sources: Iterable[Source], quotables: Sequence[Quotable]) -> Superseded:
    """What of these passages no longer holds, for this question."""
    families: dict[frozenset[str], list[Source]] = {}
    for source in sources:
        family = family_of(source.passage.chunk.title)
        if family and source.passage.chunk.edition:
            families.setdefault(family, []).append(source)
    found = Superseded()
    older: set[int] = set()
    for members in families.values():
        newest = max(each.passage.chunk.edition for each in members)
        old = [each for each in members if each.passage.chunk.edition < newest]
        if any(names_edition(question, each.passage.chunk.edition) for each in old):
            continue
        older.update(each.passage.number for each in old)
        fresh = [each for each in quotables if each.source in members and each.source not in old]
        for quotable in (each for each in quotables if each.source in old):
            _match(quotable, fresh, found)
    return Superseded(found.by, frozenset(older), found.contradicts)


def _match(quotable: Quotable, fresh: Sequence[Quotable], found: Superseded) -> None:
    nearest = max(fresh, key=lambda each: _likeness(quotable, each), default=None)
    if nearest is None or _likeness(quotable, nearest) < _SAME_MATTER:
        return
    found.by[quotable.statement.key] = nearest
    if quotable.facts.figures != nearest.facts.figures:
        found.contradicts[nearest.statement.key] = quotable


def _likeness(one: Quotable, other: Quotable) -> float:
    together = one.facts.stems | other.facts.stems
    return len(one.facts.stems & other.facts.stems) / len(together) if together else 0.0
