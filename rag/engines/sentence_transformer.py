"""A SentenceTransformer as our encoder: prompts for queries and passages, texts of one length in one pass."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rag.engines.forward import EncoderModel, Forward, normalize
from rag.engines.openvino_model import OpenVinoModel, has_graph
from rag.engines.torch_model import TorchModel
from rag.ports import Vectors
from rag.types import EncodedTexts, ModelInfo, TokenVectors

# Texts of about equal length share a forward pass; more of them at once gained nothing on 2 cores.
BATCH_TEXTS: Final = 16
# Special tokens around a text, beside its prompt's own: <s> and </s>.
SPECIAL_TOKENS: Final = 2
QUERY_PROMPTS: Final = ("query",)
PASSAGE_PROMPTS: Final = ("passage", "document")
_INT8_MOST: Final = 127

OnBatch = Callable[[int], None]


class SentenceEncoder:
    """Texts to unit vectors, and to those of their tokens; not safe to call from two threads at once.

    A folder that holds an OpenVINO graph is run by that, on the CPU; any other by torch.

    Raises: OSError: the folder is no SentenceTransformer.
    """

    def __init__(self, folder: Path, info: ModelInfo) -> None:
        self.info = info
        self.model: EncoderModel = OpenVinoModel(folder) if has_graph(folder) else TorchModel(folder)
        self._query_prompt = self._prompt(QUERY_PROMPTS)
        self._passage_prompt = self._prompt(PASSAGE_PROMPTS)

    @property
    def limit_tokens(self) -> int:
        """Tokens of a passage that the model reads, its prompt and special tokens taken off."""
        return self.model.limit_tokens - self.count(self._passage_prompt) - SPECIAL_TOKENS

    def count(self, text: str) -> int:
        """Tokens of a text, special ones aside."""
        return self.model.count(text)

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """float32, (n, dim), rows of unit length, in the order of the texts."""
        return self._encode(texts, self._query_prompt)

    def encode_passages(self, texts: Sequence[str], on_batch: OnBatch | None = None) -> Vectors:
        """As `encode_queries`, for passages; `on_batch` hears how many texts each forward pass has done."""
        return self._encode(texts, self._passage_prompt, on_batch)

    def read_queries(self, texts: Sequence[str]) -> list[TokenVectors]:
        """The vectors of each text's tokens, in the order of the texts."""
        return list(self._read(texts, self._query_prompt).tokens)

    def read_passages(self, texts: Sequence[str], on_batch: OnBatch | None = None) -> EncodedTexts:
        """Texts and their tokens out of one pass; `on_batch` as in `encode_passages`."""
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
        """The passes over the texts, and which of them each was over."""
        # Longest first: a batch that does not fit into memory fails at once, not after an hour.
        order = sorted(range(len(texts)), key=lambda number: -len(texts[number]))
        for start in range(0, len(order), BATCH_TEXTS):
            places = order[start : start + BATCH_TEXTS]
            yield places, self.model.forward([prompt + texts[place] for place in places])
            if on_batch is not None:
                on_batch(len(places))


def _keep_tokens(hidden: Vectors, spans: NDArray[np.int32]) -> TokenVectors:
    """Of one text's pass the tokens of the text itself, to 8 bits each: 2e-5 off in the cosine, half of float16."""
    # Padding and special tokens have empty spans; a token of the prompt ends at or before character 0.
    kept = (spans[:, 1] > 0) & (spans[:, 1] > spans[:, 0])
    vectors = normalize(hidden[kept])
    scales = np.maximum(np.abs(vectors).max(axis=1, initial=0), np.finfo(np.float32).tiny) / _INT8_MOST
    values = np.rint(vectors / scales[:, None]).astype(np.int8)
    return TokenVectors(values, scales.astype(np.float32), np.maximum(spans[kept], 0))
