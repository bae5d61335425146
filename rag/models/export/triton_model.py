"""The embedder for Triton's Python backend, which imports this file as `model.py` of the exported repository."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
sys.path.append(str(FOLDER))


class TritonPythonModel:
    """One input `text` of strings, one output `output`, (n, dim)."""

    def initialize(self, _: Any) -> None:  # Any: Triton's own types, which are nowhere else
        from embedder import Embedder  # type: ignore[import-not-found]  # noqa: PLC0415  # the copy beside this file

        self._embedder = Embedder(FOLDER)

    def execute(self, requests: Sequence[Any]) -> list[Any]:  # Any: as above
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:  # Any: as above
        import triton_python_backend_utils as triton  # type: ignore[import-not-found]  # noqa: PLC0415  # Triton's own

        given = triton.get_input_tensor_by_name(request, "text").as_numpy()
        vectors = self._embedder.embed([text.decode("utf-8") for text in given.reshape(-1)])
        return triton.InferenceResponse(output_tensors=[triton.Tensor("output", vectors)])
