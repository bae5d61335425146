"""Restrict an index to what one request may see: it then answers as an index that holds nothing else.

No stage, and no door, gets another index than the one for its scope, so none has to think of what is hidden.
"""

from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property
from typing import Final

import numpy as np

from rag.chunk_id import ChunkId
from rag.index.dense import EXACT_MAX_CHUNKS
from rag.index.documents import Mask
from rag.index.languages import LANGUAGES
from rag.index.lexical_subset import LexicalSubset
from rag.index.neighbours import DenseSubset
from rag.index.version import TenantIndex
from rag.ports import Vectors
from rag.text.language import Language, words
from rag.types import Chunk, IndexVersion, PlacedChunk, Scope, TokenVectors

# One takes five bytes for each chunk of the index, and at a million chunks 5 ms to make.
_KEPT_INDEXES: Final = 16


class ScopedIndex:
    """A `rag.ports.ChunkIndex` of some documents of another one; ordinals are those of the other one."""

    def __init__(self, whole: TenantIndex, admitted: Mask) -> None:
        """`admitted` tells for each document whether it is one of them; at least one is."""
        self._whole = whole
        self._admitted = admitted
        self._mask = whole.documents.expand(admitted)
        self._ordinals = np.flatnonzero(self._mask).astype(np.int32)
        self._lexical = LexicalSubset(whole.lexical, self._ordinals, self._mask)
        documents, chunks = whole.documents.count(admitted)
        self._summary = IndexVersion(whole.version.version, chunks, documents, whole.version.built_at)

    @property
    def version(self) -> IndexVersion:
        return self._summary

    def search_dense(self, vector: Vectors, k: int, language: Language | None = None) -> list[tuple[int, float]]:
        subset = self._by_language[language] if language else self._everything
        return self._whole.dense.search(vector, k, subset)

    def search_lexical(self, text: str, k: int) -> list[tuple[int, float]]:
        return self._lexical.search(words(text), k)

    def spellings(self, word: str) -> dict[str, int]:
        return self._lexical.spellings(word)

    def near(self, word: str) -> dict[str, int]:
        return self._lexical.near(word)

    def idf(self, words: Sequence[str]) -> list[float]:
        return self._lexical.idf(words)

    def chunks(self, ordinals: Sequence[int]) -> list[Chunk]:
        self._require(ordinals)
        return self._whole.chunks(ordinals)

    def find_chunk(self, chunk_id: ChunkId) -> PlacedChunk | None:
        is_admitted = self._whole.documents.find(chunk_id.document_id, self._admitted) is not None
        return self._whole.find_chunk(chunk_id) if is_admitted else None

    def token_vectors(self, ordinals: Sequence[int]) -> list[TokenVectors | None]:
        self._require(ordinals)
        return self._whole.token_vectors(ordinals)

    def _require(self, ordinals: Sequence[int]) -> None:
        """Check that the chunks are in the scope: only a bug can ask for others, and it must not show them."""
        if not self._mask[list(ordinals)].all():
            raise LookupError("a chunk outside the scope")

    @cached_property
    def _everything(self) -> DenseSubset:
        return self._whole.dense.subset(self._ordinals, exact_max_chunks=EXACT_MAX_CHUNKS)

    @cached_property
    def _by_language(self) -> dict[Language, DenseSubset]:
        of_language = {each: self._whole.languages.ordinals(each) for each in LANGUAGES}
        return {
            each: self._whole.dense.subset(ordinals[self._mask[ordinals]], exact_max_chunks=EXACT_MAX_CHUNKS)
            for each, ordinals in of_language.items()
        }


class ScopedIndexes:
    """The restrictions of one version; those used last are kept."""

    def __init__(self, whole: TenantIndex) -> None:
        self.whole: Final = whole
        self._kept: OrderedDict[bytes, ScopedIndex] = OrderedDict()

    def find(self, scope: Scope) -> TenantIndex | ScopedIndex | None:
        """Return the index of what the scope admits: the version itself if that is everything, None if nothing is.

        Scopes that admit the same documents share one.
        """
        admitted = self.whole.documents.admit(scope)
        if admitted.all():
            return self.whole
        if not admitted.any():
            return None
        key = np.packbits(admitted).tobytes()
        found = self._kept.pop(key, None) or ScopedIndex(self.whole, admitted)
        self._kept[key] = found
        if len(self._kept) > _KEPT_INDEXES:
            self._kept.popitem(last=False)
        return found
