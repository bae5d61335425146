"""What a model thinks aloud before it answers, told from what it says; servers without a reasoning parser mix them."""

import re
from typing import Final, NamedTuple

_NAMES: Final = ("think", "thinking", "thought")
_TAG: Final = re.compile(rf"<(/?)(?:{'|'.join(_NAMES)})>", re.IGNORECASE)
_TAGS: Final = tuple(f"<{slash}{name}>" for slash in ("", "/") for name in _NAMES)
_TAG_CHARS: Final = max(map(len, _TAGS))


class Speech(NamedTuple):
    """What is said; `is_anew` where all that was said before it turned out to be thoughts."""

    text: str
    is_anew: bool = False


class ThoughtFilter:
    """Text in pieces, to the text outside `<think>`, `<thinking>` and `<thought>`, in any case, however it is cut.

    A closing tag ends the thoughts whether they were opened or not: some templates open them in the prompt.
    """

    def __init__(self) -> None:
        self._held = ""  # what may be the beginning of a tag
        self._is_thinking = False

    def feed(self, text: str) -> Speech:
        text, self._held = self._held + text, ""
        said, is_anew, start = "", False, 0
        for tag in _TAG.finditer(text):
            if not self._is_thinking:
                said += text[start : tag.start()]
            if tag[1] and not self._is_thinking:
                said, is_anew = "", True
            self._is_thinking = not tag[1]
            start = tag.end()
        rest = text[start:]
        held_from = _find_beginning(rest)
        rest, self._held = rest[:held_from], rest[held_from:]
        return Speech(said if self._is_thinking else said + rest, is_anew)

    def close(self) -> str:
        """What was no tag after all."""
        held, self._held = self._held, ""
        return "" if self._is_thinking else held


def _find_beginning(text: str) -> int:
    """Where a tag begins that is cut off by the end of the text; its length where none does."""
    start = text.rfind("<", -_TAG_CHARS if len(text) >= _TAG_CHARS else 0)
    tail = text[start:].lower()
    return start if start >= 0 and any(tag.startswith(tail) for tag in _TAGS) else len(text)
