"""Split a question into the things that it asks, each as a question of its own.

`How long does it take and how much does it cost?` has two answers, which may be in two places. A question is split only
if both sides ask something; a clause that asks nothing (`I live on the sixth floor`) stays with the next question.
"""

import re
from typing import Final

from rag.text.language import Language, sentence_spans, words

MAX_PARTS: Final = 3
_MIN_WORDS: Final = 3
_ASKS: Final[dict[Language, re.Pattern[str]]] = {
    "en": re.compile(
        r"^\W*(?:(?:and|or|also|then|but) )*(?:(?:by|in|at|on|for|to|from|until|since) )?"
        r"(?:what|who|whom|whose|when|where|which|how|why)\b",
        re.IGNORECASE,
    ),
    "vi": re.compile(
        r"\b(?:bao nhiêu|bao lâu|bao giờ|bao xa|mấy|ai|gì|nào|đâu|thế nào|ra sao|làm sao|tại sao|vì sao|sao)\b"
        r"|\b(?:không|chưa)\W*$",
        re.IGNORECASE,
    ),
}
_SEAM: Final[dict[Language, re.Pattern[str]]] = {
    "en": re.compile(r",? (?:and|plus)(?: also)? |; "),
    "vi": re.compile(r", (?:và |rồi )?| và |; "),
}
_NO_NAMES: Final = frozenset(("I", "A", "OK", "TV", "PC"))
_TOKEN = re.compile(r"[^\W_][\w'’.-]*|&")


def split_question(question: str, language: Language) -> list[str]:
    """Return the parts in order; only the question itself if it asks one thing, or more than `MAX_PARTS`."""
    asks, seam = _ASKS.get(language), _SEAM.get(language)
    if asks is None or seam is None:
        return [question]
    clauses: list[str] = []
    for start, end in sentence_spans(question):
        clauses += [each.strip() for each in seam.split(question[start:end]) if each.strip()]
        clauses[-1:] = [f"{clauses[-1]}\n"] if clauses else []  # a sentence ends here
    parts: list[str] = []
    waiting = ""
    for clause in clauses:
        waiting = f"{waiting.rstrip()} {clause}".strip(" ")
        if asks.search(clause.strip()) and len(words(clause)) >= _MIN_WORDS:
            parts.append(waiting.strip())
            waiting = ""
    if len(parts) < 2 or len(parts) > MAX_PARTS:
        return [question]
    if waiting:
        parts[-1] = f"{parts[-1]} {waiting.strip()}"
    return [_with_names(part, question) for part in parts]


def _with_names(part: str, question: str) -> str:
    """Return the part with the names that the question mentions elsewhere, as it is about the same things."""
    missing = [name for name in find_names(question) if name not in part]
    return f"{part} ({', '.join(missing)})" if missing else part


def find_names(question: str) -> list[str]:
    """Return the runs of capitalised words, with the figures in them; the first word of a sentence starts none."""
    names: list[list[str]] = [[]]
    for start, end in sentence_spans(question):
        for at, word in enumerate(_TOKEN.findall(question[start:end])):
            is_capital = word[0].isupper() and word.partition("'")[0].partition("’")[0] not in _NO_NAMES
            if (is_capital and at) or (names[-1] and (word[0].isdigit() or word == "&")):
                names[-1].append(word)
            elif names[-1]:
                names.append([])
        names.append([])
    return list(dict.fromkeys(" ".join(name).rstrip(".& ") for name in names if name))
