"""The local profile as a user sees it: example documents, real models, answers over HTTP."""

from pathlib import Path
from typing import Any

import pytest

from load.server import Server
from rag.index.version import TenantIndex
from schemas.response import Citation, CurrentModels, Ready
from tests.integration.asking import Rag, bentoml_client, make_trace_id, read_answer, read_stream, wait_for
from tests.integration.conftest import EXAMPLES
from tests.servers import run_module

pytestmark = pytest.mark.integration

LEAVE = "Nhân viên full-time có bao nhiêu ngày nghỉ phép năm?"
LEAVE_QUOTE = "Nhân viên full-time có 12 ngày nghỉ phép năm."
UNKNOWN = "Who won the football world cup in 1998?"


def assert_resolves(citations: list[Citation], index: TenantIndex) -> None:
    """Every citation is a chunk of the index, and its quote stands in the chunk's text word for word."""
    chunks = {chunk.chunk_id: chunk for chunk in index.chunks(range(index.version.chunks))}
    for citation in citations:
        chunk = chunks[citation.chunk_id]
        assert citation.quote in chunk.text
        assert (citation.document_id, citation.title) == (chunk.document_id, chunk.title)
        assert (citation.page_start, citation.page_end) == (chunk.page_start, chunk.page_end)


def assert_answers_leave(text: str, citations: list[Citation]) -> None:
    """Twelve days, from page 3 of the policy."""
    assert "12" in text
    pages = {(citation.document_id, citation.page_start, citation.page_end) for citation in citations}
    assert ("doc_hr_2026", 3, 3) in pages


def test_ingestion_reports_what_went_in(ingest_report: dict[str, Any]) -> None:
    """`add` prints one JSON object: each document with its chunks, and the size of the whole index."""
    assert ingest_report["tenant"] == "demo"
    assert ingest_report["failed"] == []
    assert {Path(added["path"]).name for added in ingest_report["added"]} == {path.name for path in EXAMPLES.iterdir()}
    assert "doc_hr_2026" in {added["document_id"] for added in ingest_report["added"]}
    assert ingest_report["documents"] == len(ingest_report["added"])
    assert ingest_report["chunks"] == sum(added["chunks"] for added in ingest_report["added"])
    assert ingest_report["seconds"] > 0


def test_a_fresh_index_passes_its_check(ingest_report: dict[str, Any], real_environment: dict[str, str]) -> None:
    """`check` compares manifest, checksums and embedder, and exits with 0 where nothing is off."""
    done = run_module("rag.ingestion", "check", "--tenant", "demo", environment=real_environment)

    assert done.returncode == 0, done.stderr


def test_the_readmes_question_has_its_cited_answer(real: Rag, example_index: TenantIndex) -> None:
    """The contract's example: 12 days, from page 3 of the policy, quoted word for word."""
    answer = real.answer(LEAVE)

    assert answer.finish_reason == "stop"
    assert_answers_leave(answer.answer, answer.citations)
    assert_resolves(answer.citations, example_index)
    assert any(LEAVE_QUOTE in " ".join(citation.quote.split()) for citation in answer.citations)


@pytest.mark.parametrize(
    ("question", "document_id"),
    [
        ("How often do employees have to change their password?", "it_security_policy"),
        ("Who leads a severity 1 incident?", "incident_process"),
    ],
)
def test_an_english_question_is_answered_from_its_document(
    real: Rag, example_index: TenantIndex, question: str, document_id: str
) -> None:
    """Whatever the model drafts, what is cited is real and is about the question."""
    answer = real.answer(question)

    assert document_id in {citation.document_id for citation in answer.citations}
    assert_resolves(answer.citations, example_index)


def test_the_native_route_answers_alike(real: Rag) -> None:
    """`POST /v1/query` is `POST /query` as a BentoML API."""
    answer = read_answer(real.http.post("/v1/query", json={"question": LEAVE}))

    assert_answers_leave(answer.answer, answer.citations)


def test_bentomls_own_client_gets_the_answer(real_server: Server) -> None:
    """`bentoml.SyncHTTPClient` sees `/v1/query` as the method `query`."""
    with bentoml_client(real_server) as client:
        answer = client.query(question=LEAVE, top_k=3)

    assert "12" in answer["answer"]
    assert answer["citations"][0]["document_id"] == "doc_hr_2026"


