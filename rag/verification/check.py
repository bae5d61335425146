"""The policy applied: what becomes of each sentence of a draft, given how far the passages carry it.

Nothing that a document or a model writes is trusted here. A sentence is sent as it was drafted only if its own words
stand in a passage of this context; what goes out instead is a quotation, and that only while it is relevant.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from rag.injection import gives_orders
from rag.language import Language, words
from rag.types import DraftSentence, Passage, Quote, RelevanceScale, Verdict, Window
from rag.verification.answering import AnswerModel
from rag.verification.asking import read_asked
from rag.verification.judging import Entail, Judge, Judgement, Reason, states_something
from rag.verification.notices import older_edition_text
from rag.verification.policy import Policy
from rag.verification.quoting import MAX_QUOTATIONS, Quoting, by_part
from rag.verification.ranking import Part, RankedQuote, rank_part
from rag.verification.sources import Source, quotables, quote_for, read_source
from rag.verification.statements import Statement, sameness_key
from rag.verification.superseding import find_older, find_superseded
from rag.verification.support import Claim, Idf, read_claim

# G from which a sentence without a marker is the passage's own words, more or less. Below it 25 of 44 such sentences of
# the local generator were right (XQuAD, English); the quotation in their place is right in 0.93 of cases.
_OWN_WORDS: Final = 0.8
# A sentence of the generator's that is carried by what answers so likely, against the likeliest, need not be replaced.
_AS_LIKELY: Final = 0.5
# Less than so much of the best quotation's probability, and nothing that was sent has to do with the question.
_BESIDE_THE_QUESTION: Final = 0.1
# A generator that has read the passages and declines is believed up to here, by the model of `answering`.
_BELIEVED_BELOW: Final = 0.6
_FEW_WORDS: Final = 4
# MaxSim of sentences and their translations, XQuAD, 202 each way: 95 % are above 0.737, and the translation is nearer
# than every other sentence of its paragraph for 96 %.
_TRANSLATED_FROM: Final = 0.735

# How near windows are to a text, by the reranker, in their order.
Alike = Callable[[str, Sequence[Window]], Awaitable[list[float]]]


@dataclass(frozen=True, slots=True)
class Inquiry:
    """One question, and what its answer may rest on.

    `parts` are what it asks, each with its own candidates. The generator knows the first `shown` of the passages, None:
    all of them; a marker of another is unknown. `decline` is what the generator was told to write where the passages do
    not answer; `entail` asks a verifier model, if there is one; `alike` says how near windows are to a text.
    """

    question: str
    asked_in: Language
    parts: Sequence[Part]
    passages: Sequence[Passage]
    idf: Idf
    shown: int | None = None
    decline: str = ""
    entail: Entail | None = None
    alike: Alike | None = None


@dataclass(frozen=True, slots=True)
class Verifier:
    """Checks drafts against their passages; holds no request's state.

    `scale` and the weights of `answers` are the reranker's: no quotation below the floor is sent.
    """

    scale: RelevanceScale
    answers: AnswerModel

    def begin(self, policy: Policy, inquiry: Inquiry) -> "RequestCheck":
        """Reads question and passages once, for all sentences of one answer."""
        return RequestCheck(self, policy, inquiry)


class RequestCheck:
    """The check of one answer, sentence by sentence in their order; it remembers what has been sent."""

    def __init__(self, verifier: Verifier, policy: Policy, inquiry: Inquiry) -> None:
        self._verifier = verifier
        self._policy = policy
        self._inquiry = inquiry
        self._asked = read_asked(inquiry.question, inquiry.idf)
        self._decline_key = sameness_key(inquiry.decline)
        self._sources = {passage.number: read_source(passage) for passage in inquiry.passages}
        older = find_older(inquiry.question, self._sources.values())
        # Of a statement that both editions make, the newer one is cited.
        newest_first = sorted(self._sources.values(), key=lambda source: source.passage.number in older)
        self._quotables = quotables(newest_first)
        self._superseded = find_superseded(older, self._quotables)
        known = dict(list(self._sources.items())[: inquiry.shown])
        self._judge = Judge(policy, known, inquiry.asked_in, inquiry.entail)
        self._probabilities: list[float] = []  # that the passages answer, part by part
        self._quoting = Quoting(
            enough=policy.quoted_enough,
            floor=verifier.scale.floor,
            asked_in=inquiry.asked_in,
            most=max(MAX_QUOTATIONS, len(inquiry.parts)),
        )
        self._has_stood = False  # a sentence of the draft itself was sent
        self._has_declined = self._has_declined_as_told = False

    @property
    def is_answerable(self) -> bool:
        """Whether the passages are likely enough to answer any part; known once all are ranked."""
        return any(map(self._is_answerable, range(len(self._probabilities))))

    @property
    def unanswered(self) -> list[Part]:
        """The parts that the passages do not answer, if they answer others."""
        return [part for at, part in enumerate(self._inquiry.parts) if not self._is_answerable(at)]

    @property
    def windows(self) -> list[Window]:
        """What may be quoted, for the reranker to score."""
        return [each.window for each in self._quotables]

    def rank(self, relevances: Sequence[Sequence[float]]) -> list[RankedQuote]:
        """What may be quoted, the likeliest to answer first; `relevances` are those of `windows`, for each part."""
        ranked: list[RankedQuote] = []
        for at, (part, scores) in enumerate(zip(self._inquiry.parts, relevances, strict=True)):
            calibrated = [
                self._verifier.scale.calibrate(score, self._inquiry.asked_in, each.language)
                for each, score in zip(self._quotables, scores, strict=True)
            ]
            asked = read_asked(part.question, self._inquiry.idf)
            quotes, probability = rank_part(
                at,
                part,
                asked,
                found=self._quotables,
                relevances=calibrated,
                model=self._verifier.answers,
                superseded=self._superseded,
                asked_in=self._inquiry.asked_in,
            )
            self._probabilities.append(probability)
            ranked += quotes if self._is_answerable(at) else []
        return ranked

    def _is_answerable(self, part: int) -> bool:
        return self._probabilities[part] >= self._policy.answerable_from

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
        claim = read_claim(sentence.text, self._inquiry.idf)
        judgement = self._find_unfit(sentence, claim) or self._judge_in_force(sentence, claim)
        self._has_declined |= judgement.reason == Reason.DECLINES and not self._quoting.sent
        if judgement.kind == "attributed" and not self._answers(claim, judgement, quotes):
            judgement = Judgement("dropped", reason=Reason.NO_CITATION, support=judgement.support)
        judgement = await self._judge.confirm(sentence, claim, judgement)
        if judgement.sources and judgement.reason == Reason.LANGUAGES_DIFFER and self._policy.translates:
            return await self._send_translation(sentence, judgement)
        if judgement.sources:
            self._has_stood = True
            return self._send(sentence, claim, judgement)
        if self._policy.mode == "mark":
            return self._send(sentence, claim, replace(judgement, sources=tuple(self._judge.cited(sentence))))
        is_replaced = judgement.reason not in {Reason.STATES_NOTHING, Reason.REPEATED, Reason.DECLINES}
        if self._policy.mode == "repair" and is_replaced and not self._declined:
            instead = judgement.instead.key if judgement.instead else None
            for ranked in self._quoting.wanted(
                sorted(quotes, key=lambda each: instead not in each.keys)
            ):  # stable: else best first
                return self._quoting.quote(ranked, judgement.reason, draft=sentence, support=judgement.support)
        return Verdict(judgement.kind, sentence.text, "", (), judgement.reason, judgement.support, lead=sentence.lead)

    def complete(self, quotes: Sequence[RankedQuote]) -> list[Verdict]:
        """After the last sentence: what is still wanted of the answer by quotation, part by part, where none of the
        draft stood, or only what has nothing to do with the part.

        Empty if nothing is relevant, or if the generator is believed that the passages do not answer.
        """
        if self._policy.mode != "repair" or self._declined:
            return self._name_older()
        verdicts: list[Verdict] = []
        for of_part in by_part(quotes):
            best = of_part[0].probability
            if self._has_stood and self._quoting.said(of_part) >= _BESIDE_THE_QUESTION * best:
                continue
            verdicts += [self._quoting.quote_alone(ranked) for ranked in self._quoting.wanted(of_part)]
        return [*verdicts, *self._name_older()]

    def _name_older(self) -> list[Verdict]:
        """For what was shown and an older edition says otherwise: that it does, and where, but not what."""
        older = {
            quotable.source.passage.number: quotable
            for key, quotable in self._superseded.contradicts.items()
            if key in self._quoting.shown
        }
        return [
            Verdict(
                "attributed",
                draft="",
                sent=older_edition_text(quotable.source.passage.chunk.title, self._inquiry.asked_in),
                quotes=(Quote(quotable.source.passage, quotable.statement.start, quotable.statement.end),),
                reason=Reason.OLDER_EDITION,
                lead=" ",
            )
            for quotable in older.values()
        ]

    def _judge_in_force(self, sentence: DraftSentence, claim: Claim) -> Judgement:
        """The judge's word; what only an older edition says that a newer one says otherwise is not sent."""
        judgement = self._judge.compare(sentence, claim)
        if not judgement.sources or not self._superseded.by:
            return judgement
        carrying = [each.key for source in judgement.sources for each in _carrying(claim, source)]
        if not carrying or not all(key in self._superseded.by for key in carrying):
            return judgement
        instead = self._superseded.by[carrying[0]].statement
        return Judgement("dropped", reason=Reason.SUPERSEDED, support=judgement.support, instead=instead)

    @property
    def _declined(self) -> bool:
        """The generator, which has read the passages, wrote that they do not answer, and nothing says it is wrong."""
        if self._verifier.answers.passages is None:  # nothing to weigh it against but its own, instructed words
            return self._has_declined_as_told
        return self._has_declined and max(self._probabilities, default=0.0) < _BELIEVED_BELOW

    def _find_unfit(self, sentence: DraftSentence, claim: Claim) -> Judgement | None:
        """What need not be compared with any passage; None where the sentence has to be."""
        key = sameness_key(sentence.text)
        if key == self._decline_key and not self._quoting.sent:
            self._has_declined_as_told = True
            return Judgement("skipped", reason=Reason.DECLINES)
        is_cited = bool(self._judge.cited(sentence))
        if not states_something(sentence.text, claim, is_cited=is_cited) or not self._says_more(sentence.text, claim):
            return Judgement("skipped", reason=Reason.STATES_NOTHING)
        if key in self._quoting.sent:
            return Judgement("dropped", reason=Reason.REPEATED)
        return Judgement("dropped", reason=Reason.GIVES_ORDERS) if gives_orders(sentence.text) else None

    def _says_more(self, text: str, claim: Claim) -> bool:
        """Whether the sentence says what the question does not: a word, a figure or a name; and in four words at least,
        if it is no figure or name. A question that is answered by yes or no may be told again.
        """
        asked = self._asked.claim
        brings = bool(set(claim.figures).difference(asked.figures) or set(claim.names).difference(asked.names))
        is_new = brings or self._asked.is_yes_or_no or not claim.content.keys() <= asked.content.keys()
        return is_new and (brings or len(words(text)) >= _FEW_WORDS)

    def _answers(self, claim: Claim, judgement: Judgement, quotes: Sequence[RankedQuote]) -> bool:
        """Whether a sentence without a marker says what answers the question, and not just something true.

        It takes the place of the best quotation if it is a passage's own words, nearly, if what carries it answers
        about as likely. After one that stood, and in the modes without quotation, nothing better is to be had.
        """
        best = quotes[0] if quotes else None
        if self._has_stood or self._policy.mode != "repair":
            return True
        if best is None or best.relevance < self._verifier.scale.floor:
            return True
        carrying = {statement.key for statement in _carrying(claim, judgement.sources[0])}
        likely = sum(each.probability for each in quotes if each.keys & carrying)
        return likely >= _AS_LIKELY * best.probability and (judgement.support or 0.0) >= _OWN_WORDS

    async def _send_translation(self, sentence: DraftSentence, judgement: Judgement) -> Verdict:
        """The sentence, whose figures and names stand there, beside what it translates; nothing, if they differ.

        Raises: what the scorer's call raises.
        """
        found = quotables(judgement.sources)
        alike = self._inquiry.alike
        scores = await alike(sentence.text, [each.window for each in found]) if alike and found else []
        if not scores or max(scores) < _TRANSLATED_FROM:
            return Verdict("skipped", sentence.text, "", (), Reason.LANGUAGES_DIFFER, None, lead=sentence.lead)
        source = found[scores.index(max(scores))]
        self._has_stood = True
        self._quoting.sent.add(sameness_key(sentence.text))
        self._quoting.shown.add(source.statement.key)
        quote = Quote(source.source.passage, *source.span)
        sent = f"{sentence.text.rstrip('. ')} (“{quote.text.rstrip('. ')}”)."
        return Verdict("skipped", sentence.text, sent, (quote,), Reason.LANGUAGES_DIFFER, lead=sentence.lead)

    def _send(self, sentence: DraftSentence, claim: Claim, judgement: Judgement) -> Verdict:
        quotes = []
        for source in judgement.sources:
            if found := quote_for(claim, source):
                quotes.append(found[0])
                self._quoting.shown.update(statement.key for statement in found[1])
        self._quoting.sent.add(sameness_key(sentence.text))
        return Verdict(
            judgement.kind,
            draft=sentence.text,
            sent=sentence.text,
            quotes=tuple(quotes),
            reason=judgement.reason,
            support=judgement.support,
            lead=sentence.lead,
        )


def _carrying(claim: Claim, source: Source) -> list[Statement]:
    found = quote_for(claim, source)
    return found[1] if found else []
