"""A model server that others have written behind RAG_EMBEDDER_URL and RAG_RERANKER_URL: MLServer, by Open Inference.

It stands in a folder of its own (`make test` installs requirements/runtimes.txt) and has the local embedder, and a
reranker by shared words.
"""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
import numpy as np
import pytest

from load.processes import ROOT, find_free_port, running, wait_until_ready
from load.server import running_server
from rag import models
from rag.clients.runtime_client import RuntimeEmbedder, RuntimeScorer, open_runtime
from rag.clients.runtime_protocols import embedding_protocol, rerank_protocol
from rag.config.settings import LOCAL_RERANKER
from rag.engines.sentence_transformer import SentenceEncoder
from rag.errors import UpstreamError
from rag.types import Window
from tests.integration.asking import CLIENT_TIMEOUT_S, Rag, read_answer
from tests.integration.conftest import HANDBOOK
from tests.servers import PATIENT, UNLIMITED, ingest, make_environment

pytestmark = pytest.mark.integration

PACKAGES: Final = ROOT / ".data" / "tools" / "runtimes"
MODEL: Final = LOCAL_RERANKER
QUESTION: Final = "How many days of annual leave do full-time staff have?"
MODELS: Final = {
    "e5": ("Embedder", ["text"], [-1, 384]),
    "shared-words": ("SharedWords", ["query", "passage"], [-1]),
}


def write_models(folder: Path) -> int:
    """Write MLServer's folder, and return its port."""
    http_port, grpc_port, metrics_port = (find_free_port() for _ in range(3))
    ports = {"http_port": http_port, "grpc_port": grpc_port, "metrics_port": metrics_port}
    (folder / "settings.json").write_text(json.dumps({"host": "127.0.0.1", "parallel_workers": 0, **ports}))
    for name, (kind, inputs, shape) in MODELS.items():
        (folder / name).mkdir()
        described = {
            "name": name,
            "implementation": f"mlserver_models.{kind}",
            "inputs": [{"name": each, "datatype": "BYTES", "shape": [-1]} for each in inputs],
            "outputs": [{"name": "output", "datatype": "FP32", "shape": shape}],
        }
        (folder / name / "model-settings.json").write_text(json.dumps(described))
    return http_port


@pytest.fixture(scope="module")
def url(place: Path) -> Iterator[str]:
    folder = place / "mlserver"
    folder.mkdir()
    port = write_models(folder)
    paths = [PACKAGES, ROOT / "tests" / "upstreams", ROOT]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "EMBEDDER_FOLDER": str(models.locate(MODEL)),
    }
    command = [sys.executable, "-c", "from mlserver.cli import main; main()", "start", str(folder)]
    log_path = folder / "mlserver.log"
    with running(command, environment=environment, log_path=log_path) as process:
        wait_until_ready(f"http://127.0.0.1:{port}/v2/health/ready", process, log_path)
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def rag(url: str, place: Path) -> Iterator[Rag]:
    folder = place / "other-runtimes"
    environment = make_environment(
        RAG_INDEX_DIR=str(folder / "index"),
        RAG_EMBEDDER_URL=url,
        RAG_EMBEDDER_PROTOCOL="oip",
        RAG_EMBEDDER_NAME="e5",
        RAG_RERANKER_URL=url,
        RAG_RERANKER_PROTOCOL="oip",
        RAG_RERANKER_NAME="shared-words",
        **PATIENT,
        **UNLIMITED,
    )
    documents = folder / "documents"
    documents.mkdir(parents=True)
    (documents / "handbook.txt").write_text(HANDBOOK, "utf-8")
    ingest(documents, environment=environment)
    with (
        running_server(folder / "front", environment) as server,
        httpx.Client(base_url=server.url, timeout=CLIENT_TIMEOUT_S) as client,
    ):
        yield Rag(client, server.log_path)


def test_questions_are_answered_from_an_index_that_it_embedded(rag: Rag) -> None:
    """Ingestion, retrieval and reranking all go there; the front starts no Embedder and no Reranker."""
    ready = rag.http.get("/ready")
    served = rag.http.get("/models/current").json()

    assert ready.status_code == 200, ready.text
    assert served["embedder"]["revision"].endswith("+oip:e5")
    assert served["reranker"] == {"name": "shared-words", "revision": "unknown+oip"}
    assert "12 days" in read_answer(rag.ask(QUESTION)).answer


async def test_its_vectors_are_those_of_our_own_embedder(url: str) -> None:
    """The prompts are put by the client: with others the cosine would be 0.9 at most."""
    folder = models.locate(MODEL)
    encoder = SentenceEncoder(folder, models.describe(MODEL))
    query_prompt, passage_prompt = models.read_prompts(folder)
    texts = [QUESTION, HANDBOOK[:300]]

    async with open_runtime("oip", url, None) as client:
        embedder = RuntimeEmbedder(
            client,
            embedding_protocol("oip", "e5"),
            dimension=384,
            query_prompt=query_prompt,
            passage_prompt=passage_prompt,
        )
        asked = await embedder.embed_query(QUESTION, timeout_s=30, trace_id="tr-1")
        passages = await embedder.embed_passages(texts, timeout_s=30, trace_id="tr-1")

    assert float(asked @ encoder.encode_queries([QUESTION])[0]) > 0.999
    assert np.all((passages * encoder.encode_passages(texts)).sum(axis=1) > 0.999)


async def test_its_relevances_are_those_of_its_model(url: str) -> None:
    """One for each window, in order."""
    async with open_runtime("oip", url, None) as client:
        scorer = RuntimeScorer(client, rerank_protocol("oip", "shared-words"))
        scores = await scorer.score(
            "annual leave", [Window("annual leave"), Window("no"), Window("Leave!")], timeout_s=30, trace_id="tr-1"
        )

    assert scores == [1.0, 0.0, 0.5]


async def test_a_model_that_it_does_not_have_is_an_upstream_error(url: str) -> None:
    """With its status and its reason for our log."""
    async with open_runtime("oip", url, None) as client:
        embedder = RuntimeEmbedder(client, embedding_protocol("oip", "another"), dimension=384)
        with pytest.raises(UpstreamError) as failure:
            await embedder.embed_query(QUESTION, timeout_s=30, trace_id="tr-1")

    assert failure.value.upstream_status == 404
