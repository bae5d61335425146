"""Any SentenceTransformer as our encoder: prompts for queries and passages, the best number format of this machine."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from rag.backends.device import best_device, best_dtype, return_memory
from rag.ports import Vectors
from rag.types import ModelInfo

# Texts of about equal length share a forward pass; more of them at once gained nothing on 2 cores.
BATCH_TEXTS: Final = 16
# Special tokens around a text, beside its prompt's own: <s> and </s>.
SPECIAL_TOKENS: Final = 2
QUERY_PROMPTS: Final = ("query",)
PASSAGE_PROMPTS: Final = ("passage", "document")


class SentenceEncoder:
    """Texts to unit vectors; not safe to call from two threads at once.

    Raises: OSError: the folder is no SentenceTransformer.
    """

    def __init__(self, folder: Path, info: ModelInfo) -> None:
        import torch  # noqa: PLC0415
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415

        self.info = info
        self.model = SentenceTransformer(
            str(folder),
            device=best_device(),
            local_files_only=True,
            model_kwargs={"dtype": getattr(torch, best_dtype())},
        )
        self.model.eval()
        self._query_prompt = self._prompt(QUERY_PROMPTS)
        self._passage_prompt = self._prompt(PASSAGE_PROMPTS)
        return_memory()

    @property
    def limit_tokens(self) -> int:
        """Tokens of a passage that the model reads, its prompt and special tokens taken off."""
        return int(self.model.max_seq_length) - self.count(self._passage_prompt) - SPECIAL_TOKENS

    def count(self, text: str) -> int:
        """Tokens of a text, special ones aside; by the model's own tokenizer: a second one would take 270 MB."""
        encoded = self.model.tokenizer(text, add_special_tokens=False, truncation=False, verbose=False)
        return len(encoded["input_ids"])

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """float32, (n, dim), rows of unit length, in the order of the texts."""
        return self._encode([self._query_prompt + text for text in texts], None)

    def encode_passages(self, texts: Sequence[str], on_batch: Callable[[int], None] | None = None) -> Vectors:
        """As `encode_queries`, for passages; `on_batch` hears how many texts each forward pass has done."""
        return self._encode([self._passage_prompt + text for text in texts], on_batch)

    def _prompt(self, names: Sequence[str]) -> str:
        prompts = self.model.prompts or {}
        return next((prompts[name] for name in names if prompts.get(name)), "")

    def _encode(self, texts: list[str], on_batch: Callable[[int], None] | None) -> Vectors:
        vectors = np.zeros((len(texts), self.info.dimension), dtype=np.float32)
        # Longest first: a batch that does not fit into memory fails at once, not after an hour.
        order = sorted(range(len(texts)), key=lambda number: -len(texts[number]))
        for start in range(0, len(order), BATCH_TEXTS):
            batch = order[start : start + BATCH_TEXTS]
            vectors[batch] = self.model.encode(
                [texts[number] for number in batch],
                batch_size=len(batch),
                normalize_embeddings=True,
                show_progress_bar=False,
                convert_to_numpy=True,
            ).astype(np.float32)
            if on_batch is not None:
                on_batch(len(batch))
        return vectors
