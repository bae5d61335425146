"""Run a transformer's OpenVINO graph on the CPU, without torch and its 500 MB."""

import json
import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from rag.engines.forward import Forward, normalize
from rag.types import GRAPH_FILE

# Activations have the same group size as the weights. A group of 128 is a tenth faster, but a text's vectors alone and
# in a batch then differ by 2e-4 in cosine; with 32 they differ by 4e-5.
ACTIVATION_GROUP: Final = 32
# A text alone with fewer tokens than this, as nearly all questions, is padded to this length. Whenever the shape of the
# input changes, the runtime prepares each layer anew, which takes as long as the pass itself: questions of 11 to 21
# tokens took 14 ms each in their own shapes, and take 7 in this one. With several texts the padding would cost more.
LONE_TOKENS: Final = 32


def has_graph(folder: Path) -> bool:
    """Return whether the folder has a graph and this machine can run it."""
    return (folder / GRAPH_FILE).exists() and find_spec("openvino") is not None


class OpenVinoModel:
    """An encoder with mean pooling; not thread-safe.

    It uses OMP_NUM_THREADS threads, by default one per core.
    """

    def __init__(self, folder: Path) -> None:
        import openvino  # noqa: PLC0415

        self.prompts: dict[str, str] = _read_json(folder / "config_sentence_transformers.json").get("prompts") or {}
        self.limit_tokens = int(_read_json(folder / "config.json")["max_position_embeddings"])
        # One tokenizer for counting and for encoding, because a second one would take 270 MB.
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        threads = os.environ.get("OMP_NUM_THREADS", "")
        compiled = openvino.Core().compile_model(
            folder / GRAPH_FILE,
            "CPU",
            {
                "PERFORMANCE_HINT": "LATENCY",
                "NUM_STREAMS": 1,
                "INFERENCE_NUM_THREADS": int(threads) if threads.isdigit() else os.cpu_count() or 1,
                "DYNAMIC_QUANTIZATION_GROUP_SIZE": ACTIVATION_GROUP,
                # With pinning, the threads of all services on a machine would share its first core.
                "ENABLE_CPU_PINNING": False,
            },
        )
        self._request = compiled.create_infer_request()

    def count(self, text: str) -> int:
        """Return the number of tokens of a text, without special tokens."""
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def forward(self, texts: Sequence[str]) -> Forward:
        """Run one forward pass over the texts, padded to the longest, one alone at least to `LONE_TOKENS`."""
        ids, mask, spans = self._tokenize(texts)
        inputs = {"input_ids": ids, "attention_mask": mask}
        hidden = self._request.infer(inputs, share_inputs=True)[0].copy()  # the next pass overwrites the original
        weights = mask[:, :, None].astype(np.float32)
        means = (hidden * weights).sum(axis=1) / weights.sum(axis=1)
        return Forward(normalize(means), hidden, spans)

    def _tokenize(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
        """Return ids and mask, (n, tokens), and spans, (n, tokens, 2); a truncated text keeps its end token."""
        encoded = self._tokenizer.encode_batch(list(texts))
        lengths = [min(len(each.ids), self.limit_tokens) for each in encoded]
        shape = (len(encoded), max(lengths if len(lengths) > 1 else (*lengths, LONE_TOKENS)))
        ids, mask = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        spans = np.zeros((*shape, 2), dtype=np.int32)
        for row, (each, length) in enumerate(zip(encoded, lengths, strict=True)):
            ids[row, :length] = [*each.ids[: length - 1], each.ids[-1]]
            mask[row, :length] = 1
            spans[row, : length - 1] = each.offsets[: length - 1]
        return ids, mask, spans


def _read_json(path: Path) -> Any:  # Any: what the file holds
    return json.loads(path.read_text("utf-8"))
