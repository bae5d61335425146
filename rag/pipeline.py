"""Run the stages in order: a question comes in, the events of a verified and cited answer go out.

follow-up → retrieval → reranking → context → prompt → generation → citations → verification → events
"""

from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from rag.answer.rendering import Answer
from rag.answer.sentences import SentenceParser
from rag.drafting.generation import Draft, drafting
from rag.drafting.prompt import build_messages, no_answer_text, no_answer_to_part_text, small_talk_text
from rag.drafting.rewriting import Rewriter
from rag.limits import Deadline
from rag.observability.telemetry import QueryRecord
from rag.ports import (
    ChunkIndex,
    EntailmentModel,
    IndexProvider,
    PassageScorer,
    TextEmbedder,
    TextGenerator,
    TokenCounter,
)
from rag.question.conversation import gist, read_follow_up
from rag.question.reading import Reading, is_small_talk
from rag.retrieval.context import fit_into_budget
from rag.retrieval.finding import Finder, best_of_each
from rag.text.language import Language, detect_language
from rag.types import Candidate, DraftSentence, HistoryMode, Passage, Scope, Verdict, Window
from rag.verification import (
    Alike,
    Entail,
    Inquiry,
    Part,
    Policies,
    RankedQuote,
    Reason,
    RequestCheck,
    Verifier,
    WordWeights,
    asked_words,
)
from schemas.events import CitationEvent, DoneEvent, ErrorEvent, Event, MetaEvent, TokenEvent
from schemas.request import QueryRequest, SearchRequest, Turn
from schemas.response import Citation, QueryResponse

# The template around question and passages takes 180 tokens in English, 380 in Vietnamese, by the local tokenizer.
INSTRUCTION_TOKENS: Final = 400
# After this many unsupported sentences in a row the draft is given up: it does not recover, and its tokens delay other
# requests.
GIVE_UP_AFTER: Final = 3


@dataclass(frozen=True, slots=True)
class StageLimits:
    """The limits of each stage: how much it takes, and for how many seconds."""

    retrieve_k: int
    rerank_k: int
    context_tokens: int
    draft_tokens: int | None
    retrieval_timeout_s: float
    rerank_timeout_s: float
    generation_timeout_s: float
    rewrite_timeout_s: float = 5.0


@dataclass(frozen=True, slots=True)
class _Job:
    """One question in progress, with its record and its deadline."""

    query: QueryRequest
    reading: Reading
    record: QueryRecord
    deadline: Deadline

    @property
    def language(self) -> Language:
        """The language of the answer, and of the question as it was asked."""
        return self.reading.language


