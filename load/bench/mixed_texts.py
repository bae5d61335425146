"""Draw texts of mixed lengths, as an embedder and a reranker get them: real words, English and Vietnamese."""

import random
from collections.abc import Sequence
from typing import Final

from load.processes import ROOT
from rag.parsing import SUFFIXES, parse
from rag.text.language import sentence_spans
from schemas.services import Pair

# Numbers of words: about 10 to 20 tokens a question, 50 to 400 a passage; four questions to one passage.
QUESTION_WORDS: Final = (7, 14)
PASSAGE_WORDS: Final = (35, 260)
RERANKED_WORDS: Final = (35, 130)
QUESTIONS_SHARE: Final = 0.8
SEED: Final = 20260510


def draw_texts(count: int) -> list[str]:
    """Draw questions and passages in random order; every call gives the same ones."""
    random.seed(SEED)
    words = _example_words()
    sizes = [QUESTION_WORDS if random.random() < QUESTIONS_SHARE else PASSAGE_WORDS for _ in range(count)]  # noqa: S311
    return [_draw_text(words, size) for size in sizes]


def draw_sized(count: int, size: tuple[int, int]) -> list[str]:
    """Draw texts of so many words, the least and the most; every call gives the same ones."""
    random.seed(SEED)
    words = _example_words()
    return [_draw_text(words, size) for _ in range(count)]


def draw_pairs(questions: int, passages: int, *, seed: int) -> list[Pair]:
    """Draw `questions` questions with `passages` passages each; another seed gives others."""
    random.seed(SEED + seed)
    words = _example_words()
    pairs = []
    for _ in range(questions):
        question = _draw_text(words, QUESTION_WORDS)
        pairs += [Pair(question=question, passage=_draw_text(words, RERANKED_WORDS)) for _ in range(passages)]
    return pairs


def _draw_text(words: Sequence[str], size: tuple[int, int]) -> str:
    """Draw a sequence of words of random length; short texts are more frequent than long ones."""
    low, high = size
    length = int(low * (high / low) ** random.random())  # noqa: S311  # no secret
    start = random.randrange(len(words) - length)  # noqa: S311
    return " ".join(words[start : start + length])


def _example_words() -> list[str]:
    paths = sorted(path for path in (ROOT / "examples" / "documents").iterdir() if path.suffix in SUFFIXES)
    texts = [parse(path).text for path in paths]
    return [word for text in texts for start, end in sentence_spans(text) for word in text[start:end].split()]
