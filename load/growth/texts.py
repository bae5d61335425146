"""Draw texts that are like English and Vietnamese ones in what matters to an index: the frequencies of words.

The numbers are XQuAD's: 150 paragraphs in English, the same in Vietnamese, in the words of `rag.text.language.words`.
"""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

PARAGRAPHS_PER_DOCUMENT: Final = 20
# Measured; the spread of a paragraph's words is half their mean, in both languages.
_PARAGRAPH_SPREAD: Final = 0.5
_WORDS_PER_SENTENCE: Final = 24
_SENTENCE_SPREAD: Final = 0.4
# The maximum distance, in words, between two occurrences of a word that is repeated in its paragraph.
_REPEATED_WITHIN: Final = 60
# The spellings of frequent words are cached; rare ones are built each time.
_KEPT_SPELLINGS: Final = 200_000

# Chosen so that no two sequences of syllables give the same word.
_ONSETS: Final[tuple[str, ...]] = (*"bcdfghjklmnprstvwz", "br", "tr")
_SYLLABLES: Final = [onset + vowel + coda for coda in ("n", "l", "nd", "rm") for vowel in "aeiou" for onset in _ONSETS]
_VI_ONSETS: Final[tuple[str, ...]] = (*"bcdđghlmnrstvx", "ch", "kh", "ng", "nh", "ph", "qu", "th", "tr")
_VI_NUCLEI: Final = [
    unicodedata.normalize("NFC", vowel + tone)
    for tone in ("", "\u0300", "\u0301", "\u0309", "\u0303", "\u0323")
    for vowel in "aăâeêioôơuưy"
]
_VI_CODAS: Final[tuple[str, ...]] = ("", "n", "ng", "i", "m")


def spell_english(rank: int) -> str:
    """Return the word of this rank, from 0; frequent words are short, and all words are different."""
    syllables = []
    while rank >= 0:
        rank, last = divmod(rank, len(_SYLLABLES))
        syllables.append(_SYLLABLES[last])
        rank -= 1
    return "".join(reversed(syllables))


def spell_vietnamese(rank: int) -> str:
    """Return a Vietnamese syllable; after the last one, a word like an English one, as a foreign name."""
    if rank >= len(_VI_ONSETS) * len(_VI_NUCLEI) * len(_VI_CODAS):
        return spell_english(rank)
    rest, onset = divmod(rank, len(_VI_ONSETS))
    coda, nucleus = divmod(rest, len(_VI_NUCLEI))
    return _VI_ONSETS[onset] + _VI_NUCLEI[nucleus] + _VI_CODAS[coda]


@dataclass(frozen=True, slots=True)
class WordLaw:
    """The frequency of a word by its rank: 1 / (rank + shift) up to the knee, rank ** -slope beyond it.

    There are two regimes, because one alone gives too few words: with a slope above 1 the vocabulary never ends, and
    grows with the number of words to the power of 1 / slope (Heaps' law).
    Source: Mandelbrot 1953; Gerlach and Altmann, "Stochastic Model for the Vocabulary Growth in Natural Languages",
    Physical Review X 3, 2013.
    """

    knee: int
    shift: float
    slope: float
    repeated: float  # the share of words that repeat a recent word of the paragraph
    paragraph_words: int
    question_words: int
    question_overlap: float  # the share of a question's words that occur in the passage that answers it
    spell: Callable[[int], str]

    def draw_ranks(self, random: np.random.Generator, count: int) -> np.ndarray:
        """Draw independent ranks from 0, int64, (count,)."""
        head = np.log((self.knee + self.shift) / (1 + self.shift))
        tail = self.knee / ((self.knee + self.shift) * (self.slope - 1))
        point = random.random(count) * (head + tail)
        frequent = (1 + self.shift) * np.exp(np.minimum(point, head)) - self.shift
        left = np.clip(1 - (point - head) / tail, 1e-12, 1)
        rare = self.knee * left ** (-1 / (self.slope - 1))
        ranks: np.ndarray = np.where(point < head, frequent, rare).astype(np.int64) - 1
        return ranks


# Fitted to XQuAD; measured there and drawn here, at its size:        English          Vietnamese
#   distinct words of 18 899 and of 26 226                        5120 -> 4087       3003 -> 3205
#   share of the first and of the tenth word in per cent          7.4, .9 -> 7.5, 1  2.1, 1 -> 2.6, 1
#   distinct words of a paragraph                                 81 -> 82           107 -> 108
#   paragraphs that hold a word of a question, its words summed   2.71 -> 2.73       3.32 -> 3.33
ENGLISH: Final = WordLaw(2_000, 0.0, 1.65, 0.20, 126, 11, 0.66, spell_english)
VIETNAMESE: Final = WordLaw(1_000, 5.0, 2.0, 0.30, 175, 14, 0.76, spell_vietnamese)
LAWS: Final = (ENGLISH, VIETNAMESE)


class TextStream:
    """Draws documents one after the other, English and Vietnamese in turn, without keeping them."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._drawn = 0
        self._spell = {law: lru_cache(_KEPT_SPELLINGS)(law.spell) for law in LAWS}

    def draw_document(self) -> str:
        """Draw the next document, whose paragraphs are separated by blank lines."""
        law = LAWS[self._drawn % len(LAWS)]
        self._drawn += 1
        lengths = self._lengths(law.paragraph_words, _PARAGRAPH_SPREAD, PARAGRAPHS_PER_DOCUMENT)
        said = self._say(law, int(lengths.sum()))
        ends = np.cumsum(lengths).tolist()
        starts = [0, *ends[:-1]]
        return "\n\n".join(self._write_paragraph(said[start:end]) for start, end in zip(starts, ends, strict=True))

    def draw_question(self, passage_words: Sequence[str]) -> str:
        """Draw a question that the passage with these words answers: most of its words occur there."""
        law = LAWS[self._drawn % len(LAWS)]
        self._drawn += 1
        distinct = sorted(set(passage_words))
        taken = min(len(distinct), round(law.question_words * law.question_overlap))
        of_passage = [distinct[place] for place in self._random.choice(len(distinct), taken, replace=False)]
        others = law.draw_ranks(self._random, law.question_words - taken).tolist()
        return " ".join([*of_passage, *map(law.spell, others)]) + "?"

    def _say(self, law: WordLaw, count: int) -> list[str]:
        ranks = law.draw_ranks(self._random, count)
        repeated = np.flatnonzero(self._random.random(count) < law.repeated)
        behind = self._random.integers(1, _REPEATED_WITHIN, len(repeated))
        ranks[repeated] = ranks[np.maximum(repeated - behind, 0)]
        return list(map(self._spell[law], ranks.tolist()))

    def _write_paragraph(self, words: Sequence[str]) -> str:
        lengths = self._lengths(_WORDS_PER_SENTENCE, _SENTENCE_SPREAD, 2 + len(words) // 12)
        sentences, start = [], 0
        for end in np.cumsum(lengths).tolist():
            if words[start:end]:
                sentences.append(" ".join([words[start].capitalize(), *words[start + 1 : end]]) + ".")
            start = end
        return " ".join(sentences)

    def _lengths(self, mean: int, spread: float, count: int) -> np.ndarray:
        drawn: np.ndarray = np.maximum(self._random.normal(mean, spread * mean, count), mean * 0.25).astype(np.int64)
        return drawn
