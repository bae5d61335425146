"""Keep the versions of all tenants in one database of a Milvus: the writing side, and the door to the serving one."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from rag.index.engine import OnDamage, OnRefresh, PublishedVersion, RollbackError
from rag.index.manifest import BrokenIndexError, DocumentEntry, Manifest, is_version_name, number_of
from rag.index.milvus.address import MilvusAddress
from rag.index.milvus.change import MilvusChange, Place, publish, spool_folder
from rag.index.milvus.content import MilvusContent
from rag.index.milvus.draft import Draft
from rag.index.milvus.driver import MilvusReader, MilvusWriter, Row
from rag.index.milvus.filters import of_tenant, seen_at
from rag.index.milvus.layout import META, WORDS, chunks_of, make_meta, make_words, tokens_of
from rag.index.milvus.lease import Lease, locked_here
from rag.index.milvus.rows import count_words
from rag.index.milvus.server import MilvusServer
from rag.index.milvus.sweep import sweep
from rag.index.milvus.versions import (
    BLOB_FIELDS,
    SWITCH_FIELDS,
    MilvusVersion,
    blob_filter,
    read_blobs,
    read_switch,
    switch_filter,
)
from rag.index.milvus.words import number_of as number_of_word
from rag.index.plan import Makers, require_embedder, restore, warn_of_damage
from rag.index.store import folder_name
from rag.types import ModelInfo


class MilvusEngine:
    """A `rag.index.engine.IndexEngine`; its connection is opened by the first call that needs one."""

    def __init__(self, address: MilvusAddress, writer: MilvusWriter | None = None) -> None:
        self._address = address
        self._writer = writer or MilvusWriter(address)

    def serve(self, embedder: ModelInfo, on_refresh: OnRefresh) -> MilvusServer:
        return MilvusServer(MilvusReader(self._address), embedder, on_refresh)

    def close(self) -> None:
        """Close the connection; a later call opens another."""
        self._writer.close()

    def tenants(self) -> list[str]:
        if not self._writer.has(META):
            return []
        return sorted({row["tenant"] for row in self._writer.query(META, switch_filter(), ["tenant"])})

    def current(self, tenant_id: str) -> MilvusVersion | None:
        name = self._serving_name(tenant_id)
        return None if name is None else self._read(tenant_id, name)

    def verify(self, tenant_id: str) -> MilvusVersion | None:
        version = self.current(tenant_id)
        if version is not None:
            self._check_all(tenant_id, version)
        return version

    @contextmanager
    def read(self, tenant_id: str, name: str | None = None) -> Iterator[MilvusContent | None]:
        name = name or self._serving_name(tenant_id)
        if name is None or not self._writer.query(META, blob_filter(tenant_id, name), BLOB_FIELDS):
            yield None
            return
        version = self._read(tenant_id, name)
        self._check_all(tenant_id, version)
        yield MilvusContent(self._writer, tenant_id, version)

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
    ) -> Iterator[MilvusChange]:
        """Start a change.

        Raises: BrokenIndexError: the serving version is damaged, and there is no embedder. OSError: Milvus failed.
        """
        makers = Makers(embedder, chunker_version, keeps_tokens) if embedder is not None else None
        with self._exclusive(tenant_id, on_wait) as place, spool_folder() as folder:
            numbers_above, is_damaged = 0, False
            try:
                base = self._checked(tenant_id)
                numbers_above = base.manifest.numbers_above if base else 0
            except BrokenIndexError as damage:
                if makers is None:
                    raise
                is_damaged = True
                base, numbers_above = self._recover(tenant_id)
                on_damage(damage, base)
            if makers is None:
                assert base is not None
                makers = Makers(base.manifest.embedder, base.manifest.chunker_version, base.manifest.has_tokens)
            self._sweep(tenant_id, base)
            change = MilvusChange(
                place,
                base,
                makers,
                folder=Path(folder),
                numbers_above=numbers_above,
                replaces_damage=is_damaged,
            )
            with closing(change):
                yield change

    def rollback(
        self, tenant_id: str, embedder: ModelInfo, on_wait: Callable[[], object]
    ) -> tuple[str, PublishedVersion]:
        if self._serving_name(tenant_id) is None:
            raise RollbackError("there is no index")
        with self._exclusive(tenant_id, on_wait) as place:
            try:
                serving = self._checked(tenant_id)
                assert serving is not None
            except BrokenIndexError as damage:
                return self._restore_whole(place, embedder, damage)
            old = self._previous(tenant_id, serving, embedder)
            self._sweep(tenant_id, serving)
            number = 1 + max(serving.number, serving.manifest.numbers_above)
            draft = Draft(self._writer, tenant_id, base=serving.number, number=number, embedder=embedder)
            same_rows = serving.manifest.embedder == old.manifest.embedder
            kept = {_content(each): each for each in serving.manifest.document_list} if same_rows else {}
            restored = [each for each in old.manifest.document_list if _content(each) not in kept]
            staying = {_content(each) for each in old.manifest.document_list} & kept.keys()
            draft.copy({each.document_id: each.labels for each in restored}, seen=old.number)
            ended = [each.document_id for each in serving.manifest.document_list if _content(each) not in staying]
            draft.end(ended, serving.manifest.embedder)
            draft.end_words()
            return old.name, publish(
                place, restore(old.manifest, after=serving.name, serving=serving.manifest), old.lengths
            )

    def _restore_whole(
        self, place: Place, embedder: ModelInfo, damage: BrokenIndexError
    ) -> tuple[str, PublishedVersion]:
        """Publish the last whole version again, after damage to the serving one."""
        old, numbers_above = self._recover(place.tenant_id)
        if old is None:
            raise RollbackError(f"the serving version is damaged, and no other is whole: {damage}") from damage
        require_embedder(old, embedder)
        self._sweep(place.tenant_id, old)
        manifest = replace(old.manifest, previous=old.name, numbers_above=numbers_above)
        return old.name, publish(place, manifest, old.lengths)

    def _previous(self, tenant_id: str, serving: MilvusVersion, embedder: ModelInfo) -> MilvusVersion:
        if serving.manifest.previous is None:
            raise RollbackError("there is no version before the one that serves")
        try:
            old = self._read(tenant_id, serving.manifest.previous)
            self._check_all(tenant_id, old)
        except BrokenIndexError as error:
            raise RollbackError(f"the version before, {serving.manifest.previous}, is damaged: {error}") from error
        require_embedder(old, embedder)
        return old

    @contextmanager
    def _exclusive(self, tenant_id: str, on_wait: Callable[[], object]) -> Iterator[Place]:
        folder_name(tenant_id)  # raises ValueError for what is no tenant
        with locked_here(str(self._address), tenant_id, on_wait):
            make_meta(self._writer)
            make_words(self._writer)
            lease = Lease(self._writer, tenant_id)
            with lease.held(on_wait):
                yield Place(self._writer, tenant_id, lease.require)

    def _serving_name(self, tenant_id: str) -> str | None:
        if not self._writer.has(META):
            return None
        rows = self._writer.query(META, switch_filter(tenant_id), SWITCH_FIELDS)
        return rows[0]["name"] if rows else None

    def _read(self, tenant_id: str, name: str) -> MilvusVersion:
        if not is_version_name(name):
            raise BrokenIndexError("the switch names no version")
        return read_blobs(name, self._writer.query(META, blob_filter(tenant_id, name), BLOB_FIELDS))

    def _checked(self, tenant_id: str) -> MilvusVersion | None:
        """Return the serving version after counting its chunks, which costs nothing that grows with it."""
        version = self.current(tenant_id)
        if version is not None:
            self._check_count(tenant_id, version)
            for row in self._writer.query(META, switch_filter(tenant_id), SWITCH_FIELDS):
                read_switch(row)
        return version

    def _check_count(self, tenant_id: str, version: MilvusVersion) -> None:
        collection, found = chunks_of(version.manifest.embedder), 0
        if version.manifest.chunks and self._writer.has(collection):
            found = self._writer.count(collection, seen_at(tenant_id, version.number))
        if found != version.manifest.chunks:
            raise BrokenIndexError(f"{found} chunks are there instead of {version.manifest.chunks}")

    def _check_all(self, tenant_id: str, version: MilvusVersion) -> None:
        """Read every chunk of a version.

        Raises: BrokenIndexError: chunks or words differ from what the manifest says, or token vectors are missing.
        """
        self._check_count(tenant_id, version)
        if not version.manifest.chunks:
            return
        seen, embedder = seen_at(tenant_id, version.number), version.manifest.embedder
        ids: set[str] = set()

        def note_ids() -> Iterator[Row]:
            for row in self._writer.iterate(chunks_of(embedder), seen, ["pk", "chunk_id", "body"]):
                ids.add(row["chunk_id"])
                yield row

        counts = {number_of_word(word): found for word, found in count_words(note_ids()).items()}
        problems = [] if ids == set(_ids(tenant_id, version.manifest)) else ["the chunks are not those of the manifest"]
        words = self._writer.iterate(WORDS, seen, ["pk", "word", "chunks"])
        if {row["word"]: row["chunks"] for row in words} != counts:
            problems.append("the words are not those of the chunks")
        if version.manifest.has_tokens:
            filter_ = f"{of_tenant(tenant_id)} and part == 0"
            tokens = self._writer.iterate(tokens_of(embedder), filter_, ["pk", "chunk_id"])
            if ids - {row["chunk_id"] for row in tokens}:
                problems.append("token vectors are missing")
        if problems:
            raise BrokenIndexError(*problems)

    def _recover(self, tenant_id: str) -> tuple[MilvusVersion | None, int]:
        """Return, after damage to the serving version, the last whole one and the number that new ones must exceed."""
        rows = self._writer.query(META, f'{of_tenant(tenant_id)} and kind in ["switch", "manifest"]', ["name"])
        names = sorted({row["name"] for row in rows if is_version_name(row["name"])}, key=number_of, reverse=True)
        numbers_above = max(map(number_of, names), default=0)
        for name in names:
            try:
                version = self._read(tenant_id, name)
                self._check_all(tenant_id, version)
            except BrokenIndexError:
                continue
            return version, numbers_above
        return None, numbers_above

    def _sweep(self, tenant_id: str, base: MilvusVersion | None) -> None:
        previous = base.manifest.previous if base else None
        kept = [name for name in (base.name if base else None, previous) if name is not None]
        before = number_of(previous) if previous else 0
        sweep(self._writer, tenant_id, kept, serving=base.number if base else 0, previous=before)


def _ids(tenant_id: str, manifest: Manifest) -> Iterator[str]:
    for entry in manifest.document_list:
        for number in range(1, entry.chunks + 1):
            yield f"{tenant_id}:{entry.document_id}:v{entry.document_version}:{number:05d}"


def _content(entry: DocumentEntry) -> tuple[object, ...]:
    """Return what two versions must share of a document to share its rows."""
    metadata = tuple(sorted((key, tuple(values)) for key, values in entry.metadata.items()))
    return entry.document_id, entry.document_version, tuple(sorted(entry.groups)), metadata
