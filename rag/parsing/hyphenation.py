"""Join the words that were broken at the end of a line."""

import re
from collections.abc import Sequence
from typing import Final

from rag.parsing.line import Line

_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_BROKEN_WORD = re.compile("([^\\W\\d_]+)\ufffe([^\\W\\d_]+)")
# PDFium's character for a hyphen at the end of a line, which it joins with the next line.
_LINE_END_HYPHEN: Final = "\ufffe"


class Hyphenation:
    """Tells hyphens added at the end of a line from those of the word, by the spelling in the rest of the document."""

    def __init__(self, lines: Sequence[Line]) -> None:
        whole = (_BROKEN_WORD.sub(" ", line.text) for line in lines)
        self._known = {word for text in whole for word in _WORD.findall(text.lower())}

    def repair(self, text: str) -> str:
        return _BROKEN_WORD.sub(self._join, text).replace(_LINE_END_HYPHEN, "-")

    def _join(self, broken: re.Match[str]) -> str:
        first, second = broken[1].lower(), broken[2].lower()
        is_compound = f"{first}-{second}" in self._known or {first, second} <= self._known
        return (
            f"{broken[1]}-{broken[2]}" if is_compound and first + second not in self._known else broken[1] + broken[2]
        )
