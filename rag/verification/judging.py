"""Judge one sentence by itself: first in closed form, then by language, then with a verifier model.

The verifier model can only reject what the other steps accept, and no step chooses the replacement.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from rag.limits import gather
from rag.text.language import Language, detect_language, stored_language
from rag.types import DraftSentence, VerdictKind
from rag.verification.addresses import is_address_missing
from rag.verification.alignment import Original, find_edit
from rag.verification.phrases import declines, is_chatter, is_lead_in, refers_elsewhere, without_introduction
from rag.verification.policy import Policy
from rag.verification.sources import Source, best_alone, drop_dispensable, measure_sources, quote_for
from rag.verification.statements import Statement, sameness_key
from rag.verification.support import Claim, Support

# Given premise and hypothesis, return the probability that the premise supports the hypothesis.
Entail = Callable[[str, str], Awaitable[float]]

_STATING_WORDS: Final = 3
_SENTENCE_WORDS: Final = 6
# From this G on, a sentence that seems to decline is the document's own: "The text does not mention a date" may be
# about a letter.
_A_DOCUMENTS_WORDS: Final = 0.8


class Reason(StrEnum):
    """Why a sentence is not sent as drafted; a closed set, suitable for a metric's label."""

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
    UNKNOWN_ADDRESS = "address not in the cited passages"
    EDITED_COPY = "changed in copying"
    NOT_ENTAILED = "not entailed"
    SUPERSEDED = "superseded by a newer edition"
    OLDER_EDITION = "an older edition says otherwise"
    NOTHING_ANSWERS = "nothing of the draft answers"


@dataclass(frozen=True, slots=True)
class Judgement:
    """The judgement of one sentence; with `sources`, it may be sent as drafted.

    Without `sources`, `kind` is the outcome if no quotation replaces it. `instead` is the statement that the sentence
    is an edited copy of.
    """

    kind: VerdictKind
    sources: tuple[Source, ...] = ()
    reason: Reason | None = None
    support: float | None = None
    instead: Statement | None = None


@dataclass(frozen=True, slots=True)
class Judge:
    """Compares sentences with the passages of one context; `entail` asks a verifier model, if there is one."""

    policy: Policy
    sources: Mapping[int, Source]
    asked_in: Language
    entail: Entail | None

    @property
    def _needed(self) -> float:
        """The G from which a passage may be cited for a sentence that did not cite it."""
        return max(self.policy.supported_from, self.policy.unsupported_below)

    def cited(self, sentence: DraftSentence) -> list[Source]:
        """Return the passages of this context that the sentence cites."""
        return [self.sources[number] for number in sentence.markers if number in self.sources]

    def compare(self, sentence: DraftSentence, claim: Claim) -> Judgement:
        """Judge in closed form whether the sentence may be sent, and on which sources; `support` is G."""
        cited = self.cited(sentence)
        if self._is_title(sentence):
            return Judgement("skipped", reason=Reason.STATES_NOTHING)
        judgement = self._judge_overlap(sentence, claim, cited)
        if not judgement.sources or (judgement.support or 0.0) < _A_DOCUMENTS_WORDS:
            if declines(sentence.text):
                return Judgement("skipped", reason=Reason.DECLINES, support=judgement.support)
            if is_chatter(sentence.text) or (not judgement.sources and refers_elsewhere(sentence.text)):
                return Judgement("skipped", reason=Reason.STATES_NOTHING, support=judgement.support)
        if judgement.sources:
            return self._judge_closely(sentence, claim, judgement)
        return self._judge_across_languages(sentence, claim, cited) or judgement

    async def confirm(self, sentence: DraftSentence, claim: Claim, judgement: Judgement) -> Judgement:
        """Return the judgement if the verifier model agrees, else drop the sentence.

        The model is asked about each passage, and about the supporting parts of all of them together; the highest
        probability counts and becomes the support. Without a model, or without sources, the judgement is returned
        unchanged.

        Raises: what the model's call raises.
        """
        if self.entail is None or not judgement.sources:
            return judgement
        premises = [source.passage.chunk.text for source in judgement.sources]
        if len(premises) > 1:
            found = [quote_for(claim, source) for source in judgement.sources]
            premises.append("\n".join(each[0].text for each in found if each))
        support = max(await gather([self.entail(premise, sentence.text) for premise in premises]))
        if support >= self.policy.entailed_from:
            return replace(judgement, support=round(support, 4))
        return Judgement("dropped", reason=Reason.NOT_ENTAILED, support=round(support, 4))

    def _is_title(self, sentence: DraftSentence) -> bool:
        """Return whether it is only a title or heading, or has no marker and repeats an unquotable statement."""
        key = sameness_key(sentence.text)
        chunks = [source.passage.chunk for source in self.sources.values()]
        if any(key == sameness_key(title) for chunk in chunks for title in (chunk.title, chunk.heading) if title):
            return True
        statements = (each for source in self.sources.values() for each in source.statements)
        return not sentence.markers and any(key == each.key and not each.is_quotable for each in statements)

    def _judge_overlap(self, sentence: DraftSentence, claim: Claim, cited: Sequence[Source]) -> Judgement:
        policy = self.policy
        support = measure_sources(claim, cited)
        passes = bool(cited) and support.is_complete and support.score >= policy.unsupported_below
        if not passes or support.score < policy.supported_from:
            best = best_alone(claim, self.sources.values(), supported_from=self._needed)
            if best is not None:
                kind: VerdictKind = "re-cited" if sentence.markers else "attributed"
                return Judgement(kind, (best[0],), support=best[1].score)
        if passes:
            return Judgement("kept", tuple(drop_dispensable(claim, cited, support)), support=support.score)
        return Judgement("dropped", reason=_why(sentence, cited, support), support=support.score if cited else None)

    def _judge_closely(self, sentence: DraftSentence, claim: Claim, judgement: Judgement) -> Judgement:
        """Return the judgement, unless the sentence was edited in copying or holds an address that its sources lack.

        If another passage supports it without such a fault, that passage becomes its source.
        """
        fault = _find_fault(sentence, judgement.sources)
        if fault is None:
            return judgement
        others = [source for source in self.sources.values() if source not in judgement.sources]
        best = best_alone(claim, others, supported_from=self._needed)
        if best is not None and _find_fault(sentence, [best[0]]) is None:
            return Judgement("re-cited" if sentence.markers else "attributed", (best[0],), support=best[1].score)
        reason, instead = fault
        return Judgement("dropped", reason=reason, support=judgement.support, instead=instead)

    def _judge_across_languages(
        self, sentence: DraftSentence, claim: Claim, cited: Sequence[Source]
    ) -> Judgement | None:
        """Judge a sentence whose passages are all in another language, where lack of overlap means nothing; else None.

        Figures and names are written alike in both languages. The sentence is sent, as *skipped*, if it has at least
        one and the cited passages hold all of them. Without any there is no evidence, and a quotation is sent instead;
        so it is if the draft is not in the question's language. A passage with a sentence in the draft's language can
        be compared, and is not judged here. If no figure is missing, a verifier model, if there is one, decides; it
        must read both languages.
        """
        language = detect_language(sentence.text)
        language = self.asked_in if language == "other" else language
        compared = cited or list(self.sources.values())
        if not compared or not all(differ(language, source.language) for source in compared):
            return None
        if any(_speaks(source, language) for source in compared):
            return None
        is_asked_for = bool(cited) and language == self.asked_in and not _leads_elsewhere(sentence, cited)
        support = measure_sources(claim, cited)
        if is_asked_for and self.entail and not support.missing_figures:
            return Judgement("kept", tuple(cited))
        # If the generator is trusted to translate, `RequestCheck` compares the rest of the sentence.
        has_anchor = bool(claim.figures or claim.names) or self.policy.translates
        if is_asked_for and has_anchor and support.is_complete:
            return Judgement("skipped", tuple(cited), Reason.LANGUAGES_DIFFER)
        return Judgement("skipped", reason=Reason.LANGUAGES_DIFFER)


