"""Apply the policy: decide what becomes of each sentence of a draft, given how well the passages support it.

Nothing that a document or a model writes is trusted here. A sentence is sent as drafted only if a passage of this
context holds its words. What is sent instead is a quotation, and only if it is relevant.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from rag.text.injection import gives_orders
from rag.text.language import Language, words
from rag.types import DraftSentence, Passage, Quote, RelevanceScale, Verdict, Window
from rag.verification.answering import AnswerModel
from rag.verification.asking import read_asked
from rag.verification.judging import Entail, Judge, Judgement, Reason, states_something
from rag.verification.notices import older_edition_text
from rag.verification.policy import Policy
from rag.verification.quoting import MAX_QUOTATIONS, Quoting, by_part
from rag.verification.ranking import Part, RankedQuote, rank_part
from rag.verification.sources import Source, quotables, quote_for, read_source, windows_of
from rag.verification.statements import Statement, sameness_key
from rag.verification.superseding import find_older, find_superseded
from rag.verification.support import Claim, Idf, read_claim, weighed_words

# From this G on, a sentence without a marker is nearly verbatim. Below it 25 of 44 such sentences of the local
# generator were right (XQuAD, English); the quotation in their place is right in 0.93 of cases.
_OWN_WORDS: Final = 0.8
# A draft sentence stays if the statements that carry it have at least this share of the best quotation's probability.
_AS_LIKELY: Final = 0.5
# What was sent is beside the question if it holds less than this share of the best quotation's probability.
_BESIDE_THE_QUESTION: Final = 0.1
# A generator that declines is believed if the answer probability (`answering`) of every part is below this.
_BELIEVED_BELOW: Final = 0.6
_FEW_WORDS: Final = 4
# MaxSim of sentences and their translations, XQuAD, 202 each way: 95 % are above 0.737, and for 96 % the translation is
# nearer than every other sentence of its paragraph.
_TRANSLATED_FROM: Final = 0.735

# Return the similarity of each window to a text by the reranker, in the order of the windows.
Alike = Callable[[str, Sequence[Window]], Awaitable[list[float]]]
# Look up the weights of these words, so that an `Idf` knows them.
Learn = Callable[[Sequence[str]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Inquiry:
    """One question, and the material that its answer may rest on.

    `asked_in` is the language of the answer, `searched_in` that of `question` if it differs, as in some follow-ups.
    `parts` are the things asked, each with its own candidates. The generator saw the first `shown` passages (None:
    all); a marker of any other is unknown. `decline` is the sentence that the generator was told to write if the
    passages do not answer. `idf` weighs words: those of the questions at once, those of a sentence once
    `learn` was awaited, if there is one. `entail` asks a verifier model, if there is one. `alike` compares windows
    with a text.
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
    searched_in: Language | None = None
    learn: Learn | None = None


@dataclass(frozen=True, slots=True)
class Verifier:
    """Checks drafts against their passages; holds no state of a request.

    `scale` and `answers` belong to the reranker. No quotation below the floor of `scale` is sent.
    """

    scale: RelevanceScale
    answers: AnswerModel

    def begin(self, policy: Policy, inquiry: Inquiry) -> "RequestCheck":
        """Read the question and the passages once, for all sentences of one answer."""
        return RequestCheck(self, policy, inquiry)


