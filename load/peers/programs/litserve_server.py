"""Serve the embedder by LitServe, with its batching: `litserve_server.py MODEL PORT DTYPE`."""

import sys
from collections.abc import Sequence
from typing import Any, Final

import litserve

_MOST_REQUESTS: Final = 32
# Longer waits for company cost a lone caller more than they win for others.
_WAIT_S: Final = 0.005


class Embedding(litserve.LitAPI):  # type: ignore[misc]  # its types are not installed
    """Texts of several requests in one batch."""

    def __init__(self, model: str, dtype: str) -> None:
        super().__init__(max_batch_size=_MOST_REQUESTS, batch_timeout=_WAIT_S, api_path="/embed")
        self._source = (model, dtype)

    def setup(self, device: str) -> None:
        """Load the model in the worker's process."""
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415  # slow, and the worker's alone

        model, dtype = self._source
        self._model = SentenceTransformer(model, device=device, model_kwargs={"dtype": dtype})

    def decode_request(self, request: dict[str, Any]) -> Sequence[str]:
        texts: list[str] = request["texts"]
        return texts

    def predict(self, inputs: Sequence[Sequence[str]]) -> list[list[list[float]]]:
        """Embed the texts of all requests together."""
        vectors = self._model.encode([text for texts in inputs for text in texts]).tolist()
        ends = [sum(map(len, inputs[: number + 1])) for number in range(len(inputs))]
        return [vectors[end - len(texts) : end] for texts, end in zip(inputs, ends, strict=True)]

    def encode_response(self, output: list[list[float]]) -> list[list[float]]:
        return output


if __name__ == "__main__":
    server = litserve.LitServer(
        Embedding(sys.argv[1], sys.argv[3]), accelerator="cpu", workers_per_device=1, timeout=600
    )
    server.run(host="127.0.0.1", port=int(sys.argv[2]), generate_client_file=False, log_level="warning")
