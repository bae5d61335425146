"""Spans: one per query, with a child for each time that it spends in a stage; none if tracing is off."""

import asyncio
import logging
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from starlette.responses import PlainTextResponse

from rag.engines.fake import FakeEmbedder
from rag.engines.vllm_server import EngineOptions
from rag.errors import RagError, UpstreamError
from rag.observability.telemetry import QueryRecord
from rag.observability.tracing import TRACE_HEADERS, Tracer, find_collector, recording
from rag.observability.tracing.model_calls import CalledModel, TracedEmbedder, TracedGenerator
from rag.observability.tracing.recording import CHILDREN_MAX, QuietExporter, Recorder
from rag.pipeline import Pipeline
from rag.ports import TextEmbedder, TextGenerator
from rag.types import TokenUsage
from schemas.errors import ErrorCode
from schemas.request import QueryRequest
from tests.asgi import Connection
from tests.fakes import (
    ANNUAL_LEAVE,
    MODEL_VERSION,
    QUESTION,
    SICK_LEAVE,
    FakeIndex,
    FakeIndexes,
    ScriptedGenerator,
    make_app,
    make_client,
    make_deadline,
    make_pipeline,
)
from tests.trace_collector import ReceivedSpan, TraceCollector

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what BentoML warns of while it is imported is not ours to mend
    from rag.clients.bento_client import open_http_client
    from rag.serving.bento_batching import Traced

HEX: Final = "0af7651916cd43dd8448eb211c80319c"
OURS: Final = f"tr_{HEX}"
PARENT: Final = "b7ad6b7169203331"
PARENT_HEADERS: Final = [(b"traceparent", f"00-4bf92f3577b34da6a3ce929d0e0e4736-{PARENT}-01".encode())]
TWO_SENTENCES: Final = f"{ANNUAL_LEAVE} [S1] {SICK_LEAVE} [S2] "


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library reads these by itself."""
    for name in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_TRACES_SAMPLER", "OTEL_SDK_DISABLED"):
        monkeypatch.delenv(name, raising=False)


class Recording:
    """A recorder whose spans a test reads once it is closed."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.recorder = Recorder("RagService", self.exporter)

    def begin(self, trace_id: str = OURS, headers: Sequence[tuple[bytes, bytes]] = ()) -> recording.Span:
        return self.recorder.begin("/query", trace_id=trace_id, headers=headers)

    def spans(self) -> list[ReadableSpan]:
        """All that have ended, by their start."""
        self.recorder.close()
        return sorted(self.exporter.get_finished_spans(), key=lambda span: span.start_time or 0)


@pytest.fixture
def recorded() -> Iterator[Recording]:
    recorded = Recording()
    yield recorded
    recorded.recorder.close()


async def ask(recorded: Recording, pipeline: Pipeline, *, trace_id: str = OURS) -> list[ReadableSpan]:
    """The spans of one query, its own first; a failure is reported as the edge does it."""
    record = QueryRecord(
        trace_id, "/query", tenant_id="demo", model_version=MODEL_VERSION, span=recorded.begin(trace_id)
    )
    end: Any = "stop"
    try:
        query = QueryRequest(question=QUESTION)
        async for _ in pipeline.answer(query, record=record, deadline=make_deadline()):
            pass
    except Exception as error:
        end = error.code if isinstance(error, RagError) else ErrorCode.INTERNAL_ERROR
    record.report(end)
    return recorded.spans()


def ids(span: ReadableSpan) -> tuple[str, str | None]:
    """Trace id and the parent's span id, in hex."""
    assert span.context is not None
    return f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}" if span.parent else None


def within(inner: ReadableSpan, outer: ReadableSpan) -> bool:
    times = [outer.start_time, inner.start_time, inner.end_time, outer.end_time]
    return times == sorted(time for time in times if time is not None)


def attributes(span: ReadableSpan) -> Mapping[str, Any]:
    return span.attributes or {}


# --- Off by default


@pytest.mark.parametrize(
    ("environ", "collector"),
    [
        ({}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, "http://c:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/"}, "http://c:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t/x"}, "http://t/x"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t/x", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, "http://t/x"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"}, None),
    ],
)
def test_the_standard_variables_name_the_collector(environ: dict[str, str], collector: str | None) -> None:
    """An address for all signals gets the path of traces, one for traces is taken as it is; none is none."""
    assert find_collector(environ) == collector


