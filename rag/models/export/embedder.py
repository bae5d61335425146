"""Embed texts with an OpenVINO graph, as a model server of others does that has openvino, tokenizers and numpy alone.

A copy of this file lies in each export. Texts come with their prompts, and vectors have unit length.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

GRAPH_FILE = "openvino_model.xml"


class Embedder:
    """An encoder with mean pooling; not thread-safe."""

    def __init__(self, folder: Path) -> None:
        import openvino  # noqa: PLC0415  # as elsewhere in the project: it takes a second

        self._limit_tokens = int(json.loads((folder / "config.json").read_text("utf-8"))["max_position_embeddings"])
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        # As our own Embedder has them: for the same vectors, and because other processes want the cores too.
        options = {"DYNAMIC_QUANTIZATION_GROUP_SIZE": 32, "ENABLE_CPU_PINNING": False, "PERFORMANCE_HINT": "LATENCY"}
        self._request = openvino.Core().compile_model(folder / GRAPH_FILE, "CPU", options).create_infer_request()

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return float32, (n, dim); a truncated text keeps its end token."""
        encoded = [each.ids for each in self._tokenizer.encode_batch(list(texts))]
        kept = [[*ids[: self._limit_tokens - 1], ids[-1]] if len(ids) > self._limit_tokens else ids for ids in encoded]
        shape = (len(kept), max(map(len, kept)))
        ids, mask = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        for row, each in enumerate(kept):
            ids[row, : len(each)], mask[row, : len(each)] = each, 1
        hidden = self._request.infer({"input_ids": ids, "attention_mask": mask})[0]
        weights = mask[:, :, None].astype(np.float32)
        means = (hidden * weights).sum(axis=1) / weights.sum(axis=1)
        lengths = np.linalg.norm(means, axis=-1, keepdims=True)
        vectors: NDArray[np.float32] = means / np.maximum(lengths, np.finfo(np.float32).tiny)
        return vectors
