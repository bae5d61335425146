"""The stages in order, on fakes: what each one gets, when it is stopped, and what is recorded."""

from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import pytest

from rag.errors import DeadlineExceeded, RagError, UpstreamError
from rag.observability.telemetry import QueryRecord
from rag.pipeline import GIVE_UP_AFTER, Pipeline, collect
from rag.types import TokenUsage, Window
from schemas.events import CitationEvent, DoneEvent, Event, MetaEvent, TokenEvent
from schemas.request import QueryRequest
from tests.fakes import (
    ANNUAL_LEAVE,
    HANG,
    MODEL_VERSION,
    PARKING,
    QUESTION,
    SICK_LEAVE,
    FakeIndex,
    FakeIndexes,
    ScriptedGenerator,
    make_deadline,
    make_pipeline,
    make_record,
)

INVENTED = "Pluto employs 731 zebras in Saigon. [S1] "


class CountingScorer:
    """A `PassageScorer` that finds everything relevant and remembers what it was asked."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    async def score(self, question: str, windows: Sequence[Window], *, timeout_s: float, trace_id: str) -> list[float]:
        self.batches.append([window.text for window in windows])
        return [1.0 / rank for rank in range(1, len(windows) + 1)]


class FlatScorer:
    """A `PassageScorer` to which everything is as relevant as everything else."""

    def __init__(self, relevance: float) -> None:
        self._relevance = relevance

    async def score(self, question: str, windows: Sequence[Window], *, timeout_s: float, trace_id: str) -> list[float]:
        return [self._relevance] * len(windows)


def make_query(**fields: Any) -> QueryRequest:
    return QueryRequest(**{"question": QUESTION, **fields})


async def run(pipeline: Pipeline, query: QueryRequest | None = None, record: QueryRecord | None = None) -> list[Event]:
    events = pipeline.answer(query or make_query(), record=record or make_record(), deadline=make_deadline())
    return [event async for event in events]


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TokenEvent))


def done_of(events: list[Event]) -> DoneEvent:
    assert isinstance(events[-1], DoneEvent)
    return events[-1]


async def test_an_answer_runs_through_all_stages() -> None:
    """Meta, then the citation before its text, then done."""
    events = await run(make_pipeline())

    assert events[0] == MetaEvent(trace_id="tr_test", model_version=MODEL_VERSION)
    assert isinstance(events[1], CitationEvent)
    assert text_of(events) == "Full-time staff have 12 days of annual leave per year [S1]."
    assert done_of(events).finish_reason == "stop"


async def test_an_unknown_marker_never_goes_out() -> None:
    """No id outside the context reaches the client in any form."""
    draft = f"{ANNUAL_LEAVE} [S99] Full-time staff have leave【7】. {PARKING} ［S8］"
    events = await run(make_pipeline(generator=ScriptedGenerator(draft)))

    for number in ("99", "7", "8"):
        assert f"{number}]" not in text_of(events)
        assert f"{number}】" not in text_of(events)


async def test_an_invented_sentence_is_replaced_by_a_quotation() -> None:
    """Mode `repair`: the best verbatim sentence of the passages, with its marker."""
    record = make_record()
    events = await run(make_pipeline(generator=ScriptedGenerator(INVENTED)), record=record)

    assert "zebras" not in text_of(events)
    assert "12 days of annual leave" in text_of(events)
    assert "repaired" in {kind for kind, _, _ in record.verdicts}


async def test_mode_drop_leaves_an_invented_sentence_out() -> None:
    """And an answer of nothing else is `no_answer`, in one voice: no citations, no half sentence."""
    events = await run(make_pipeline(generator=ScriptedGenerator(INVENTED), mode="drop"))

    assert done_of(events).finish_reason == "no_answer"
    assert not any(isinstance(event, CitationEvent) for event in events)


async def test_mode_mark_keeps_it_and_says_so_in_the_trace() -> None:
    """Mode `mark`: kept, but reported."""
    pipeline = make_pipeline(generator=ScriptedGenerator(INVENTED), mode="mark")
    events = await run(pipeline, make_query(include_trace=True))

    assert "zebras" in text_of(events)
    trace = done_of(events).trace
    assert trace is not None
    assert trace.sentences[0].verdict == "dropped"


async def test_an_empty_draft_is_answered_by_quotation() -> None:
    """A generator that says nothing does not make relevant passages worthless."""
    events = await run(make_pipeline(generator=ScriptedGenerator()))

    assert "12 days of annual leave" in text_of(events)
    assert done_of(events).finish_reason == "stop"


async def test_without_a_generator_the_answer_is_a_quotation() -> None:
    """Nothing is drafted, so nothing is used and no time is spent on it; the rest of an answer is as ever."""
    record = make_record()
    events = await run(make_pipeline(drafts=False), make_query(include_trace=True), record)
    done = done_of(events)

    assert text_of(events) == "Full-time staff have 12 days of annual leave per year [S1]."
    assert done.finish_reason == "stop"
    assert (done.usage.prompt_tokens, done.usage.completion_tokens) == (0, 0)
    assert done.latency_ms.generation == 0
    assert [kind for kind, _, _ in record.verdicts] == ["repaired"]


async def test_without_a_generator_what_nothing_answers_is_no_answer() -> None:
    """No quotation is better than one about something else."""
    events = await run(make_pipeline(drafts=False), make_query(question="Zebras, perhaps?"))

    assert done_of(events).finish_reason == "no_answer"
    assert not any(isinstance(event, CitationEvent) for event in events)


async def test_a_draft_that_has_lost_its_sources_is_stopped() -> None:
    """After some unsupported sentences in a row the generation is ended upstream, not read to its end."""
    generator = ScriptedGenerator(*[INVENTED] * (GIVE_UP_AFTER + 2), HANG)
    record = make_record()
    events = await run(make_pipeline(generator=generator), record=record)

    assert done_of(events).finish_reason == "stop"
    assert generator.open_streams == 0
    assert not generator.reached.is_set()


async def test_usage_is_counted_where_the_generator_reports_none() -> None:
    """Stopped early or not reported: the tokenizer knows."""
    record = make_record()
    await run(make_pipeline(generator=ScriptedGenerator(f"{ANNUAL_LEAVE} [S1]")), record=record)

    assert record.usage is not None
    assert record.usage.completion_tokens == len(f"{ANNUAL_LEAVE} [S1]".split())
    assert record.usage.prompt_tokens > 10


async def test_usage_is_the_generators_own_where_it_reports_it() -> None:
    """Its tokenizer is the one that is paid."""
    generator = ScriptedGenerator(f"{ANNUAL_LEAVE} [S1]", usage=TokenUsage(123, 45))
    events = await run(make_pipeline(generator=generator))

    usage = done_of(events).usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (123, 45)


@pytest.mark.parametrize("script", [(HANG,), ("Full-time staff", UpstreamError())])
async def test_usage_is_known_of_a_failed_generation_too(script: tuple[Any, ...]) -> None:
    """What was spent is settled, not forgotten."""
    record = make_record()
    pipeline = make_pipeline(generator=ScriptedGenerator(*script), generation_timeout_s=0.01)

    with pytest.raises(RagError):
        await run(pipeline, record=record)

    assert record.usage is not None
    assert record.usage.prompt_tokens > 0


async def test_chunks_below_the_floor_are_no_passages() -> None:
    """Relevance decides what is shown to the generator, not rank."""
    indexes = FakeIndexes(demo=FakeIndex(ANNUAL_LEAVE, PARKING))
    pipeline = make_pipeline(indexes=indexes, abstain_relevance=0.5)
    events = await run(pipeline, make_query(include_trace=True))

    trace = done_of(events).trace
    assert trace is not None
    assert len(trace.candidates) == 2
    assert len(trace.passages) == 1


async def test_nothing_relevant_asks_no_generator() -> None:
    """`no_answer` costs no tokens."""
    generator = ScriptedGenerator("x")
    record = make_record()
    events = await run(make_pipeline(generator=generator, abstain_relevance=1.5), record=record)

    assert done_of(events).finish_reason == "no_answer"
    assert generator.calls == []
    assert record.usage is None


async def test_sentences_are_ranked_for_repairs_beside_the_generation() -> None:
    """The scorer sees the chunks first and the passages' sentences second."""
    scorer = CountingScorer()
    await run(make_pipeline(scorer=scorer, indexes=FakeIndexes(demo=FakeIndex(f"{ANNUAL_LEAVE} {SICK_LEAVE}"))))

    assert scorer.batches == [[f"{ANNUAL_LEAVE} {SICK_LEAVE}"], [ANNUAL_LEAVE, SICK_LEAVE]]


