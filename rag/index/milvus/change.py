"""Change one tenant's index in Milvus: the rows of the next version, then its description, then the switch."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rag.chunk_id import ChunkId
from rag.index.chunks import ChunkFile, ChunkWriter
from rag.index.contexts import contexts_of
from rag.index.engine import EncodeChunks
from rag.index.manifest import DocumentEntry, Manifest, Origin, format_of, name_version, render_manifest
from rag.index.milvus.draft import Draft, blocks
from rag.index.milvus.driver import MilvusWriter
from rag.index.milvus.filters import seen_at
from rag.index.milvus.layout import META, chunks_of
from rag.index.milvus.rows import read_chunk
from rag.index.milvus.versions import MilvusVersion, blob_rows, render_lengths, seal_lengths, switch_row
from rag.types import Chunk, EncodedTexts, Labels, ModelInfo, Span

# As in the embedded engine: fills batches of the embedder, and is a few MB of text and vectors.
GROUP_CHUNKS: Final = 2_000
NO_LABELS: Final = Labels()


@dataclass(frozen=True, slots=True)
class Makers:
    """The embedder and the chunker of a new version, and whether token vectors are stored."""

    embedder: ModelInfo
    chunker_version: str
    keeps_tokens: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Where a change is made: the tenant, and `require`, which raises if another writer took over."""

    writer: MilvusWriter
    tenant_id: str
    require: Callable[[], None]


class MilvusChange:
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
        self._place = place
        self._base = base
        self._makers = makers
        self._folder = folder
        self._spool = ChunkWriter(folder)
        self._numbers_above = numbers_above
        self._replaces_damage = replaces_damage
        self._new: list[DocumentEntry] = []
        self._kept: dict[str, DocumentEntry] = {}
        self._removed: dict[str, int] = {}
        self._gone: set[str] = set()
        self._relabelled: set[str] = set()
        self.reembeds = False
        if base is not None:
            self._kept = {entry.document_id: entry for entry in base.manifest.document_list}
            self._removed = dict(base.manifest.removed)
            lacks = base.manifest.embedder != makers.embedder or (makers.keeps_tokens and not base.manifest.has_tokens)
            self.reembeds = base.manifest.chunks > 0 and lacks

    @property
    def chunks_to_embed(self) -> int:
        carried = sum(entry.chunks for entry in self._kept.values())
        return len(self._spool) + (carried if self.reembeds else 0)

    @property
    def documents(self) -> Mapping[str, DocumentEntry]:
        return self._kept

    def find_unchanged(self, document_id: str, digest: str) -> DocumentEntry | None:
        entry = self._kept.get(document_id)
        same = entry is not None and (entry.digest, entry.chunker_version) == (digest, self._makers.chunker_version)
        return entry if same else None

    def labels_of(self, document_id: str) -> Labels:
        entry = self._kept.get(document_id)
        return entry.labels if entry else Labels()

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
        if old is not None:
            self._gone.add(document_id)
        last = max(old.document_version if old else 0, self._removed.pop(document_id, 0))
        number = 1 + max(last, self._numbers_above)
        first, cutter = len(self._spool), self._makers.chunker_version
        entry = DocumentEntry(document_id, title, number, len(spans), first, digest, cutter)
        self._new.append(replace(entry, groups=labels.groups, metadata=labels.metadata, origin=origin))
        contexts = contexts_of(title, spans)
        self._spool.append(
            [
                Chunk(
                    chunk_id=str(ChunkId(self._place.tenant_id, document_id, number, position)),
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
                for position, (span, context) in enumerate(zip(spans, contexts, strict=True), start=1)
            ]
        )

    def drop(self, document_id: str) -> bool:
        entry = self._kept.pop(document_id, None)
        if entry is not None:
            self._removed[document_id] = max(entry.document_version, self._removed.get(document_id, 0))
            self._gone.add(document_id)
        return entry is not None

    def publish(self, encode: EncodeChunks) -> MilvusVersion | None:
        is_same = not (self._new or self.reembeds or self._relabelled or self._gone)
        if is_same and not (self._replaces_damage and self._base):
            return self._base
        base = self._base.number if self._base else 0
        number = 1 + max(base, self._numbers_above)
        draft = Draft(
            self._place.writer, self._place.tenant_id, base=base, number=number, embedder=self._makers.embedder
        )
        lengths = self._write_chunks(draft, encode)
        if self._base is not None:
            self._end_chunks(draft, self._base)
            lengths |= {each: self._base.lengths[each] for each in self._kept}
        draft.end_words()
        return publish(self._place, self._describe(lengths), lengths)

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
        if self.reembeds and self._base is not None and self._kept:
            collection, filter_ = chunks_of(self._base.manifest.embedder), self._seen(self._base)
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
        if self.reembeds:
            draft.end([*self._gone, *self._kept], base.manifest.embedder)
            return
        relabelled = self._relabelled & self._kept.keys()
        draft.copy({each: self._kept[each].labels for each in relabelled}, seen=base.number)
        draft.end(self._gone | relabelled, base.manifest.embedder)

    def _seen(self, version: MilvusVersion) -> str:
        return seen_at(self._place.tenant_id, version.number)

    def _describe(self, lengths: Mapping[str, int]) -> Manifest:
        documents = number_chunks((*self._new, *self._kept.values()))
        chunks = sum(entry.chunks for entry in documents)
        return Manifest(
            format=format_of(documents),
            previous=self._base.name if self._base else None,
            built_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            embedder=self._makers.embedder,
            chunker_version=self._makers.chunker_version,
            documents=len(documents),
            chunks=chunks,
            dense=None,
            files=(seal_lengths(render_lengths(lengths)),),
            document_list=documents,
            removed=self._removed,
            has_tokens=self._makers.keeps_tokens and chunks > 0,
            numbers_above=self._numbers_above,
        )


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
