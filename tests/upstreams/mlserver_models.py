"""Two models for MLServer: the local embedder, and a reranker by shared words; MLServer imports them by name."""

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceResponse

from rag.engines.openvino_model import OpenVinoModel

_WORD = re.compile(r"\w+")


class Embedder(MLModel):  # type: ignore[misc]  # MLServer is not in the environment
    """Texts, with their prompts, to vectors of unit length."""

    async def load(self) -> bool:
        self._model = OpenVinoModel(Path(os.environ["EMBEDDER_FOLDER"]))
        return True

    async def predict(self, payload: Any) -> Any:  # Any: MLServer's own types
        texts = StringCodec.decode_input(payload.inputs[0])
        return _respond(self.name, self._model.forward(texts).vectors)


class SharedWords(MLModel):  # type: ignore[misc]  # as above
    """Question and passage to the share of the question's words that are in the passage."""

    async def load(self) -> bool:
        return True

    async def predict(self, payload: Any) -> Any:  # Any: as above
        questions, passages = (StringCodec.decode_input(each) for each in payload.inputs)
        shares = [_share(*each) for each in zip(questions, passages, strict=True)]
        return _respond(self.name, np.array(shares, dtype=np.float32))


def _share(question: str, passage: str) -> float:
    words = set(_WORD.findall(question.lower()))
    return len(words & set(_WORD.findall(passage.lower()))) / max(len(words), 1)


def _respond(name: str, values: Any) -> Any:  # Any: as above
    return InferenceResponse(model_name=name, outputs=[NumpyCodec.encode_output("output", values)])
