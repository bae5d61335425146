"""Rerank with a CrossEncoder, which reads question and window together; the default of the GPU profile."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rag.engines.batching import estimate_text
from rag.engines.device import best_device, best_dtype, return_memory
from rag.types import ModelInfo
from schemas.services import Pair

BATCH_PAIRS: Final = 32


class CrossEncoderScorer:
    """Scores pairs with a sequence classifier that has one output; not thread-safe.

    Raises: ValueError: the model gives more than one score per pair.
    """

    def __init__(self, folder: Path, info: ModelInfo) -> None:
        import torch  # noqa: PLC0415
        from sentence_transformers import CrossEncoder  # noqa: PLC0415

        self.info = info
        self._model = CrossEncoder(
            str(folder),
            device=best_device(),
            local_files_only=True,
            model_kwargs={"dtype": getattr(torch, best_dtype())},
            # The floor for abstention needs scores from 0 to 1, whatever the checkpoint's default is.
            activation_fn=torch.nn.Sigmoid(),
        )
        if self._model.num_labels != 1:
            raise ValueError(f"{info.name} gives {self._model.num_labels} scores per pair, a reranker gives one")
        return_memory()

    def score(self, pairs: Sequence[Pair]) -> list[float]:
        """Return the relevance of each pair, in order: 0 to 1, higher is better."""
        if not pairs:
            return []
        inputs = [(pair.question, _read(pair)) for pair in pairs]
        return [float(score) for score in self._model.predict(inputs, batch_size=BATCH_PAIRS, show_progress_bar=False)]

    def estimate(self, pair: Pair) -> int:
        """Estimate the tokens of a pair."""
        return estimate_text(pair.question) + estimate_text(_read(pair))


def _read(pair: Pair) -> str:
    """Return what the model reads of the passage: title and headings, then the window."""
    return pair.passage[: min(pair.head, pair.start)] + pair.passage[pair.start : pair.end]
