"""The policy applied: what becomes of each sentence of a draft, given how far the passages carry it.

Nothing that a document or a model writes is trusted here. A sentence is sent as it was drafted only if its own words
stand in a passage of this context; what goes out instead is a quotation, and that only while it is relevant.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from rag.injection import gives_orders
from rag.language import Language
from rag.types import Candidate, DraftSentence, Passage, Quote, Verdict, Window
from rag.verification.answering import (
    AnswerModel,
    answer_probability,
    read_question,
    read_sentences,
    sentence_probabilities,
)
from rag.verification.judging import Entail, Judge, Judgement, Reason, differ, states_something
from rag.verification.policy import Policy
from rag.verification.quotation import sameness_key
from rag.verification.sources import quotables, quote_for, read_source
from rag.verification.support import Claim, Idf, read_claim

MAX_QUOTATIONS: Final = 3
# G from which a sentence without a marker is the passage's own words, more or less. Below it 25 of 44 such sentences of
# the local generator were right (XQuAD, English); the quotation in their place is right in 0.93 of cases.
_OWN_WORDS: Final = 0.8
# Less than so much of the best quotation's probability, and nothing that was sent has to do with the question.
_BESIDE_THE_QUESTION: Final = 0.1


@dataclass(frozen=True, slots=True)
class RankedQuote:
    """A quotation: the reranker's word on it, and the probability that it answers, given that one of them does."""

    quote: Quote
    key: str
    relevance: float
    probability: float


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
        # Typed in a hurry, without diacritics, it shares no word with documents that have them.
        self._is_plain_vi = inquiry.asked_in == "vi" and inquiry.question.isascii()
        self._relevances = [each.relevance for each in inquiry.candidates if each.relevance is not None]
        self._relevance_of = {each.chunk.chunk_id: each.relevance or 0.0 for each in inquiry.candidates}
        self._idf = inquiry.idf
        self._decline_key = sameness_key(inquiry.decline)
        self._sources = {passage.number: read_source(passage) for passage in inquiry.passages}
        self._quotables = quotables(self._sources.values())
        self._judge = Judge(policy, self._sources, inquiry.asked_in, inquiry.entail)
        self._sent: set[str] = set()
        self._shown: set[str] = set()  # sentences of documents that stand behind what was sent
        self._quotations = 0
        self._has_stood = False  # a sentence of the draft itself was sent
        self._has_declined = False

    @property
    def is_answerable(self) -> bool:
        """Whether the passages are likely enough to answer; where words cannot be compared, relevance alone says so."""
        sources = list(self._sources.values())
        if not sources or self._is_plain_vi or differ(self._asked_in, sources[0].language):
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
        passage that it cites (`rag.verification.judging`).

        In mode `mark` the text always goes out; the verdict says what it would have been without a quotation.

        Raises: what a verifier model's call raises.
        """
        claim = read_claim(sentence.text, self._idf)
        judgement = self._find_unfit(sentence, claim) or self._judge.compare(sentence, claim)
        if judgement.kind == "attributed" and not self._answers(claim, judgement, quotes):
            judgement = Judgement("dropped", reason=Reason.NO_CITATION, support=judgement.support)
        judgement = await self._judge.confirm(sentence, claim, judgement)
        if judgement.sources:
            self._has_stood = True
            return self._send(sentence, claim, judgement)
        if self._policy.mode == "mark":
            return self._send(sentence, claim, replace(judgement, sources=tuple(self._judge.cited(sentence))))
        is_replaced = judgement.reason not in {Reason.STATES_NOTHING, Reason.REPEATED, Reason.DECLINES}
        if self._policy.mode == "repair" and is_replaced and not self._has_declined:
            instead = judgement.instead.key if judgement.instead else None
            for ranked in self._wanted(sorted(quotes, key=lambda each: each.key != instead)):  # stable: else best first
                return self._quote(ranked, judgement.reason, draft=sentence, support=judgement.support)
        return Verdict(judgement.kind, sentence.text, "", (), judgement.reason, judgement.support, lead=sentence.lead)

    def complete(self, quotes: Sequence[RankedQuote]) -> list[Verdict]:
        """After the last sentence: what is still wanted of the answer by quotation, if none of the draft stood, or only
        what has nothing to do with the question.

        Empty if nothing is relevant, or if the generator, which has read the passages, wrote that they do not answer.
        """
        if self._policy.mode != "repair" or self._has_declined:
            return []
        best = quotes[0].probability if quotes else 0.0
        if self._has_stood and self._said(quotes) >= _BESIDE_THE_QUESTION * best:
            return []
        return [
            self._quote(ranked, Reason.NOTHING_ANSWERS, draft=DraftSentence("", (), lead=" "))
            for ranked in self._wanted(quotes)
        ]

    def _find_unfit(self, sentence: DraftSentence, claim: Claim) -> Judgement | None:
        """What need not be compared with any passage; None where the sentence has to be."""
        key = sameness_key(sentence.text)
        if key == self._decline_key and not self._sent:
            self._has_declined = True
            return Judgement("skipped", reason=Reason.DECLINES)
        if not states_something(sentence.text, claim, is_cited=bool(self._judge.cited(sentence))):
            return Judgement("skipped", reason=Reason.STATES_NOTHING)
        if key in self._sent:
            return Judgement("dropped", reason=Reason.REPEATED)
        return Judgement("dropped", reason=Reason.GIVES_ORDERS) if gives_orders(sentence.text) else None

    def _answers(self, claim: Claim, judgement: Judgement, quotes: Sequence[RankedQuote]) -> bool:
        """Whether a sentence without a marker says what answers the question, and not just something true.

        It may take the place of the best quotation if that is what carries it, nearly word for word, and if it says
        more of it than the question does ("The attacks on teachers are causing."). After one that stood, and in the
        modes without quotation, nothing better is to be had.
        """
        best = quotes[0] if quotes else None
        if self._has_stood or self._policy.mode != "repair":
            return True
        if best is None or best.relevance < self._verifier.relevance_floor:
            return True
        found = quote_for(claim, judgement.sources[0])
        is_best = found is not None and best.key in {statement.key for statement in found[1]}
        said = claim.content.keys() & read_claim(best.quote.text, self._idf).content.keys()
        return is_best and (judgement.support or 0.0) >= _OWN_WORDS and not said <= self._asked.claim.content.keys()

    def _send(self, sentence: DraftSentence, claim: Claim, judgement: Judgement) -> Verdict:
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
            if 0 < self._said(quotes) >= self._policy.quoted_enough or self._quotations >= MAX_QUOTATIONS:
                return
            if ranked.relevance >= self._verifier.relevance_floor and ranked.key not in self._sent | self._shown:
                yield ranked