class Pipeline:
    """Answers questions; holds no state of any of them. Without a generator it answers by quotation alone."""

    def __init__(
        self,
        *,
        embedder: TextEmbedder,
        scorer: PassageScorer,
        generator: TextGenerator | None,
        indexes: IndexProvider,
        counter: TokenCounter,
        verifier: Verifier,
        policies: Policies,
        limits: StageLimits,
        model_version: str,
        entailment: EntailmentModel | None = None,
        history: HistoryMode = "terms",
    ) -> None:
        """`history` says how a follow-up is completed; `rewrite` needs a generator, and is `terms` without."""
        self._finder = Finder(
            embedder=embedder,
            scorer=scorer,
            scale=verifier.scale,
            retrieve_k=limits.retrieve_k,
            rerank_k=limits.rerank_k,
            retrieval_timeout_s=limits.retrieval_timeout_s,
            rerank_timeout_s=limits.rerank_timeout_s,
        )
        self._generator = generator
        self._indexes = indexes
        self._counter = counter
        self._verifier = verifier
        self._policies = policies
        self._entailment = entailment
        self._limits = limits
        self._takes_history = history != "off"
        self._rewriter = (
            Rewriter(generator, counter, timeout_s=limits.rewrite_timeout_s)
            if history == "rewrite" and generator is not None
            else None
        )
        self.model_version = model_version

    def bound_tokens(self, query: QueryRequest) -> int:
        """Return the most tokens that this query can use, prompt and output together; known before retrieval."""
        history = self._history_of(query)
        # What a follow-up is given comes from the ends of the turns.
        asked = sum(map(self._counter.count, (query.question, *(gist(turn.content) for turn in history))))
        if self._rewriter and history:
            asked += self._rewriter.bound_tokens(query.question, history)
        return asked + self._limits.context_tokens + INSTRUCTION_TOKENS + query.max_output_tokens

    async def answer(
        self,
        query: QueryRequest,
        *,
        groups: Collection[str] = (),
        record: QueryRecord,
        deadline: Deadline,
        base_url: str = "",
    ) -> AsyncGenerator[Event, None]:
        """Answer a query from the documents that a caller with these groups sees, as far as its filters admit them.

        The addresses of its citations are below `base_url`.

        Yields: meta once retrieval and reranking are done, then citations and tokens sentence by sentence, then done.
        Raises: NotReady, DeadlineExceeded, UpstreamError, UpstreamRateLimited.
        """
        async with deadline.enforced():
            index = await self._indexes.current(query.tenant_id, Scope.of(groups, query.filters))
        job = _Job(query, await self._read_in_conversation(query, index, record, deadline), record, deadline)
        small_talk = job.reading.is_small_talk
        parts: list[Part] = []
        if index and not small_talk:
            parts = await self._finder.find(job.reading, index, record=record, deadline=deadline)
        passages = self._finder.choose(parts, top_k=query.top_k)
        check = await self._begin_check(job, index, parts, passages) if index and passages else None
        shown = passages[: query.top_k]
        quotes = await self._rank(job, check, parts) if check else []
        if check is None or not check.is_answerable:
            check, shown = None, []
        yield MetaEvent(trace_id=record.trace_id, model_version=self.model_version)
        answer = Answer(record, base_url)
        if check is not None:
            async with aclosing(self._write(job, check, quotes, shown, answer)) as events:
                async for event in events:
                    yield event
        for event in answer.abstain(small_talk_text(job.language) if small_talk else no_answer_text(job.language)):
            yield event
        candidates, standalone = best_of_each([part.candidates for part in parts]), job.reading.standalone
        yield answer.done(candidates, shown, with_trace=query.include_trace, standalone=standalone)

    def count_tokens(self, question: str) -> int:
        """Return the tokens of the question alone, all that a search could cost."""
        return self._counter.count(question)

    async def search(
        self, asked: SearchRequest, *, groups: Collection[str] = (), record: QueryRecord, deadline: Deadline
    ) -> list[Candidate]:
        """Return the best candidates as an answer would be made of them, best first, small talk not excepted.

        No generator is asked. The result is empty if the tenant has no documents, or none that the caller's groups and
        the filters admit.

        Raises: NotReady, DeadlineExceeded, UpstreamError.
        """
        async with deadline.enforced():
            index = await self._indexes.current(asked.tenant_id, Scope.of(groups, asked.filters))
        if index is None:
            return []
        reading = await self._read(asked.question, index, deadline)
        parts = await self._finder.find(reading, index, record=record, deadline=deadline)
        return best_of_each([part.candidates for part in parts])[: asked.top_k]

    def _history_of(self, query: QueryRequest) -> Sequence[Turn]:
        return query.history if self._takes_history else ()

    async def _read_in_conversation(
        self, query: QueryRequest, index: ChunkIndex | None, record: QueryRecord, deadline: Deadline
    ) -> Reading:
        """Read the question, and complete it from its history if it is a follow-up."""
        history = self._history_of(query)
        record.history_turns = len(query.history)
        reading = await self._read(query.question, index, deadline, history)
        if index is None or not history:
            return reading
        record.follow_up = "terms" if reading.standalone else "standalone"
        if self._rewriter is None or reading.is_small_talk:
            return reading
        return await self._rewriter.rewrite(query.question, history, reading, index, record=record, deadline=deadline)

    async def _read(
        self, question: str, index: ChunkIndex | None, deadline: Deadline, history: Sequence[Turn] = ()
    ) -> Reading:
        if index is None:
            return Reading(question, detect_language(question), is_small_talk=is_small_talk(question))
        async with deadline.enforced():
            return await read_follow_up(question, history, index)

    async def _begin_check(
        self, job: _Job, index: ChunkIndex, parts: Sequence[Part], passages: Sequence[Passage]
    ) -> RequestCheck:
        with job.record.stage("verification"):
            weights = await self._weigh(job, index, parts)
            inquiry = Inquiry(
                job.reading.text,
                job.language,
                parts,
                passages,
                weights,
                shown=job.query.top_k,
                decline=no_answer_text(job.language),
                entail=self._asker(job, self._entailment) if self._entailment else None,
                alike=self._comparer(job),
                searched_in=job.reading.searched_in,
                learn=weights.learn,
            )
            return self._verifier.begin(self._policies.of(job.query.tenant_id), inquiry)

    async def _weigh(self, job: _Job, index: ChunkIndex, parts: Sequence[Part]) -> WordWeights:
        """Return the weights of the words of the questions, to which those of drafted sentences may be added."""

        async def ask(words: Sequence[str]) -> list[float]:
            async with job.deadline.enforced():
                return await index.idf(words)

        weights = WordWeights(ask)
        questions = (job.reading.text, *(part.question for part in parts))
        await weights.learn([word for question in questions for word in asked_words(question)])
        return weights

    async def _rank(self, job: _Job, check: RequestCheck, parts: Sequence[Part]) -> list[RankedQuote]:
        """Return the quotations that the passages offer, likeliest to answer first."""
        relevances = await self._finder.score(parts, check.windows, record=job.record, deadline=job.deadline)
        with job.record.stage("verification"):
            return check.rank(relevances)

    def _comparer(self, job: _Job) -> Alike:
        """Return a function that scores windows against a text, within the request's deadline."""

        async def alike(text: str, windows: Sequence[Window]) -> list[float]:
            scores = await self._finder.score([Part(text, ())], windows, record=job.record, deadline=job.deadline)
            return scores[0]

        return alike

    def _asker(self, job: _Job, model: EntailmentModel) -> Entail:
        """Return a function that asks the verifier model within the request's deadline.

        If the model fails, the answer fails: nothing is sent unchecked.
        """

        async def entail(premise: str, hypothesis: str) -> float:
            deadline = job.deadline.sooner(self._limits.rerank_timeout_s)
            async with deadline.enforced():
                return await model.entail(
                    premise, hypothesis, timeout_s=deadline.left_s(), trace_id=job.record.trace_id
                )

        return entail

    async def _write(
        self,
        job: _Job,
        check: RequestCheck,
        quotes: Sequence[RankedQuote],
        passages: Sequence[Passage],
        answer: Answer,
    ) -> AsyncGenerator[Event, None]:
        """Draft, check and send sentence by sentence; then quote what the draft left out."""
        if self._generator is not None:
            async with aclosing(self._check_draft(job, check, quotes, passages, answer)) as events:
                async for event in events:
                    yield event
        with job.record.stage("verification"):
            verdicts = check.complete(quotes)
        for verdict in verdicts:
            for event in answer.add(verdict):
                yield event
        if answer.begun:
            for part in check.unanswered:
                for event in answer.say(no_answer_to_part_text(part.question, job.language)):
                    yield event

    async def _check_draft(
        self,
        job: _Job,
        check: RequestCheck,
        quotes: Sequence[RankedQuote],
        passages: Sequence[Passage],
        answer: Answer,
    ) -> AsyncGenerator[Event, None]:
        assert self._generator is not None
        unsupported_in_a_row = 0
        async with self._drafting(job, self._generator, passages, answer) as draft:
            while (sentence := await self._next(job, draft)) is not None:
                with job.record.stage("verification"):
                    verdict = await check.check(sentence, quotes)
                for event in answer.add(verdict):
                    yield event
                if verdict.reason != Reason.STATES_NOTHING:
                    unsupported_in_a_row = 0 if _stands(verdict) else unsupported_in_a_row + 1
                if unsupported_in_a_row == GIVE_UP_AFTER:
                    break  # leaving the block ends the generation upstream

    @asynccontextmanager
    async def _drafting(
        self, job: _Job, generator: TextGenerator, passages: Sequence[Passage], answer: Answer
    ) -> AsyncIterator[Draft]:
        """Provide a draft, no longer than the client asked for; its usage is recorded however the block ends."""
        excerpts = fit_into_budget(
            passages, question=job.reading.text, budget_tokens=self._limits.context_tokens, counter=self._counter
        )
        messages = build_messages(job.reading.standalone or job.query.question, excerpts, job.language)
        asked_tokens = job.query.max_output_tokens
        limit_tokens = min(asked_tokens, self._limits.draft_tokens or asked_tokens)
        is_asked_for = limit_tokens == asked_tokens
        draft = Draft(messages, SentenceParser(), max_tokens=limit_tokens)
        try:
            async with drafting(
                draft,
                generator=generator,
                # If the bound is ours and not the client's, half a sentence adds nothing to whole ones.
                keeps_cut_tail=is_asked_for,
                deadline=job.deadline.sooner(self._limits.generation_timeout_s),
                trace_id=job.record.trace_id,
            ):
                yield draft
            answer.cut = draft.is_cut and is_asked_for
        finally:
            if draft.was_taken:  # a generator that refuses uses nothing
                job.record.add_usage(draft.usage(self._counter))

    async def _next(self, job: _Job, draft: Draft) -> DraftSentence | None:
        with job.record.stage("generation"):
            return await draft.next()


def _stands(verdict: Verdict) -> bool:
    """Return whether the draft's own sentence was sent."""
    return bool(verdict.sent) and verdict.kind != "repaired"


async def collect(events: AsyncIterator[Event]) -> QueryResponse:
    """Return the whole answer from its events."""
    texts: list[str] = []
    citations: list[Citation] = []
    meta: MetaEvent | None = None
    async for event in events:
        match event:
            case MetaEvent():
                meta = event
            case TokenEvent():
                texts.append(event.text)
            case CitationEvent():
                citations.append(event.citation)
            case DoneEvent():
                assert meta is not None, "meta comes first"
                return QueryResponse(
                    answer="".join(texts),
                    citations=citations,
                    trace_id=event.trace_id,
                    latency_ms=event.latency_ms,
                    model_version=meta.model_version,
                    finish_reason=event.finish_reason,
                    trace=event.trace,
                )
            case ErrorEvent():
                raise AssertionError("a pipeline raises its failures")
    raise AssertionError("done comes last")
