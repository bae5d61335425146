"""The embedder for TorchServe, which imports this file as the handler of the exported archive.

It reads and writes the Open Inference Protocol by itself: TorchServe's own envelope for it takes the first string of a
request and drops the rest (0.12.0).
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


class OpenInferenceHandler:
    """One input of strings, one output `output`, (n, dim)."""

    def initialize(self, context: Any) -> None:  # Any: TorchServe's own types
        folder = Path(context.system_properties["model_dir"])
        sys.path.append(str(folder))
        from embedder import Embedder  # type: ignore[import-not-found]  # noqa: PLC0415  # the copy in the archive

        self._name = context.manifest["model"]["modelName"]
        self._embedder = Embedder(folder)

    def handle(self, requests: Sequence[Mapping[str, Any]], _: Any) -> list[dict[str, Any]]:  # Any: as above
        return [self._answer(request.get("body") or request.get("data")) for request in requests]

    def _answer(self, body: Any) -> dict[str, Any]:  # Any: bytes, or JSON that is parsed already
        asked = json.loads(body) if isinstance(body, bytes | bytearray) else body
        vectors = self._embedder.embed(asked["inputs"][0]["data"])
        data = vectors.reshape(-1).tolist()
        output = {"name": "output", "datatype": "FP32", "shape": list(vectors.shape), "data": data}
        return {"model_name": self._name, "outputs": [output]}
