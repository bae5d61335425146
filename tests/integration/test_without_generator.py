"""The local profile without a generator: quotations, from a service whose models are warm."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from load.processes import find_family
from load.server import Server, running_server
from schemas.response import CurrentModels, Ready
from tests.integration.asking import CLIENT_TIMEOUT_S, Rag, make_trace_id
from tests.integration.conftest import EXAMPLES
from tests.servers import PATIENT, UNLIMITED, ingest, make_environment

pytestmark = pytest.mark.integration

LEAVE = "Nhân viên full-time có bao nhiêu ngày nghỉ phép năm?"


@pytest.fixture(scope="module")
def quoting_server(place: Path) -> Iterator[Server]:
    """Real embedder and reranker, as `make serve` starts them."""
    environment = make_environment(RAG_INDEX_DIR=str(place / "quoting-index"), **PATIENT, **UNLIMITED)
    ingest(EXAMPLES, environment=environment)
    with running_server(place / "quoting", environment) as server:
        yield server


@pytest.fixture(scope="module")
def quoting(quoting_server: Server) -> Iterator[Rag]:
    with httpx.Client(base_url=quoting_server.url, timeout=CLIENT_TIMEOUT_S) as client:
        yield Rag(client, quoting_server.log_path)


def test_the_first_query_is_not_the_first_that_the_models_see(quoting_server: Server, quoting: Rag) -> None:
    """Each has run once before `/ready` says 200; no line of the log and no count of queries tells of it."""
    asked = [line for line in quoting.http.get("/metrics").text.splitlines() if not line.endswith(" 0.0")]
    batches = {line for line in asked if line.startswith("rag_batch_items_count{")}

    assert batches == {'rag_batch_items_count{function="read_queries"} 1.0'}
    assert not [line for line in asked if line.startswith("rag_queries_total{")]
    assert '{"event": "query_' not in quoting_server.log_path.read_text("utf-8")


def test_what_has_nothing_to_do_does_not_run(quoting_server: Server) -> None:
    """A generator would take 2 GB and most of the time of the start; the Embedder holds the reranker's model too."""
    commands = [" ".join(process.cmdline()) for process in find_family(quoting_server.process)]

    assert any("Embedder" in command for command in commands)
    assert not any(name in command for command in commands for name in ("Reranker", "Generator", "VLLM"))


def test_it_is_ready_and_says_what_answers(quoting: Rag) -> None:
    """`extractive` with no model; the generator that nobody needs is `ok`, as clients and probes expect."""
    ready = Ready.model_validate_json(quoting.http.get("/ready").text)
    current = CurrentModels.model_validate_json(quoting.http.get("/models/current").text)

    assert ready.dependencies["generator"] == "ok"
    assert (current.runtime, current.model_name) == ("extractive", "none")


def test_the_readmes_question_has_its_cited_answer(quoting: Rag) -> None:
    """Quoted word for word; no token was used."""
    trace_id = make_trace_id()
    events = quoting.stream(LEAVE, trace_id=trace_id)
    answer = quoting.answer(LEAVE, include_trace=True)
    line = quoting.log_line(trace_id)

    assert "12 ngày nghỉ phép năm" in answer.answer
    assert answer.finish_reason == "stop"
    assert answer.trace is not None
    assert (answer.trace.usage.prompt_tokens, answer.trace.usage.completion_tokens) == (0, 0)
    assert events[-1].name == "done"
    assert "".join(event.data["text"] for event in events if event.name == "token") == answer.answer
    assert (line["prompt_tokens"], line["completion_tokens"], line["latency_ms"]["generation"]) == (0, 0, 0)
