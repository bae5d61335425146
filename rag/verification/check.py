"""The policy applied: what becomes of each sentence of a draft, given how far the passages carry it.

Nothing that a document or a model writes is trusted here. A sentence is sent as it was drafted only if its own words
stand in a passage of this context; what goes out instead is a quotation, and that only while it is relevant.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from rag.injection import gives_orders
from rag.language import Language, detect_language
from rag.types import Candidate, DraftSentence, Passage, Quote, Verdict, VerdictKind, Window
from rag.verification.answering import (
    AnswerModel,
    answer_probability,
    read_question,
    read_sentences,
    sentence_probabilities,
)
from rag.verification.policy import Policy
from rag.verification.quotation import sameness_key
from rag.verification.sources import (
    Source,
    best_alone,
    drop_dispensable,
    measure_sources,
    quotables,
    quote_for,
    read_source,
)
from rag.verification.support import Claim, Idf, Support, read_claim

# Premise and hypothesis → the probability that the first supports the second.
Entail = Callable[[str, str], Awaitable[float]]

_MAX_QUOTATIONS: Final = 3
_STATING_WORDS: Final = 3
# Less than so much of the best quotation's probability, and nothing that was sent has to do with the question.
_BESIDE_THE_QUESTION: Final = 0.1
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
    NOT_ENTAILED = "not entailed"
    NOTHING_SENT = "nothing of the draft was supported"


@dataclass(frozen=True, slots=True)
class RankedQuote:
    """A quotation: the reranker's word on it, and the probability that it answers, given that one of them does."""

    quote: Quote
    key: str
    relevance: float
    probability: float


@dataclass(frozen=True, slots=True)
class _Judgement:
    """`kind` and `sources` if the sentence may go out as drafted; else `kind` is how it ends without a quotation."""

    kind: VerdictKind
    sources: tuple[Source, ...] = ()
    reason: Reason | None = None
    support: float | None = None


@dataclass(frozen=True, slots=True)
class Inquiry:
    """One question, and what its answer may rest on.

    `candidates` are all that were reranked, best first; `decline` is what the generator was told to write where the
    passages do not answer; `entail` asks a verifier model, if there is one.
    """

    question: str
    asked_in: Language
    candidates: Sequence[Candidate]
    passages: Sequence[Passage]
    idf: Idf
    decline: str = ""
    entail: Entail | None = None


@dataclass(frozen=True, slots=True)
class Verifier:
    """Checks drafts against their passages; holds no request's state.

    `relevance_floor` and the weights of `answers` are on the reranker's scale: no quotation below the floor is sent.
    """

    relevance_floor: float
    answers: AnswerModel

    def begin(self, policy: Policy, inquiry: Inquiry) -> "RequestCheck":
        """Reads question and passages once, for all sentences of one answer."""
        return RequestCheck(self, policy, inquiry)