class RequestCheck:
    """The check of one answer, sentence by sentence in order; it remembers what has been sent."""

    def __init__(self, verifier: Verifier, policy: Policy, inquiry: Inquiry) -> None:
        self._verifier = verifier
        self._policy = policy
        self._inquiry = inquiry
        self._searched_in = inquiry.searched_in or inquiry.asked_in
        self._asked = read_asked(inquiry.question, inquiry.idf)
        self._decline_key = sameness_key(inquiry.decline)
        self._sources = {passage.number: read_source(passage) for passage in inquiry.passages}
        older = find_older(inquiry.question, self._sources.values())
        # If both editions make a statement, the newer one is cited.
        newest_first = sorted(self._sources.values(), key=lambda source: source.passage.number in older)
        self._quotables = quotables(newest_first)
        self._superseded = find_superseded(older, self._quotables)
        known = dict(list(self._sources.items())[: inquiry.shown])
        self._judge = Judge(policy, known, inquiry.asked_in, inquiry.entail)
        self._probabilities: list[float] = []  # of each part: that the passages answer it
        self._quoting = Quoting(
            enough=policy.quoted_enough,
            floor=verifier.scale.floor,
            asked_in=inquiry.asked_in,
            most=max(MAX_QUOTATIONS, len(inquiry.parts)),
        )
        self._has_stood = False  # a sentence of the draft was sent
        self._has_declined = self._has_declined_as_told = False

    @property
    def is_answerable(self) -> bool:
        """Whether the passages are likely enough to answer at least one part; valid once `rank` was called."""
        return any(map(self._is_answerable, range(len(self._probabilities))))

    @property
    def unanswered(self) -> list[Part]:
        """The parts that the passages do not answer."""
        return [part for at, part in enumerate(self._inquiry.parts) if not self._is_answerable(at)]

    @property
    def windows(self) -> list[Window]:
        """The statements that may be quoted, as windows for the reranker to score."""
        return windows_of(self._quotables)

    def rank(self, relevances: Sequence[Sequence[float]]) -> list[RankedQuote]:
        """Rank the statements that may be quoted, part by part, likeliest first; parts without an answer are left out.

        `relevances` holds one row per part, each in the order of `windows`.
        """
        ranked: list[RankedQuote] = []
        for at, (part, scores) in enumerate(zip(self._inquiry.parts, relevances, strict=True)):
            calibrated = [
                self._verifier.scale.calibrate(score, self._searched_in, each.unit.language)
                for each, score in zip(self._quotables, scores, strict=True)
            ]
            is_whole = part.question == self._inquiry.question
            asked = self._asked if is_whole else read_asked(part.question, self._inquiry.idf)
            quotes, probability = rank_part(
                at,
                part,
                asked,
                found=self._quotables,
                relevances=calibrated,
                model=self._verifier.answers,
                superseded=self._superseded,
                asked_in=self._searched_in,
            )
            self._probabilities.append(probability)
            ranked += quotes if self._is_answerable(at) else []
        return ranked

    def _is_answerable(self, part: int) -> bool:
        return self._probabilities[part] >= self._policy.answerable_from

    async def check(self, sentence: DraftSentence, quotes: Sequence[RankedQuote]) -> Verdict:
        """Return the verdict on a sentence; `quotes`, best first, are the quotations that may replace it.

        kept: the cited passages support it; dispensable markers are removed. re-cited, attributed: another passage
        supports it fully; its markers were wrong, or it had none. repaired: replaced by the best quotation not yet
        sent, until what was sent holds the answer well enough. dropped: nothing is sent. skipped: it states nothing or
        cannot be compared; nothing is sent, except if the languages differ and the cited passage holds its figures and
        names (`rag.verification.judging`).

        In mode `mark` the text is always sent; the verdict says what would have become of it without a quotation.

        Raises: what looking up the weights of words, and the call of a verifier model, raise.
        """
        if self._inquiry.learn is not None:
            await self._inquiry.learn(weighed_words(sentence.text))
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
            ):  # the sort is stable: the others stay best first
                return self._quoting.quote(ranked, judgement.reason, draft=sentence, support=judgement.support)
        return Verdict(judgement.kind, sentence.text, "", (), judgement.reason, judgement.support, lead=sentence.lead)

    def complete(self, quotes: Sequence[RankedQuote]) -> list[Verdict]:
        """Return what follows the last sentence of the draft: quotations, part by part, then notices of older editions.

        A part gets quotations if no sentence of the draft was sent, or if those sent have too little to do with the
        part. There are none if nothing is relevant, if the generator declined and is believed, or in a mode other than
        `repair`.
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
        """Return a notice for each older edition that contradicts what was shown, without what that edition says."""
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
        """Return the judge's judgement, or drop the sentence if only superseded statements carry it."""
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
        """Whether the generator declined to answer and is believed."""
        if self._verifier.answers.passages is None:  # only the exact sentence it was told to write counts
            return self._has_declined_as_told
        return self._has_declined and max(self._probabilities, default=0.0) < _BELIEVED_BELOW

    def _find_unfit(self, sentence: DraftSentence, claim: Claim) -> Judgement | None:
        """Return the judgement on a sentence that need not be compared with the passages; None if it has to be."""
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
        """Return whether the sentence says something that the question does not: a new figure, name or content word.

        Without a new figure or name it needs at least four words. The answer to a yes-or-no question may repeat the
        question.
        """
        asked = self._asked.claim
        brings = bool(set(claim.figures).difference(asked.figures) or set(claim.names).difference(asked.names))
        is_new = brings or self._asked.is_yes_or_no or not claim.content.keys() <= asked.content.keys()
        return is_new and (brings or len(words(text)) >= _FEW_WORDS)

    def _answers(self, claim: Claim, judgement: Judgement, quotes: Sequence[RankedQuote]) -> bool:
        """Return whether a sentence without a marker answers the question, instead of merely stating something true.

        It takes the place of the best quotation if it is nearly verbatim and the statements that carry it are about as
        likely to answer. It passes without this test if nothing better can follow: after a draft sentence was sent, in
        modes without quotation, or if no quotation is relevant.
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
        """Send the sentence together with the statement that it translates; skip it if none is similar enough.

        Raises: what the scorer's call raises.
        """
        found = quotables(judgement.sources)
        alike = self._inquiry.alike
        scores = await alike(sentence.text, windows_of(found)) if alike and found else []
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
