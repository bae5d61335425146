"""Know which documents of a version a scope admits, which chunks are theirs, and what their ids are."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from rag.index.manifest import BrokenIndexError, DocumentEntry
from rag.types import Scope

Mask = NDArray[np.bool_]
Key = TypeVar("Key", bound=Hashable)
# A search names a hundred chunks, 1 µs each; of a small index all are kept.
_KEPT_NAMES: Final = 4096


class DocumentTable:
    """The documents of a version, by what a scope names."""

    def __init__(self, entries: Sequence[DocumentEntry]) -> None:
        """Index the documents of a manifest.

        Raises: BrokenIndexError: their chunks are not those of the version, one document after the other.
        """
        self._entries = list(entries)
        self._chunks = np.array([entry.chunks for entry in entries], dtype=np.int64)
        ends = np.cumsum(self._chunks)
        if [entry.first_ordinal for entry in entries] != (ends - self._chunks).tolist():
            raise BrokenIndexError("the documents' chunks do not follow each other")
        places = range(len(entries))
        self._firsts = [entry.first_ordinal for entry in entries]
        self.name = lru_cache(_KEPT_NAMES)(self._name)
        self.locate = lru_cache(_KEPT_NAMES)(self._locate)
        self._by_id = {entry.document_id: at for at, entry in enumerate(entries)}
        self._by_group = _arrange((group, at) for at in places for group in entries[at].groups)
        self._by_value = _arrange(
            ((key, value), at) for at in places for key, values in entries[at].metadata.items() for value in values
        )
        self._is_open = np.array([not entry.groups for entry in entries], dtype=bool)

    @property
    def chunks(self) -> int:
        return int(self._chunks.sum())

    def _name(self, ordinal: int) -> str:
        """Return the id of a chunk, without its tenant."""
        entry = self._entries[bisect_right(self._firsts, ordinal) - 1]
        return f"{entry.document_id}:v{entry.document_version}:{ordinal - entry.first_ordinal + 1:05d}"

    def _locate(self, chunk_id: str) -> int:
        """Return the ordinal of the chunk with this id, which may be of any tenant.

        Raises: LookupError: there is none.
        """
        _, document_id, document_version, number = chunk_id.split(":")
        entry, at = self._entries[self._by_id[document_id]], int(number)
        if document_version != f"v{entry.document_version}" or not 1 <= at <= entry.chunks:
            raise LookupError("a chunk of another version")
        return entry.first_ordinal + at - 1

    def find(self, document_id: str, admitted: Mask | None = None) -> DocumentEntry | None:
        """Return the document of this id, if there is one, and it is one of those admitted."""
        at = self._by_id.get(document_id)
        return None if at is None or (admitted is not None and not admitted[at]) else self._entries[at]

    def admit(self, scope: Scope) -> Mask:
        """Return for each document whether the scope admits it, (documents,)."""
        admitted: Mask = self._mark(self._by_group, scope.groups) | self._is_open
        if scope.document_ids is not None:
            named = np.zeros(len(self._entries), dtype=bool)
            named[[self._by_id[each] for each in scope.document_ids if each in self._by_id]] = True
            admitted &= named
        for key, values in scope.metadata.items():
            admitted &= self._mark(self._by_value, [(key, value) for value in values])
        return admitted

    def count(self, admitted: Mask) -> tuple[int, int]:
        """Return the number of these documents, and of their chunks."""
        return int(admitted.sum()), int(self._chunks[admitted].sum())

    def expand(self, admitted: Mask) -> Mask:
        """Return for each chunk whether its document is one of these, (chunks,)."""
        mask: Mask = np.repeat(admitted, self._chunks)
        return mask

    def _mark(self, places: Mapping[Key, NDArray[np.int64]], keys: Iterable[Key]) -> Mask:
        marked = np.zeros(len(self._chunks), dtype=bool)
        for key in keys:
            found = places.get(key)
            if found is not None:
                marked[found] = True
        return marked


def _arrange(pairs: Iterable[tuple[Key, int]]) -> dict[Key, NDArray[np.int64]]:
    """Return the places of the documents that share a key, by key."""
    places: defaultdict[Key, list[int]] = defaultdict(list)
    for key, place in pairs:
        places[key].append(place)
    return {key: np.array(found, dtype=np.int64) for key, found in places.items()}
