"""Serve the embedder by BentoML with its adaptive batching, as its own documentation shows: `bentoml serve`."""

import os

import bentoml
import numpy as np

MODEL = os.environ["PEER_MODEL"]
DTYPE = os.environ["PEER_DTYPE"]


@bentoml.service(name="embedding", traffic={"timeout": 600})
class Embedding:
    """Texts to vectors."""

    def __init__(self) -> None:
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415  # the worker's alone

        self._model = SentenceTransformer(MODEL, device="cpu", model_kwargs={"dtype": DTYPE})

    @bentoml.api(batchable=True, max_batch_size=64, max_latency_ms=60_000)  # type: ignore[untyped-decorator]  # none there
    def embed(self, texts: list[str]) -> np.ndarray:
        vectors: np.ndarray = self._model.encode(texts)
        return vectors
