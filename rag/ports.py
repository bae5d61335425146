"""Define as protocols what is replaced in tests or runs in another process; the stages know nothing else of it."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rag.chunk_id import ChunkId
from rag.text.language import Language
from rag.types import Delta, IndexVersion, Message, PlacedChunk, Reservation, Scope, StoredChunk, Window
from schemas.response import DependencyState

Vectors = NDArray[np.float32]


class TokenCounter(Protocol):
    """Counts tokens as one model's tokenizer does, without special tokens."""

    def count(self, text: str) -> int: ...


class TextEmbedder(Protocol):
    """Turns texts into vectors."""

    async def embed_query(self, text: str, *, timeout_s: float, trace_id: str) -> Vectors:
        """Return the vector of one question, float32, (dim,), of unit length.

        Raises: DeadlineExceeded, NotReady (nothing listens there), UpstreamError.
        """
        ...


class PassageScorer(Protocol):
    """Scores how well passages, or sentences in them, answer a question."""

    async def score(self, question: str, windows: Sequence[Window], *, timeout_s: float, trace_id: str) -> list[float]:
        """Return one relevance per window, in order; higher is better.

        Raises: DeadlineExceeded, NotReady (nothing listens there), UpstreamError.
        """
        ...


class EntailmentModel(Protocol):
    """Judges how far a text supports a claim."""

    async def entail(self, premise: str, hypothesis: str, *, timeout_s: float, trace_id: str) -> float:
        """Return the support of the hypothesis by the premise, 0 to 1; 0 if it cannot be judged.

        Raises: DeadlineExceeded, NotReady (nothing listens there), UpstreamError.
        """
        ...


class TextGenerator(Protocol):
    """Drafts an answer as a stream."""

    def stream(
        self, messages: Sequence[Message], *, max_tokens: int, timeout_s: float, trace_id: str
    ) -> AbstractAsyncContextManager[AsyncIterator[Delta]]:
        """Stream the deltas in order; leaving the context ends the generation upstream at once.

        Raises: UpstreamError, UpstreamRateLimited, DeadlineExceeded, on entering or while iterating.
        """
        ...


class ChunkIndex(Protocol):
    """One immutable version of one tenant's index, as far as a scope shows it: it answers as if it held nothing else.

    Chunks are named by their ids. Every method raises IndexUnavailable if the version cannot be read now; callers set
    the deadline and may cancel at any time.
    """

    @property
    def version(self) -> IndexVersion: ...

    async def search_dense(self, vector: Vectors, k: int, language: Language | None = None) -> list[tuple[str, float]]:
        """Return the k nearest chunks (only those in `language`) as (chunk id, cosine), best first.

        Ties keep the order of the index, which is the same at each call.
        """
        ...

    async def search_lexical(self, text: str, k: int) -> list[tuple[str, float]]:
        """Return the k best chunks by BM25 as (chunk id, score > 0), best first; ties as in `search_dense`."""
        ...

    async def fetch(self, chunk_ids: Sequence[str], *, with_tokens: bool = False) -> list[StoredChunk]:
        """Return the chunks of these ids, which this version found, in this order; 60 KB more for each with its tokens.

        Raises: LookupError: one of them is not in this version, or outside the scope: only a bug asks for it.
        """
        ...

    async def find_chunk(self, chunk_id: ChunkId) -> PlacedChunk | None:
        """Return the chunk of this id; None if this version of the index does not hold that version of the document."""
        ...

    async def spellings(self, words: Collection[str]) -> Mapping[str, Mapping[str, int]]:
        """Return for each word the words of the index that equal it without diacritics, with their chunk counts."""
        ...

    async def near(self, words: Collection[str]) -> Mapping[str, Mapping[str, int]]:
        """Return for each word the words of the index that are one typing error away, with their chunk counts."""
        ...

    async def idf(self, words: Sequence[str]) -> list[float]:
        """Return the inverse document frequency of each lower-case word; unknown words get the highest."""
        ...


class IndexProvider(Protocol):
    """Provides the version of a tenant's index that serves now, as far as a request may see it."""

    async def current(self, tenant_id: str, scope: Scope) -> ChunkIndex | None:
        """Return the serving version as if it held only the documents in the scope.

        Returns None if there are none, or if the tenant has no index.

        Raises: IndexUnavailable: it exists but is broken, or was made by another embedder.
        """
        ...


class RateLimiter(Protocol):
    """Enforces the quotas of the sliding window: requests per principal and tenant, tokens per tenant."""

    async def reserve(
        self,
        principal_id: str,
        tenant_id: str,
        tokens: int,
        *,
        requests_per_window: int | None = None,
        tokens_per_window: int | None = None,
    ) -> Reservation:
        """Admit one request that may use up to `tokens`; a quota that is None is the default one.

        A refused request counts for nothing. If the call is cancelled at any moment, no reservation is left.

        Raises:
            RateLimited: with the time after which this same request would fit, if there were no others.
            BadRequest: the tokens are more than the whole quota.
            NotReady: the quotas cannot be reached, and the policy is to refuse.
        """
        ...

    async def settle(self, reservation: Reservation, used_tokens: int) -> None:
        """Replace the reserved tokens by the used ones, which may be more or none; the first settlement counts.

        Raises nothing, takes less than a second, and is completed even if the caller is cancelled.
        """
        ...

    async def state(self) -> DependencyState:
        """Return `ok`, `local` if each process limits for itself, or `unreachable`, within a second."""
        ...

    async def aclose(self) -> None: ...