def test_without_a_collector_nothing_is_imported() -> None:
    """Not the library, by anything that a query runs through; a tracer without a collector begins nothing."""
    script = """
import sys
import rag.api.exchange, rag.pipeline, rag.observability.telemetry
from rag.observability.tracing import UNTRACED
with UNTRACED.running():
    assert UNTRACED.begin("/query", trace_id="x", headers=[]) is None
assert not [name for name in sys.modules if name.startswith("opentelemetry")]
"""
    subprocess.run([sys.executable, "-c", script], check=True)


async def test_without_a_collector_calls_carry_nothing() -> None:
    """Other services see no difference."""
    async with make_client(make_app()) as client:
        response = await client.post("/query", json={"question": QUESTION})

    assert response.status_code == 200
    assert TRACE_HEADERS.get() == {}


# --- A query's spans


async def test_a_query_is_a_span_with_one_below_it_per_stage(recorded: Recording) -> None:
    """All of one trace, each inside the query's own time."""
    query, *stages = await ask(recorded, make_pipeline())

    assert (query.name, query.kind, query.parent) == ("/query", SpanKind.SERVER, None)
    assert {span.name for span in stages} == {"retrieval", "rerank", "generation", "verification"}
    assert query.context is not None
    for stage in stages:
        assert ids(stage) == (HEX, f"{query.context.span_id:016x}")
        assert within(stage, query)


async def test_stages_that_take_turns_have_a_span_for_each_turn(recorded: Recording) -> None:
    """Generation waits for a sentence, verification checks it: a bar from the first to the last would show neither."""
    indexes = FakeIndexes(demo=FakeIndex(ANNUAL_LEAVE, SICK_LEAVE))
    _, *stages = await ask(recorded, make_pipeline(generator=ScriptedGenerator(TWO_SENTENCES), indexes=indexes))

    turns = [span.name for span in stages]
    # Passages are ranked, read, and ranked sentence by sentence; the end of the draft is a turn too.
    assert turns[:5] == ["retrieval", "rerank", "verification", "rerank", "verification"]
    assert turns[5:] == ["generation", "verification"] * 3 + ["generation", "verification"][: len(turns) - 11]


async def test_a_query_says_what_its_log_line_says(recorded: Recording) -> None:
    """How it ended, for whom, by what, with how many tokens."""
    query, *_ = await ask(recorded, make_pipeline())

    assert attributes(query).items() >= {
        ("rag.trace_id", OURS),
        ("rag.tenant_id", "demo"),
        ("rag.model_version", MODEL_VERSION),
        ("rag.finish_reason", "stop"),
        ("rag.answer.sentences", 1),
    }
    assert attributes(query)["rag.prompt_tokens"] > 0
    assert not {"rag.error_code", "rag.principal_id"} & attributes(query).keys()
    assert query.resource.attributes["service.name"] == "RagService"


@pytest.mark.parametrize("failure", [(), (UpstreamError(),), (RuntimeError(f"{QUESTION} {ANNUAL_LEAVE}"),)])
async def test_no_span_holds_what_somebody_wrote(failure: tuple[Exception, ...], recorded: Recording) -> None:
    """No question, no answer, no passage; not even in the message of an exception."""
    spans = await ask(recorded, make_pipeline(generator=ScriptedGenerator(f"{ANNUAL_LEAVE} [S1] ", *failure)))

    written = "".join(span.to_json() for span in spans)
    assert "generation" in written
    assert "annual leave" not in written
    assert "12 days" not in written


async def test_a_failure_of_ours_marks_the_query_and_its_stage(recorded: Recording) -> None:
    """The query by the contract's code, the stage by the type."""
    query, *stages = await ask(recorded, make_pipeline(generator=ScriptedGenerator(UpstreamError())))

    failed = [span for span in stages if span.status.status_code is StatusCode.ERROR]
    assert [(span.name, span.status.description) for span in failed] == [("generation", "UpstreamError")]
    assert (query.status.status_code, query.status.description) == (StatusCode.ERROR, "UPSTREAM_ERROR")
    assert attributes(query)["rag.error_code"] == "UPSTREAM_ERROR"