def test_a_stream_keeps_the_order_of_its_events(real: Rag, example_index: TenantIndex) -> None:
    """meta, then tokens and citations, then done; an answer of six words or more is at least two tokens."""
    trace_id = make_trace_id()

    events = real.stream(LEAVE, trace_id=trace_id)
    text, citations = read_stream(events)

    assert events[0].data["trace_id"] == events[-1].data["trace_id"] == trace_id
    assert (events[-1].name, events[-1].data["finish_reason"]) == ("done", "stop")
    assert events[-1].data["usage"]["prompt_tokens"] > 0
    assert sum(event.name == "token" for event in events) >= 2
    assert_answers_leave(text, citations)
    assert_resolves(citations, example_index)


def test_a_browsers_event_source_gets_the_same(real: Rag) -> None:
    """`GET /query/stream` takes the fields as parameters."""
    with real.http.stream("GET", "/query/stream", params={"question": LEAVE, "top_k": 3}) as response:
        text = response.read().decode()

    assert response.headers["cache-control"] == "no-cache"
    assert response.headers["x-accel-buffering"] == "no"
    assert text.startswith("id: 0\nevent: meta\n")
    assert "event: done\n" in text


@pytest.mark.parametrize(
    ("question", "said"), [(UNKNOWN, "The documents do not"), ("Ai đã viết Truyện Kiều?", "Tài liệu không có")]
)
def test_a_question_about_nothing_in_the_documents_has_no_answer(real: Rag, question: str, said: str) -> None:
    """`no_answer`, said in the question's language, without citations."""
    answer = real.answer(question)

    assert answer.finish_reason == "no_answer"
    assert answer.answer.startswith(said)


def test_the_trace_shows_how_the_answer_came_about(real: Rag, example_index: TenantIndex) -> None:
    """All that was reranked, best first; what the generator saw; what became of each sentence."""
    answer = real.answer(LEAVE, include_trace=True, top_k=2)

    assert answer.trace is not None
    relevances = [candidate.relevance for candidate in answer.trace.candidates if candidate.relevance is not None]
    assert relevances == sorted(relevances, reverse=True)
    assert 1 <= len(answer.trace.passages) <= 2
    shown = {passage.chunk_id for passage in answer.trace.passages}
    assert {citation.chunk_id for citation in answer.citations} <= shown
    assert answer.trace.usage.completion_tokens > 0
    assert "".join(sentence.sent for sentence in answer.trace.sentences)


def test_the_output_is_cut_at_its_bound(real: Rag) -> None:
    """The generator drafts at most `max_output_tokens`."""
    answer = real.answer(LEAVE, max_output_tokens=16, include_trace=True)

    assert answer.trace is not None
    assert answer.trace.usage.completion_tokens <= 16


def test_ready_names_every_dependency(real: Rag) -> None:
    """200 only when each of them answers."""
    ready = Ready.model_validate_json(real.http.get("/ready").content)

    assert ready.dependencies == dict.fromkeys(["embedder", "reranker", "generator", "index", "limiter"], "ok")


def test_current_models_says_what_answers(real: Rag, ingest_report: dict[str, Any]) -> None:
    """Exact versions of the models, the prompt and the index."""
    current = CurrentModels.model_validate_json(real.http.get("/models/current").content)

    assert current.runtime.startswith("vLLM 0.")
    assert current.model_name == "SmolLM2-135M-Instruct"
    assert (current.embedder.name, current.embedder.dimension) == ("multilingual-e5-small", 384)
    assert current.index.keys() == {"demo"}
    assert current.index["demo"].version == ingest_report["version"]
    assert current.index["demo"].chunks == ingest_report["chunks"]
    assert current.model_version == real.answer(UNKNOWN).model_version


def test_an_abandoned_stream_gives_its_place_back(real: Rag) -> None:
    """When the client goes away every stage that works for it stops, vLLM's included."""
    trace_id = make_trace_id()
    with real.open_stream(LEAVE, trace_id) as events:
        assert next(events).name == "meta"

    line = real.log_line(trace_id)

    assert (line["event"], line["finish_reason"]) == ("query_cancelled", "client_disconnected")
    wait_for(lambda: "rag_queries_running 0.0" in real.http.get("/metrics").text, within_s=10)


def test_the_log_has_one_line_per_query_and_nothing_of_its_content(real: Rag) -> None:
    """Who, when, how long and how it ended; never the question, the answer or a passage."""
    trace_id = make_trace_id()
    answer = read_answer(real.ask(LEAVE, trace_id=trace_id))

    line = real.log_line(trace_id)
    log = real.log_path.read_text("utf-8", "replace")

    assert (line["event"], line["route"], line["tenant_id"]) == ("query_ok", "/query", "demo")
    assert line["input_chars"] == len(LEAVE)
    assert line["model_version"] == answer.model_version
    assert log.count(f'"trace_id": "{trace_id}"') == 1
    assert "bao nhiêu ngày" not in log
    assert answer.citations[0].quote not in log
