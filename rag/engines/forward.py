"""What one forward pass of an encoder gives, whichever runtime makes it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rag.ports import Vectors


@dataclass(frozen=True, slots=True, eq=False)
class Forward:
    """`vectors`: float32, (n, dim), of unit length; `hidden`: float32, (n, tokens, hidden), padding included.

    `spans`: int32, (n, tokens, 2), the characters of each token; empty for padding and special tokens.
    """

    vectors: Vectors
    hidden: Vectors
    spans: NDArray[np.int32]


class EncoderModel(Protocol):
    """A SentenceTransformer, run by some runtime; `limit_tokens` counts special tokens too."""

    @property
    def prompts(self) -> Mapping[str, str]: ...

    @property
    def limit_tokens(self) -> int: ...

    def count(self, text: str) -> int: ...

    def forward(self, texts: Sequence[str]) -> Forward: ...


def normalize(vectors: Vectors) -> Vectors:
    """Along the last axis to unit length; a zero stays zero."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit: Vectors = vectors / np.maximum(lengths, np.finfo(np.float32).tiny)
    return unit
