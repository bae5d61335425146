"""Choose the numbered passages that an answer may rest on, and fit them into the generator's prompt.

A passage is a whole chunk: the client resolves its `chunk_id` to the text that was quoted. The prompt is bounded: a
passage that is too long for it is reduced to its best sentences, and never replaced by a worse passage. A chunk that
holds control tokens of a chat template is left out: a tokenizer would obey them, and the generator would see another
text if they were broken up.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Final

from rag.ports import TokenCounter
from rag.text.injection import has_control_token
from rag.text.language import sentence_spans, word_set
from rag.text.stems import is_function_word
from rag.types import Candidate, Chunk, Passage

# Less room than this is not enough for a sentence.
_MIN_EXCERPT_TOKENS: Final = 24


def choose_passages(candidates: Sequence[Candidate], *, top_k: int) -> list[Passage]:
    """Return at most `top_k` passages, numbered from 1, in the order of the candidates (best first).

    Of chunks with the same words, or with an overlap of more than half of the shorter one, only the first is taken.
    """
    passages: list[Passage] = []
    for candidate in candidates:
        if len(passages) == top_k:
            break
        chunk = candidate.chunk
        if not has_control_token(chunk.text) and not any(_repeats(chunk, passage.chunk) for passage in passages):
            passages.append(Passage(len(passages) + 1, chunk, candidate.tokens))
    return passages


def fit_into_budget(
    passages: Sequence[Passage], *, question: str, budget_tokens: int, counter: TokenCounter
) -> list[Passage]:
    """Return the passages for the prompt, best first, until the budget is used.

    The best one is included whole, whatever its size: a chunk is bounded, and without it there is no answer. A later
    one that does not fit is reduced to the sentences that share most words with the question, in their order. The
    budget covers the passages and their labels, not the rest of the prompt.
    """
    fitted: list[Passage] = []
    left_tokens = budget_tokens
    for passage in passages:
        # Counted separately: the count of a passage does not depend on its number.
        label_tokens = counter.count(f"[S{passage.number}] \n\n")
        cost_tokens = counter.count(passage.chunk.text) + label_tokens
        shown = passage
        if fitted and cost_tokens > left_tokens:
            room_tokens = left_tokens - label_tokens
            text = _excerpt(passage.chunk.text, question, room_tokens, counter)
            if room_tokens < _MIN_EXCERPT_TOKENS or not text:
                break
            shown = replace(passage, chunk=replace(passage.chunk, text=text))
            cost_tokens = left_tokens
        fitted.append(shown)
        left_tokens -= cost_tokens
    return fitted


def _excerpt(text: str, question: str, room_tokens: int, counter: TokenCounter) -> str:
    """Return the sentences that share most words with the question and fit together, in order, one per line."""
    sentences = [text[start:end] for start, end in sentence_spans(text)]
    asked = {word for word in word_set(question) if not is_function_word(word)}
    kept: list[int] = []
    for at in sorted(range(len(sentences)), key=lambda place: -len(asked & word_set(sentences[place]))):
        cost_tokens = counter.count(sentences[at] + "\n")
        if cost_tokens <= room_tokens:
            kept.append(at)
            room_tokens -= cost_tokens
    return "\n".join(sentences[at] for at in sorted(kept))


def _repeats(chunk: Chunk, other: Chunk) -> bool:
    if _folded(chunk.text) == _folded(other.text):
        return True
    shared = min(chunk.end, other.end) - max(chunk.start, other.start)
    return chunk.document_id == other.document_id and 2 * shared > min(chunk.end - chunk.start, other.end - other.start)


@lru_cache(512)
def _folded(text: str) -> str:
    return " ".join(text.casefold().split())
