"""Candidates → the numbered passages that the generator sees, within its token budget.

A passage is a whole chunk or nothing: the client resolves its `chunk_id` to exactly the text that the generator saw,
so nothing here cuts, merges or cleans a text. For the same reason a chunk that holds a chat template's control tokens
stays out altogether: a tokenizer would obey them, and breaking them up would show the generator another text.
"""

from collections.abc import Sequence
from functools import lru_cache

from rag.injection import has_control_token
from rag.ports import TokenCounter
from rag.types import Candidate, Chunk, Passage


def build_context(
    candidates: Sequence[Candidate], *, top_k: int, budget_tokens: int, counter: TokenCounter
) -> list[Passage]:
    """At most `top_k` passages, numbered from 1, in the order of the candidates (best first).

    Of chunks with the same words, or that share more than half of the shorter one, only the first goes in. The best
    passage goes in whatever its size: a chunk is bounded, and without it there is no answer. A later one that does not
    fit into what is left of the budget is passed over and the next one tried. The budget covers the passages with their
    labels, not the rest of the prompt.
    """
    passages: list[Passage] = []
    left_tokens = budget_tokens
    for candidate in candidates:
        if len(passages) == top_k:
            break
        chunk = candidate.chunk
        if has_control_token(chunk.text) or any(_repeats(chunk, passage.chunk) for passage in passages):
            continue
        number = len(passages) + 1
        # Apart: a passage is counted once, whatever its number is.
        cost_tokens = counter.count(chunk.text) + counter.count(f"[S{number}] \n\n")
        if cost_tokens <= left_tokens or not passages:
            passages.append(Passage(number, chunk, candidate.tokens))
            left_tokens -= cost_tokens
    return passages


def _repeats(chunk: Chunk, other: Chunk) -> bool:
    if _folded(chunk.text) == _folded(other.text):
        return True
    shared = min(chunk.end, other.end) - max(chunk.start, other.start)
    return chunk.document_id == other.document_id and 2 * shared > min(chunk.end - chunk.start, other.end - other.start)


@lru_cache(512)
def _folded(text: str) -> str:
    return " ".join(text.casefold().split())
