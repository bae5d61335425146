"""Look up the words of a question in an index, all at once, and keep what it says, so that reading is pure."""

import re
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Final

from rag.ports import ChunkIndex
from rag.question.shorthand import SHORTHAND
from rag.text.language import fold, words

_WORD: Final = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


class Lexicon:
    """How the index that is asked spells the words of one conversation."""

    def __init__(self, index: ChunkIndex) -> None:
        self.index: Final = index
        self._found: dict[str, Mapping[str, int]] = {}  # by the word without diacritics
        self._learned: set[str] = set()  # a question is mostly read as it was asked: its words are taken apart once

    async def learn(self, *texts: str) -> None:
        """Look up the words of these texts, and what their shorthand stands for; the index is asked for new ones only.

        Raises: IndexUnavailable.
        """
        new = [text for text in texts if text not in self._learned]
        if not new:
            return
        self._learned.update(new)
        asked = set(map(fold, chain.from_iterable(map(_words_of, new)))) - self._found.keys()
        if asked:
            self._found |= await self.index.spellings(asked)

    def spellings(self, word: str) -> Mapping[str, int]:
        """Return the words of the index that equal a learned one without diacritics, and how many chunks hold each."""
        return self._found[fold(word)]


def _words_of(text: str) -> Iterable[str]:
    typed = [found.group().casefold() for found in _WORD.finditer(text)]
    meant = [part for word in typed for expansion in SHORTHAND.get(word, ()) for part in expansion.split()]
    return chain(typed, words(text), meant)
