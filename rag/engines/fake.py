"""Fake the models, without weights: deterministic and instant, for developing clients and testing the contract.

`make dev` and the tests use them. They agree with each other: the embedder's nearest passages share words with the
question, the scorer counts the same words, and the generator quotes the sentences that share most of them.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Final

import numpy as np

from rag.ports import Vectors
from rag.text.language import sentence_spans, word_set, words
from rag.types import Delta, EncodedTexts, Message, ModelInfo, TokenUsage, Window

DIMENSION: Final = 256
_DELTA_CHARS: Final = 7  # splits words and markers anywhere, as real tokens do
_QUOTED_SENTENCES: Final = 2
_LABEL: Final = re.compile(r"\[S\d+\]")


class FakeCounter:
    """Counts one token per word."""

    def count(self, text: str) -> int:
        return len(text.split())


class FakeEncoder:
    """Encodes texts as hashed bags of words, with the interface of `SentenceEncoder`."""

    info: Final = ModelInfo("fake-embedder", "1", DIMENSION)
    limit_tokens: Final = 512

    def count(self, text: str) -> int:
        return len(text.split())

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """Encode queries: float32, (n, DIMENSION), rows of unit length."""
        return self.encode_passages(texts)

    def encode_passages(self, texts: Sequence[str], on_batch: Callable[[int], None] | None = None) -> Vectors:
        """Encode passages: float32, (n, DIMENSION), rows of unit length; `on_batch` gets the number of texts."""
        vectors = np.zeros((len(texts), DIMENSION), dtype=np.float32)
        for row, text in zip(vectors, texts, strict=True):
            for word in words(text) or [""]:
                row[_bucket(word)] += 1.0
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        if on_batch is not None:
            on_batch(len(texts))
        return vectors

    def read_passages(self, texts: Sequence[str], on_batch: Callable[[int], None] | None = None) -> EncodedTexts:
        """Encode passages without token vectors, which a bag of words does not have."""
        return EncodedTexts(self.encode_passages(texts, on_batch), ())


class FakeEmbedder:
    """A `TextEmbedder` with the vectors of `FakeEncoder`."""

    info: Final = FakeEncoder.info

    async def embed_query(self, text: str, *, timeout_s: float, trace_id: str) -> Vectors:
        vector: Vectors = FakeEncoder().encode_queries([text])[0]
        return vector


class FakeScorer:
    """A `PassageScorer`: the share of the question's words that occur in the window, from 0 to 1."""

    info: Final = ModelInfo("fake-reranker", "1")
    relevance_floor: Final = 0.1

    async def score(self, question: str, windows: Sequence[Window], *, timeout_s: float, trace_id: str) -> list[float]:
        return [overlap(question, window.text) for window in windows]


class FakeEntailment:
    """An `EntailmentModel`: the share of the hypothesis' words that occur in the premise, from 0 to 1."""

    info: Final = ModelInfo("fake-verifier", "1")

    async def entail(self, premise: str, hypothesis: str, *, timeout_s: float, trace_id: str) -> float:
        return overlap(hypothesis, premise)


class FakeGenerator:
    """A `TextGenerator` that quotes the sentences of the prompt's passages that share most words with the question."""

    info: Final = ModelInfo("fake-generator", "1")

    @asynccontextmanager
    async def stream(
        self, messages: Sequence[Message], *, max_tokens: int, timeout_s: float, trace_id: str
    ) -> AsyncIterator[AsyncIterator[Delta]]:
        deltas = self._deltas(messages, max_tokens)
        try:
            yield deltas
        finally:
            await deltas.aclose()

    @staticmethod
    async def _deltas(messages: Sequence[Message], max_tokens: int) -> AsyncGenerator[Delta, None]:
        drafted = _quote_best(messages[-1].content).split(" ")
        text = " ".join(drafted[:max_tokens])
        for start in range(0, len(text), _DELTA_CHARS):
            await asyncio.sleep(0)  # other tasks run between two pieces, as with a network
            yield Delta(text[start : start + _DELTA_CHARS])
        prompt_tokens = sum(len(message.content.split()) for message in messages)
        usage = TokenUsage(prompt_tokens, len(text.split(" ")))
        yield Delta(finish_reason="length" if len(drafted) > max_tokens else "stop", usage=usage)


def overlap(question: str, text: str) -> float:
    """Return the share of the question's words that occur in the text."""
    asked = word_set(question)
    return len(asked & word_set(text)) / len(asked) if asked else 0.0


def _bucket(word: str) -> int:
    """Hash a word to a bucket that is the same in every process, unlike with `hash`."""
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest()) % DIMENSION


def _quote_best(prompt: str) -> str:
    """Return the sentences of the labelled passages that share most words with the question, the prompt's last part."""
    fenced, _, question = prompt.rpartition("\n\n")
    sources = fenced.rpartition("\n</")[0] or fenced
    labels = list(_LABEL.finditer(sources))
    ends = [label.start() for label in labels[1:]] + [len(sources)]
    ranked: list[tuple[float, str]] = []
    for label, passage_end in zip(labels, ends, strict=True):
        sentences = _sentences(sources[label.end() : passage_end])
        ranked += [(overlap(question, sentence), f"{sentence} {label.group()}") for sentence in sentences]
    ranked.sort(key=lambda pair: -pair[0])
    return " ".join(sentence for _, sentence in ranked[:_QUOTED_SENTENCES])


@lru_cache(512)
def _sentences(passage: str) -> tuple[str, ...]:
    return tuple(passage[start:end] for start, end in sentence_spans(passage))
