"""Search the words of two segments as those of one index: no score tells in which of them a chunk is.

The stored scores of a segment are relative to its own chunks. So the counts are computed back from them, which is
exact, and scored by how rare words are, and how long chunks, in both: to the bit what one index would have stored.
"""

from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property
from threading import Lock
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rag.index.lexical import LexicalIndex, dampen, inverse_frequency, recount
from rag.index.places import Places
from rag.index.ranking import take_best
from rag.index.vocabulary import Vocabulary

# Common words stand in many questions and chunks, and computing their scores takes longest. Takes 8 bytes each.
_KEPT_SCORES: Final = 4_000_000

Postings = tuple[NDArray[np.int32], NDArray[np.float32]]


class SegmentedLexical:
    """A `rag.index.words.Lexicon` over two others."""

    def __init__(self, delta: LexicalIndex, main: LexicalIndex, places: Places, gone: NDArray[np.int32]) -> None:
        """`gone` are numbers of words in the main segment, and how many chunks that hold each are gone, (words, 2)."""
        assert delta.lengths is not None
        assert main.lengths is not None
        self._delta, self._main, self._places = delta, main, places
        self._gone = dict(gone.tolist())
        self.lengths: Final[NDArray[np.int32]] = np.concatenate([delta.lengths, main.lengths[places.live]])
        self.mean_length: Final = float(self.lengths.mean())
        # A word has its number in the main segment; those that only the small one has come after these.
        self._first_new = len(main.numbers)
        pairs = [(main.numbers.get(word), number) for word, number in delta.numbers.items()]
        self._delta_of_main = {known: number for known, number in pairs if known is not None}
        self._kept: OrderedDict[int, Postings] = OrderedDict()
        self._kept_scores = 0
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self.lengths)

    def search(self, words: Sequence[str], k: int) -> list[tuple[int, float]]:
        known = self.find_numbers(words)
        if not known or k <= 0:
            return []
        sums = np.zeros(len(self), dtype=np.float32)
        for number in known:
            ordinals, scores = self.postings(number)
            sums[ordinals] += scores
        hits = np.flatnonzero(sums > 0)
        return take_best(hits, sums[hits], k)

    def idf(self, words: Sequence[str]) -> list[float]:
        return [inverse_frequency(len(self), self.count(word)) for word in words]

    def find_numbers(self, words: Sequence[str]) -> list[int]:
        found = (self._find_number(word) for word in words)
        return [number for number in found if number is not None]

    def count(self, word: str) -> int:
        number = self._main.numbers.get(word)
        left = 0 if number is None else self._main.count(word) - self._gone.get(number, 0)
        return self._delta.count(word) + left

    @cached_property
    def vocabulary(self) -> Vocabulary:
        words = dict.fromkeys(["", *self._delta.numbers, *self._main.numbers])
        return Vocabulary([word for word in words if not word or self.count(word)], self.count)

    def postings(self, number: int) -> Postings:
        with self._lock:
            found = self._kept.get(number)
            if found is not None:
                self._kept.move_to_end(number)
                return found
        found = self._score(number)
        with self._lock:
            if number not in self._kept:
                self._kept[number] = found
                self._kept_scores += len(found[0])
            while self._kept_scores > _KEPT_SCORES and self._kept:
                self._kept_scores -= len(self._kept.popitem(last=False)[1][0])
        return found

    def _find_number(self, word: str) -> int | None:
        number = self._main.numbers.get(word)
        if number is not None:
            return number
        number = self._delta.numbers.get(word)
        return None if number is None else self._first_new + number

    def _score(self, number: int) -> Postings:
        is_new = number >= self._first_new
        in_delta = number - self._first_new if is_new else self._delta_of_main.get(number)
        ordinals, counts = [], []
        if in_delta is not None:
            places, found = self._count(self._delta, in_delta, None)
            ordinals.append(places)
            counts.append(found)
        if not is_new:
            places, found = self._count(self._main, number, self._places if self._places.has_gone else None)
            ordinals.append(self._places.of_main(places))
            counts.append(found)
        of_chunks, of_word = np.concatenate(ordinals), np.concatenate(counts)
        idf = np.float32(inverse_frequency(len(self), len(of_chunks)))
        damping = dampen(self.lengths[of_chunks], self.mean_length)
        return of_chunks, (idf * (of_word / (damping + of_word))).astype(np.float32)

    @staticmethod
    def _count(
        segment: LexicalIndex, number: int, places: Places | None
    ) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Return the chunks of a segment that hold a word, and how often; without those that are gone from `places`."""
        chunks, scores = segment.postings(number)
        idf = inverse_frequency(len(segment), len(chunks))
        if places is not None:
            left = places.of_main(chunks) >= 0
            chunks, scores = chunks[left], scores[left]
        assert segment.lengths is not None
        return chunks, recount(scores, idf, segment.lengths[chunks], segment.mean_length)


def count_gone(main: LexicalIndex, live: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return the numbers of words in chunks that are gone, and how many of these chunks hold each, (words, 2)."""
    numbers, counts = main.count_words(np.flatnonzero(~live))
    return np.stack([numbers, counts], axis=1).astype(np.int32)