async def test_a_stage_gets_no_more_time_than_the_request_has_left() -> None:
    """min(stage timeout, rest of the request): the generator is told the same."""
    generator = ScriptedGenerator(f"{ANNUAL_LEAVE} [S1]")
    pipeline = make_pipeline(generator=generator, generation_timeout_s=100)
    events = pipeline.answer(make_query(), record=make_record(), deadline=make_deadline(5))
    _ = [event async for event in events]

    assert 0 < generator.calls[0]["timeout_s"] <= 5


async def test_a_passed_deadline_starts_nothing() -> None:
    """No embedding is made for a request that is already late."""
    generator = ScriptedGenerator("x")
    events = make_pipeline(generator=generator).answer(make_query(), record=make_record(), deadline=make_deadline(0))

    with pytest.raises(DeadlineExceeded):
        await anext(events)

    assert generator.calls == []


@pytest.mark.parametrize("read", range(6))
async def test_closing_the_events_at_any_point_closes_the_generator(read: int) -> None:
    """Wherever the reader stops, nothing runs on upstream."""
    generator = ScriptedGenerator(f"{ANNUAL_LEAVE} [S1] ", f"{SICK_LEAVE} [S2] ", HANG)
    pipeline = make_pipeline(generator=generator)

    async with aclosing(pipeline.answer(make_query(), record=make_record(), deadline=make_deadline())) as events:
        for _ in range(read):
            await anext(events)

    assert generator.open_streams == 0


