"""A CrossEncoder as reranker: question and window read together. The GPU profile's default."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rag.engines.batching import estimate_text
from rag.engines.device import best_device, best_dtype, return_memory
from rag.types import ModelInfo
from schemas.services import Pair

BATCH_PAIRS: Final = 32


class CrossEncoderScorer:
    """Scores pairs with a sequence classifier of one output; not safe to call from two threads at once.

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
            # Scores between 0 and 1 whatever the checkpoint's own default is: the floor for abstention relies on it.
            activation_fn=torch.nn.Sigmoid(),
        )
        if self._model.num_labels != 1:
            raise ValueError(f"{info.name} gives {self._model.num_labels} scores per pair, a reranker gives one")
        return_memory()

    def score(self, pairs: Sequence[Pair]) -> list[float]:
        """One relevance per pair, in their order: 0 to 1, higher is better."""
        if not pairs:
            return []
        inputs = [(pair.question, _read(pair)) for pair in pairs]
        return [float(score) for score in self._model.predict(inputs, batch_size=BATCH_PAIRS, show_progress_bar=False)]

    def estimate(self, pair: Pair) -> int:
        """Tokens of a pair for the model, roughly."""
        return estimate_text(pair.question) + estimate_text(_read(pair))


def _read(pair: Pair) -> str:
    """What the model reads of the passage: its title and headings, then the window."""
    return pair.passage[: min(pair.head, pair.start)] + pair.passage[pair.start : pair.end]
