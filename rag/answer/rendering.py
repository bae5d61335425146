"""Assemble one answer for the client: verified sentences in, numbered citations and tokens out."""

from collections.abc import Iterator, Sequence

from rag.answer.links import chunk_url
from rag.answer.sentences import SourceNumbering, pieces, render_sentence
from rag.observability.telemetry import QueryRecord
from rag.types import Candidate, Passage, Quote, Verdict
from schemas.events import CitationEvent, DoneEvent, Event, TokenEvent
from schemas.response import Citation, FinishReason, Trace, TraceCandidate, TracePassage, TraceSentence, Usage


class Answer:
    """The answer so far; it reports verdicts and citations to the record of the request."""

    def __init__(self, record: QueryRecord, base_url: str = "") -> None:
        """The addresses of cited chunks are below `base_url`; relative ones where it is empty."""
        self._record = record
        self._base_url = base_url
        self._numbering = SourceNumbering()
        self._sentences: list[TraceSentence] = []
        self._begun = False
        self.cut = False  # the generator reached its bound

    @property
    def begun(self) -> bool:
        """Whether any text was sent."""
        return self._begun

    def add(self, verdict: Verdict) -> Iterator[Event]:
        """Yield the events of one sentence: its new citations first, so that no marker precedes its source."""
        self._record.note_verdict(verdict.kind, verdict.reason, verdict.support)
        sent = ""
        if verdict.sent:
            yield from self._cite(verdict.quotes)
            numbers = [self._numbering.assign(quote.passage.number) for quote in verdict.quotes]
            sent = render_sentence(verdict.sent, list(dict.fromkeys(numbers)))
            yield from self._say((verdict.lead or " ") + sent if self._begun else sent)
        self._sentences.append(
            TraceSentence(
                draft=verdict.draft, sent=sent, verdict=verdict.kind, reason=verdict.reason, support=verdict.support
            )
        )

    def abstain(self, text: str) -> Iterator[Event]:
        """Yield the abstention, unless something else was said."""
        if not self._begun:
            for piece in pieces(text):
                yield TokenEvent(text=piece)

    def say(self, text: str) -> Iterator[Event]:
        """Yield a sentence of the service's own, for example that one part of a question has no answer."""
        yield from self._say(f" {text}" if self._begun else text)

    def done(
        self,
        candidates: Sequence[Candidate],
        passages: Sequence[Passage],
        *,
        with_trace: bool,
        standalone: str | None = None,
    ) -> DoneEvent:
        """Return the last event, with the trace if `with_trace`; `standalone` is what a follow-up was made."""
        known = self._record.usage
        usage = (
            Usage(prompt_tokens=known.prompt_tokens, completion_tokens=known.completion_tokens) if known else Usage()
        )
        trace = None
        if with_trace:
            trace = Trace(
                standalone_question=standalone,
                candidates=[_trace_candidate(each) for each in candidates],
                passages=[TracePassage(chunk_id=passage.chunk.chunk_id) for passage in passages],
                usage=usage,
                sentences=self._sentences,
            )
        return DoneEvent(
            trace_id=self._record.trace_id,
            finish_reason=self._finish_reason(),
            latency_ms=self._record.latency(),
            usage=usage,
            trace=trace,
        )

    def _cite(self, quotes: Sequence[Quote]) -> Iterator[Event]:
        for quote in quotes:
            if quote.passage.number not in self._numbering:
                self._record.citations += 1
                yield CitationEvent(
                    citation=_citation(self._numbering.assign(quote.passage.number), quote, self._base_url)
                )

    def _say(self, text: str) -> Iterator[Event]:
        for piece in pieces(text):
            self._begun = True
            yield TokenEvent(text=piece)

    def _finish_reason(self) -> FinishReason:
        if not self._begun:
            return "no_answer"
        return "length" if self.cut else "stop"


def _citation(number: int, quote: Quote, base_url: str) -> Citation:
    chunk = quote.passage.chunk
    return Citation(
        source_id=f"S{number}",
        document_id=chunk.document_id,
        chunk_id=chunk.chunk_id,
        title=chunk.title,
        page_start=chunk.page_start,
        page_end=chunk.page_end,
        quote=quote.text,
        quote_start=quote.start,
        quote_end=quote.end,
        url=chunk_url(base_url, chunk.chunk_id, quote.text),
    )


def _trace_candidate(candidate: Candidate) -> TraceCandidate:
    return TraceCandidate(
        chunk_id=candidate.chunk.chunk_id,
        document_id=candidate.chunk.document_id,
        similarity=candidate.similarity,
        bm25_score=candidate.bm25_score,
        rrf_score=candidate.rrf_score,
        relevance=candidate.relevance,
    )
