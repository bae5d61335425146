"""Keep track of what an answer has said, and of what it still needs to quote."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from rag.text.language import Language, words
from rag.text.stems import stem
from rag.types import DraftSentence, Verdict
from rag.verification.judging import Reason, differ
from rag.verification.notices import INTRODUCTIONS
from rag.verification.ranking import RankedQuote
from rag.verification.statements import sameness_key

MAX_QUOTATIONS: Final = 3
# A later part gets a quotation of its own if the best one not yet shown has at least this share of the probability of
# those not yet shown, even if what was shown is the likeliest.
_ANOTHER_FROM: Final = 0.35
_ENDED = re.compile(r"[.!?…。！？][\"'”’»)\]*_]*\Z")


class Quoting:
    """Remembers what was sent; `shown` are the keys of the document statements behind it.

    Quotations are wanted until what was sent holds the answer with the probability `enough`, but at most `most` of
    them, and none with a relevance below `floor`.
    """

    def __init__(self, *, enough: float, floor: float, asked_in: Language, most: int) -> None:
        self.sent: Final[set[str]] = set()
        self.shown: Final[set[str]] = set()
        self._enough = enough
        self._floor = floor
        self._asked_in = asked_in
        self._most = most
        self._cases: set[tuple[int, str, str]] = set()
        self._quotations = 0
        self._quoted_across = False
        self._ends_open = False  # the last quotation has no full stop

    def said(self, quotes: Sequence[RankedQuote]) -> float:
        """Return the probability that what was sent holds the answer."""
        return sum(each.probability for each in quotes if each.keys & self.shown)

    def wanted(self, quotes: Sequence[RankedQuote]) -> Iterator[RankedQuote]:
        """Yield the quotations to send, best first, until what was sent holds the answer well enough."""
        for at, of_part in enumerate(by_part(quotes)):
            shown = frozenset(self.shown)
            fresh = [each for each in of_part if not each.keys & shown]
            is_another_wanted = at > 0 and _is_clear(fresh)
            said = self.said(of_part)
            for ranked in of_part:
                has_enough = 0 < said >= self._enough and not is_another_wanted
                if has_enough or self._quotations >= self._most:
                    break
                is_new = not ranked.keys & (self.sent | self.shown) and _case_of(ranked) not in self._cases
                if ranked.relevance >= self._floor and is_new:
                    is_another_wanted = False
                    yield ranked
                    said = self.said(of_part)  # who took it has recorded it as sent

    def quote(
        self, ranked: RankedQuote, reason: Reason | None, *, draft: DraftSentence, support: float | None = None
    ) -> Verdict:
        """Return the verdict that replaces a sentence of the draft by the quotation, and record it as sent."""
        self.sent.update((sameness_key(ranked.sent), *ranked.keys))
        self.shown.update(ranked.keys)
        self._cases.add(_case_of(ranked))
        self._quotations += 1
        sent = self._introduce(ranked)
        return Verdict("repaired", draft.text, sent, (ranked.quote,), reason, support, lead=draft.lead)

    def quote_alone(self, ranked: RankedQuote) -> Verdict:
        """Return the quotation to append, after a line break if it is a list or the one before has no full stop."""
        before, self._ends_open = self._ends_open, not _ENDED.search(ranked.sent)
        lead = "\n\n" if "\n" in ranked.sent else "\n" if before else " "
        return self.quote(ranked, Reason.NOTHING_ANSWERS, draft=DraftSentence("", (), lead=lead))

    def _introduce(self, ranked: RankedQuote) -> str:
        """Return the text of the quotation; the first in another language than the question gets an introduction."""
        if self._quoted_across or not differ(self._asked_in, ranked.language):
            return ranked.sent
        self._quoted_across = True
        return INTRODUCTIONS[self._asked_in, ranked.language] + ranked.sent


def _case_of(ranked: RankedQuote) -> tuple[int, str, str]:
    """Return the part, the chunk and the words without figures: equal for statements of one matter in two cases.

    `Customers are informed within 1 hour` of one severity, `… within 4 hours` of the next: what tells them apart stands
    elsewhere, so a reader of both would not know which holds.
    """
    told = " ".join(stem(word) for word in words(ranked.sent) if not word[0].isdigit())
    return ranked.part, ranked.quote.passage.chunk.chunk_id, told or ranked.sent


def by_part(quotes: Sequence[RankedQuote]) -> list[list[RankedQuote]]:
    """Group the quotations by part, in the order of the parts; within a part their order is kept."""
    return [[each for each in quotes if each.part == part] for part in sorted({each.part for each in quotes})]


def _is_clear(quotes: Sequence[RankedQuote]) -> bool:
    """Return whether the first of these holds enough of their total probability."""
    total = sum(each.probability for each in quotes)
    return bool(total) and quotes[0].probability >= _ANOTHER_FROM * total
