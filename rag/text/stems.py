"""Compare words by content: without function words, and without endings.

The check and the excerpts in the prompt use this; the lexical index takes words as they are.
"""

from functools import lru_cache
from typing import Final

_EN_STOP_WORDS: Final = """
    a an the and or but if then than that this these those there here of in on at to from by with for as into onto about
    over under between through during before after up down out off is are was were be been being am do does did done has
    have had having will would shall should can could may might must not no nor so such too very also it its he him his
    she her they them their we us our you your i me my who whom whose which what when where why how all any both each
    few more most other some own same only just because while until again further once
"""
# Function syllables only, and none that is half of a common content word.
_VI_STOP_WORDS: Final = """
    là và của có các những cho với được bị trong trên dưới từ đến tại về theo này đó kia ấy thì mà hay hoặc nhưng nếu
    khi vì do bởi để cũng đã đang sẽ rất như một mỗi ở ra vào lên xuống lại rồi nên còn chỉ cả gì ai nào sao
"""
_STOP_WORDS: Final = frozenset(_EN_STOP_WORDS.split()) | frozenset(_VI_STOP_WORDS.split())
_MIN_STEM_CHARS: Final = 4


def is_function_word(word: str) -> bool:
    """Return whether a word, case-folded, has no content of its own."""
    return word in _STOP_WORDS


@lru_cache(16_384)
def stem(word: str) -> str:
    """Return the word without its English ending; Vietnamese syllables have none and are mostly too short to change."""
    if len(word) <= _MIN_STEM_CHARS or not word.isascii():
        return word
    for ending, kept in (("ies", "y"), ("sses", "ss"), ("ing", ""), ("ed", ""), ("es", ""), ("ly", ""), ("s", "")):
        if word.endswith(ending) and len(word) - len(ending) + len(kept) >= 3 and not word.endswith(("ss", "us", "is")):
            rest = word[: -len(ending)] + kept
            return rest[:-1] if rest[-1:] == "e" else rest
    return word[:-1] if word.endswith("e") else word
