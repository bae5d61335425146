"""Search some chunks by words as if the index held no others: no score tells what the others say, or how much.

The stored scores are those of the whole index: how rare a word is, and how long a chunk, is relative to all chunks. So
the count of the word in the chunk is computed back from the score, which is exact, and scored anew.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rag.index.lexical import dampen, inverse_frequency, recount
from rag.index.ranking import take_best
from rag.index.words import Lexicon

# A list of chunks this much longer than the subset is searched for it, and not read.
_LOOK_UP_FROM: Final = 16


class LexicalSubset:
    """Some chunks of a `Lexicon`, by their ordinals there; the same methods as it has."""

    def __init__(self, whole: Lexicon, ordinals: NDArray[np.int32], mask: NDArray[np.bool_]) -> None:
        """`ordinals` are ascending, and those that `mask`, (chunks,), marks."""
        self._whole = whole
        self._ordinals = ordinals
        self._mask = mask
        self._mean_length = float(whole.lengths[ordinals].mean()) if whole.lengths is not None else None

    def __len__(self) -> int:
        return len(self._ordinals)

    def search(self, words: Sequence[str], k: int) -> list[tuple[int, float]]:
        """Return the k best as (ordinal, score > 0), best first; ties by ordinal. A repeated word counts each time."""
        known = self._whole.find_numbers(words)
        if not known or k <= 0:
            return []
        sums = np.zeros(len(self._whole), dtype=np.float32)
        scored: dict[int, tuple[NDArray[np.int32], NDArray[np.float32]]] = {}
        for number in known:
            if number not in scored:
                scored[number] = self._score(number)
            ordinals, scores = scored[number]
            sums[ordinals] += scores
        found = sums[self._ordinals]
        hits = found > 0
        return take_best(self._ordinals[hits], found[hits], k)

    def idf(self, words: Sequence[str]) -> list[float]:
        """Return Lucene's inverse document frequency of each word; unknown words get the highest."""
        return [inverse_frequency(len(self), self.count(word)) for word in words]

    def count(self, word: str) -> int:
        """Return how many of the chunks hold the word."""
        numbers = self._whole.find_numbers([word])
        return len(self._find(self._whole.postings(numbers[0])[0])) if numbers else 0

    def spellings(self, word: str) -> dict[str, int]:
        """As `rag.index.vocabulary.Vocabulary.spellings`."""
        return self._count_all(self._whole.vocabulary.spellings(word))

    def near(self, word: str) -> dict[str, int]:
        """As `rag.index.vocabulary.Vocabulary.near`."""
        return self._count_all(self._whole.vocabulary.near(word))

    def _count_all(self, words: Sequence[str] | dict[str, int]) -> dict[str, int]:
        return {word: count for word in words if (count := self.count(word))}

    def _find(self, chunks: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return the places of the subset's chunks in an ascending list of chunks."""
        if len(chunks) < _LOOK_UP_FROM * len(self):
            return np.flatnonzero(self._mask[chunks])
        places = np.searchsorted(chunks, self._ordinals)
        places = places[places < len(chunks)]
        found: NDArray[np.int64] = places[chunks[places] == self._ordinals[: len(places)]]
        return found

    def _score(self, number: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return the subset's chunks that hold a word, and the word's score in each."""
        chunks, scores = self._whole.postings(number)
        places = self._find(chunks)
        ordinals, old = chunks[places], scores[places]
        old_idf = inverse_frequency(len(self._whole), len(chunks))
        idf = np.float32(inverse_frequency(len(self), len(ordinals)))
        shares = old.astype(np.float64) / np.float32(old_idf)
        if self._whole.lengths is not None and self._mean_length is not None:
            lengths = self._whole.lengths[ordinals]
            counts = recount(old, old_idf, lengths, self._whole.mean_length)
            shares = counts / (dampen(lengths, self._mean_length) + counts)
        return ordinals, (idf * shares).astype(np.float32)
