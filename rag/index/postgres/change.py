"""The next version of one tenant in the making: new chunks wait in a temporary folder until they are published."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rag.chunk_id import ChunkId
from rag.index.chunks import ChunkFile, ChunkWriter
from rag.index.contexts import contexts_of
from rag.index.engine import EncodeChunks
from rag.index.manifest import DocumentEntry, Manifest, Origin, format_of
from rag.index.postgres.approximate import keep_searchable
from rag.index.postgres.pruning import discard_orphans, prune
from rag.index.postgres.publishing import Difference, publish, restore
from rag.index.postgres.rows import read_chunk
from rag.index.postgres.staging import Staging
from rag.index.postgres.versions import DatabaseVersion, serving_number
from rag.index.postgres.writing import Connection, telling
from rag.index.update import Makers
from rag.types import Chunk, Labels, Span

# Large enough to fill batches with texts of similar length, small enough to hold: a few MB of text and vectors.
GROUP_CHUNKS: Final = 2_000
NO_LABELS: Final = Labels()

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Base:
    """What a change starts from; `damaged` is the number of the serving version if that is damaged, to be replaced."""

    version: DatabaseVersion | None
    numbers_above: int
    damaged: int | None = None


class DatabaseChange:
    """A `rag.index.engine.IndexChange`."""

    def __init__(
        self, connection: Connection, tenant: int, tenant_id: str, folder: Path, base: Base, makers: Makers
    ) -> None:
        """`folder` is empty and temporary; the connection holds the tenant's lock."""
        self._connection, self._tenant, self._tenant_id = connection, tenant, tenant_id
        self._folder, self._base, self._makers = folder, base, makers
        self._writer = ChunkWriter(folder)
        self._new: list[DocumentEntry] = []
        self._kept: dict[str, DocumentEntry] = {}
        self._docs: dict[str, int] = {}
        self._removed: dict[str, int] = {}
        self._relabelled: set[str] = set()
        self.reembeds = False
        if (version := base.version) is not None:
            manifest = version.manifest
            self._kept = {entry.document_id: entry for entry in manifest.document_list}
            self._docs = {
                entry.document_id: doc for entry, doc in zip(manifest.document_list, version.docs, strict=True)
            }
            self._removed = dict(manifest.removed)
            lacks = manifest.embedder != makers.embedder or (makers.keeps_tokens and not manifest.has_tokens)
            self.reembeds = manifest.chunks > 0 and lacks

    @property
    def documents(self) -> Mapping[str, DocumentEntry]:
        return self._kept

    @property
    def chunks_to_embed(self) -> int:
        carried = sum(entry.chunks for entry in self._kept.values())
        return len(self._writer) + (carried if self.reembeds else 0)

    def find_unchanged(self, document_id: str, digest: str) -> DocumentEntry | None:
        entry = self._kept.get(document_id)
        same = entry is not None and (entry.digest, entry.chunker_version) == (digest, self._makers.chunker_version)
        return entry if same else None

    def labels_of(self, document_id: str) -> Labels:
        entry = self._kept.get(document_id)
        return entry.labels if entry else NO_LABELS

    def relabel(self, document_id: str, labels: Labels, origin: Origin | None = None) -> None:
        entry = self._kept[document_id]
        if (entry.labels, entry.origin) != (labels, origin):
            labelled = replace(entry, groups=labels.groups, metadata=labels.metadata, origin=origin)
            self._kept[document_id] = labelled
            self._relabelled.add(document_id)

    def put(
        self,
        document_id: str,
        title: str,
        spans: Sequence[Span],
        digest: str,
        *,
        edition: str = "",
        labels: Labels = NO_LABELS,
        origin: Origin | None = None,
    ) -> None:
        assert spans
        old = self._kept.pop(document_id, None)
        last = max(old.document_version if old else 0, self._removed.pop(document_id, 0))
        number = 1 + max(last, self._base.numbers_above)
        entry = DocumentEntry(document_id, title, number, len(spans), 0, digest, self._makers.chunker_version)
        self._new.append(replace(entry, groups=labels.groups, metadata=labels.metadata, origin=origin))
        chunks = [
            Chunk(
                chunk_id=str(ChunkId(self._tenant_id, document_id, number, position)),
                document_id=document_id,
                title=title,
                text=span.text,
                start=span.start,
                end=span.end,
                page_start=span.page_start,
                page_end=span.page_end,
                heading=span.heading,
                context=context,
                edition=edition,
            )
            for position, (span, context) in enumerate(zip(spans, contexts_of(title, spans), strict=True), start=1)
        ]
        self._writer.append(chunks)

    def drop(self, document_id: str) -> bool:
        entry = self._kept.pop(document_id, None)
        if entry is not None:
            self._removed[document_id] = max(entry.document_version, self._removed.get(document_id, 0))
        return entry is not None

    def close(self) -> None:
        """Close the file of new chunks."""
        self._writer.close()

    def publish(self, encode: EncodeChunks) -> DatabaseVersion | None:
        """Make the next version serve. Raises: DatabaseError: the old version still serves."""
        base = self._base.version
        old_documents = len(base.docs) if base else 0
        is_same = not (self._new or self.reembeds or self._relabelled) and len(self._kept) == old_documents
        if is_same and not (self._base.damaged is not None and base):
            return base
        self._writer.finish()
        with telling():
            version = self._publish(encode)
            try:
                prune(self._connection, self._tenant, version.number - 1)
                keep_searchable(self._connection, self._tenant, version.manifest)
            except Exception as error:  # noqa: BLE001 - the version serves; what is left is done by the next change
                logger.warning("index_not_tidied", extra={"fields": {"reason": type(error).__name__}})
        return version

    def _publish(self, encode: EncodeChunks) -> DatabaseVersion:
        base, makers = self._repair(), self._makers
        discard_orphans(self._connection, self._tenant)
        staging = Staging(self._connection, self._tenant, keeps_tokens=makers.keeps_tokens)
        again = list(self._kept.values()) if self.reembeds else []
        entries = [*self._new, *again]
        docs = staging.begin([(each.document_id, each.document_version, each.chunks) for each in entries])
        self._stage(staging, docs, encode)
        new = dict(zip(docs, entries, strict=True))
        kept = {} if self.reembeds else {self._docs[each]: entry for each, entry in self._kept.items()}
        relabelled = {self._docs[each]: self._kept[each] for each in self._relabelled & self._kept.keys()}
        live = dict(sorted({**kept, **new}.items()))
        difference = Difference(
            gone=[doc for doc in self._docs.values() if doc not in kept],
            new=new,
            relabelled={} if self.reembeds else relabelled,
            contents=staging.contents,
        )
        serving = serving_number(self._connection, self._tenant)
        manifest = self._describe(list(live.values()), base)
        return publish(self._connection, self._tenant, manifest, list(live), difference, serving=serving)

    def _repair(self) -> DatabaseVersion | None:
        """Publish what the change starts from if the serving version is damaged: all that is written refers to it."""
        base, damaged = self._base.version, self._base.damaged
        if damaged is None:
            return base
        old = base or DatabaseVersion("000000-", self._describe([], None), ())
        previous = base.name if base else None
        manifest = replace(old.manifest, previous=previous, numbers_above=self._base.numbers_above)
        restored = restore(self._connection, self._tenant, manifest, old, serving=damaged)
        return restored

    def _stage(self, staging: Staging, docs: Sequence[int], encode: EncodeChunks) -> None:
        """Embed and write the new documents' chunks, and, if all are embedded again, those of the kept ones."""
        new = ChunkFile.load(self._folder) if self._new else None
        places = [
            (doc, number) for doc, entry in zip(docs, self._new, strict=False) for number in range(1, entry.chunks + 1)
        ]
        for first in range(0, len(places), GROUP_CHUNKS):
            part = places[first : first + GROUP_CHUNKS]
            assert new is not None
            self._write(staging, part, new.chunks(range(first, first + len(part))), encode)
        again = zip(docs[len(self._new) :], self._kept.values(), strict=False)
        waiting: list[tuple[int, int]] = []
        chunks: list[Chunk] = []
        for doc, entry in again:
            for number, chunk in enumerate(self._read(self._docs[entry.document_id]), start=1):
                waiting.append((doc, number))
                chunks.append(chunk)
                if len(chunks) == GROUP_CHUNKS:
                    self._write(staging, waiting, chunks, encode)
                    waiting, chunks = [], []
        if chunks:
            self._write(staging, waiting, chunks, encode)

    def _write(
        self, staging: Staging, places: Sequence[tuple[int, int]], chunks: Sequence[Chunk], encode: EncodeChunks
    ) -> None:
        encoded = encode(chunks)
        assert encoded.vectors.shape == (len(chunks), self._makers.embedder.dimension)
        assert not self._makers.keeps_tokens or len(encoded.tokens) == len(chunks)
        staging.write([doc for doc, _ in places], [number for _, number in places], chunks, encoded)

    def _read(self, doc: int) -> list[Chunk]:
        rows = self._connection.execute(
            "SELECT body FROM rag.chunks WHERE tenant = %s AND doc = %s ORDER BY number", (self._tenant, doc)
        )
        return [read_chunk(body) for (body,) in rows]

    def _describe(self, entries: Sequence[DocumentEntry], base: DatabaseVersion | None) -> Manifest:
        chunks = sum(entry.chunks for entry in entries)
        return Manifest(
            format=format_of(entries),
            previous=base.name if base else None,
            built_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            embedder=self._makers.embedder,
            chunker_version=self._makers.chunker_version,
            documents=len(entries),
            chunks=chunks,
            dense=None,
            files=(),
            document_list=tuple(entries),
            removed=self._removed,
            has_tokens=self._makers.keeps_tokens and chunks > 0,
            numbers_above=self._base.numbers_above,
        )
