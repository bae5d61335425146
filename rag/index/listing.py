"""List the documents of a tenant as of now, from the manifest of the version that serves, without opening the index."""

import asyncio
from dataclasses import dataclass

from rag.errors import IndexUnavailable
from rag.index.manifest import BrokenIndexError, DocumentEntry
from rag.index.store import IndexStore


@dataclass(frozen=True, slots=True)
class Listing:
    """The documents of a version, sorted by id; `version` is None if there is none."""

    version: str | None
    entries: tuple[DocumentEntry, ...]


class DocumentLists:
    """The list of each tenant; it is kept until another version serves, as reading a long one takes its time."""

    def __init__(self, store: IndexStore) -> None:
        self._store = store
        self._kept: dict[str, Listing] = {}

    async def read(self, tenant_id: str) -> Listing:
        """Return the list.

        Raises: IndexUnavailable: the index is damaged, or cannot be read.
        """
        return await asyncio.to_thread(self._read, tenant_id)

    def _read(self, tenant_id: str) -> Listing:
        try:
            kept = self._kept.get(tenant_id)
            if kept is not None and kept.version == self._store.serving_name(tenant_id):
                return kept
            stored = self._store.current(tenant_id)
        except (BrokenIndexError, OSError) as error:
            raise IndexUnavailable("The documents of this tenant cannot be read now.") from error
        if stored is None:
            return Listing(None, ())
        entries = sorted(stored.manifest.document_list, key=lambda each: each.document_id)
        self._kept[tenant_id] = listing = Listing(stored.name, tuple(entries))
        return listing
