"""Measure how much of a question's words the sentences of its passages hold, each sentence once per question."""

from rag.verification.sources import Source, Unit
from rag.verification.support import Claim, Facts


class Shares:
    """The shares of a question's words that the units of passages hold, each computed once."""

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self._sought: dict[frozenset[str], _Sought] = {}  # by the words of the passage's title
        self._known: dict[Unit, tuple[float, float, float]] = {}

    def of(self, source: Source, unit: Unit) -> tuple[float, float, float]:
        """Return the shares of the words, by weight, that a unit holds and that only the text before and above it does,
        and the share of the bigrams that it holds.
        """
        known = self._known.get(unit)
        if known is None:
            sought = self._sought.get(source.title)
            if sought is None:
                sought = self._sought[source.title] = _Sought(self._claim, source.title)
            known = sought.share(unit.facts.stems), sought.share(unit.earlier), sought.bigram_share(unit.facts)
            self._known[unit] = known
        return known


class _Sought:
    """The question's words and bigrams that a title does not hold."""

    def __init__(self, claim: Claim, title: frozenset[str]) -> None:
        self._words = [(stem, weight) for stem, weight in claim.content.items() if stem not in title]
        self._stems = frozenset(stem for stem, _ in self._words)
        self._weight = sum(weight for _, weight in self._words)
        self._bigrams = {pair for pair in claim.bigrams if not title.issuperset(pair)}

    def share(self, stems: frozenset[str]) -> float:
        """Return the share, by weight, of the words that `stems` hold."""
        if not self._weight or self._stems.isdisjoint(stems):
            return 0.0
        return sum([weight for stem, weight in self._words if stem in stems]) / self._weight

    def bigram_share(self, facts: Facts) -> float:
        """Return the share of the bigrams that the facts hold."""
        return len(self._bigrams & facts.bigrams) / len(self._bigrams) if self._bigrams else 0.0
