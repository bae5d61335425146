"""Define the result of an encoder's forward pass, and the interface that all runtimes share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rag.ports import Vectors


@dataclass(frozen=True, slots=True, eq=False)
class Forward:
    """The result of one forward pass over n texts.

    `vectors`: float32, (n, dim), rows of unit length; `hidden`: float32, (n, tokens, hidden), with padding;
    `spans`: int32, (n, tokens, 2), start and end character of each token, empty for padding and special tokens.
    """

    vectors: Vectors
    hidden: Vectors
    spans: NDArray[np.int32]


class EncoderModel(Protocol):
    """A SentenceTransformer in some runtime; `limit_tokens` includes special tokens."""

    @property
    def prompts(self) -> Mapping[str, str]: ...

    @property
    def limit_tokens(self) -> int: ...

    def count(self, text: str) -> int: ...

    def forward(self, texts: Sequence[str]) -> Forward: ...


def normalize(vectors: Vectors) -> Vectors:
    """Scale vectors (last axis) to unit length; a zero vector stays zero."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit: Vectors = vectors / np.maximum(lengths, np.finfo(np.float32).tiny)
    return unit
