"""Say what every lexical index can do, whether its scores are stored or computed from those of segments."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rag.index.vocabulary import Vocabulary


class Lexicon(Protocol):
    """BM25 scores of words in chunks by ordinal; safe to read from several threads."""

    @property
    def lengths(self) -> NDArray[np.int32] | None:
        """The words of each chunk; versions that were made without them have none."""
        ...

    @property
    def mean_length(self) -> float: ...

    @property
    def vocabulary(self) -> Vocabulary:
        """The words of the index, for corrections of spelling."""
        ...

    def __len__(self) -> int: ...

    def search(self, words: Sequence[str], k: int) -> list[tuple[int, float]]:
        """Return the k best as (ordinal, score > 0), best first; ties by ordinal. A repeated word counts each time."""
        ...

    def idf(self, words: Sequence[str]) -> list[float]:
        """Return Lucene's inverse document frequency of each word; unknown words get the highest."""
        ...

    def find_numbers(self, words: Sequence[str]) -> list[int]:
        """Return the numbers of those words that the index knows, in their order."""
        ...

    def postings(self, number: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return the chunks that hold the word of this number, ascending, and its score in each."""
        ...

    def count(self, word: str) -> int:
        """Return how many chunks hold the word."""
        ...
