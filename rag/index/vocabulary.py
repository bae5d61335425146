"""Find the words of an index that a typed word may stand for: with diacritics added, or a typing error undone."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from typing import Final

from rag.text.language import fold

# In a larger vocabulary the search for typing errors would delay a question.
_NEAR_MAX_WORDS: Final = 200_000
NEAR_MIN_CHARS: Final = 5
_LONG_WORD_CHARS: Final = 7
_VERY_LONG_WORD_CHARS: Final = 9


class Vocabulary:
    """The words of one version by spelling; made when the first question needs it, 2 µs per word."""

    def __init__(self, words: Collection[str], count: Callable[[str], int]) -> None:
        """`count` returns how many chunks hold a word."""
        self._count = count
        self._by_fold: dict[str, list[str]] = defaultdict(list)
        self._by_shape: dict[tuple[str, int], list[str]] = defaultdict(list)
        for word in words:
            if word:
                self._by_fold[fold(word)].append(word)
        if len(words) <= _NEAR_MAX_WORDS:
            for folded in self._by_fold:
                self._by_shape[folded[0], len(folded)].append(folded)

    def spellings(self, word: str) -> dict[str, int]:
        """Return the words that differ from this one in nothing but diacritics, and how many chunks hold each."""
        return {found: self._count(found) for found in self._by_fold.get(fold(word), ())}

    def near(self, word: str) -> dict[str, int]:
        """Return the words one typing error away from this one, which no chunk holds, and how many chunks hold each.

        The first and the last letter must agree: at the end, forms of one word differ.
        """
        folded = fold(word)
        if len(folded) < NEAR_MIN_CHARS or not folded.isalpha():
            return {}
        return {found: self._count(found) for near in self._near(folded) for found in self._by_fold[near]}

    def _near(self, folded: str) -> Iterator[str]:
        for length in range(len(folded) - 1, len(folded) + 2):
            for other in self._by_shape.get((folded[0], length), ()):
                if folded[-1] == other[-1] and is_one_slip(folded, other):
                    yield other


def is_one_slip(word: str, other: str) -> bool:
    """Return whether the typed `word` lacks a letter of `other`, has one too many, or has two neighbours exchanged.

    An extra or wrong letter turns many short words into other words (`black`, `back`; `score`, `scope`). So it counts
    only in long words, or if the extra letter is a doubled one.
    """
    start = 0
    while start < min(len(word), len(other)) and word[start] == other[start]:
        start += 1
    rest, other_rest = word[start:], other[start:]
    if len(word) + 1 == len(other):
        return rest == other_rest[1:]
    if len(word) == len(other) + 1:
        is_doubled = word[start - 1 : start] == rest[:1]
        return rest[1:] == other_rest and (is_doubled or len(word) >= _LONG_WORD_CHARS)
    if len(word) != len(other) or len(rest) < 1:
        return False
    if len(rest) > 1 and rest[:2] == other_rest[1::-1] and rest[2:] == other_rest[2:]:
        return True
    return rest[1:] == other_rest[1:] and len(word) >= _VERY_LONG_WORD_CHARS
