"""The verifier's model behind BentoML's batching, in one service with the reranker."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from load.processes import ROOT
from load.server import Server, running_server
from rag import models
from rag.engines.cross_encoder import CrossEncoderScorer
from rag.engines.entailment import EntailmentClassifier
from schemas.services import Entailment, Pair
from tests.integration.asking import CLIENT_TIMEOUT_S
from tests.servers import FAKE_MODELS, make_environment
from tests.tiny_classifiers import write_random_classifier

pytestmark = pytest.mark.integration

CLIENTS = 6
ROUNDS = 4
PREMISES = [
    "Full time staff have 12 days of annual leave.",
    "Visitors park behind the north building.",
    "",
    "staff leave " * 40,
]
HYPOTHESES = ["Staff have 12 days.", "Part time staff have 6 days of annual leave.", "park", "north " * 60]
PAIRS = [(premise, hypothesis) for premise in PREMISES for hypothesis in HYPOTHESES]
# In a process of its own: importing the services reads the environment and opens the front's parts.
PRINT_PARTS = "import service; print(*service.Reranker.apis, *service.RagService.all_services(exclude_urls=True))"


@pytest.fixture(scope="module")
def reranker_folder(place: Path) -> Path:
    return write_random_classifier(place / "tiny-reranker", {"LABEL_0": 1})


@pytest.fixture(scope="module")
def verifier_folder(place: Path) -> Path:
    return write_random_classifier(place / "tiny-verifier")


@pytest.fixture(scope="module")
def server(place: Path, reranker_folder: Path, verifier_folder: Path) -> Iterator[Server]:
    """The Reranker alone, with both of its models."""
    named = {"RAG_RERANKER_MODEL": f"path:{reranker_folder}", "RAG_VERIFIER_MODEL": f"path:{verifier_folder}"}
    environment = make_environment(**{**FAKE_MODELS, **named})
    with running_server(place / "verifier", environment, service="Reranker", ready_path="/readyz") as server:
        yield server


def ask(server: Server, path: str, pairs: list[dict[str, str]]) -> list[float]:
    with httpx.Client(base_url=server.url, timeout=CLIENT_TIMEOUT_S) as client:
        response = client.post(path, json={"pairs": pairs})
    assert response.status_code == 200, response.text
    return [float(number) for number in response.json()]


def entail(server: Server, pairs: list[tuple[str, str]]) -> list[float]:
    return ask(server, "/entail", [{"premise": premise, "hypothesis": hypothesis} for premise, hypothesis in pairs])


def rerank(server: Server, pairs: list[tuple[str, str]]) -> list[float]:
    return ask(server, "/rerank", [{"passage": premise, "question": hypothesis} for premise, hypothesis in pairs])


def test_supports_are_those_of_the_model_itself(server: Server, verifier_folder: Path) -> None:
    """Asked one by one and at once, or all together: what the classifier says in process, each to who asked."""
    classifier = EntailmentClassifier(verifier_folder, models.describe(f"path:{verifier_folder}"))
    expected = classifier.entail([Entailment(premise=premise, hypothesis=claim) for premise, claim in PAIRS])

    with ThreadPoolExecutor(CLIENTS) as pool:
        merged = [support for each in pool.map(lambda pair: entail(server, [pair]), PAIRS * ROUNDS) for support in each]

    assert merged == pytest.approx(expected * ROUNDS, abs=0.02)
    assert entail(server, PAIRS * ROUNDS) == pytest.approx(expected * ROUNDS, abs=0.02)


def test_both_models_of_the_service_answer_at_once(
    server: Server, reranker_folder: Path, verifier_folder: Path
) -> None:
    """They take turns on one device; none gets the other's rows."""
    classifier = EntailmentClassifier(verifier_folder, models.describe(f"path:{verifier_folder}"))
    scorer = CrossEncoderScorer(reranker_folder, models.describe(f"path:{reranker_folder}"))
    supports = classifier.entail([Entailment(premise=premise, hypothesis=claim) for premise, claim in PAIRS])
    scores = scorer.score([Pair(passage=premise, question=claim) for premise, claim in PAIRS])

    with ThreadPoolExecutor(CLIENTS) as pool:
        work = [pool.submit(ask, server, PAIRS) for _ in range(ROUNDS) for ask in (entail, rerank)]
        answers = [each.result() for each in work]

    assert answers[0::2] == [pytest.approx(supports, abs=0.02)] * ROUNDS
    assert answers[1::2] == [pytest.approx(scores, abs=0.02)] * ROUNDS


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ([], ["describe", "RagService"]),
        (["RAG_RERANKER_MODEL"], ["describe", "rerank", "RagService", "Reranker"]),
        (["RAG_VERIFIER_MODEL"], ["describe", "entail", "RagService", "Reranker"]),
        (["RAG_RERANKER_MODEL", "RAG_VERIFIER_MODEL"], ["describe", "entail", "rerank", "RagService", "Reranker"]),
    ],
)
def test_the_service_has_the_models_that_are_named(
    named: list[str], expected: list[str], reranker_folder: Path
) -> None:
    """An API for each beside the one that names them; the front spawns the service for either, a fake needs neither."""
    environment = make_environment(
        RAG_UPLOADS="off", **{**FAKE_MODELS, **dict.fromkeys(named, f"path:{reranker_folder}")}
    )
    done = subprocess.run(
        [sys.executable, "-c", PRINT_PARTS], cwd=ROOT, env=environment, capture_output=True, check=True
    )

    assert done.stdout.decode().splitlines()[-1].split() == expected


PRINT_SERVICES = "import service; print(*service.Embedder.apis, *service.RagService.all_services(exclude_urls=True))"


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ({}, ["describe", "embed", "embed_queries", "rerank", "RagService", "Embedder"]),
        (
            {"RAG_RERANKER_URL": "http://127.0.0.1:1"},
            ["describe", "embed", "embed_queries", "rerank", "RagService", "Embedder"],
        ),
        ({"RAG_RERANKER_MODEL": "fake:"}, ["describe", "embed", "embed_queries", "RagService", "Embedder"]),
    ],
)
def test_one_model_is_held_once(named: dict[str, str], expected: list[str]) -> None:
    """With the local models the Embedder has what reranking needs, and no Reranker is spawned."""
    environment = make_environment(RAG_UPLOADS="off", **named)
    done = subprocess.run(
        [sys.executable, "-c", PRINT_SERVICES], cwd=ROOT, env=environment, capture_output=True, check=True
    )

    assert done.stdout.decode().splitlines()[-1].split() == expected