async def test_the_lead_of_a_sentence_is_kept_and_there_is_none_at_the_start() -> None:
    """A line break of the draft stays one; the answer begins with its first word."""
    draft = f"  {ANNUAL_LEAVE} [S1]\n{SICK_LEAVE} [S2] {PARKING} [S3]"
    query = make_query(question=f"{QUESTION} And of sick leave, and where do visitors park?")
    indexes = FakeIndexes(demo=FakeIndex(ANNUAL_LEAVE, SICK_LEAVE, PARKING))
    answer = text_of(await run(make_pipeline(generator=ScriptedGenerator(draft), indexes=indexes), query))

    assert not answer[0].isspace()
    assert answer.count("\n") == 1


async def test_collected_events_are_the_whole_answer() -> None:
    """`POST /query` and the stream share one path of events."""
    pipeline = make_pipeline()
    events = await run(pipeline)
    whole = await collect(pipeline.answer(make_query(), record=make_record(), deadline=make_deadline()))

    assert whole.answer == text_of(events)
    assert whole.finish_reason == done_of(events).finish_reason
    assert whole.model_version == MODEL_VERSION


async def test_our_own_bound_on_a_draft_is_not_the_clients() -> None:
    """The half sentence at our bound is left out, and the answer is not called cut; the generator is told the bound."""
    generator = ScriptedGenerator(f"{ANNUAL_LEAVE} [S1] Sick leave is", finish_reason="length")
    pipeline = make_pipeline(generator=generator, draft_tokens=16)

    answer = await collect(pipeline.answer(make_query(), record=make_record(), deadline=make_deadline()))

    assert answer.finish_reason == "stop"
    assert answer.answer == f"{ANNUAL_LEAVE[:-1]} [S1]."
    assert [call["max_tokens"] for call in generator.calls] == [16]


async def test_relevance_across_languages_is_brought_to_one_scale() -> None:
    """Between languages every relevance is lower by nature; within one, what is as low answers nothing."""
    scorer = FlatScorer(0.6)
    question = "Nhân viên toàn thời gian có bao nhiêu ngày nghỉ phép trong một năm?"
    pipeline = make_pipeline(scorer=scorer, abstain_relevance=0.8)

    within, across = [
        await collect(pipeline.answer(make_query(question=asked), record=make_record(), deadline=make_deadline()))
        for asked in (QUESTION, question)
    ]

    assert within.finish_reason == "no_answer"
    assert across.finish_reason == "stop"
