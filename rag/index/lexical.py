"""Search by words: BM25 over whole words with their diacritics, so that "ma", "má" and "mà" are three words."""

import math
from array import array
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from rag.index.manifest import BrokenIndexError
from rag.index.ranking import take_best
from rag.index.vocabulary import Vocabulary

if TYPE_CHECKING:
    # Imported on use: it loads numba and scipy, which would delay the start of a server by a second.
    import bm25s

# Lucene's defaults, in its exact variant, whose idf is never negative. Source:
# org.apache.lucene.search.similarities.BM25Similarity; Kamphuis et al., ECIR 2020.
METHOD: Final = "lucene"
K1: Final = 1.2
B: Final = 0.75
LENGTHS_NAME: Final = "lengths.i32"
# Words counted at a time: takes about 30 MB; larger blocks were slower.
_BLOCK_WORDS: Final = 500_000
_BLOCK_POSTINGS: Final = 10_000_000


class LexicalIndex:
    """BM25 scores of words in chunks by ordinal, computed when built; the arrays stay mapped."""

    def __init__(self, bm25: "bm25s.BM25", lengths: NDArray[np.int32] | None = None) -> None:
        """`lengths` are the words of each chunk; versions that were made without them have none."""
        self._bm25 = bm25
        self.lengths: Final = lengths
        self.mean_length: Final = float(lengths.mean()) if lengths is not None else 0.0
        self._total = int(bm25.scores["num_docs"])
        # Indexing a memmap takes ten times as long.
        self._starts = bm25.scores["indptr"].view(np.ndarray)
        self._chunks = bm25.scores["indices"].view(np.ndarray)
        self._scores = bm25.scores["data"].view(np.ndarray)

    @classmethod
    def load(cls, folder: Path) -> "LexicalIndex":
        """Open the index in a folder; it stays mapped.

        Raises: BrokenIndexError: the folder holds no index, or the lengths beside it belong to another one.
        """
        import bm25s  # noqa: PLC0415

        try:
            path = _lengths_path(folder)
            lengths = np.fromfile(path, dtype=np.int32) if path.exists() else None
            index = cls(bm25s.BM25.load(folder, mmap=True, show_progress=False), lengths)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BrokenIndexError(f"{folder.name} cannot be loaded") from error
        if lengths is not None and len(lengths) != len(index):
            raise BrokenIndexError(f"{path.name} does not belong to {folder.name}")
        return index

    def __len__(self) -> int:
        return self._total

    def search(self, words: Sequence[str], k: int) -> list[tuple[int, float]]:
        """Return the k best as (ordinal, score > 0), best first; ties by ordinal. A repeated word counts each time."""
        known = self.find_numbers(words)
        if not known or k <= 0:
            return []
        scores = self._bm25.get_scores_from_ids(known)
        hits = np.flatnonzero(scores > 0)
        return take_best(hits, scores[hits], k)

    def idf(self, words: Sequence[str]) -> list[float]:
        """Return Lucene's inverse document frequency of each word; unknown words get the highest."""
        return [inverse_frequency(self._total, self.count(word)) for word in words]

    def find_numbers(self, words: Sequence[str]) -> list[int]:
        """Return the numbers of those words that the index knows, in their order."""
        numbers: list[int] = self._bm25.get_tokens_ids(list(words))
        return numbers

    @property
    def numbers(self) -> Mapping[str, int]:
        """The number of each word."""
        numbers: Mapping[str, int] = self._bm25.vocab_dict
        return numbers

    def count_words(self, chunks: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the numbers of the words in these chunks, and how many of the chunks hold each."""
        wanted = np.zeros(len(self), dtype=bool)
        wanted[chunks] = True
        found = [np.zeros(0, dtype=np.int64)]
        for first in range(0, len(self._chunks), _BLOCK_POSTINGS):
            found.append(first + np.flatnonzero(wanted[self._chunks[first : first + _BLOCK_POSTINGS]]))
        return np.unique(np.searchsorted(self._starts, np.concatenate(found), "right") - 1, return_counts=True)

    def postings(self, number: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return the chunks that hold the word of this number, ascending, and its score in each."""
        part = slice(int(self._starts[number]), int(self._starts[number + 1]))
        return self._chunks[part], self._scores[part]

    def count(self, word: str) -> int:
        """Return how many chunks hold the word."""
        number = self._bm25.vocab_dict.get(word)
        return 0 if number is None else int(self._starts[number + 1] - self._starts[number])

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The words of the index, for corrections of spelling."""
        return Vocabulary(self._bm25.vocab_dict, self.count)


def build_lexical(chunks: Iterable[Sequence[str]], folder: Path) -> None:
    """Write the index of these chunks, each given as its words, in the order of their ordinals; and their lengths.

    Raises: OSError: the disk is full or failed.
    """
    import bm25s  # noqa: PLC0415

    postings = _Postings()
    for words in chunks:
        postings.append(words)
    data, indices, starts = postings.score()
    bm25 = bm25s.BM25(method=METHOD, k1=K1, b=B, backend="numpy", csc_backend="numpy")
    bm25.scores = {"data": data, "indices": indices, "indptr": starts, "num_docs": len(postings)}
    bm25.vocab_dict, bm25.nonoccurrence_array = dict(postings.vocabulary), None
    bm25.save(folder, show_progress=False)
    postings.lengths.tofile(_lengths_path(folder))


class _Postings:
    """Counts how often each word stands in each chunk, block by block.

    The result is bit-identical to that of `bm25s.BM25.index`, which takes the chunks one by one and three times as
    long.
    """

    def __init__(self) -> None:
        # A new word gets the next number when it is looked up. The empty word, which no text holds, represents chunks
        # without words.
        self.vocabulary: defaultdict[str, int] = defaultdict()
        self.vocabulary.default_factory = self.vocabulary.__len__
        self._none = self.vocabulary[""]
        self._numbers = array("i")
        self._lengths = array("i")
        self._block_start = 0
        self._blocks: list[tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]] = []

    def __len__(self) -> int:
        return len(self._lengths)

    def append(self, words: Sequence[str]) -> None:
        before = len(self._numbers)
        if words:
            self._numbers.extend(map(self.vocabulary.__getitem__, words))
        else:
            self._numbers.append(self._none)
        self._lengths.append(len(self._numbers) - before)
        if len(self._numbers) >= _BLOCK_WORDS:
            self._count_block()

    @property
    def lengths(self) -> NDArray[np.int32]:
        """The words of each chunk so far, (chunks,)."""
        return np.asarray(self._lengths)

    def score(self) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.int64]]:
        """Return BM25 by word, and by chunk within a word: the scores, their chunks, and the offset of each word."""
        self._count_block()
        lengths = self.lengths
        damping: NDArray[np.float64] = dampen(lengths, float(lengths.mean()))
        frequencies = np.zeros(len(self.vocabulary), dtype=np.int64)
        for words, _, _ in self._blocks:
            frequencies += np.bincount(words, minlength=len(frequencies))
        idf = np.array([inverse_frequency(len(lengths), found) for found in frequencies.tolist()], dtype=np.float32)
        starts = np.concatenate([[0], np.cumsum(frequencies)])
        scores, chunks = np.empty(starts[-1], dtype=np.float32), np.empty(starts[-1], dtype=np.int32)
        free = starts[:-1].copy()
        for block_words, block_chunks, counts in self._blocks:
            places = _take_places(free, block_words)
            scores[places] = idf[block_words] * (counts / (damping[block_chunks] + counts))
            chunks[places] = block_chunks
        return scores, chunks, starts

    def _count_block(self) -> None:
        lengths = np.asarray(self._lengths)[self._block_start :]
        chunks = np.repeat(np.arange(len(lengths)), lengths)
        pairs, counts = np.unique(np.asarray(self._numbers, dtype=np.int64) * len(lengths) + chunks, return_counts=True)
        words, chunks = np.divmod(pairs, len(lengths))
        chunks += self._block_start
        self._blocks.append((words.astype(np.int32), chunks.astype(np.int32), counts.astype(np.int32)))
        self._block_start = len(self._lengths)
        self._numbers = array("i")


def _take_places(free: NDArray[np.int64], words: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the next free places of these sorted words, and advance `free`, the next place of each word."""
    distinct, firsts, counts = np.unique(words, return_index=True, return_counts=True)
    places: NDArray[np.int64] = np.repeat(free[distinct] - firsts, counts) + np.arange(len(words))
    free[distinct] += counts
    return places


def dampen(lengths: NDArray[np.int32], mean_length: float) -> NDArray[np.float64]:
    """Return BM25's damping of the counts in chunks of these lengths."""
    return (K1 * (1 - B + B * lengths / mean_length)).astype(np.float64, copy=False)


def recount(
    scores: NDArray[np.float32], idf: float, lengths: NDArray[np.int32], mean_length: float
) -> NDArray[np.float64]:
    """Return how often a word of this idf stands in chunks of these lengths, by its scores; this is exact."""
    shares = scores.astype(np.float64) / np.float32(idf)
    counts: NDArray[np.float64] = np.rint(dampen(lengths, mean_length) * shares / (1 - shares))
    return counts


def inverse_frequency(total: int, found: int) -> float:
    """Return Lucene's inverse document frequency of a word that `found` of `total` chunks hold."""
    return math.log(1 + (total - found + 0.5) / (found + 0.5))


def _lengths_path(folder: Path) -> Path:
    return folder.with_name(LENGTHS_NAME)  # beside the library's own files
