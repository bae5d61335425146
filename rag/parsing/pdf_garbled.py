"""Know the fonts of a page whose characters are no text: a font without a table gives its own numbers."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Final

from rag.parsing.pdf_words import Raw

_LEADERS: Final = re.compile(r"[.…·_*=–—-]+")
_MIN_JUDGED_CHARS: Final = 20  # of a font on a page
_MIN_WORD_CHARS: Final = 3
_MIN_SIGNS: Final = 5  # different ones
_MIN_JUDGED_LETTERS: Final = 100
_MAX_CONTROL_SHARE: Final = 0.03
_MIN_VOWEL_SHARE: Final = 0.2  # of the letters; English and Vietnamese have nearly twice as many


def garbled_fonts(raws: Sequence[Raw]) -> set[str]:
    """Return the names of the fonts whose characters are no text: a font without a table gives its own numbers."""
    words: list[tuple[str, str]] = []
    for raw in raws:
        if words and not raw.is_spaced and words[-1][0] == raw.font.name:
            words[-1] = raw.font.name, words[-1][1] + raw.text
        else:
            words.append((raw.font.name, raw.text))
    texts: dict[str, list[str]] = {}
    for name, word in words:
        if len(word) >= _MIN_WORD_CHARS:  # the signs of a program often have a font of their own
            texts.setdefault(name, []).append(word)
    return {name for name, parts in texts.items() if _is_garbled("".join(parts))}


def _is_garbled(text: str) -> bool:
    text = _LEADERS.sub("", text)
    if len(text) < _MIN_JUDGED_CHARS:
        return False
    kinds = Counter(unicodedata.category(char) for char in text)
    known = sum(count for kind, count in kinds.items() if kind[0] in "LMN")
    signs = {char for char in text if unicodedata.category(char)[0] not in "LMN"}
    if (known < len(text) / 2 and len(signs) >= _MIN_SIGNS) or kinds["Cc"] > _MAX_CONTROL_SHARE * len(text):
        return True
    # The glyphs of most TrueType fonts are numbered by ASCII, 29 lower: text turns to capitals without vowels.
    letters = [char for char in text if char.isascii() and char.isalpha()]
    capitals = sum(char.isupper() for char in letters)
    vowels = sum(char in "AEIOUYaeiouy" for char in letters)
    return (
        len(letters) >= _MIN_JUDGED_LETTERS
        and len(letters) > known / 2
        and capitals > len(letters) / 2
        and vowels < _MIN_VOWEL_SHARE * len(letters)
    )
