"""Copy tenants from one engine of the index to another, while the fronts go on answering from the first.

Documents keep their numbers and their chunks their ids, so citations that were given stay true. Vectors are copied, or
made anew where another embedder is to serve. A second run copies only what has changed since the first: so a long copy
is caught up with in a short one, before the fronts are switched.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from rag.index.engine import EncodeChunks, IndexChange, IndexEngine, PublishedVersion, VersionContent
from rag.index.manifest import BrokenIndexError, DocumentEntry
from rag.ingestion.ports import Watcher
from rag.ingestion.reports import MigratedTenant, MigrateReport
from rag.types import Chunk, EncodedTexts, ModelInfo

_REMOVED_MEANWHILE: Final = "the version that was being copied is gone; run it again"

# Embeds chunks, and calls the function with the number newly done.
EmbedChunks = Callable[[Sequence[Chunk], Callable[[int], None]], EncodedTexts]


@dataclass(frozen=True, slots=True)
class NewEmbedder:
    """The embedder that is to serve at the target, if it is another one than the source's."""

    model: ModelInfo
    embed: EmbedChunks
    keeps_tokens: bool


class Migration:
    """Copies from one engine to another."""

    def __init__(
        self, source: IndexEngine, target: IndexEngine, watcher: Watcher, embedder: NewEmbedder | None = None
    ) -> None:
        """With an embedder all vectors are made by it; without, they are copied."""
        self._source = source
        self._target = target
        self._watcher = watcher
        self._embedder = embedder

    def run(self, tenant_ids: Sequence[str] = ()) -> MigrateReport:
        """Copy these tenants, or all that the source has; tenants without a version are left out.

        Raises: BrokenIndexError: a version of the source, or of the target, is damaged; OSError. The tenants before it
            are copied.
        """
        copied = [self._copy(tenant_id) for tenant_id in tenant_ids or self._source.tenants()]
        return MigrateReport([each for each in copied if each is not None])

    def _copy(self, tenant_id: str) -> MigratedTenant | None:
        serving = self._source.current(tenant_id)
        if serving is None:
            return None
        previous = serving.manifest.previous
        if previous and self._embedder is None and self._target.current(tenant_id) is None:
            self._copy_version(tenant_id, previous)  # so that the target can be rolled back as the source can
        report = self._copy_version(tenant_id, None)
        if report is None:
            raise BrokenIndexError(_REMOVED_MEANWHILE)
        return report

    def _copy_version(self, tenant_id: str, name: str | None) -> MigratedTenant | None:
        """Copy the version of this name, or the serving one; None if it is gone."""
        started = time.monotonic()
        with self._source.read(tenant_id, name) as content:
            if content is None:
                return None
            with self._updating(tenant_id, content.version) as change:
                changes = _adopt_all(content, change)
                change.continue_numbers(content.version.manifest)
                published = self._publish(change, content)
        manifest = content.version.manifest
        return MigratedTenant(
            tenant=tenant_id,
            source_version=content.version.name,
            version=published.name if published else None,
            copied=changes.copied,
            unchanged=changes.unchanged,
            removed=changes.removed,
            documents=manifest.documents,
            chunks=manifest.chunks,
            seconds=round(time.monotonic() - started, 3),
        )

    @contextmanager
    def _updating(self, tenant_id: str, version: PublishedVersion) -> Iterator[IndexChange]:
        manifest, new = version.manifest, self._embedder
        with self._target.update(
            tenant_id,
            lambda: self._watcher.tell("another ingestion is changing this tenant's index; waiting for it to end"),
            new.model if new else manifest.embedder,
            chunker_version=manifest.chunker_version,
            keeps_tokens=new.keeps_tokens if new else manifest.has_tokens,
        ) as change:
            yield change

    def _publish(self, change: IndexChange, content: VersionContent) -> PublishedVersion | None:
        what = "copying" if self._embedder is None else "embedding"
        with self._watcher.measure(what, change.chunks_to_embed, "chunk") as advance:
            return change.publish(self._encoding(content, advance))

    def _encoding(self, content: VersionContent, advance: Callable[[int], None]) -> EncodeChunks:
        new = self._embedder

        def copy(chunks: Sequence[Chunk]) -> EncodedTexts:
            encoded = content.encoded(chunks)
            advance(len(chunks))
            return encoded

        return copy if new is None else lambda chunks: new.embed(chunks, advance)


@dataclass(frozen=True, slots=True)
class _Changes:
    """Counts of documents."""

    copied: int
    unchanged: int
    removed: int


def _adopt_all(content: VersionContent, change: IndexChange) -> _Changes:
    """Make the documents of the change those of the content."""
    before = dict(change.documents)
    wanted = content.version.manifest.document_list
    gone = before.keys() - {entry.document_id for entry in wanted}
    for document_id in sorted(gone):
        change.drop(document_id)
    copied = 0
    for entry in wanted:
        if _is_same(entry, before):
            change.relabel(entry.document_id, entry.labels, entry.origin)
        else:
            change.adopt(entry, content.chunks(entry))
            copied += 1
    return _Changes(copied, len(wanted) - copied, len(gone))


def _is_same(entry: DocumentEntry, known: Mapping[str, DocumentEntry]) -> bool:
    """Return whether the target has this document with the same number and the same chunks."""
    other = known.get(entry.document_id)
    return other is not None and _identity(entry) == _identity(other)


def _identity(entry: DocumentEntry) -> tuple[object, ...]:
    return entry.document_version, entry.digest, entry.chunker_version, entry.chunks, entry.title
