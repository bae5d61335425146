"""Remove what a model wraps around its answer: JSON, XML tags, code fences, "Answer:".

Sans-IO, like the parser that uses it: the output depends on the text alone, never on where it was split. Only an
opening is held back.
"""

import re
from typing import Final

_LABELS: Final = "final[_ ]answer|answer|response|câu[_ ]trả[_ ]lời|trả[_ ]lời|đáp[_ ]án"
_NAMES: Final = rf"{_LABELS}|reply|result|output|content|text"
_OPENING_CHARS: Final = 80
_FENCE: Final = r"(?:`{3,}\w{0,12}\s*)?"
_OPENING = re.compile(rf'\s*{_FENCE}\{{\s*"(?:{_NAMES})"\s*:\s*"', re.IGNORECASE)
# Matches any beginning of an opening, and a little more.
_BEGINNING = re.compile(rf'\s*(?:`{{1,2}}|{_FENCE}(?:\{{\s*(?:"[^"\n]{{0,20}}(?:"\s*(?::\s*)?)?)?)?)')
_ESCAPES: Final = {"n": "\n", "r": "\n", "t": "\t", "b": "", "f": "\n"}
_UNICODE_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
_UNICODE_CHARS: Final = len(r"\u0041")
_AROUND = re.compile(
    rf"</?(?:{_NAMES})\s*/?>|\A\s*`{{3,}}(?:(?:json|xml|html|markdown|md|text|txt|yaml)\b)?|`{{3,}}\s*\Z"
    rf"|\A[*_\s]*(?:the )?(?:{_LABELS})[*_\s]*[:：][*_]*(?=\s*\S)",
    re.IGNORECASE,
)


class Unwrapper:
    """Extracts the text from `{"answer": "…"}`; everything else passes unchanged."""

    def __init__(self) -> None:
        self._held = ""
        self._is_decided = False
        self._is_json = False
        self._is_closed = False

    def feed(self, text: str) -> str:
        """Return the part of the text so far that is known to belong to the answer."""
        self._held += text
        if not self._is_decided:
            opening = _OPENING.match(self._held)
            if opening and opening.end() <= _OPENING_CHARS:
                self._is_json = True
                self._held = self._held[opening.end() :]
            elif len(self._held) <= _OPENING_CHARS and _BEGINNING.fullmatch(self._held):
                return ""
            self._is_decided = True
        if self._is_json:
            return self._decode()
        return self.close()

    def close(self) -> str:
        """Return the text that is held back when the draft ends."""
        held, self._held = self._held, ""
        return "" if self._is_json else held

    def _decode(self) -> str:
        """Decode the string so far: up to its closing quote, or to an incomplete escape."""
        decoded: list[str] = []
        at = 0
        while at < len(self._held) and not self._is_closed:
            char = self._held[at]
            if char == "\\":
                size = _UNICODE_CHARS if self._held[at + 1 : at + 2] == "u" else 2
                if at + size > len(self._held):
                    break
                decoded.append(_unescape(self._held[at : at + size]))
                at += size
            else:
                self._is_closed = char == '"'
                decoded.append("" if self._is_closed else char)
                at += 1
        self._held = "" if self._is_closed else self._held[at:]
        return "".join(decoded)


def unwrap(sentence: str) -> str:
    """Return a sentence without tags, fences and labels around it."""
    while (bare := _AROUND.sub("", sentence)) != sentence:
        sentence = bare.strip()
    return sentence


def _unescape(escape: str) -> str:
    """Decode one escape; halves of surrogate pairs are dropped, as our texts do not need them."""
    if found := _UNICODE_ESCAPE.fullmatch(escape):
        code = int(found[1], 16)
        return "" if 0xD800 <= code < 0xE000 else chr(code)
    return _ESCAPES.get(escape[1], escape[1])
