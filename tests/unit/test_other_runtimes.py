"""A deployment whose embedder or reranker is another model server: settings, card, probes, ingestion."""

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest

from rag.api.probes import RuntimeProbe
from rag.clients.runtime_client import RuntimeEmbedder
from rag.clients.runtime_identity import ServedElsewhere
from rag.clients.runtime_protocols import embedding_protocol
from rag.config.environment import SettingsError, load_settings
from rag.errors import UpstreamError
from rag.ingestion.runtime_encoder import RuntimeEncoder
from rag.model_card import describe_embedder, describe_reranker, served_embedder, served_reranker
from rag.models import read_limit, read_prompts
from rag.preflight.dependencies import judge_runtime
from schemas.response import DependencyState

COMMIT = "a" * 40
EMBEDDER = {"RAG_EMBEDDER_URL": "http://runtime", "RAG_EMBEDDER_PROTOCOL": "tei"}
RERANKER = {"RAG_RERANKER_URL": "http://runtime", "RAG_RERANKER_PROTOCOL": "cohere", "RAG_RERANKER_NAME": "ce"}
REAL = {"RAG_EMBEDDER_MODEL": "path:/models/e5", "RAG_RERANKER_MODEL": "path:/models/e5"}


def write_model(folder: Path) -> Path:
    """What is needed of an embedder whose weights are elsewhere."""
    folder.mkdir()
    words = {"[UNK]": 0, "passage": 1, ":": 2, "leave": 3}
    tokenizer = {
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {"type": "Whitespace"},
        "model": {"type": "WordLevel", "vocab": words, "unk_token": "[UNK]"},
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    (folder / "config.json").write_text(json.dumps({"hidden_size": 2, "max_position_embeddings": 64}))
    (folder / "config_sentence_transformers.json").write_text(
        json.dumps({"prompts": {"query": "query: ", "passage": "passage: "}})
    )
    return folder


@pytest.mark.parametrize(
    ("environ", "line"),
    [
        ({"RAG_EMBEDDER_PROTOCOL": "tei"}, "RAG_EMBEDDER_URL: must be set where RAG_EMBEDDER_PROTOCOL is not bento"),
        ({"RAG_EMBEDDER_NAME": "e5"}, "RAG_EMBEDDER_NAME: is of no use while RAG_EMBEDDER_PROTOCOL is bento; unset it"),
        (
            {**EMBEDDER, "RAG_EMBEDDER_MODEL": "fake:"},
            "RAG_EMBEDDER_MODEL: must not be fake where RAG_EMBEDDER_PROTOCOL is not bento",
        ),
        (
            {**RERANKER, "RAG_VERIFIER_MODEL": "path:/nli"},
            "RAG_VERIFIER_MODEL: needs our own Reranker, and RAG_RERANKER_PROTOCOL is not bento",
        ),
        (
            {**RERANKER, "RAG_RERANKER_NAME": ""},
            "RAG_RERANKER_NAME: must name the cross-encoder that is served; or set RAG_RERANKER_MODEL",
        ),
        ({"RAG_EMBEDDER_PROTOCOL": "cohere"}, "RAG_EMBEDDER_PROTOCOL: must be one of bento, oip, tei, openai"),
        ({"RAG_RERANKER_PROTOCOL": "openai"}, "RAG_RERANKER_PROTOCOL: must be one of bento, oip, tei, cohere"),
        ({"RAG_EMBEDDER_API_KEY": "k\u00e9"}, "RAG_EMBEDDER_API_KEY: must be a key of printable ASCII characters"),
    ],
)
def test_settings_that_contradict_each_other_stop_the_start(environ: dict[str, str], line: str) -> None:
    """One line each."""
    with pytest.raises(SettingsError) as caught:
        load_settings(environ)

    assert caught.value.problems == [line]


@pytest.mark.parametrize("other", [EMBEDDER, RERANKER])
def test_token_vectors_are_kept_for_our_own_services_alone(other: dict[str, str]) -> None:
    """Another runtime gives none, and another reranker reads none."""
    assert load_settings(REAL).keeps_tokens
    assert not load_settings({**REAL, **other}).keeps_tokens


def test_a_key_is_in_no_text_and_in_no_fingerprint() -> None:
    """Keys may be changed without another `model_version`; the protocol may not."""
    keyed = load_settings({**EMBEDDER, "RAG_EMBEDDER_API_KEY": "k-1234\n"})

    assert keyed.embedder_api_key is not None
    assert keyed.embedder_api_key.get_secret_value() == "k-1234"
    assert "k-1234" not in repr(keyed)
    assert keyed.answer_settings() == load_settings(EMBEDDER).answer_settings()
    assert keyed.answer_settings()["embedder_protocol"] == "tei"


def test_an_index_of_another_runtime_is_another_index(tmp_path: Path) -> None:
    """Its vectors are not quite those of our own service: the revision says who made them."""
    model = {"RAG_EMBEDDER_MODEL": f"path:{write_model(tmp_path / 'e5')}"}
    ours, theirs = load_settings(model), load_settings({**model, **EMBEDDER})
    named = load_settings({**model, **EMBEDDER, "RAG_EMBEDDER_NAME": "int8"})

    revision = describe_embedder(ours).revision
    assert describe_embedder(theirs).revision == f"{revision}+tei"
    assert describe_embedder(named).revision == f"{revision}+tei:int8"
    assert (served_embedder(theirs), served_embedder(named)) == ("e5", "int8")


def test_a_reranker_elsewhere_needs_no_files_here() -> None:
    """Name and revision are those of the settings."""
    named = load_settings(RERANKER)
    referred = load_settings({**RERANKER, "RAG_RERANKER_NAME": "", "RAG_RERANKER_MODEL": f"hf:BAAI/bge@{COMMIT}"})

    assert (served_reranker(named), describe_reranker(named).revision) == ("ce", "unknown+cohere")
    assert (served_reranker(referred), describe_reranker(referred).revision) == ("BAAI/bge", f"{COMMIT}+cohere")


def answers(replies: dict[str, tuple[int, object]]) -> Callable[[httpx.Request], httpx.Response]:
    def answer(request: httpx.Request) -> httpx.Response:
        status, body = replies.get(request.url.path, (404, None))
        return httpx.Response(status, content=b"" if body is None else json.dumps(body).encode())

    return answer


OIP = ServedElsewhere("oip", "e5", dimension=2)
TEI = ServedElsewhere("tei", "intfloat/e5", COMMIT, 2)
OPENAI = ServedElsewhere("openai", "e5", dimension=2)
COHERE = ServedElsewhere("cohere", "ce")
READY: dict[str, tuple[int, object]] = {"/v2/health/ready": (200, None)}
OUTPUT = {"name": "V", "datatype": "FP32"}


@pytest.mark.parametrize(
    ("served", "replies", "state"),
    [
        (OIP, {"/v2/health/ready": (200, None), "/v2/models/e5": (200, {"name": "e5"})}, "ok"),
        (
            OIP,
            {"/v2/health/ready": (200, None), "/v2/models/e5": (200, {"outputs": [{**OUTPUT, "shape": [-1, 2]}]})},
            "ok",
        ),
        (
            OIP,
            {"/v2/health/ready": (200, None), "/v2/models/e5": (200, {"outputs": [{**OUTPUT, "shape": [-1, -1]}]})},
            "ok",
        ),
        (
            OIP,
            {"/v2/health/ready": (200, None), "/v2/models/e5": (200, {"outputs": [{**OUTPUT, "shape": [-1, 3]}]})},
            "mismatch",
        ),
        (OIP, {"/v2/health/ready": (200, None), "/v2/models/e5": (200, {"name": "bge"})}, "mismatch"),
        (OIP, {"/v2/health/ready": (200, None)}, "loading"),
        (OIP, {"/v2/health/ready": (400, None), "/v2/models/e5": (200, {})}, "loading"),
        # TorchServe has metadata of itself alone; with another server, the model is not there.
        (OIP, {"/v2/health/ready": (200, None), "/v2": (200, {"name": "Torchserve", "version": "0.12.0"})}, "ok"),
        (OIP, {"/v2/health/ready": (200, None), "/v2": (200, {"name": "mlserver"})}, "loading"),
        (TEI, {"/health": (200, None), "/info": (200, {"model_id": "intfloat/e5", "model_sha": COMMIT})}, "ok"),
        (TEI, {"/health": (200, None), "/info": (200, {"model_id": "/data/intfloat/e5", "model_sha": None})}, "ok"),
        (TEI, {"/health": (200, None), "/info": (200, {"model_id": "BAAI/bge", "model_sha": COMMIT})}, "mismatch"),
        (TEI, {"/health": (200, None), "/info": (200, {"model_id": "intfloat/e5", "model_sha": "b" * 40})}, "mismatch"),
        (TEI, {"/health": (503, None), "/info": (200, {})}, "loading"),
        (OPENAI, {"/models": (200, {"data": [{"id": "bge"}, {"id": "e5"}]})}, "ok"),
        (OPENAI, {"/models": (200, {"data": [{"id": "bge"}]})}, "mismatch"),
        (OPENAI, {"/models": (200, ["unheard of"])}, "ok"),
        (OPENAI, {"/models": (401, {})}, "loading"),
        (OPENAI, {}, "loading"),
        (COHERE, {}, "ok"),
        (COHERE, {"/models": (200, {"models": [{"name": "another"}]})}, "ok"),
        (COHERE, {"/models": (401, {})}, "loading"),
        (COHERE, {"/models": (500, {})}, "loading"),
    ],
)
async def test_readiness_asks_as_the_protocol_has_it(
    served: ServedElsewhere, replies: dict[str, tuple[int, object]], state: DependencyState
) -> None:
    """Another model, dimension or revision is a mismatch; what the server does not say is believed."""
    async with httpx.AsyncClient(base_url="http://runtime", transport=httpx.MockTransport(answers(replies))) as client:
        assert await RuntimeProbe(client, served)("tr-1") == state


async def test_a_server_that_has_answered_is_unreachable_and_not_loading() -> None:
    """Afterwards its silence is a failure."""
    replies: dict[str, tuple[int, object]] = {"/health": (200, None), "/info": (200, {"model_id": "intfloat/e5"})}
    async with httpx.AsyncClient(base_url="http://runtime", transport=httpx.MockTransport(answers(replies))) as client:
        probe = RuntimeProbe(client, TEI)
        first = await probe("tr-1")
        replies.clear()

        assert (first, await probe("tr-1")) == ("ok", "unreachable")


def make_encoder(folder: Path, handler: Callable[[httpx.Request], httpx.Response]) -> RuntimeEncoder:
    return RuntimeEncoder(
        folder,
        lambda: httpx.AsyncClient(base_url="http://runtime", transport=httpx.MockTransport(handler)),
        lambda client, prompt: RuntimeEmbedder(
            client, embedding_protocol("tei", "e5"), dimension=2, passage_prompt=prompt
        ),
    )


def test_passages_are_embedded_in_their_order_and_told_as_they_are_done(tmp_path: Path) -> None:
    """Some at a time, each with the prompt of a passage, and none is lost."""

    def answer(request: httpx.Request) -> httpx.Response:
        texts = json.loads(request.content)["inputs"]
        assert len(texts) <= 32
        return httpx.Response(200, json=[[1.0, float(text.removeprefix("passage: "))] for text in texts])

    done: list[int] = []
    encoder = make_encoder(write_model(tmp_path / "e5"), answer)

    encoded = encoder.read_passages([str(number) for number in range(70)], done.append)

    slopes = encoded.vectors[:, 1] / encoded.vectors[:, 0]
    assert slopes.tolist() == pytest.approx(list(range(70)), rel=1e-4)
    assert np.linalg.norm(encoded.vectors, axis=1).tolist() == pytest.approx([1.0] * 70)
    assert sum(done) == 70
    assert encoder.count("leave leave") == 2
    assert encoder.limit_tokens == 64 - 2 - 2


def test_a_server_that_fails_ends_the_ingestion(tmp_path: Path) -> None:
    """Nothing is published without all of its vectors."""
    encoder = make_encoder(write_model(tmp_path / "e5"), lambda _: httpx.Response(500))

    with pytest.raises(UpstreamError):
        encoder.read_passages(["leave"] * 70)


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({"config.json": {"max_position_embeddings": 512}}, 512),
        ({"config.json": {"max_position_embeddings": 514, "model_type": "xlm-roberta"}}, 512),
        (
            {
                "config.json": {"max_position_embeddings": 8194, "model_type": "xlm-roberta"},
                "sentence_bert_config.json": {"max_seq_length": 1024},
            },
            1024,
        ),
    ],
)
def test_the_limit_of_a_model_is_read_from_its_files(tmp_path: Path, files: dict[str, object], limit: int) -> None:
    """The smallest that they name; RoBERTa counts two positions that no token has."""
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))

    assert read_limit(tmp_path) == limit
    assert read_prompts(tmp_path) == ("", "")


def test_a_model_that_names_no_limit_is_refused(tmp_path: Path) -> None:
    """Chunks that are cut too long would be cut again, unseen, by the server."""
    with pytest.raises(FileNotFoundError, match="how many tokens"):
        read_limit(tmp_path)


@pytest.mark.parametrize(
    ("replies", "state", "todo"),
    [
        ({"/health": (200, None), "/info": (200, {"model_id": "intfloat/e5"})}, "ok", ""),
        ({"/health": (200, None), "/info": (200, {"model_id": "bge"})}, "missing", "RAG_EMBEDDER_NAME"),
        ({"/health": (401, None)}, "missing", "RAG_EMBEDDER_API_KEY"),
        ({}, "missing", "RAG_EMBEDDER_PROTOCOL"),
    ],
)
def test_the_check_before_the_start_asks_what_readiness_asks(
    replies: dict[str, tuple[int, object]], state: str, todo: str
) -> None:
    """It never asks another server for `/readyz` or `/describe`, and says which setting is wrong."""
    with httpx.Client(transport=httpx.MockTransport(answers(replies))) as client:
        finding = judge_runtime(client, "embedder", "http://runtime", TEI, None)

    assert finding.state == state
    assert todo in (finding.todo or "")
