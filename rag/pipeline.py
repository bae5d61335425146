"""The stages in their order: a question comes in, the events of a verified and cited answer go out.

retrieval → reranking → context → prompt → generation → citations → verification → events
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from itertools import takewhile, zip_longest
from typing import Final

from rag.answer import Answer
from rag.citations import SentenceParser
from rag.context import choose_passages, fit_into_budget
from rag.generation import Draft, drafting
from rag.language import Language, detect_language
from rag.limits import Deadline, gather
from rag.parts import split_question
from rag.ports import (
    ChunkIndex,
    EntailmentModel,
    IndexProvider,
    PassageScorer,
    TextEmbedder,
    TextGenerator,
    TokenCounter,
)
from rag.prompt import build_messages, no_answer_text, no_answer_to_part_text, small_talk_text
from rag.reading import Reading, read_question
from rag.reranking import rerank, score_windows
from rag.retrieval import INLINE_MAX_CHUNKS, retrieve
from rag.telemetry import QueryRecord
from rag.types import Candidate, DraftSentence, Passage, Verdict
from rag.verification import Entail, Inquiry, Part, Policies, RankedQuote, Reason, RequestCheck, Verifier
from schemas.events import CitationEvent, DoneEvent, ErrorEvent, Event, MetaEvent, TokenEvent
from schemas.request import QueryRequest
from schemas.response import Citation, QueryResponse

# The template around question and passages; 180 tokens in English, 380 in Vietnamese, to the local generator.
INSTRUCTION_TOKENS: Final = 400
# An answer by quotation reads so many passages, more than a generator is given; but no more than a client asks for who
# asks for fewer than the default.
READ_K: Final = 12
FEWER_ASKED_FOR: Final = 6
# A draft that has lost its sources does not find them again; its tokens cost the time of others.
GIVE_UP_AFTER: Final = 3


@dataclass(frozen=True, slots=True)
class StageLimits:
    """How much each stage takes, and for how many seconds."""

    retrieve_k: int
    rerank_k: int
    context_tokens: int
    draft_tokens: int | None
    retrieval_timeout_s: float
    rerank_timeout_s: float
    generation_timeout_s: float


@dataclass(frozen=True, slots=True)
class _Job:
    """One question on its way: what is asked, what is written down of it, and until when."""

    query: QueryRequest
    reading: Reading
    record: QueryRecord
    deadline: Deadline

    @property
    def language(self) -> Language:
        return self.reading.language


class Pipeline:
    """Answers questions; holds no state of any of them. Without a generator, by quotation alone."""

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
        async with deadline.enforced():
            index = await self._indexes.current(query.tenant_id)
        job = _Job(query, await self._read(query.question, index), record, deadline)
        small_talk = job.reading.is_small_talk
        parts = await self._find(job, index) if index and not small_talk else []
        passages = self._choose(job, parts)
        check = self._begin_check(job, index, parts, passages) if index and passages else None
        shown = passages[: query.top_k]
        quotes = await self._rank(job, check, parts) if check else []
        if check is None or not check.is_answerable:
            check, shown = None, []
        yield MetaEvent(trace_id=record.trace_id, model_version=self.model_version)
        answer = Answer(record)
        if check is not None:
            async with aclosing(self._write(job, check, quotes, shown, answer)) as events:
                async for event in events:
                    yield event
        for event in answer.abstain(small_talk_text(job.language) if small_talk else no_answer_text(job.language)):
            yield event
        yield answer.done(_best_of(parts), shown, with_trace=query.include_trace)

    async def _read(self, question: str, index: ChunkIndex | None) -> Reading:
        if index is None:
            return Reading(question, detect_language(question))
        if index.version.chunks <= INLINE_MAX_CHUNKS:
            return read_question(question, index)
        return await asyncio.to_thread(read_question, question, index)

    async def _find(self, job: _Job, index: ChunkIndex) -> list[Part]:
        """The parts of the question with their candidates; those of the whole question are each part's too."""
        asked = split_question(job.reading.text, job.language)
        found = await gather([self._search(job, index, text) for text in dict.fromkeys((job.reading.text, *asked))])
        whole = found[0]
        if len(asked) == 1:
            return [Part(asked[0], whole)]
        return [Part(text, _best_of_each([whole, own])) for text, own in zip(asked, found[1:], strict=True)]

    async def _search(self, job: _Job, index: ChunkIndex, text: str) -> list[Candidate]:
        with job.record.stage("retrieval"):
            found = await retrieve(
                text,
                asked_in=job.language,
                index=index,
                embedder=self._embedder,
                k=self._limits.retrieve_k,
                limit=self._limits.rerank_k,
                deadline=job.deadline.sooner(self._limits.retrieval_timeout_s),
                trace_id=job.record.trace_id,
            )
        with job.record.stage("rerank"):
            return await rerank(
                text,
                found,
                asked_in=job.language,
                scale=self._verifier.scale,
                scorer=self._scorer,
                deadline=job.deadline.sooner(self._limits.rerank_timeout_s),
                trace_id=job.record.trace_id,
            )

    def _choose(self, job: _Job, parts: Sequence[Part]) -> list[Passage]:
        """What the answer may rest on: the best passages of each part in turn, down to the first that is irrelevant."""
        floor = self._verifier.scale.floor
        relevant = [
            list(takewhile(lambda each: each.relevance is not None and each.relevance >= floor, part.candidates))
            for part in parts
        ]
        in_turn = [each for row in zip_longest(*relevant) for each in row if each is not None]
        asked_k = job.query.top_k
        return choose_passages(in_turn, top_k=asked_k if asked_k < FEWER_ASKED_FOR else max(asked_k, READ_K))

    def _begin_check(
        self, job: _Job, index: ChunkIndex, parts: Sequence[Part], passages: Sequence[Passage]
    ) -> RequestCheck:
        with job.record.stage("verification"):
            inquiry = Inquiry(
                job.reading.text,
                job.language,
                parts,
                passages,
                index.idf,
                shown=job.query.top_k,
                decline=no_answer_text(job.language),
                entail=self._asker(job, self._entailment) if self._entailment else None,
            )
            return self._verifier.begin(self._policies.of(job.query.tenant_id), inquiry)

    async def _rank(self, job: _Job, check: RequestCheck, parts: Sequence[Part]) -> list[RankedQuote]:
        """What the passages say, sentence by sentence, the likeliest to answer first."""
        with job.record.stage("rerank"):
            deadline = job.deadline.sooner(self._limits.rerank_timeout_s)
            relevances = await gather(
                [
                    score_windows(
                        part.question,
                        check.windows,
                        scorer=self._scorer,
                        deadline=deadline,
                        trace_id=job.record.trace_id,
                    )
                    for part in parts
                ]
            )
        with job.record.stage("verification"):
            return check.rank(relevances)

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
        self,
        job: _Job,
        check: RequestCheck,
        quotes: Sequence[RankedQuote],
        passages: Sequence[Passage],
        answer: Answer,
    ) -> AsyncGenerator[Event, None]:
        """Sentence by sentence: draft, check, send; then what the draft left out, by quotation."""
        if self._generator is not None:
            async with aclosing(self._check_draft(job, self._generator, check, quotes, passages, answer)) as events:
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
        generator: TextGenerator,
        check: RequestCheck,
        quotes: Sequence[RankedQuote],
        passages: Sequence[Passage],
        answer: Answer,
    ) -> AsyncGenerator[Event, None]:
        unsupported_in_a_row = 0
        async with self._drafting(job, generator, passages, answer) as draft:
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
        """The draft, at most as long as the client wants it; what it used is written down on every way out."""
        excerpts = fit_into_budget(
            passages, question=job.reading.text, budget_tokens=self._limits.context_tokens, counter=self._counter
        )
        messages = build_messages(job.query.question, excerpts, job.language)
        asked_tokens = job.query.max_output_tokens
        limit_tokens = min(asked_tokens, self._limits.draft_tokens or asked_tokens)
        is_asked_for = limit_tokens == asked_tokens
        draft = Draft(messages, SentenceParser(), max_tokens=limit_tokens)
        try:
            async with drafting(
                draft,
                generator=generator,
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


def _best_of(parts: Sequence[Part]) -> list[Candidate]:
    return _best_of_each([part.candidates for part in parts])


def _best_of_each(found: Sequence[Sequence[Candidate]]) -> list[Candidate]:
    """The candidates of several searches, each with the best relevance that it had, best first."""
    best: dict[str, Candidate] = {}
    for candidate in (each for candidates in found for each in candidates):
        known = best.get(candidate.chunk.chunk_id)
        if known is None or (candidate.relevance or 0.0) > (known.relevance or 0.0):
            best[candidate.chunk.chunk_id] = candidate
    return sorted(best.values(), key=lambda each: -(each.relevance or 0.0))


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
