"""The embedded engine: the versions of all tenants as files below one directory, searched in this process."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rag.index.engine import IndexChange, OnDamage, OnRefresh, PublishedVersion
from rag.index.plan import Makers, warn_of_damage
from rag.index.provider import ServedIndexes
from rag.index.store import IndexStore
from rag.index.update import update_index
from rag.types import ModelInfo


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
