"""The embedded engine: the versions of all tenants as files below one directory, searched in this process."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Final

import numpy as np

from rag.index.engine import IndexChange, OnDamage, OnRefresh, PublishedVersion, VersionContent
from rag.index.manifest import DocumentEntry, StoredVersion
from rag.index.plan import Makers, warn_of_damage
from rag.index.provider import ServedIndexes
from rag.index.recovery import read_all
from rag.index.store import IndexStore
from rag.index.update import update_index
from rag.index.version import TenantIndex
from rag.types import Chunk, EncodedTexts, ModelInfo


class FileContent:
    """A `rag.index.engine.VersionContent`; the files are mapped, so they stay readable after they are pruned."""

    def __init__(self, stored: StoredVersion) -> None:
        self.version: Final = stored

    @cached_property
    def _index(self) -> TenantIndex:
        """The open version; one without documents has no files to open, and nothing is asked of it."""
        return TenantIndex(self.version)

    def chunks(self, entry: DocumentEntry) -> list[Chunk]:
        return self._index.chunks(range(entry.first_ordinal, entry.first_ordinal + entry.chunks))

    def encoded(self, chunks: Sequence[Chunk]) -> EncodedTexts:
        ordinals = [self._index.documents.locate(chunk.chunk_id) for chunk in chunks]
        vectors = np.concatenate([self._index.dense.vectors(ordinal, 1) for ordinal in ordinals])
        return EncodedTexts(vectors, [each for each in self._index.token_vectors(ordinals) if each is not None])


class FileEngine:
    """A `rag.index.engine.IndexEngine`."""

    def __init__(self, store: IndexStore) -> None:
        self._store = store

    def serve(self, embedder: ModelInfo, on_refresh: OnRefresh = lambda _: None) -> ServedIndexes:
        return ServedIndexes(self._store.index_dir, embedder, on_refresh)

    def tenants(self) -> list[str]:
        return self._store.tenants()

    def current(self, tenant_id: str) -> PublishedVersion | None:
        return self._store.current(tenant_id)

    def verify(self, tenant_id: str) -> PublishedVersion | None:
        return self._store.verify(tenant_id)

    @contextmanager
    def read(self, tenant_id: str, name: str | None = None) -> Iterator[VersionContent | None]:
        def use(stored: StoredVersion) -> FileContent:
            return FileContent(read_all(stored))

        yield self._store.read_named(tenant_id, name, use) if name else self._store.read(tenant_id, use)

    @contextmanager
    def update(
        self,
        tenant_id: str,
        on_wait: Callable[[], object],
        embedder: ModelInfo | None = None,
        *,
        chunker_version: str = "",
        keeps_tokens: bool = False,
        on_damage: OnDamage = warn_of_damage,
    ) -> Iterator[IndexChange]:
        makers = Makers(embedder, chunker_version, keeps_tokens) if embedder is not None else None
        with update_index(self._store, tenant_id, on_wait, makers, on_damage) as change:
            yield change

    def rollback(
        self, tenant_id: str, embedder: ModelInfo, on_wait: Callable[[], object]
    ) -> tuple[str, PublishedVersion]:
        return self._store.rollback(tenant_id, embedder, on_wait)