def test_what_a_client_does_wrong_is_no_failure(recorded: Recording) -> None:
    """An alert on failed spans must not be in the hands of clients; the code is there."""
    QueryRecord(OURS, "/query", span=recorded.begin()).report(ErrorCode.VALIDATION_ERROR)

    (query,) = recorded.spans()
    assert query.status.status_code is StatusCode.UNSET
    assert attributes(query)["rag.error_code"] == "VALIDATION_ERROR"


def test_a_long_answer_has_a_bound_of_spans(recorded: Recording) -> None:
    """Sentence after sentence is not worth its memory."""
    record = QueryRecord(OURS, "/query", span=recorded.begin())
    for _ in range(CHILDREN_MAX + 5):
        with record.stage("generation"):
            pass
    record.report("stop")

    assert len(recorded.spans()) == CHILDREN_MAX + 1


# --- Whose trace it is


def test_a_trace_of_our_own_has_the_id_of_the_response(recorded: Recording) -> None:
    """An operator finds it by the `x-trace-id` that the client has."""
    recorded.begin(OURS).end({}, failure=None)

    (span,) = recorded.spans()
    assert ids(span) == (HEX, None)


@pytest.mark.parametrize("trace_id", ["job-17", f"tr_{'0' * 32}", f"tr_{HEX}0", HEX.upper()])
def test_an_id_of_another_form_is_an_attribute(trace_id: str, recorded: Recording) -> None:
    """The trace gets an id at random."""
    recorded.begin(trace_id).end({}, failure=None)

    (span,) = recorded.spans()
    assert ids(span)[0] not in (HEX, "0" * 32)
    assert attributes(span)["rag.trace_id"] == trace_id


def test_the_callers_trace_goes_on(recorded: Recording) -> None:
    """With `traceparent` the query is a span of the caller's trace, whatever its own id is."""
    recorded.begin(OURS, PARENT_HEADERS).end({}, failure=None)

    (span,) = recorded.spans()
    assert ids(span) == ("4bf92f3577b34da6a3ce929d0e0e4736", PARENT)
    assert attributes(span)["rag.trace_id"] == OURS


def test_a_trace_that_the_caller_does_not_keep_is_not_kept(recorded: Recording) -> None:
    """Its flag says so; what we call is told the same."""
    span = recorded.begin(OURS, [(b"traceparent", f"00-{HEX}-{PARENT}-00".encode())])
    carried = TRACE_HEADERS.get()["traceparent"]
    span.end({}, failure=None)

    assert carried.startswith(f"00-{HEX}-")
    assert carried.endswith("-00")
    assert recorded.spans() == []


# --- Across services


async def test_a_call_carries_the_span_in_which_it_is_made(recorded: Recording) -> None:
    """That of the stage inside one, that of the query between them, none after its end."""
    seen: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        seen.append(next((line.split("-")[2] for line in head.splitlines() if line.startswith("traceparent:")), ""))
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with open_http_client(url) as client:
            record = QueryRecord(OURS, "/query", span=recorded.begin())
            with record.stage("retrieval"):
                await client.get("/")
            await client.get("/")
            record.report("stop")
            await client.get("/")

    spans = [f"{span.context.span_id:016x}" for span in recorded.spans() if span.context]
    assert seen == [spans[1], spans[0], ""]


async def call(app: Any, headers: Mapping[str, str]) -> None:
    async with Connection(app, "POST", "/embed_queries", body=[b"{}"], headers=dict(headers)) as connection:
        await connection.head()
        await connection.finished()


async def answer(scope: Any, receive: Any, send: Any) -> None:
    await PlainTextResponse("busy", status_code=503)(scope, receive, send)


