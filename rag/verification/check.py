"""The policy: what becomes of each sentence of a draft, given how far the passages carry it.

Nothing that a document or a model writes is trusted here. A sentence is sent as it was drafted only if its own words
stand in a passage of this context; what goes out instead is a quotation, and that only while it is relevant.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice
from typing import Final, Literal

from rag.injection import gives_orders
from rag.language import Language, detect_language
from rag.types import DraftSentence, Passage, Quote, Verdict, VerdictKind
from rag.verification.quotation import sameness_key
from rag.verification.sources import Source, best_alone, drop_dispensable, measure_sources, quote_for, read_source
from rag.verification.support import Claim, Idf, Support, read_claim

Mode = Literal["repair", "drop", "mark"]

_STATING_WORDS: Final = 3
_DECLINES = re.compile(
    r"\b(?:sources?|documents?|context|passages?|text|information|i|we)\b.{0,30}"
    r"\b(?:no|not|don't|doesn't|cannot|can't|unable)\b.{0,40}"
    r"\b(?:contain|mention|provide|include|say|specify|state|give|answer|know|find|information)"
    r"|\b(?:tài liệu|nguồn|ngữ cảnh|đoạn|văn bản|thông tin|tôi)\b.{0,30}"
    r"\bkhông (?:có|chứa|đề cập|cung cấp|nêu|biết|thể|tìm thấy|đủ|được)\b",
    re.IGNORECASE,
)


class Reason(StrEnum):
    """Why a sentence is not sent as drafted; a closed set, fit for a metric's label."""

    STATES_NOTHING = "states nothing"
    REPEATED = "repeated"
    LANGUAGES_DIFFER = "languages differ"
    DECLINES = "declines to answer"
    GIVES_ORDERS = "gives orders"
    NO_CITATION = "no citation"
    UNKNOWN_CITATION = "unknown citation"
    MISSING_FIGURE = "figure not in the cited passages"
    MISSING_NAME = "name not in the cited passages"
    LITTLE_SUPPORT = "too little support"
    NOTHING_SENT = "nothing of the draft was supported"


@dataclass(frozen=True, slots=True)
class RankedQuote:
    """A quotation with the reranker's word on how well it answers the question."""

    quote: Quote
    relevance: float


@dataclass(frozen=True, slots=True)
class _Judgement:
    """`kind` and `sources` if the sentence may go out as drafted; else `kind` is how it ends without a quotation."""

    kind: VerdictKind
    sources: tuple[Source, ...] = ()
    reason: Reason | None = None
    support: float | None = None


class Verifier:
    """Checks drafts against their passages; holds the thresholds and no request's state.

    `unsupported_below` and `supported_from` bound G: below the first a sentence is unsupported; from the second on a
    passage may be given to a sentence that did not cite it. `relevance_floor` is on the reranker's scale: no quotation
    below it is sent. At most `max_quotations` sentences of an answer are quoted, `fallback_quotations` if nothing else
    is sent.
    """

    def __init__(
        self,
        mode: Mode,
        *,
        relevance_floor: float,
        unsupported_below: float = 0.22,
        supported_from: float = 0.45,
        max_quotations: int = 3,
        fallback_quotations: int = 2,
    ) -> None:
        self.mode: Final = mode
        self.relevance_floor: Final = relevance_floor
        self.unsupported_below: Final = unsupported_below
        self.supported_from: Final = supported_from
        self.max_quotations: Final = max_quotations
        self.fallback_quotations: Final = fallback_quotations

    def begin(self, asked_in: Language, passages: Sequence[Passage], idf: Idf) -> "RequestCheck":
        """Reads the passages once, for all sentences of one answer."""
        return RequestCheck(self, asked_in, passages, idf)


