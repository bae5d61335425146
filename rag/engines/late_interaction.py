"""Rerank by late interaction (MaxSim over token vectors), which needs no weights other than the embedder's.

Token vectors are computed from the whole passage, so a sentence is scored in its context. They are cached, so a
repeated text costs a matrix product and no forward pass. If an index stores the token vectors of its passages, the
front compares them itself (`stored_interaction`), and this is not needed.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Final

from rag.engines.batching import estimate_text
from rag.engines.max_sim import score_windows
from rag.engines.sentence_transformer import SentenceEncoder
from rag.types import TokenVectors
from schemas.services import Pair

DEFAULT_CACHE_BYTES: Final = 512 << 20


class TokenVectorCache:
    """An LRU cache of token vectors by text, of at most `limit_bytes`."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._size_bytes = 0
        self._entries: OrderedDict[bytes, TokenVectors] = OrderedDict()

    def get(self, text: str) -> TokenVectors | None:
        """Return the token vectors of a text and mark them as used; None if they are not cached."""
        key = self._key(text)
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
        return entry

    def put(self, text: str, entry: TokenVectors) -> None:
        """Cache token vectors, unless they are larger than the whole cache."""
        key = self._key(text)
        if key in self._entries or entry.size_bytes > self._limit_bytes:
            return
        self._entries[key] = entry
        self._size_bytes += entry.size_bytes
        while self._size_bytes > self._limit_bytes:
            _, dropped = self._entries.popitem(last=False)
            self._size_bytes -= dropped.size_bytes

    def __contains__(self, text: str) -> bool:
        return self._key(text) in self._entries

    @staticmethod
    def _key(text: str) -> bytes:
        return blake2b(text.encode(), digest_size=16).digest()


class LateInteractionScorer:
    """Scores windows of passages against questions; not thread-safe, except for `estimate`."""

    def __init__(self, encoder: SentenceEncoder, *, cache_bytes: int = DEFAULT_CACHE_BYTES) -> None:
        self.info = encoder.info
        self._encoder = encoder
        self._questions = TokenVectorCache(cache_bytes // 8)
        self._passages = TokenVectorCache(cache_bytes)

    def score(self, pairs: Sequence[Pair]) -> list[float]:
        """Return the relevance of each pair, in order: a mean cosine, −1 to 1, higher is better."""
        questions = _read_known([pair.question for pair in pairs], self._questions, self._read_questions)
        passages = _read_known([pair.passage for pair in pairs], self._passages, self._read_passages)
        windows: dict[tuple[str, str], list[int]] = defaultdict(list)
        for number, pair in enumerate(pairs):
            windows[pair.question, pair.passage].append(number)
        relevances = [0.0] * len(pairs)
        for numbers in windows.values():
            first, parts = numbers[0], [(pairs[at].start, pairs[at].end, pairs[at].head) for at in numbers]
            for number, relevance in zip(numbers, score_windows(questions[first], passages[first], parts), strict=True):
                relevances[number] = relevance
        return relevances

    def estimate(self, pair: Pair) -> int:
        """Estimate the tokens of a pair, 1 if the passage is cached; safe to call from any thread."""
        return 1 if pair.passage in self._passages else estimate_text(pair.passage)

    def _read_questions(self, texts: Sequence[str]) -> Sequence[TokenVectors]:
        return [each.tokens for each in self._encoder.read_queries(texts)]

    def _read_passages(self, texts: Sequence[str]) -> Sequence[TokenVectors]:
        return self._encoder.read_passages(texts).tokens


def _read_known(
    texts: Sequence[str], cache: TokenVectorCache, read: Callable[[Sequence[str]], Sequence[TokenVectors]]
) -> list[TokenVectors]:
    """Read the texts through the cache: a query's question comes twice (passages, sentences), a passage many times."""
    found = {text: entry for text in set(texts) if (entry := cache.get(text)) is not None}
    missing = sorted(set(texts) - found.keys())
    for text, entry in zip(missing, read(missing) if missing else (), strict=True):
        cache.put(text, entry)
        found[text] = entry
    return [found[text] for text in texts]
