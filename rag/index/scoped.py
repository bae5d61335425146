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
from rag.index.embedded import EmbeddedIndex
from rag.index.languages import LANGUAGES
from rag.index.lexical_subset import LexicalSubset
from rag.index.neighbours import DenseSubset
from rag.index.version import TenantIndex
from rag.ports import Vectors
from rag.text.language import Language, words
from rag.types import IndexVersion, PlacedChunk, Scope, StoredChunk

# One takes five bytes for each chunk of the index, and at a million chunks 5 ms to make.
_KEPT_INDEXES: Final = 16


class ScopedIndex:
    """A `rag.index.embedded.OpenedIndex` of some documents of another one; ordinals are those of the other one."""

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

    @property
    def total(self) -> int:
        return self._whole.total

    def ids(self, ordinals: Sequence[int]) -> list[str]:
        return self._whole.ids(ordinals)

    def fetch(self, chunk_ids: Sequence[str], *, with_tokens: bool) -> list[StoredChunk]:
        """Return the chunks; raises LookupError for one outside the scope: only a bug can ask, and must not see it."""
        if not self._mask[list(map(self._whole.documents.locate, chunk_ids))].all():
            raise LookupError("a chunk outside the scope")
        return self._whole.fetch(chunk_ids, with_tokens=with_tokens)

    def find_chunk(self, chunk_id: ChunkId) -> PlacedChunk | None:
        is_admitted = self._whole.documents.find(chunk_id.document_id, self._admitted) is not None
        return self._whole.find_chunk(chunk_id) if is_admitted else None

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
        self._everything: Final = EmbeddedIndex(whole)
        self._kept: OrderedDict[bytes, EmbeddedIndex] = OrderedDict()

    def find(self, scope: Scope) -> EmbeddedIndex | None:
        """Return the index of what the scope admits: the version itself if that is everything, None if nothing is.

        Scopes that admit the same documents share one.
        """
        admitted = self.whole.documents.admit(scope)
        if admitted.all():
            return self._everything
        if not admitted.any():
            return None
        key = np.packbits(admitted).tobytes()
        found = self._kept.pop(key, None) or EmbeddedIndex(ScopedIndex(self.whole, admitted))
        self._kept[key] = found
        if len(self._kept) > _KEPT_INDEXES:
            self._kept.popitem(last=False)
        return found
