"""What has been said of one answer, and what is still wanted of it by quotation."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from rag.language import Language
from rag.types import DraftSentence, Verdict
from rag.verification.judging import Reason, differ
from rag.verification.notices import INTRODUCTIONS
from rag.verification.ranking import RankedQuote
from rag.verification.statements import sameness_key

MAX_QUOTATIONS: Final = 3
# Of a later part what answers it is often not what answered the one before, even if that is the likeliest.
_ANOTHER_FROM: Final = 0.35
_ENDED = re.compile(r"[.!?…。！？][\"'”’»)\]*_]*\Z")


class Quoting:
    """Remembers what was sent; `shown` are the statements of documents that stand behind it.

    Quotations are wanted until what was sent holds the answer with the probability `enough`: `most` of them at most,
    and none that is less relevant than `floor`.
    """

    def __init__(self, *, enough: float, floor: float, asked_in: Language, most: int) -> None:
        self.sent: Final[set[str]] = set()
        self.shown: Final[set[str]] = set()
        self._enough = enough
        self._floor = floor
        self._asked_in = asked_in
        self._most = most
        self._quotations = 0
        self._quoted_across = False
        self._ends_open = False  # what was sent last has no full stop

    def said(self, quotes: Sequence[RankedQuote]) -> float:
        """The probability that what was sent holds the answer."""
        return sum(each.probability for each in quotes if each.keys & self.shown)

    def wanted(self, quotes: Sequence[RankedQuote]) -> Iterator[RankedQuote]:
        """The quotations to send, best first, for as long as what was sent does not hold the answer well enough."""
        for at, of_part in enumerate(by_part(quotes)):
            shown = frozenset(self.shown)
            fresh = [each for each in of_part if not each.keys & shown]
            is_another_wanted = at > 0 and _is_clear(fresh)
            for ranked in of_part:
                has_enough = 0 < self.said(of_part) >= self._enough and not is_another_wanted
                if has_enough or self._quotations >= self._most:
                    break
                if ranked.relevance >= self._floor and not ranked.keys & (self.sent | self.shown):
                    is_another_wanted = False
                    yield ranked

    def quote(
        self, ranked: RankedQuote, reason: Reason | None, *, draft: DraftSentence, support: float | None = None
    ) -> Verdict:
        """The quotation in the place of a sentence of the draft."""
        self.sent.update((sameness_key(ranked.sent), *ranked.keys))
        self.shown.update(ranked.keys)
        self._quotations += 1
        sent = self._introduce(ranked)
        return Verdict("repaired", draft.text, sent, (ranked.quote,), reason, support, lead=draft.lead)

    def quote_alone(self, ranked: RankedQuote) -> Verdict:
        """The quotation after what was sent before; a line break parts them if either is a list or has no full stop."""
        before, self._ends_open = self._ends_open, not _ENDED.search(ranked.sent)
        lead = "\n\n" if "\n" in ranked.sent else "\n" if before else " "
        return self.quote(ranked, Reason.NOTHING_ANSWERS, draft=DraftSentence("", (), lead=lead))

    def _introduce(self, ranked: RankedQuote) -> str:
        """The quotation; the first one in another language than the question's is announced in the question's own."""
        if self._quoted_across or not differ(self._asked_in, ranked.language):
            return ranked.sent
        self._quoted_across = True
        return INTRODUCTIONS[self._asked_in, ranked.language] + ranked.sent


def by_part(quotes: Sequence[RankedQuote]) -> list[list[RankedQuote]]:
    """The quotations of each part that has some, best first, in the order of the parts."""
    return [[each for each in quotes if each.part == part] for part in sorted({each.part for each in quotes})]


def _is_clear(quotes: Sequence[RankedQuote]) -> bool:
    """Whether the best of these is much likelier than the others."""
    total = sum(each.probability for each in quotes)
    return bool(total) and quotes[0].probability >= _ANOTHER_FROM * total
