"""The stages in their order: a question comes in, the events of a verified and cited answer go out.

retrieval → reranking → context → prompt → generation → citations → verification → events
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from rag.answer import Answer
from rag.citations import SentenceParser
from rag.context import build_context
from rag.generation import Draft, drafting
from rag.language import Language, detect_language, stored_language
from rag.limits import Deadline
from rag.ports import (
    ChunkIndex,
    EntailmentModel,
    IndexProvider,
    PassageScorer,
    TextEmbedder,
    TextGenerator,
    TokenCounter,
)
from rag.prompt import build_messages, no_answer_text
from rag.reranking import rerank, score_windows
from rag.retrieval import retrieve
from rag.telemetry import QueryRecord
from rag.types import Candidate, DraftSentence, Passage, Verdict
from rag.verification import Entail, Inquiry, Policies, RankedQuote, Reason, RequestCheck, Verifier
from schemas.events import CitationEvent, DoneEvent, ErrorEvent, Event, MetaEvent, TokenEvent
from schemas.request import QueryRequest
from schemas.response import Citation, QueryResponse

# The template around question and passages; 180 tokens in English, 380 in Vietnamese, to the local generator.
INSTRUCTION_TOKENS: Final = 400
# A draft that has lost its sources does not find them again; its tokens cost the time of others.
GIVE_UP_AFTER: Final = 3


@dataclass(frozen=True, slots=True)
class StageLimits:
    """How much each stage takes, and for how many seconds.

    A passage below `abstain_relevance` answers nothing; `…_across` is the same for one in another language than the
    question, where every relevance is lower.
    """

    retrieve_k: int
    rerank_k: int
    context_tokens: int
    draft_tokens: int | None
    abstain_relevance: float
    abstain_relevance_across: float
    retrieval_timeout_s: float
    rerank_timeout_s: float
    generation_timeout_s: float


@dataclass(frozen=True, slots=True)
class _Job:
    """One question on its way: what is asked, what is written down of it, and until when."""

    query: QueryRequest
    language: Language
    record: QueryRecord
    deadline: Deadline


class Pipeline:
    """Answers questions; holds no state of any of them. Without a generator every answer is made of quotations."""

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
    ) -> None:
        self._embedder = embedder
        self._scorer = scorer
        self._generator = generator
        self._indexes = indexes
        self._counter = counter
        self._verifier = verifier
        self._policies = policies
        self._entailment = entailment
        self._limits = limits
        self.model_version = model_version

    def bound_tokens(self, query: QueryRequest) -> int:
        """The most tokens that this query can use, prompt and output together; known before anything is retrieved."""
        asked = self._counter.count(query.question)
        return asked + self._limits.context_tokens + INSTRUCTION_TOKENS + query.max_output_tokens

    async def answer(
        self, query: QueryRequest, *, record: QueryRecord, deadline: Deadline
    ) -> AsyncGenerator[Event, None]:
        """The events of one answer.

        Yields: meta once retrieval and reranking are done, then citations and tokens sentence by sentence, then done.
        Raises: NotReady, DeadlineExceeded, UpstreamError, UpstreamRateLimited.
        """
        job = _Job(query, detect_language(query.question), record, deadline)
        async with deadline.enforced():
            index = await self._indexes.current(query.tenant_id)
        candidates = await self._find(job, index) if index else []
        passages = self._choose(job, candidates)
        check = self._begin_check(job, index, candidates, passages) if index and passages else None
        if check is None or not check.is_answerable:
            check, passages = None, []
        yield MetaEvent(trace_id=record.trace_id, model_version=self.model_version)
        answer = Answer(record)
        if check is not None:
            async with aclosing(self._write(job, check, passages, answer)) as events:
                async for event in events:
                    yield event
        for event in answer.abstain(no_answer_text(job.language)):
            yield event
        yield answer.done(candidates, passages, with_trace=query.include_trace)

    async def _find(self, job: _Job, index: ChunkIndex) -> list[Candidate]:
        with job.record.stage("retrieval"):
            found = await retrieve(
                job.query.question,
                index=index,
                embedder=self._embedder,
                k=self._limits.retrieve_k,
                limit=self._limits.rerank_k,
                deadline=job.deadline.sooner(self._limits.retrieval_timeout_s),
                trace_id=job.record.trace_id,
            )
        with job.record.stage("rerank"):
            deadline = job.deadline.sooner(self._limits.rerank_timeout_s)
            return await rerank(
                job.query.question, found, scorer=self._scorer, deadline=deadline, trace_id=job.record.trace_id
            )

    def _choose(self, job: _Job, candidates: Sequence[Candidate]) -> list[Passage]:
        relevant = [each for each in candidates if self._is_relevant(each, job.language)]
        top_k = job.query.top_k
        return build_context(relevant, top_k=top_k, budget_tokens=self._limits.context_tokens, counter=self._counter)

    def _is_relevant(self, candidate: Candidate, asked_in: Language) -> bool:
        if candidate.relevance is None:
            return False
        is_across = {asked_in, stored_language(candidate.chunk.text)} == {"en", "vi"}
        limits = self._limits
        return candidate.relevance >= (limits.abstain_relevance_across if is_across else limits.abstain_relevance)

    def _begin_check(
        self, job: _Job, index: ChunkIndex, candidates: Sequence[Candidate], passages: Sequence[Passage]
    ) -> RequestCheck:
        with job.record.stage("verification"):
            inquiry = Inquiry(
                job.query.question,
                job.language,
                candidates,
                passages,
                index.idf,
                decline=no_answer_text(job.language),
                entail=self._asker(job, self._entailment) if self._entailment else None,
            )
            return self._verifier.begin(self._policies.of(job.query.tenant_id), inquiry)

    def _asker(self, job: _Job, model: EntailmentModel) -> Entail:
        """Asks the verifier model within the request's deadline; where it fails the answer fails: nothing unchecked."""

        async def entail(premise: str, hypothesis: str) -> float:
            deadline = job.deadline.sooner(self._limits.rerank_timeout_s)
            async with deadline.enforced():
                return await model.entail(
                    premise, hypothesis, timeout_s=deadline.left_s(), trace_id=job.record.trace_id
                )

        return entail

    async def _write(
        self, job: _Job, check: RequestCheck, passages: Sequence[Passage], answer: Answer
    ) -> AsyncGenerator[Event, None]:
        """Sentence by sentence: draft, check, send; the quotations for repairs are ranked while the draft begins."""
        unsupported_in_a_row = 0
        ranking = asyncio.create_task(self._rank(job, check))
        try:
            async with self._drafting(job, passages, answer) as draft:
                while draft and (sentence := await self._next(job, draft)) is not None:
                    with job.record.stage("verification"):
                        verdict = await check.check(sentence, await ranking)
                    for event in answer.add(verdict):
                        yield event
                    if verdict.reason != Reason.STATES_NOTHING:
                        unsupported_in_a_row = 0 if _stands(verdict) else unsupported_in_a_row + 1
                    if unsupported_in_a_row == GIVE_UP_AFTER:
                        break  # leaving the block ends the generation upstream
            with job.record.stage("verification"):
                verdicts = check.complete(await ranking)
            for verdict in verdicts:
                for event in answer.add(verdict):
                    yield event
        finally:
            ranking.cancel()
            await asyncio.gather(ranking, return_exceptions=True)

    async def _rank(self, job: _Job, check: RequestCheck) -> list[RankedQuote]:
        deadline = job.deadline.sooner(self._limits.rerank_timeout_s)
        relevances = await score_windows(
            job.query.question, check.windows, scorer=self._scorer, deadline=deadline, trace_id=job.record.trace_id
        )
        return check.rank(relevances)

    @asynccontextmanager
    async def _drafting(self, job: _Job, passages: Sequence[Passage], answer: Answer) -> AsyncIterator[Draft | None]:
        """The draft, at most as long as the client wants it; what it used is written down on every way out.

        Yields: None where nobody drafts.
        """
        if self._generator is None:
            yield None
            return
        messages = build_messages(job.query.question, passages, job.language)
        asked_tokens = job.query.max_output_tokens
        limit_tokens = min(asked_tokens, self._limits.draft_tokens or asked_tokens)
        is_asked_for = limit_tokens == asked_tokens
        draft = Draft(messages, SentenceParser(), max_tokens=limit_tokens)
        try:
            async with drafting(
                draft,
                generator=self._generator,
                # Where the bound is ours and not the client's, half a sentence adds nothing to whole ones.
                keeps_cut_tail=is_asked_for,
                deadline=job.deadline.sooner(self._limits.generation_timeout_s),
                trace_id=job.record.trace_id,
            ):
                yield draft
            answer.cut = draft.is_cut and is_asked_for
        finally:
            if draft.was_taken:  # a generator that refuses uses nothing
                job.record.usage = draft.usage(self._counter)

    async def _next(self, job: _Job, draft: Draft) -> DraftSentence | None:
        with job.record.stage("generation"):
            return await draft.next()


def _stands(verdict: Verdict) -> bool:
    """Whether the draft's own sentence went out."""
    return bool(verdict.sent) and verdict.kind != "repaired"


async def collect(events: AsyncIterator[Event]) -> QueryResponse:
    """The whole answer out of its events."""
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
