"""Weigh the words of a chunk so that Milvus can score BM25 without knowing how rare a word is.

Milvus has a BM25 of its own, which was rejected. It counts words over all rows of a collection: those of other tenants,
those that the caller may not see, and those of versions that no longer serve; each of them would show in the scores.
And it splits text with its own analyzers, none of which knows what a word is to us. So a chunk is stored as a sparse
vector: for each word its share `count / (count + damping)` of BM25, with the damping of a reference length. A question
is the vector of its words' rarity in what the caller sees. Milvus computes the inner product, which is BM25 but for the
mean length, with an inverted index. The best of it, and some more, are then scored again with the true mean length.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Final

import numpy as np

from rag.index.lexical import K1, B, inverse_frequency
from rag.text.language import fold

# Near the mean length of the chunks that the chunker makes; any number is right, as scores are computed anew.
REFERENCE_WORDS: Final = 128
# Stands for a chunk without words, as in the embedded engine; no text holds it.
NO_WORD: Final = ""
# The distinct words of a chunk that are stored; a chunk has fewer.
TERMS_MAX: Final = 4_096
# Milvus's sparse vectors have indices below this.
_SPARSE_INDICES: Final = 2**32 - 1


def number_of(text: str) -> int:
    """Return the 63-bit number that stands for a text in filters: it holds nothing that a filter could be built of."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()) >> 1


def sparse_index(word: str) -> int:
    """Return the index of a word in sparse vectors; of a million words, about a hundred share one with another."""
    return number_of(word) % _SPARSE_INDICES


def shape_of(folded: str) -> int:
    """Return what words one typing error apart have in common but for their length, and the length."""
    return number_of(f"{folded[:1]}\0{folded[-1:]}\0{len(folded)}")


def near_shapes(word: str) -> list[int]:
    """Return the shapes of the words that may be one typing error away from this one."""
    folded = fold(word)
    return [number_of(f"{folded[:1]}\0{folded[-1:]}\0{len(folded) + more}") for more in (-1, 0, 1)]


def weigh(words: Sequence[str]) -> dict[int, float]:
    """Return the sparse vector of a chunk with these words; never empty."""
    damping = damp(max(1, len(words)), REFERENCE_WORDS)
    counts: Counter[int] = Counter(map(sparse_index, words or [NO_WORD]))
    return {index: count / (count + damping) for index, count in counts.items()}


def count_terms(words: Sequence[str]) -> dict[int, int]:
    """Return how often each word stands in a chunk, by its number; at most `TERMS_MAX` of them."""
    counts = Counter(words or [NO_WORD])
    return {number_of(word): count for word, count in islice(counts.items(), TERMS_MAX)}


def weigh_question(words: Sequence[str], rarity: Mapping[str, float]) -> dict[int, float]:
    """Return what each word of a question weighs, by its number; a repeated word counts each time."""
    counts = Counter(word for word in words if word in rarity)
    return {number_of(word): rarity[word] * count for word, count in counts.items()}


def ask(weights: Mapping[int, float]) -> dict[int, float]:
    """Return the sparse vector of a question."""
    vector: dict[int, float] = {}
    for number, weight in weights.items():
        vector[number % _SPARSE_INDICES] = vector.get(number % _SPARSE_INDICES, 0.0) + weight
    return vector


def score(counts: Mapping[int, int], length: int, weights: Mapping[int, float], mean_length: float) -> float:
    """Return BM25 of a chunk for a question, by the mean length of what is seen.

    As in `rag.index.lexical`, but for the last bits of the sum. `counts` are those of the chunk's words, `length` their
    number, `weights` those of the question's words.
    """
    damping, total = damp(length, mean_length), np.float32(0)
    for number, weight in weights.items():
        count = counts.get(number)
        if count is not None:
            total += np.float32(weight) * np.float32(count / (damping + count))
    return float(total)


def damp(length: int, mean_length: float) -> float:
    """Return BM25's damping of the counts in a chunk of this many words."""
    return K1 * (1 - B + B * length / mean_length)


def rarity_of(total: int, counts: Mapping[str, int]) -> dict[str, float]:
    """Return the inverse document frequency of those words that stand in at least one of `total` chunks."""
    return {word: inverse_frequency(total, found) for word, found in counts.items() if found}