async def test_a_model_service_has_a_span_per_call_of_a_traced_query() -> None:
    """Below the caller's, with the status; calls without a trace, such as probes, have none."""
    with TraceCollector().running() as collector:
        tracer = Tracer("Embedder", find_collector({"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}))
        with tracer.running():
            traced = Traced(answer, tracer)
            await call(traced, {})
            await call(traced, {"traceparent": PARENT_HEADERS[0][1].decode(), "x-trace-id": OURS})

    (span,) = collector.spans
    assert (span.service, span.name, span.parent_id) == ("Embedder", "/embed_queries", PARENT)
    assert span.attributes == {"rag.trace_id": OURS, "http.response.status_code": 503}


async def test_a_model_service_sends_its_spans_before_it_ends() -> None:
    """They are made for as long as the server lives, and what is left goes out at its end."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await call(traced, {"traceparent": PARENT_HEADERS[0][1].decode()})
        else:
            await answer(scope, receive, send)

    with TraceCollector().running() as collector:
        traced = Traced(app, Tracer("Reranker", f"{collector.url}/v1/traces"))
        await traced({"type": "lifespan"}, asyncio.Event().wait, asyncio.Event().wait)  # type: ignore[arg-type]

    assert [span.service for span in collector.spans] == ["Reranker"]


def test_vllm_sends_its_spans_where_ours_go() -> None:
    """Unless they go nowhere."""
    options = EngineOptions("/m", "m", context_tokens=8192, gpu_memory_fraction=0.5, max_running=16)
    arguments = options.arguments(on_cpu=False, dtype="bfloat16")
    traced = replace(options, collector="http://c/v1/traces").arguments(on_cpu=False, dtype="bfloat16")

    assert set(traced) - set(arguments) == {"--otlp-traces-endpoint=http://c/v1/traces"}


# --- Calls of models

CHAT: Final = CalledModel("qwen3", "openai", "https://models.example.org/v1")
EMBEDDER: Final = CalledModel("e5", "bentoml", "http+unix://%2Ftmp%2Fsocket")


async def trace_calls(generator: TextGenerator, embedder: TextEmbedder | None = None) -> list[ReceivedSpan]:
    """The spans of one query whose models' calls are traced; the query's own first."""
    with TraceCollector().running() as collector:
        tracer = Tracer("RagService", f"{collector.url}/v1/traces")
        pipeline = make_pipeline(
            generator=TracedGenerator(generator, tracer, CHAT),
            embedder=TracedEmbedder(embedder or FakeEmbedder(), tracer, EMBEDDER),
        )
        async with make_client(make_app(tracer=tracer, pipeline=pipeline)) as client:
            with tracer.running():
                answered = await client.post("/query", json={"question": QUESTION})
        assert b"annual leave" not in collector.raw
        return collector.of(answered.headers["x-trace-id"])


async def test_a_draft_is_a_call_by_the_conventions() -> None:
    """Named by operation and model, with what was asked for, who answered, how it finished and the tokens."""
    generator = ScriptedGenerator(f"{ANNUAL_LEAVE} [S1]", usage=TokenUsage(90, 14), model="qwen3-8b-0907")
    query, *below = await trace_calls(generator)

    (chat,) = (span for span in below if span.name == "chat qwen3")
    assert chat.is_call
    assert (chat.parent_id, chat.failure) == (query.span_id, None)
    assert chat.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "qwen3",
        "gen_ai.request.max_tokens": 512,
        "gen_ai.response.model": "qwen3-8b-0907",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 90,
        "gen_ai.usage.output_tokens": 14,
        "server.address": "models.example.org",
        "server.port": 443,
    }


async def test_what_a_generator_does_not_say_is_left_out() -> None:
    """Neither usage nor the model that answered."""
    _, *below = await trace_calls(ScriptedGenerator(f"{ANNUAL_LEAVE} [S1]"))

    (chat,) = (span for span in below if span.name == "chat qwen3")
    assert not {"gen_ai.usage.input_tokens", "gen_ai.response.model"} & chat.attributes.keys()


async def test_an_embedded_question_is_a_call_by_the_conventions() -> None:
    """Below the stage that waits for it; a Unix socket has no address."""
    _, *below = await trace_calls(ScriptedGenerator(f"{ANNUAL_LEAVE} [S1]"))

    (embedding,) = (span for span in below if span.name == "embeddings e5")
    (stage,) = (span for span in below if span.name == "retrieval")
    assert embedding.is_call
    assert embedding.parent_id == stage.span_id
    assert embedding.attributes == {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "bentoml",
        "gen_ai.request.model": "e5",
        "gen_ai.embeddings.dimension.count": FakeEmbedder.info.dimension,
    }


async def test_a_failed_call_names_the_type_of_its_failure() -> None:
    """As the conventions want it, and never by a message."""
    query, *below = await trace_calls(ScriptedGenerator(UpstreamError(upstream_error="12 days of annual leave")))

    (chat,) = (span for span in below if span.name == "chat qwen3")
    assert (chat.attributes["error.type"], chat.failure) == ("UpstreamError", "UpstreamError")
    assert query.attributes["rag.error_code"] == "UPSTREAM_ERROR"


async def test_without_a_draft_there_is_no_chat() -> None:
    """A question that nothing answers reaches no generator."""
    with TraceCollector().running() as collector:
        tracer = Tracer("RagService", f"{collector.url}/v1/traces")
        generator = TracedGenerator(ScriptedGenerator("never"), tracer, CHAT)
        app = make_app(tracer=tracer, pipeline=make_pipeline(generator=generator, indexes=FakeIndexes()))
        async with make_client(app) as client:
            with tracer.running():
                await client.post("/query", json={"question": QUESTION})

    assert [span.name for span in collector.spans] == ["/query"]


async def test_a_call_outside_a_query_is_no_span() -> None:
    """Such as those that warm the models up: they would be traces of their own."""
    with TraceCollector().running() as collector:
        tracer = Tracer("RagService", f"{collector.url}/v1/traces")
        with tracer.running():
            await TracedEmbedder(FakeEmbedder(), tracer, EMBEDDER).embed_query("x", timeout_s=1, trace_id="x")

    assert collector.spans == []


async def test_what_a_model_calls_is_below_its_call(recorded: Recording) -> None:
    """`traceparent` of the request names the call's span, so that vLLM's own come below it."""
    query = recorded.begin()
    with recorded.recorder.calling("chat qwen3", {}, above=TRACE_HEADERS.get()):
        carried = TRACE_HEADERS.get()["traceparent"]
    query.end({}, failure=None)

    call = next(span for span in recorded.spans() if span.name == "chat qwen3")
    assert call.context is not None
    assert carried.split("-")[2] == f"{call.context.span_id:016x}"


# --- From the request to the collector


@pytest.mark.parametrize("path", ["/query", "/v1/query", "/query/stream"])
async def test_a_request_arrives_at_the_collector_as_one_trace(path: str) -> None:
    """Found by the trace id of the response; refused requests too."""
    with TraceCollector().running() as collector:
        tracer = Tracer("RagService", f"{collector.url}/v1/traces")
        async with make_client(make_app(tracer=tracer)) as client:
            with tracer.running():
                answered = await client.post(path, json={"question": QUESTION})
                refused = await client.post(path, json={})

    query, *stages = collector.of(answered.headers["x-trace-id"])
    assert (query.name, query.trace_id) == (path, answered.headers["x-trace-id"].removeprefix("tr_"))
    assert {span.parent_id for span in stages} == {query.span_id}
    assert {span.name for span in stages} == {"retrieval", "rerank", "generation", "verification"}
    (alone,) = collector.of(refused.headers["x-trace-id"])
    assert alone.attributes["rag.error_code"] == "VALIDATION_ERROR"
    assert b"annual leave" not in collector.raw


class StuckExporter(SpanExporter):
    """Takes spans and never comes back."""

    def __init__(self) -> None:
        self.released = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.released.wait()
        return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        """Nothing is held."""


def test_a_collector_that_hangs_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be sent within the bound is lost."""
    monkeypatch.setattr(recording, "FLUSH_TIMEOUT_S", 0.01)
    exporter = StuckExporter()
    recorder = Recorder("RagService", exporter)
    recorder.begin("/query", trace_id=OURS, headers=[]).end({}, failure=None)

    recorder.close()

    assert not exporter.released.is_set()
    exporter.released.set()


class FlakyExporter(SpanExporter):
    """Fails as its script says."""

    def __init__(self, *results: SpanExportResult) -> None:
        self._results = list(results)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self._results.pop(0)


def test_lost_spans_are_said_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Not for every batch of a collector that is down; and that it is up again is said too."""
    monkeypatch.setattr(logging.getLogger("rag"), "propagate", True)
    well, ill = SpanExportResult.SUCCESS, SpanExportResult.FAILURE
    exporter = QuietExporter(FlakyExporter(well, ill, ill, ill, well, well))

    with caplog.at_level(logging.INFO, logger="rag"):
        for _ in range(6):
            exporter.export([])

    assert [record.getMessage() for record in caplog.records] == ["spans_lost", "spans_sent_again"]
