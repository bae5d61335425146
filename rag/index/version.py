"""Open one version of one tenant's index for retrieval."""

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from typing import Final

from rag.chunk_id import ChunkId
from rag.errors import IndexUnavailable
from rag.index.documents import DocumentTable
from rag.index.languages import LANGUAGES
from rag.index.manifest import BrokenIndexError, StoredVersion
from rag.index.segments import open_parts
from rag.ports import Vectors
from rag.text.language import Language, words
from rag.types import Chunk, IndexVersion, PlacedChunk, StoredChunk, TokenVectors

# Seconds between two checks of the file sizes, which take 0.1 ms.
TRUSTED_S: Final = 0.05


class TenantIndex:
    """A `rag.index.embedded.OpenedIndex` of all of a version; its files stay readable after they are pruned."""

    def __init__(self, stored: StoredVersion) -> None:
        """Open the files of a version.

        Raises: BrokenIndexError: the files cannot be loaded, or do not belong together.
        """
        self._summary = stored.summary
        self._trusted_until = 0.0
        self._sizes = [(str(stored.folder / seal.name), seal.size_bytes) for seal in stored.manifest.files]
        parts = open_parts(stored)
        self.dense, self.lexical, self.languages = parts.dense, parts.lexical, parts.languages
        self.chunk_file, self.token_file, self.places = parts.chunk_file, parts.token_file, parts.places
        self.documents = DocumentTable(stored.manifest.document_list)
        if self.documents.chunks != stored.manifest.chunks:
            raise BrokenIndexError("vectors, words and chunks do not belong together")
        self._by_language = {each: self.dense.subset(self.languages.ordinals(each)) for each in LANGUAGES}

    @property
    def version(self) -> IndexVersion:
        return self._summary

    def is_whole(self) -> bool:
        """Return whether no file was truncated since it was opened: reading a truncated mapping would kill the process.

        A removed file does no harm, because its mapping stays. This is called for each query and checks at most 20
        times a second, so a truncation can be fatal for that long. Reading everything through copies would close that
        gap, but slow the search.
        """
        now = time.monotonic()
        if now < self._trusted_until:
            return True
        for path, size_bytes in self._sizes:
            with suppress(OSError):
                if os.stat(path).st_size < size_bytes:  # noqa: PTH116 - Path.stat takes twice as long
                    return False
        self._trusted_until = now + TRUSTED_S
        return True

    def search_dense(self, vector: Vectors, k: int, language: Language | None = None) -> list[tuple[int, float]]:
        return self.dense.search(vector, k, self._by_language[language] if language else None)

    def search_lexical(self, text: str, k: int) -> list[tuple[int, float]]:
        return self.lexical.search(words(text), k)

    def spellings(self, word: str) -> dict[str, int]:
        return self.lexical.vocabulary.spellings(word)

    def near(self, word: str) -> dict[str, int]:
        return self.lexical.vocabulary.near(word)

    @property
    def total(self) -> int:
        return len(self.chunk_file)

    def ids(self, ordinals: Sequence[int]) -> list[str]:
        prefix = self._prefix if ordinals else ""
        return [prefix + self.documents.name(ordinal) for ordinal in ordinals]

    @cached_property
    def _prefix(self) -> str:
        """The beginning of all chunk ids: the tenant, which the manifest does not name."""
        return self.chunks([0])[0].chunk_id.partition(":")[0] + ":"

    def fetch(self, chunk_ids: Sequence[str], *, with_tokens: bool) -> list[StoredChunk]:
        ordinals = list(map(self.documents.locate, chunk_ids))
        tokens = self.token_vectors(ordinals) if with_tokens else [None] * len(ordinals)
        return [StoredChunk(*pair) for pair in zip(self.chunks(ordinals), tokens, strict=True)]

    def chunks(self, ordinals: Sequence[int]) -> list[Chunk]:
        try:
            return self.chunk_file.chunks(ordinals)
        except (ValueError, TypeError) as error:  # overwritten since it was published
            raise IndexUnavailable from error

    def find_chunk(self, chunk_id: ChunkId) -> PlacedChunk | None:
        entry = self.documents.find(chunk_id.document_id)
        number, last = chunk_id.number, entry.chunks if entry else 0
        if entry is None or entry.document_version != chunk_id.document_version or not 1 <= number <= last:
            return None
        (chunk,) = self.chunks([entry.first_ordinal + number - 1])
        if chunk.chunk_id != str(chunk_id):  # of another tenant, or of a file that was overwritten
            return None
        return PlacedChunk(
            chunk,
            previous=str(replace(chunk_id, number=number - 1)) if number > 1 else None,
            next=str(replace(chunk_id, number=number + 1)) if number < last else None,
        )

    def token_vectors(self, ordinals: Sequence[int]) -> list[TokenVectors | None]:
        return [self.token_file.tokens(ordinal) if self.token_file else None for ordinal in ordinals]

    def idf(self, words: Sequence[str]) -> list[float]:
        return self.lexical.idf(words)
