"""The next version of one tenant in the making: new chunks wait in a temporary folder until they are published."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from rag.index.chunks import ChunkFile, ChunkWriter
from rag.index.engine import EncodeChunks
from rag.index.manifest import DocumentEntry
from rag.index.plan import Makers, Plan
from rag.index.postgres.approximate import ANALYZE_FROM, analyze, keep_searchable
from rag.index.postgres.pruning import discard_orphans, prune
from rag.index.postgres.publishing import Difference, publish, restore
from rag.index.postgres.rows import read_chunk
from rag.index.postgres.staging import Staging
from rag.index.postgres.versions import NOTHING, DatabaseVersion, serving_number
from rag.index.postgres.writing import Connection, telling
from rag.types import Chunk

# Large enough to fill batches with texts of similar length, small enough to hold: a few MB of text and vectors.
GROUP_CHUNKS: Final = 2_000

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Base:
    """What a change starts from; `damaged` is the number of the serving version if that is damaged, to be replaced."""

    version: DatabaseVersion | None
    numbers_above: int
    damaged: int | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a change is written: a connection that holds the lock of this tenant."""

    connection: Connection
    tenant: int
    tenant_id: str


class DatabaseChange(Plan):
    """A `rag.index.engine.IndexChange`."""

    def __init__(self, place: Place, folder: Path, base: Base, makers: Makers) -> None:
        """`folder` is empty and temporary."""
        self._connection, self._tenant = place.connection, place.tenant
        self._folder, self._from = folder, base
        self._chunks = ChunkWriter(folder)
        self._docs: dict[str, int] = {}
        self._stored: dict[str, DocumentEntry] = {}
        if base.version is not None:
            entries = base.version.manifest.document_list
            self._docs = {entry.document_id: doc for entry, doc in zip(entries, base.version.docs, strict=True)}
            self._stored = {entry.document_id: entry for entry in entries}
        super().__init__(
            place.tenant_id,
            writer=self._chunks,
            base=base.version,
            makers=makers,
            numbers_above=base.numbers_above,
            replaces_damage=base.damaged is not None,
        )

    def close(self) -> None:
        """Close the file of new chunks."""
        self._chunks.close()

    def publish(self, encode: EncodeChunks) -> DatabaseVersion | None:
        """Make the next version serve. Raises: DatabaseError: the old version still serves."""
        if self.changes_nothing:
            return self._from.version
        self._chunks.finish()
        with telling():
            version = self._publish(encode)
            try:
                prune(self._connection, self._tenant, version.number - 1)
                if self.chunks_to_embed >= max(ANALYZE_FROM, version.manifest.chunks // 10):
                    analyze(self._connection)
                keep_searchable(self._connection, self._tenant, version.manifest)
            except Exception as error:  # noqa: BLE001 - the version serves; what is left is done by the next change
                logger.warning("index_not_tidied", extra={"fields": {"reason": type(error).__name__}})
        return version

    def _publish(self, encode: EncodeChunks) -> DatabaseVersion:
        self._repair()
        discard_orphans(self._connection, self._tenant)
        staging = Staging(self._connection, self._tenant, keeps_tokens=self._makers.keeps_tokens)
        entries = [*self._new, *(self._kept.values() if self.reembeds else ())]
        docs = staging.begin([(each.document_id, each.document_version, each.chunks) for each in entries])
        self._stage(staging, docs, encode)
        new = dict(zip(docs, entries, strict=True))
        kept = {} if self.reembeds else {self._docs[each]: entry for each, entry in self._kept.items()}
        live = dict(sorted({**kept, **new}.items()))
        difference = Difference(
            gone=[doc for doc in self._docs.values() if doc not in kept],
            new=list(new),
            relabelled=[doc for doc, entry in kept.items() if entry != self._stored[entry.document_id]],
            contents=staging.contents,
        )
        manifest = self.describe(tuple(live.values()))
        serving = serving_number(self._connection, self._tenant)
        return publish(self._connection, self._tenant, manifest, list(live), difference, serving=serving)

    def _repair(self) -> None:
        """Publish what the change starts from if the serving version is damaged: all that is written refers to it."""
        base, damaged = self._from.version, self._from.damaged
        if damaged is None:
            return
        old = base or DatabaseVersion(NOTHING, self.describe(()), ())
        previous = base.name if base else None
        manifest = replace(old.manifest, previous=previous, numbers_above=self._from.numbers_above)
        self._base = restore(self._connection, self._tenant, manifest, old, serving=damaged)

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
