"""Traces of a real server: a query's spans arrive under the id of its response; a dead collector does no harm."""

import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from load.server import Server, running_server
from tests.integration.asking import CLIENT_TIMEOUT_S, Rag, make_trace_id, read_answer, read_stream, wait_for
from tests.scripted_model import ScriptedModel
from tests.servers import FAKE_MODELS, PATIENT, UNLIMITED, ingest, make_environment
from tests.trace_collector import ReceivedSpan, TraceCollector

pytestmark = pytest.mark.integration

QUESTION = "Where do visitors park?"
STAGES = {"retrieval", "rerank", "generation", "verification"}
EMBEDDING, CHAT = "embeddings fake-embedder", "chat fake-generator"
# Above the bound of two seconds for what is left to send, below the time after which the test would end it by force.
STOPS_WITHIN_S = 20
ARRIVES_WITHIN_S = 30


@pytest.fixture(scope="module")
def index_dir(place: Path) -> Path:
    """An index that the fake embedder has made."""
    folder = place / "traced-documents"
    folder.mkdir()
    (folder / "parking.txt").write_text("Visitors park behind the north building.", "utf-8")
    index_dir = place / "traced-index"
    ingest(folder, environment=make_environment(**FAKE_MODELS, RAG_INDEX_DIR=str(index_dir)))
    return index_dir


def tracing_environment(index_dir: Path, model: ScriptedModel, collector_url: str) -> dict[str, str]:
    """Fake models but for somebody else's generator, whose requests a test can read."""
    return make_environment(
        RAG_INDEX_DIR=str(index_dir),
        RAG_GENERATOR_URL=model.url,
        OTEL_EXPORTER_OTLP_ENDPOINT=collector_url,
        OTEL_BSP_SCHEDULE_DELAY="100",
        **FAKE_MODELS,
        **PATIENT,
        **UNLIMITED,
    )


@pytest.fixture(scope="module")
def collector() -> Iterator[TraceCollector]:
    with TraceCollector().running() as collector:
        yield collector


@pytest.fixture(scope="module")
def traced_server(place: Path, index_dir: Path, model: ScriptedModel, collector: TraceCollector) -> Iterator[Server]:
    with running_server(place / "traced", tracing_environment(index_dir, model, collector.url)) as server:
        yield server


@pytest.fixture
def traced(traced_server: Server) -> Iterator[Rag]:
    with httpx.Client(base_url=traced_server.url, timeout=CLIENT_TIMEOUT_S) as client:
        yield Rag(client, traced_server.log_path)


def arrived(collector: TraceCollector, trace_id: str) -> tuple[ReceivedSpan, list[ReceivedSpan]]:
    """The query's span, and those below it; they may come with different batches, the query's last."""
    query, *below = wait_for(lambda: collector.of(trace_id), within_s=ARRIVES_WITHIN_S)
    return query, below


def test_a_query_arrives_under_the_id_of_its_response(traced: Rag, collector: TraceCollector) -> None:
    """The trace's id is that of `x-trace-id` without its prefix; a span per stage and call of a model below it."""
    response = traced.ask(QUESTION)

    query, stages = arrived(collector, read_answer(response).trace_id)
    assert f"tr_{query.trace_id}" == response.headers["x-trace-id"]
    assert (query.service, query.name, query.parent_id) == ("RagService", "/query", "")
    assert query.attributes["rag.finish_reason"] == "stop"
    assert {span.name for span in stages} == {*STAGES, EMBEDDING, CHAT}
    assert {span.parent_id for span in stages if span.name != EMBEDDING} == {query.span_id}


def test_a_stream_is_traced_as_a_whole(traced: Rag, collector: TraceCollector) -> None:
    """To its last event, with an id of the client's own too."""
    trace_id = make_trace_id()
    read_stream(traced.stream(QUESTION, trace_id=trace_id))

    query, stages = arrived(collector, trace_id)
    assert query.name == "/query/stream"
    assert {span.name for span in stages} == {*STAGES, EMBEDDING, CHAT}


def test_the_generator_is_told_the_trace(traced: Rag, collector: TraceCollector, model: ScriptedModel) -> None:
    """`traceparent` names the call's span, below which vLLM puts its own; the caller's own trace goes on in it."""
    trace_id, above = make_trace_id(), "00-4bf92f3577b34da6a3ce929d0e0e4736-b7ad6b7169203331-01"
    headers = {"x-trace-id": trace_id, "traceparent": above}
    read_answer(traced.http.post("/query", json={"question": QUESTION}, headers=headers))

    query, below = arrived(collector, trace_id)
    (chat,) = (span for span in below if span.name == CHAT)
    (asked,) = model.seen(trace_id)
    assert (query.trace_id, query.parent_id) == tuple(above.split("-")[1:3])
    assert asked.headers["traceparent"].split("-")[1:3] == [query.trace_id, chat.span_id]
    assert chat.attributes["server.address"] == "127.0.0.1"


def test_nothing_of_the_content_arrives(traced: Rag, collector: TraceCollector) -> None:
    """No question, no answer, no passage."""
    answer = traced.answer(QUESTION)

    arrived(collector, answer.trace_id)
    for word in (b"visitors", b"Visitors", b"north building"):
        assert word not in collector.raw


def test_what_is_left_is_sent_at_the_end(place: Path, index_dir: Path, model: ScriptedModel) -> None:
    """SIGTERM comes before the next batch would go out."""
    with TraceCollector().running() as collector:
        environment = tracing_environment(index_dir, model, collector.url) | {"OTEL_BSP_SCHEDULE_DELAY": "3600000"}
        with (
            running_server(place / "traced-end", environment) as server,
            httpx.Client(base_url=server.url, timeout=CLIENT_TIMEOUT_S) as client,
        ):
            answer = Rag(client, server.log_path).answer(QUESTION)
            assert not collector.spans
            server.process.send_signal(signal.SIGTERM)
            status = server.process.wait(STOPS_WITHIN_S)

    assert status == 0
    assert len(collector.of(answer.trace_id)) > len(STAGES)


def test_a_dead_collector_hurts_no_query(place: Path, index_dir: Path, model: ScriptedModel) -> None:
    """Queries are answered, the loss is said once and without a stack trace, and the server stops in time."""
    with TraceCollector().running() as collector:
        url = collector.url  # where nothing listens any more
    with (
        running_server(place / "traced-dead", tracing_environment(index_dir, model, url)) as server,
        httpx.Client(base_url=server.url, timeout=CLIENT_TIMEOUT_S) as client,
    ):
        rag = Rag(client, server.log_path)
        for _ in range(20):
            rag.answer(QUESTION)
        wait_for(lambda: "spans_lost" in server.log_path.read_text("utf-8"), within_s=ARRIVES_WITHIN_S)
        read_answer(rag.ask(QUESTION))
        server.process.send_signal(signal.SIGTERM)
        status = server.process.wait(STOPS_WITHIN_S)
        log = server.log_path.read_text("utf-8")

    assert status == 0
    assert log.count("spans_lost") == 1
    assert "Traceback" not in log
    assert "opentelemetry" not in log
