"""Change one tenant's index in Milvus: the rows of the next version, then its description, then the switch."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rag.index.chunks import ChunkFile, ChunkWriter
from rag.index.engine import EncodeChunks
from rag.index.manifest import DocumentEntry, Manifest, name_version, render_manifest
from rag.index.milvus.draft import GROUP_CHUNKS, Draft, blocks
from rag.index.milvus.driver import MilvusWriter
from rag.index.milvus.filters import seen_at
from rag.index.milvus.layout import META, chunks_of
from rag.index.milvus.rows import read_chunk
from rag.index.milvus.versions import MilvusVersion, blob_rows, render_lengths, seal_lengths, switch_row
from rag.index.plan import Makers, Plan
from rag.types import Chunk, EncodedTexts


@dataclass(frozen=True, slots=True)
class Place:
    """Where a change is made: the tenant, and `require`, which raises if another writer took over."""

    writer: MilvusWriter
    tenant_id: str
    require: Callable[[], None]


class MilvusChange(Plan):
    """A `rag.index.engine.IndexChange`; new documents come first in the next version, then those kept."""

    def __init__(
        self,
        place: Place,
        base: MilvusVersion | None,
        makers: Makers,
        *,
        folder: Path,
        numbers_above: int = 0,
        replaces_damage: bool = False,
    ) -> None:
        """New chunks wait in `folder` until they are embedded: there may be more of them than memory holds."""
        self._spool = ChunkWriter(folder)
        super().__init__(
            place.tenant_id,
            writer=self._spool,
            base=base,
            makers=makers,
            numbers_above=numbers_above,
            replaces_damage=replaces_damage,
        )
        self._place = place
        self._old = base
        self._folder = folder

    def publish(self, encode: EncodeChunks) -> MilvusVersion | None:
        if self.changes_nothing:
            return self._old
        base = self._old.number if self._old else 0
        number = 1 + max(base, self._numbers_above)
        draft = Draft(
            self._place.writer, self._place.tenant_id, base=base, number=number, embedder=self._makers.embedder
        )
        lengths = self._write_chunks(draft, encode)
        if self._old is not None:
            self._end_chunks(draft, self._old)
            lengths |= {each: self._old.lengths[each] for each in self._kept}
        draft.end_words()
        documents = number_chunks((*self._new, *self._kept.values()))
        manifest = self.describe(documents, files=(seal_lengths(render_lengths(lengths)),))
        return publish(self._place, manifest, lengths)

    def close(self) -> None:
        """Release what waits to be embedded."""
        self._spool.close()

    def _write_chunks(self, draft: Draft, encode: EncodeChunks) -> dict[str, int]:
        self._spool.finish()
        lengths: dict[str, int] = {entry.document_id: 0 for entry in self._new}
        labels = {entry.document_id: entry.labels for entry in (*self._new, *self._kept.values())}
        for chunks in blocks(self._chunks_to_embed(), GROUP_CHUNKS):
            for document_id, count in draft.add(chunks, self._encode(chunks, encode), labels).items():
                lengths[document_id] = lengths.get(document_id, 0) + count
        return lengths

    def _chunks_to_embed(self) -> Iterator[Chunk]:
        if len(self._spool):
            yield from ChunkFile.load(self._folder)
        if self.reembeds and self._old is not None and self._kept:
            collection, filter_ = chunks_of(self._old.manifest.embedder), self._seen(self._old)
            for row in self._place.writer.iterate(collection, filter_, ["pk", "document_id", "body"]):
                if row["document_id"] in self._kept:
                    yield read_chunk(row)

    def _encode(self, chunks: Sequence[Chunk], encode: EncodeChunks) -> EncodedTexts:
        encoded = encode(chunks)
        assert encoded.vectors.shape == (len(chunks), self._makers.embedder.dimension)
        if not self._makers.keeps_tokens:
            return EncodedTexts(encoded.vectors, ())
        assert len(encoded.tokens) == len(chunks)
        return encoded

    def _end_chunks(self, draft: Draft, base: MilvusVersion) -> None:
        """Let the rows go that the next version does not see; those with new labels are copied before."""
        before = {entry.document_id: entry for entry in base.manifest.document_list}
        gone = before.keys() - self._kept.keys()
        if self.reembeds:
            draft.end(before, base.manifest.embedder)
            return
        relabelled = {each: entry.labels for each, entry in self._kept.items() if entry.labels != before[each].labels}
        draft.copy(relabelled, seen=base.number)
        draft.end(gone | relabelled.keys(), base.manifest.embedder)

    def _seen(self, version: MilvusVersion) -> str:
        return seen_at(self._place.tenant_id, version.number)


def publish(place: Place, manifest: Manifest, lengths: Mapping[str, int]) -> MilvusVersion:
    """Describe a version whose rows are all written, and make it serve.

    Raises: OSError: the old version still serves, unless the answer to the very last step was lost.
    """
    version = MilvusVersion(name_version(manifest, render_manifest(manifest)), manifest, lengths)
    for some in blocks(blob_rows(place.tenant_id, version), 100):
        place.writer.upsert(META, some)
    place.require()
    place.writer.upsert(META, [switch_row(place.tenant_id, version)])
    return version


def number_chunks(entries: Sequence[DocumentEntry]) -> tuple[DocumentEntry, ...]:
    """Return the documents with their chunks numbered one after the other; the order breaks ties of scores."""
    placed, first = [], 0
    for entry in entries:
        placed.append(replace(entry, first_ordinal=first))
        first += entry.chunks
    return tuple(placed)


def spool_folder() -> tempfile.TemporaryDirectory[str]:
    """Return a private folder for the chunks that wait to be embedded; it is removed on leaving."""
    return tempfile.TemporaryDirectory(prefix="rag-chunks-")