class RequestCheck:
    """The check of one answer, sentence by sentence in their order; it remembers what has been sent."""

    def __init__(self, verifier: Verifier, asked_in: Language, passages: Sequence[Passage], idf: Idf) -> None:
        self._verifier = verifier
        self._idf = idf
        self._question_language = asked_in
        self._sources = {passage.number: read_source(passage) for passage in passages}
        self._sent: set[str] = set()
        self._shown: set[str] = set()  # sentences of documents that stand behind what was sent
        self._quotations = 0
        self._has_stood = False  # a sentence of the draft itself was sent

    def check(self, sentence: DraftSentence, quotes: Sequence[RankedQuote]) -> Verdict:
        """What becomes of this sentence; `quotes`, best first, are what it may be replaced by.

        kept: the passages that it cites carry it; dispensable markers are taken off. re-cited, attributed: another
        passage carries it fully; it had wrong markers, or none. repaired: replaced by the best quotation not yet sent.
        A draft that begins without a marker gets the best quotation instead: true words are not yet an answer.
        dropped: nothing is sent. skipped: it states nothing, or cannot be compared; nothing is sent, except where
        languages differ and its figures and names stand in the passage that it cites (`_judge_across_languages`).

        In mode `mark` the text always goes out; the verdict says what it would have been without a quotation.
        """
        claim = read_claim(sentence.text, self._idf)
        judgement = self._judge(sentence, claim)
        if judgement.kind == "attributed" and not self._has_stood and self._verifier.mode == "repair":
            # Of answers that began without a marker, half were true words beside the question ("part-time staff have
            # 6 days"); the quotation that answers best was right in 0.83 of cases (XQuAD, English, local generator).
            judgement = _Judgement("dropped", reason=Reason.NO_CITATION, support=judgement.support)
        if judgement.sources:
            self._has_stood = True
            return self._send(sentence, claim, judgement)
        if self._verifier.mode == "mark":
            return self._send(sentence, claim, replace(judgement, sources=tuple(self._cited(sentence))))
        is_replaced = judgement.reason not in {Reason.STATES_NOTHING, Reason.REPEATED, Reason.DECLINES}
        if self._verifier.mode == "repair" and is_replaced and self._quotations < self._verifier.max_quotations:
            for quote in self._unsent(quotes):
                return self._quote(quote, judgement.reason, draft=sentence, support=judgement.support)
        return Verdict(judgement.kind, sentence.text, "", (), judgement.reason, judgement.support, lead=sentence.lead)

    def complete(self, quotes: Sequence[RankedQuote]) -> list[Verdict]:
        """After the last sentence: the answer by quotation if nothing was sent; empty if nothing is relevant either."""
        if self._verifier.mode != "repair" or self._sent:
            return []
        best = list(islice(self._unsent(quotes), self._verifier.fallback_quotations))
        return [
            self._quote(quote, Reason.NOTHING_SENT, draft=DraftSentence("", (), lead=" " if at else ""))
            for at, quote in enumerate(best)
        ]

    def _judge(self, sentence: DraftSentence, claim: Claim) -> _Judgement:
        cited = self._cited(sentence)
        if not _states_something(sentence.text, claim, is_cited=bool(cited)):
            return _Judgement("skipped", reason=Reason.STATES_NOTHING)
        if sameness_key(sentence.text) in self._sent:
            return _Judgement("dropped", reason=Reason.REPEATED)
        if gives_orders(sentence.text):
            return _Judgement("dropped", reason=Reason.GIVES_ORDERS)
        judgement = self._judge_overlap(sentence, claim, cited)
        if judgement.sources:
            return judgement
        if _DECLINES.search(sentence.text):
            return _Judgement("skipped", reason=Reason.DECLINES, support=judgement.support)
        return self._judge_across_languages(sentence, claim, cited) or judgement

    def _judge_overlap(self, sentence: DraftSentence, claim: Claim, cited: Sequence[Source]) -> _Judgement:
        support = measure_sources(claim, cited)
        passes = bool(cited) and support.is_complete and support.score >= self._verifier.unsupported_below
        if not passes or support.score < self._verifier.supported_from:
            best = best_alone(claim, self._sources.values(), supported_from=self._verifier.supported_from)
            if best is not None:
                kind: VerdictKind = "re-cited" if sentence.markers else "attributed"
                return _Judgement(kind, (best[0],), support=best[1].score)
        if passes:
            return _Judgement("kept", tuple(drop_dispensable(claim, cited, support)), support=support.score)
        return _Judgement("dropped", reason=_why(sentence, cited, support), support=support.score if cited else None)

    def _judge_across_languages(
        self, sentence: DraftSentence, claim: Claim, cited: Sequence[Source]
    ) -> _Judgement | None:
        """A sentence in one language on passages in another, where missing overlap means nothing; None if it is not.

        Figures and names are written alike in both. The sentence goes out, *skipped*, if it has at least one and all of
        them stand in the passages that it cites. Without any there is no evidence at all: then a quotation, in the
        document's language, is the honest answer. A draft that is not in the question's language has no excuse either.
        """
        language = detect_language(sentence.text)
        language = self._question_language if language == "other" else language
        compared = cited or list(self._sources.values())
        if not compared or not all(_differ(language, source.language) for source in compared):
            return None
        has_anchor = bool(claim.figures or claim.names)
        is_asked_for = language == self._question_language
        if cited and has_anchor and is_asked_for and measure_sources(claim, cited).is_complete:
            return _Judgement("skipped", tuple(cited), Reason.LANGUAGES_DIFFER)
        return _Judgement("skipped", reason=Reason.LANGUAGES_DIFFER)

    def _cited(self, sentence: DraftSentence) -> list[Source]:
        return [self._sources[number] for number in sentence.markers if number in self._sources]

    def _send(self, sentence: DraftSentence, claim: Claim, judgement: _Judgement) -> Verdict:
        quotes = []
        for source in judgement.sources:
            if found := quote_for(claim, source):
                quotes.append(found[0])
                self._shown.update(statement.key for statement in found[1])
        self._sent.add(sameness_key(sentence.text))
        return Verdict(
            judgement.kind,
            draft=sentence.text,
            sent=sentence.text,
            quotes=tuple(quotes),
            reason=judgement.reason,
            support=judgement.support,
            lead=sentence.lead,
        )

    def _quote(
        self, quote: Quote, reason: Reason | None, *, draft: DraftSentence, support: float | None = None
    ) -> Verdict:
        self._sent.add(sameness_key(quote.text))
        self._quotations += 1
        return Verdict("repaired", draft.text, quote.text, (quote,), reason, support, lead=draft.lead)

    def _unsent(self, quotes: Sequence[RankedQuote]) -> Iterator[Quote]:
        for ranked in quotes:
            key = sameness_key(ranked.quote.text)
            if ranked.relevance >= self._verifier.relevance_floor and key not in self._sent and key not in self._shown:
                yield ranked.quote


def _states_something(text: str, claim: Claim, *, is_cited: bool) -> bool:
    """A question, a heading, the head of a list and a greeting state nothing; a cited short answer does."""
    if not claim.content or text.startswith("#") or text.rstrip("*_ ").endswith(("?", "？", ":", "：")):
        return False
    return is_cited or bool(claim.figures) or len(claim.content) >= _STATING_WORDS


def _why(sentence: DraftSentence, cited: Sequence[Source], support: Support) -> Reason:
    if not cited:
        return Reason.UNKNOWN_CITATION if sentence.markers else Reason.NO_CITATION
    if support.missing_figures:
        return Reason.MISSING_FIGURE
    return Reason.MISSING_NAME if support.missing_names else Reason.LITTLE_SUPPORT


def _differ(sentence: Language, passage: Language) -> bool:
    return sentence != passage and "other" not in (sentence, passage)