class RequestCheck:
    """The check of one answer, sentence by sentence in their order; it remembers what has been sent."""

    def __init__(self, verifier: Verifier, policy: Policy, inquiry: Inquiry) -> None:
        self._verifier = verifier
        self._policy = policy
        self._asked = read_question(inquiry.question, inquiry.idf)
        self._asked_in = inquiry.asked_in
        self._relevances = [each.relevance for each in inquiry.candidates if each.relevance is not None]
        self._relevance_of = {each.chunk.chunk_id: each.relevance or 0.0 for each in inquiry.candidates}
        self._idf = inquiry.idf
        self._decline_key = sameness_key(inquiry.decline)
        self._entail = inquiry.entail
        self._sources = {passage.number: read_source(passage) for passage in inquiry.passages}
        self._quotables = quotables(self._sources.values())
        self._sent: set[str] = set()
        self._shown: set[str] = set()  # sentences of documents that stand behind what was sent
        self._quotations = 0
        self._has_stood = False  # a sentence of the draft itself was sent
        self._has_declined = False

    @property
    def is_answerable(self) -> bool:
        """Whether the passages are likely enough to answer; across languages relevance alone says so."""
        sources = list(self._sources.values())
        if not sources or _differ(self._asked_in, sources[0].language):
            return bool(sources)
        probability = answer_probability(self._asked, sources, self._relevances, self._verifier.answers)
        return probability >= self._policy.answerable_from

    @property
    def windows(self) -> list[Window]:
        """What may be quoted, for the reranker to score."""
        return [each.window for each in self._quotables]

    def rank(self, relevances: Sequence[float]) -> list[RankedQuote]:
        """What may be quoted, the likeliest to answer first; `relevances` are those of `windows`, in their order."""
        of_passages = {n: self._relevance_of.get(each.passage.chunk.chunk_id, 0.0) for n, each in self._sources.items()}
        signs = read_sentences(self._asked, self._quotables, relevances, of_passages)
        likely = sentence_probabilities(signs, self._verifier.answers)
        ranked = [
            RankedQuote(each.quote, each.statement.key, relevance, probability)
            for each, relevance, probability in zip(self._quotables, relevances, likely, strict=True)
        ]
        return sorted(ranked, key=lambda each: -each.probability)

    async def check(self, sentence: DraftSentence, quotes: Sequence[RankedQuote]) -> Verdict:
        """What becomes of this sentence; `quotes`, best first, are what it may be replaced by.

        kept: the passages that it cites carry it; dispensable markers are taken off. re-cited, attributed: another
        passage carries it fully; it had wrong markers, or none. repaired: replaced by the best quotation not yet sent,
        until what was sent holds the answer well enough. dropped: nothing is sent. skipped: it states nothing, or
        cannot be compared; nothing is sent, except where languages differ and its figures and names stand in the
        passage that it cites (`_judge_across_languages`).

        In mode `mark` the text always goes out; the verdict says what it would have been without a quotation.

        Raises: what a verifier model's call raises.
        """
        claim = read_claim(sentence.text, self._idf)
        judgement = self._judge(sentence, claim)
        if judgement.kind == "attributed" and not self._answers(claim, judgement.sources[0], quotes):
            judgement = _Judgement("dropped", reason=Reason.NO_CITATION, support=judgement.support)
        if judgement.sources and self._entail:
            judgement = await self._ask_model(sentence, claim, judgement, self._entail)
        if judgement.sources:
            self._has_stood = True
            return self._send(sentence, claim, judgement)
        if self._policy.mode == "mark":
            return self._send(sentence, claim, replace(judgement, sources=tuple(self._cited(sentence))))
        is_replaced = judgement.reason not in {Reason.STATES_NOTHING, Reason.REPEATED, Reason.DECLINES}
        if self._policy.mode == "repair" and is_replaced and not self._has_declined:
            for ranked in self._wanted(quotes):
                return self._quote(ranked, judgement.reason, draft=sentence, support=judgement.support)
        return Verdict(judgement.kind, sentence.text, "", (), judgement.reason, judgement.support, lead=sentence.lead)

    def complete(self, quotes: Sequence[RankedQuote]) -> list[Verdict]:
        """After the last sentence: what is still wanted of the answer by quotation, if none of the draft stood, or only
        what has nothing to do with the question.

        Empty if nothing is relevant, or if the generator, which has read the passages, wrote that they do not answer.
        """
        if self._policy.mode != "repair" or self._has_declined:
            return []
        if self._has_stood and self._said(quotes) >= _BESIDE_THE_QUESTION * max(
            (q.probability for q in quotes), default=0
        ):
            return []
        return [
            self._quote(ranked, Reason.NOTHING_SENT, draft=DraftSentence("", (), lead=" "))
            for ranked in self._wanted(quotes)
        ]

    def _judge(self, sentence: DraftSentence, claim: Claim) -> _Judgement:
        cited = self._cited(sentence)
        if unfit := self._find_unfit(sentence, claim, is_cited=bool(cited)):
            return unfit
        judgement = self._judge_overlap(sentence, claim, cited)
        if judgement.sources:
            return judgement
        if _DECLINES.search(sentence.text):
            return _Judgement("skipped", reason=Reason.DECLINES, support=judgement.support)
        return self._judge_across_languages(sentence, claim, cited) or judgement

    def _find_unfit(self, sentence: DraftSentence, claim: Claim, *, is_cited: bool) -> _Judgement | None:
        """What need not be compared with any passage; None where the sentence has to be."""
        key = sameness_key(sentence.text)
        if key == self._decline_key and not self._sent:
            self._has_declined = True
            return _Judgement("skipped", reason=Reason.DECLINES)
        if not _states_something(sentence.text, claim, is_cited=is_cited):
            return _Judgement("skipped", reason=Reason.STATES_NOTHING)
        if key in self._sent:
            return _Judgement("dropped", reason=Reason.REPEATED)
        return _Judgement("dropped", reason=Reason.GIVES_ORDERS) if gives_orders(sentence.text) else None

    def _judge_overlap(self, sentence: DraftSentence, claim: Claim, cited: Sequence[Source]) -> _Judgement:
        policy = self._policy
        support = measure_sources(claim, cited)
        passes = bool(cited) and support.is_complete and support.score >= policy.unsupported_below
        if not passes or support.score < policy.supported_from:
            needed = max(policy.supported_from, policy.unsupported_below)
            best = best_alone(claim, self._sources.values(), supported_from=needed)
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
        Where the figures stand there, a verifier model that reads both languages decides instead, if there is one.
        """
        language = detect_language(sentence.text)
        language = self._asked_in if language == "other" else language
        compared = cited or list(self._sources.values())
        if not compared or not all(_differ(language, source.language) for source in compared):
            return None
        is_asked_for = bool(cited) and language == self._asked_in
        support = measure_sources(claim, cited)
        if is_asked_for and self._entail and not support.missing_figures:
            return _Judgement("kept", tuple(cited))
        has_anchor = bool(claim.figures or claim.names)
        if is_asked_for and has_anchor and support.is_complete:
            return _Judgement("skipped", tuple(cited), Reason.LANGUAGES_DIFFER)
        return _Judgement("skipped", reason=Reason.LANGUAGES_DIFFER)

    async def _ask_model(
        self, sentence: DraftSentence, claim: Claim, judgement: _Judgement, entail: Entail
    ) -> _Judgement:
        """The judgement, if the model agrees: with one of the passages, or with what of each carries the sentence."""
        premises = [source.passage.chunk.text for source in judgement.sources]
        if len(premises) > 1:
            found = [quote_for(claim, source) for source in judgement.sources]
            premises.append("\n".join(each[0].text for each in found if each))
        support = max(await _gather([entail(premise, sentence.text) for premise in premises]))
        if support >= self._policy.entailed_from:
            return replace(judgement, support=round(support, 4))
        return _Judgement("dropped", reason=Reason.NOT_ENTAILED, support=round(support, 4))

    def _answers(self, claim: Claim, source: Source, quotes: Sequence[RankedQuote]) -> bool:
        """Whether a sentence without a marker says what answers the question, and not just something true.

        Of answers that began with such a sentence, half were true words beside the question ("part-time staff have
        6 days"). It may take the place of the best quotation if that is what carries it, and if it says more of it than
        the question does ("The attacks on teachers are causing."). After one that stood, and in the modes without
        quotation, nothing better is to be had.
        """
        if self._has_stood or self._policy.mode != "repair":
            return True
        best = next(iter(quotes), None)
        if best is None or best.relevance < self._verifier.relevance_floor:
            return True
        found = quote_for(claim, source)
        if found is None or best.key not in {statement.key for statement in found[1]}:
            return False
        return bool(
            (claim.content.keys() - self._asked.claim.content.keys())
            & read_claim(best.quote.text, self._idf).content.keys()
        )

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
        self, ranked: RankedQuote, reason: Reason | None, *, draft: DraftSentence, support: float | None = None
    ) -> Verdict:
        self._sent.add(ranked.key)
        self._shown.add(ranked.key)
        self._quotations += 1
        quote = ranked.quote
        return Verdict("repaired", draft.text, quote.text, (quote,), reason, support, lead=draft.lead)

    def _said(self, quotes: Sequence[RankedQuote]) -> float:
        """The probability that what was sent holds the answer."""
        return sum(each.probability for each in quotes if each.key in self._shown)

    def _wanted(self, quotes: Sequence[RankedQuote]) -> Iterator[RankedQuote]:
        """The quotations to send, best first, for as long as what was sent does not hold the answer well enough."""
        for ranked in quotes:
            if 0 < self._said(quotes) >= self._policy.quoted_enough or self._quotations >= _MAX_QUOTATIONS:
                return
            if ranked.relevance >= self._verifier.relevance_floor and ranked.key not in self._sent | self._shown:
                yield ranked


async def _gather(calls: Sequence[Awaitable[float]]) -> list[float]:
    """As `asyncio.gather`, but when one fails the others are stopped before it is told."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


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
