"""The Embedder behind BentoML's batching and our own connections to it."""

import itertools
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest

from load.server import Server, running_server
from tests.integration.asking import CLIENT_TIMEOUT_S, Rag
from tests.scripted_model import ScriptedModel
from tests.servers import make_environment

pytestmark = pytest.mark.integration

# BentoML's own proxy closes its session after 100 requests, under those that still run.
REQUESTS = 250
CLIENTS = 6
TEXTS = [
    "Nhân viên full-time có 12 ngày nghỉ phép năm.",
    "Visitors park behind the north building.",
    "A",
    "Sick leave needs a note from a doctor after the third day. " * 20,
    "Số dư phép của năm trước được chuyển sang quý một.",
]


def test_a_session_outlives_many_requests(scripted: Rag) -> None:
    """Not one of many concurrent queries fails: the front's connections to the Embedder stay open under them."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        statuses = list(pool.map(lambda _: scripted.ask("Where do visitors park?").status_code, range(REQUESTS)))

    assert statuses == [200] * REQUESTS


@pytest.fixture(scope="module")
def embedder(place: Path) -> Iterator[Server]:
    """The Embedder alone, as on a host of its own."""
    with running_server(place / "embedder", make_environment(), service="Embedder", ready_path="/readyz") as server:
        yield server


def embed(server: Server, texts: list[str], path: str = "/embed") -> np.ndarray:
    with httpx.Client(base_url=server.url, timeout=CLIENT_TIMEOUT_S) as client:
        response = client.post(path, json={"texts": texts})
    assert response.status_code == 200, response.text
    return np.array(response.json(), dtype=np.float32)


def test_a_vector_does_not_depend_on_its_batch(embedder: Server) -> None:
    """Alone, among others, or in a batch that BentoML put together: cosine at least 0.9999, rows of unit length."""
    together = embed(embedder, TEXTS)
    alone = np.vstack([embed(embedder, [text]) for text in TEXTS])
    with ThreadPoolExecutor(CLIENTS) as pool:
        merged = np.vstack(list(pool.map(lambda text: embed(embedder, [text]), TEXTS)))

    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-3)
    for one, other in itertools.combinations((together, alone, merged), 2):
        assert (one * other).sum(axis=1).min() >= 0.9999


def test_rows_come_back_to_those_who_asked(embedder: Server) -> None:
    """Concurrent requests of different lengths each get their own rows, in their order."""
    requests = [list(texts) for length in (1, 2, 3) for texts in itertools.permutations(TEXTS[:3], length)]
    expected = dict(zip(TEXTS, embed(embedder, TEXTS), strict=True))

    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(lambda texts: embed(embedder, texts), requests))

    for texts, rows in zip(requests, answers, strict=True):
        assert rows.shape == (len(texts), 384)
        assert all(row @ expected[text] >= 0.9999 for text, row in zip(texts, rows, strict=True))


def test_its_batches_are_on_its_metrics(embedder: Server) -> None:
    """BentoML's own metric of batch sizes is always 1; ours tells items, tokens and the wait, by function."""
    embed(embedder, TEXTS)

    with httpx.Client(base_url=embedder.url, timeout=CLIENT_TIMEOUT_S) as client:
        metrics = client.get("/metrics").text

    for name in ("rag_batch_items", "rag_batch_tokens", "rag_batch_wait_seconds"):
        count = re.search(rf'^{name}_count{{function="encode_passages"}} (\S+)$', metrics, re.MULTILINE)
        assert count, metrics
        assert float(count[1]) >= 1


def test_questions_and_passages_are_told_apart(embedder: Server) -> None:
    """The model was trained with a prompt for each; without it they are worse found."""
    question, passage = embed(embedder, TEXTS[:1], "/embed_queries"), embed(embedder, TEXTS[:1])

    assert 0.8 < float(question[0] @ passage[0]) < 0.9999


def test_the_front_uses_an_embedder_on_another_host(
    embedder: Server, place: Path, model: ScriptedModel, scripted_environment: dict[str, str]
) -> None:
    """RAG_EMBEDDER_URL: the same answers, and no Embedder of its own."""
    environment = {**scripted_environment, "RAG_EMBEDDER_URL": embedder.url}
    with running_server(place / "remote", environment) as server, httpx.Client(base_url=server.url) as client:
        rag = Rag(client, server.log_path)
        answer = rag.answer("How many days of annual leave do full-time staff have?")
        ready = client.get("/ready").json()

    assert "12 days" in answer.answer
    assert ready["dependencies"]["embedder"] == "ok"
