"""Search by words: BM25 over whole words with their diacritics, by which "ma", "má" and "mà" stay three words."""

import math
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from rag.index.manifest import BrokenIndexError
from rag.index.ranking import take_best

if TYPE_CHECKING:
    # Imported where it is used: it brings numba and scipy, a second that a server's start need not wait for.
    import bm25s

# Lucene's defaults, in its exact variant, whose idf is never negative.
# Source: org.apache.lucene.search.similarities.BM25Similarity; Kamphuis et al., ECIR 2020.
METHOD: Final = "lucene"
K1: Final = 1.2
B: Final = 0.75


class LexicalIndex:
    """Scores of words in chunks by ordinal, computed when built; its arrays stay mapped."""

    def __init__(self, bm25: "bm25s.BM25") -> None:
        self._bm25 = bm25
        self._total = int(bm25.scores["num_docs"])
        self._starts = bm25.scores["indptr"].view(np.ndarray)  # indexing a memmap costs ten times as much

    @classmethod
    def load(cls, folder: Path) -> "LexicalIndex":
        """Raises: BrokenIndexError: the folder holds no index."""
        import bm25s  # noqa: PLC0415

        try:
            return cls(bm25s.BM25.load(folder, mmap=True, show_progress=False))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BrokenIndexError(f"{folder.name} cannot be loaded") from error

    def __len__(self) -> int:
        return self._total

    def search(self, words: Sequence[str], k: int) -> list[tuple[int, float]]:
        """The k best as (ordinal, score > 0), best first; ties by ordinal. A word said twice counts twice."""
        known = self._bm25.get_tokens_ids(list(words))
        if not known or k <= 0:
            return []
        scores = self._bm25.get_scores_from_ids(known)
        hits = np.flatnonzero(scores > 0)
        return take_best(hits, scores[hits], k)

    def idf(self, words: Sequence[str]) -> list[float]:
        """Lucene's inverse document frequency per word; unknown words get the highest."""
        starts, vocabulary = self._starts, self._bm25.vocab_dict
        frequencies = [
            0 if number is None else int(starts[number + 1] - starts[number]) for number in map(vocabulary.get, words)
        ]
        return [math.log(1 + (self._total - found + 0.5) / (found + 0.5)) for found in frequencies]


def build_lexical(chunks: Iterable[Sequence[str]], folder: Path) -> None:
    """Writes the index of these chunks, each given as its words, in the order of their ordinals.

    Raises: OSError: the disk is full or failed.
    """
    import bm25s  # noqa: PLC0415

    # The empty word stands in for chunks without any, whose mean length bm25s would divide by; no text holds it.
    vocabulary: dict[str, int] = {"": 0}
    numbered = [array("i", [vocabulary.setdefault(word, len(vocabulary)) for word in words] or [0]) for words in chunks]
    bm25 = bm25s.BM25(method=METHOD, k1=K1, b=B, backend="numpy", csc_backend="numpy")
    bm25.index((numbered, vocabulary), create_empty_token=False, show_progress=False)
    bm25.save(folder, show_progress=False)
