"""Encode with a SentenceTransformer: add the prompts for queries and passages, and batch texts of similar length."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rag.engines.forward import EncoderModel, Forward, normalize
from rag.engines.openvino_model import OpenVinoModel, has_graph
from rag.engines.torch_model import TorchModel
from rag.ports import Vectors
from rag.types import EncodedQuestion, EncodedTexts, ModelInfo, TokenVectors

# Texts of similar length share a forward pass; larger batches gained nothing on 2 cores.
BATCH_TEXTS: Final = 16
# Special tokens around a text with its prompt: <s> and </s>.
SPECIAL_TOKENS: Final = 2
QUERY_PROMPTS: Final = ("query",)
PASSAGE_PROMPTS: Final = ("passage", "document")
_INT8_MOST: Final = 127

OnBatch = Callable[[int], None]


class SentenceEncoder:
    """Encodes texts as unit vectors, and as token vectors; not thread-safe.

    It uses the folder's OpenVINO graph, on the CPU, if there is one and OpenVINO is installed, else torch.

    Raises: OSError: the folder is not a SentenceTransformer.
    """

    def __init__(self, folder: Path, info: ModelInfo) -> None:
        self.info = info
        self.model: EncoderModel = OpenVinoModel(folder) if has_graph(folder) else TorchModel(folder)
        self._query_prompt = self._prompt(QUERY_PROMPTS)
        self._passage_prompt = self._prompt(PASSAGE_PROMPTS)

    @property
    def limit_tokens(self) -> int:
        """The number of a passage's tokens that the model reads, without prompt and special tokens."""
        return self.model.limit_tokens - self.count(self._passage_prompt) - SPECIAL_TOKENS

    def count(self, text: str) -> int:
        """Return the number of tokens of a text, without special tokens."""
        return self.model.count(text)

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """Encode queries: float32, (n, dim), rows of unit length, in the order of the texts."""
        return self._encode(texts, self._query_prompt)

    def encode_passages(self, texts: Sequence[str], on_batch: OnBatch | None = None) -> Vectors:
        """Encode passages, as `encode_queries`; `on_batch` gets the number of texts after each forward pass."""
        return self._encode(texts, self._passage_prompt, on_batch)

    def read_queries(self, texts: Sequence[str]) -> list[EncodedQuestion]:
        """Return the vector and the token vectors of each query, in order, from one pass."""
        read = self._read(texts, self._query_prompt)
        return [EncodedQuestion(vector, tokens) for vector, tokens in zip(read.vectors, read.tokens, strict=True)]

    def read_passages(self, texts: Sequence[str], on_batch: OnBatch | None = None) -> EncodedTexts:
        """Return vectors and token vectors of passages from one pass each; `on_batch` as in `encode_passages`."""
        return self._read(texts, self._passage_prompt, on_batch)

    def _prompt(self, names: Sequence[str]) -> str:
        prompts = self.model.prompts
        return next((prompts[name] for name in names if prompts.get(name)), "")

    def _encode(self, texts: Sequence[str], prompt: str, on_batch: OnBatch | None = None) -> Vectors:
        vectors = np.zeros((len(texts), self.info.dimension), dtype=np.float32)
        for places, forward in self._run(texts, prompt, on_batch):
            vectors[places] = forward.vectors
        return vectors

    def _read(self, texts: Sequence[str], prompt: str, on_batch: OnBatch | None = None) -> EncodedTexts:
        vectors = np.zeros((len(texts), self.info.dimension), dtype=np.float32)
        tokens: dict[int, TokenVectors] = {}
        for places, forward in self._run(texts, prompt, on_batch):
            vectors[places] = forward.vectors
            for row, place in enumerate(places):
                tokens[place] = _keep_tokens(forward.hidden[row], forward.spans[row] - len(prompt))
        return EncodedTexts(vectors, [tokens[place] for place in range(len(texts))])

    def _run(self, texts: Sequence[str], prompt: str, on_batch: OnBatch | None) -> Iterator[tuple[list[int], Forward]]:
        """Yield each forward pass with the positions of its texts."""
        # Longest first, so that a batch that does not fit into memory fails at once, not after an hour.
        order = sorted(range(len(texts)), key=lambda number: -len(texts[number]))
        for start in range(0, len(order), BATCH_TEXTS):
            places = order[start : start + BATCH_TEXTS]
            yield places, self.model.forward([prompt + texts[place] for place in places])
            if on_batch is not None:
                on_batch(len(places))


def _keep_tokens(hidden: Vectors, spans: NDArray[np.int32]) -> TokenVectors:
    """Keep one text's own token vectors, in 8 bits: the error in cosine is 2e-5, the size half of float16."""
    # Padding and special tokens have empty spans; a token of the prompt ends at or before character 0.
    kept = (spans[:, 1] > 0) & (spans[:, 1] > spans[:, 0])
    vectors = normalize(hidden[kept])
    scales = np.maximum(np.abs(vectors).max(axis=1, initial=0), np.finfo(np.float32).tiny) / _INT8_MOST
    values = np.rint(vectors / scales[:, None]).astype(np.int8)
    return TokenVectors(values, scales.astype(np.float32), np.maximum(spans[kept], 0))