def _find_fault(sentence: DraftSentence, sources: Sequence[Source]) -> tuple[Reason, Statement | None] | None:
    """Return the fault that overlap does not see, with the statement of which the sentence is an edited copy."""
    if _leads_elsewhere(sentence, sources):
        return Reason.UNKNOWN_ADDRESS, None
    pairs = [
        (statement, facts)
        for source in sources
        for statement, facts in zip(source.statements, source.evidence.sentences, strict=True)
    ]
    names = frozenset[str]().union(*(facts.names for _, facts in pairs))
    text = without_introduction(sentence.text)
    found = find_edit(text, [Original(statement.text, facts.stems) for statement, facts in pairs], names)
    return (Reason.EDITED_COPY, pairs[found[1]][0]) if found else None


def _leads_elsewhere(sentence: DraftSentence, sources: Sequence[Source]) -> bool:
    """Return whether it has a link, an address, a telephone number or a code that none of these passages states."""
    return is_address_missing(sentence.text, [each.text for source in sources for each in source.statements])


def states_something(text: str, claim: Claim, *, is_cited: bool) -> bool:
    """Return whether a sentence states something: questions, headings, list leads and greetings do not.

    A short answer states something if it is cited.
    """
    if (
        not claim.content
        or text.startswith("#")
        or is_lead_in(text)
        or text.rstrip("*_ ").endswith(("?", "？", ":", "："))
    ):
        return False
    return is_cited or bool(claim.figures) or len(claim.content) >= _STATING_WORDS


def _speaks(source: Source, language: Language) -> bool:
    """Return whether the passage has a sentence in this language; headings and names do not count."""
    return any(
        len(statement.key.split()) >= _SENTENCE_WORDS and stored_language(statement.text) == language
        for statement in source.statements
    )


def differ(sentence: Language, passage: Language) -> bool:
    """Return whether both languages are known and different, so that their words cannot be compared."""
    return sentence != passage and "other" not in (sentence, passage)


def _why(sentence: DraftSentence, cited: Sequence[Source], support: Support) -> Reason:
    if not cited:
        return Reason.UNKNOWN_CITATION if sentence.markers else Reason.NO_CITATION
    if support.missing_figures:
        return Reason.MISSING_FIGURE
    return Reason.MISSING_NAME if support.missing_names else Reason.LITTLE_SUPPORT
