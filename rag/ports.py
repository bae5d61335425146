"""What is replaced in tests or stands in another process, as protocols; the stages know nothing else of it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rag.chunk_id import ChunkId
from rag.language import Language
from rag.types import Chunk, Delta, IndexVersion, Message, PlacedChunk, Reservation, TokenVectors, Window
from schemas.response import DependencyState

Vectors = NDArray[np.float32]


class TokenCounter(Protocol):
    """Counts tokens as one model's tokenizer does, special tokens aside."""

    def count(self, text: str) -> int: ...


class TextEmbedder(Protocol):
    """Turns texts into vectors."""

    async def embed_query(self, text: str, *, timeout_s: float, trace_id: str) -> Vectors:
        """One question as float32, (dim,), of unit length.

        Raises: DeadlineExceeded, NotReady (nothing listens there), UpstreamError.
        """
        ...


class PassageScorer(Protocol):
    """Says how well passages, or sentences in them, answer a question."""

    async def score(self, question: str, windows: Sequence[Window], *, timeout_s: float, trace_id: str) -> list[float]:
        """One relevance per window, in their order; higher is better.

        Raises: DeadlineExceeded, NotReady (nothing listens there), UpstreamError.
        """
        ...


class EntailmentModel(Protocol):
    """Says how far a text carries a claim."""

    async def entail(self, premise: str, hypothesis: str, *, timeout_s: float, trace_id: str) -> float:
        """The support of the hypothesis by the premise, 0 to 1; what cannot be judged has none.

        Raises: DeadlineExceeded, NotReady (nothing listens there), UpstreamError.
        """
        ...


class TextGenerator(Protocol):
    """Drafts an answer as a stream."""

    def stream(
        self, messages: Sequence[Message], *, max_tokens: int, timeout_s: float, trace_id: str
    ) -> AbstractAsyncContextManager[AsyncIterator[Delta]]:
        """Deltas in their order, then nothing; leaving the context ends the generation upstream at once.

        Raises: UpstreamError, UpstreamRateLimited, DeadlineExceeded, on entering or while iterating.
        """
        ...


class ChunkIndex(Protocol):
    """One immutable version of one tenant's index; safe to read from several threads."""

    @property
    def version(self) -> IndexVersion: ...

    def search_dense(self, vector: Vectors, k: int, language: Language | None = None) -> list[tuple[int, float]]:
        """The k nearest chunks as (ordinal, cosine), best first; ties by ordinal. `language`: of those in it alone."""
        ...

    def search_lexical(self, text: str, k: int) -> list[tuple[int, float]]:
        """The k best chunks by BM25 as (ordinal, score > 0), best first; ties by ordinal."""
        ...

    def chunks(self, ordinals: Sequence[int]) -> list[Chunk]:
        """The chunks with these ordinals, in this order."""
        ...

    def token_vectors(self, ordinals: Sequence[int]) -> Sequence[TokenVectors | None]:
        """The embedder's vectors of the tokens of these chunks, in this order; None where none are stored."""
        ...

    def spellings(self, word: str) -> Mapping[str, int]:
        """The words of the index that are this one but for diacritics, and how many chunks hold each."""
        ...

    def near(self, word: str) -> Mapping[str, int]:
        """The same for the words that are one typing error away."""
        ...

    def idf(self, words: Sequence[str]) -> list[float]:
        """Inverse document frequency per lower-case word; unknown words get the highest."""
        ...


class IndexProvider(Protocol):
    """Hands out the version of a tenant's index that serves now."""

    async def current(self, tenant_id: str) -> ChunkIndex | None:
        """The serving version, or None where the tenant has no index or no documents.

        Raises: IndexUnavailable: it is there but broken, or made by another embedder.
        """
        ...


class ChunkReader(Protocol):
    """One immutable version of one tenant's index, of which single chunks are read."""

    def find_chunk(self, chunk_id: ChunkId) -> PlacedChunk | None:
        """Return the chunk of this id; None if this version of the index does not hold that version of the document."""
        ...


class ReaderProvider(Protocol):
    """Hands out the same versions as an `IndexProvider`, to be read."""

    async def current(self, tenant_id: str) -> ChunkReader | None:
        """Return the serving version; None if the tenant has no index or no documents.

        Raises: IndexUnavailable: it is there but broken, or made by another embedder.
        """
        ...


class RateLimiter(Protocol):
    """Holds the quotas of the sliding window: requests per principal and tenant, tokens per tenant."""

    async def reserve(
        self,
        principal_id: str,
        tenant_id: str,
        tokens: int,
        *,
        requests_per_window: int | None = None,
        tokens_per_window: int | None = None,
    ) -> Reservation:
        """Admits one request that may use up to so many tokens; a quota that is None is the default one.

        What is refused counts for nothing. Cancelled at any moment, it leaves no reservation behind.

        Raises:
            RateLimited: with the time after which this very request would fit, if nobody else came.
            BadRequest: the tokens are more than the whole quota.
            NotReady: the quotas cannot be reached, and the policy is to refuse.
        """
        ...

    async def settle(self, reservation: Reservation, used_tokens: int) -> None:
        """Replaces the reserved tokens by the used ones, which may be more; the first settlement counts.

        Raises nothing, takes less than a second, and is completed even if the caller is cancelled.
        """
        ...

    async def release(self, reservation: Reservation) -> None:
        """Gives all reserved tokens back: settles with none used. The request itself still counts."""
        ...

    async def state(self) -> DependencyState:
        """`ok`; `local` where each process limits for itself; `unreachable`. Answers within a second."""
        ...

    async def aclose(self) -> None: ...
