"""One service per host: four servers of the same code at different addresses, with Valkey shared by two fronts.

Each of them is killed in turn, with all its processes, and comes back at the same address.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import httpx
import pytest

from load.processes import find_family, find_free_port
from load.server import Server, running_server
from rag.config.settings import LOCAL_CONTEXT_TOKENS, LOCAL_DRAFT_TOKENS, LOCAL_GENERATOR
from schemas.errors import ErrorCode
from tests.integration.asking import CLIENT_TIMEOUT_S, Rag, assert_error, wait_for
from tests.integration.conftest import EXAMPLES, write_identities
from tests.servers import PATIENT, UNLIMITED, ingest, make_environment
from tests.valkey import running_valkey

pytestmark = pytest.mark.integration

QUESTION: Final = "Nhân viên full-time có bao nhiêu ngày nghỉ phép năm?"
BUDGET: Final = 4
PRINCIPALS: Final[Mapping[str, Mapping[str, object]]] = {
    "anybody": {"tenants": ["*"]},
    "few": {"tenants": ["*"], "requests_per_window": BUDGET},
}
MODEL_SERVICES: Final = ("Embedder", "Reranker", "Generator")
# Two cores run what four hosts would.
SEEN_WITHIN_S: Final = 30
RECOVERS_WITHIN_S: Final = 120


class Pod:
    """One service on its host: it dies whole, and is started again at the same address."""

    def __init__(self, folder: Path, environment: Mapping[str, str], service: str) -> None:
        self._folder = folder / service
        self._environment = environment
        self._service = service
        self._port = find_free_port()
        self._running = ExitStack()
        self._server: Server | None = None
        self.url: Final = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        starting = running_server(
            self._folder, self._environment, service=self._service, ready_path="/readyz", port=self._port
        )
        self._server = self._running.enter_context(starting)

    def resident_mib(self) -> float:
        assert self._server is not None
        rss_bytes: int = sum(process.memory_info().rss for process in find_family(self._server.process))
        return rss_bytes / 2**20

    def kill(self) -> None:
        assert self._server is not None
        for process in find_family(self._server.process):
            process.kill()
        self.stop()

    def stop(self) -> None:
        self._running.close()


@pytest.fixture(scope="module")
def pods(place: Path) -> Iterator[dict[str, Pod]]:
    """The model services with the local models; nothing of them is spawned by a front."""
    folder, environment = place / "pods", make_environment(RAG_GENERATOR_MODEL=LOCAL_GENERATOR)
    made = {name: Pod(folder, environment, name) for name in MODEL_SERVICES}
    try:
        for pod in made.values():
            pod.start()
        yield made
    finally:
        for pod in made.values():
            pod.stop()


@pytest.fixture(scope="module")
def fronts(place: Path, pods: dict[str, Pod]) -> Iterator[list[Rag]]:
    """Two fronts over the same model services, the same index and the same Valkey."""
    folder = place / "pods"
    identities = folder / "identities.yaml"
    write_identities(identities, PRINCIPALS)
    with ExitStack() as stack:
        environment = make_environment(
            RAG_INDEX_DIR=str(folder / "index"),
            RAG_EMBEDDER_URL=pods["Embedder"].url,
            RAG_RERANKER_URL=pods["Reranker"].url,
            RAG_GENERATOR_URL=f"{pods['Generator'].url}/v1",
            RAG_REDIS_URL=str(stack.enter_context(running_valkey()).connection_url),
            RAG_IDENTITIES_FILE=str(identities),
            RAG_RATE_LIMIT_WINDOW_S="600",
            # A generator behind a URL is taken for a fast one; this is the local one.
            RAG_CONTEXT_TOKENS=str(LOCAL_CONTEXT_TOKENS),
            RAG_DRAFT_TOKENS=str(LOCAL_DRAFT_TOKENS),
            **PATIENT,
            **UNLIMITED,
        )
        ingest(EXAMPLES, environment=environment)
        servers = [stack.enter_context(running_server(folder / f"front{number}", environment)) for number in (1, 2)]
        yield [
            Rag(
                stack.enter_context(
                    httpx.Client(base_url=server.url, timeout=CLIENT_TIMEOUT_S, headers={"x-api-key": "anybody"})
                ),
                server.log_path,
            )
            for server in servers
        ]


def states(rag: Rag) -> dict[str, str]:
    """What `/ready` says of the dependencies that are not well."""
    ready = rag.http.get("/ready").json()
    return {name: state for name, state in ready["dependencies"].items() if state != "ok"}


def test_the_four_answer_together(fronts: list[Rag], pods: dict[str, Pod]) -> None:
    """With citations, as the all-in-one server does, and under one version."""
    answers = [rag.answer(QUESTION) for rag in fronts]

    assert all("12 ngày" in answer.answer and answer.citations for answer in answers)
    assert len({answer.model_version for answer in answers}) == 1
    print(
        "\nresident, MiB:", {name: round(pod.resident_mib()) for name, pod in pods.items()}
    )  # docs/benchmarks.md has it


def test_a_model_service_takes_no_pickle(pods: dict[str, Pod]) -> None:
    """It would run whatever anybody sends to its port."""
    for name, path in (("Embedder", "/embed"), ("Reranker", "/rerank")):
        response = httpx.post(
            pods[name].url + path, content=b"\x80\x05N.", headers={"content-type": "application/vnd.bentoml+pickle"}
        )
        assert response.status_code == 415, response.text


@pytest.mark.parametrize(
    ("service", "state", "code"),
    [
        ("Embedder", {"embedder": "unreachable"}, ErrorCode.NOT_READY),
        ("Reranker", {"reranker": "unreachable"}, ErrorCode.NOT_READY),
        ("Generator", {"generator": "unreachable"}, ErrorCode.UPSTREAM_ERROR),
    ],
)
def test_a_killed_pod_is_seen_and_comes_back(
    fronts: list[Rag], pods: dict[str, Pod], service: str, state: dict[str, str], code: ErrorCode
) -> None:
    """Both fronts say which one is missing and refuse in the contract's words; when it is back, they answer.

    A front with stored token vectors needs no Reranker for a question: it refuses once it has seen that it is gone.
    """
    pods[service].kill()
    try:
        for rag in fronts:
            wait_for(lambda rag=rag: states(rag) == state, within_s=SEEN_WITHIN_S)  # type: ignore[misc]
            wait_for(lambda rag=rag: rag.ask(QUESTION).status_code != 200, within_s=SEEN_WITHIN_S)  # type: ignore[misc]
            assert_error(rag.ask(QUESTION), code)
            assert rag.http.get("/health").status_code == 200
    finally:
        pods[service].start()

    for rag in fronts:
        wait_for(lambda rag=rag: not states(rag), within_s=RECOVERS_WITHIN_S)  # type: ignore[misc]
        assert rag.answer(QUESTION).citations


def test_two_fronts_share_the_limits(fronts: list[Rag]) -> None:
    """A caller has its budget once, and not once per front."""
    asked = [fronts[number % 2].ask(QUESTION, key="few").status_code for number in range(BUDGET + 2)]

    assert asked == [200] * BUDGET + [429] * 2


def test_metrics_are_of_the_pod_alone(fronts: list[Rag], pods: dict[str, Pod]) -> None:
    """Batches on the model services, vLLM's own on the Generator, queries on the fronts."""
    shown = {name: httpx.get(f"{pod.url}/metrics").text for name, pod in pods.items()}
    front = fronts[0].http.get("/metrics").text

    assert 'rag_batch_items_count{function="read_queries"}' in shown["Embedder"]
    assert "rag_queries_total" not in shown["Reranker"]
    assert "vllm:num_requests_running" in shown["Generator"]
    assert "rag_queries_total" in front
    assert "rag_batch_items" not in front
    assert "rag_queries_total" not in shown["Embedder"]
