"""Keep the books of a change of one tenant's index, whatever engine holds it.

Which documents are new, kept, removed or relabelled, the numbers of their versions, and what the next version says of
itself. An engine adds where the chunks go, and how they are published.
"""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Final, Protocol

from rag.chunk_id import ChunkId
from rag.index.contexts import contexts_of
from rag.index.engine import PublishedVersion, RollbackError
from rag.index.manifest import (
    BrokenIndexError,
    DeltaInfo,
    DenseInfo,
    DocumentEntry,
    FileSeal,
    Manifest,
    Origin,
    format_of,
)
from rag.types import Chunk, Document, Labels, ModelInfo, Span

NO_LABELS: Final = Labels()

logger = logging.getLogger(__name__)


class ChunkSink(Protocol):
    """Takes the chunks of new documents, in order, and knows how many it has."""

    def __len__(self) -> int: ...

    def append(self, chunks: Sequence[Chunk]) -> None: ...


@dataclass(frozen=True, slots=True)
class Makers:
    """The embedder and the chunker of a new version, and whether token vectors are stored."""

    embedder: ModelInfo
    chunker_version: str
    keeps_tokens: bool = False


def warn_of_damage(damage: BrokenIndexError, base: PublishedVersion | None) -> None:
    """Log the damage of a serving version: an `OnDamage` for those who tell nobody."""
    fields = {"reason": str(damage), "starts_from": base.name if base else None}
    logger.warning("index_damaged", extra={"fields": fields})


def digest_document(document: Document) -> str:
    """Return a digest that changes if anything changes that a chunk of the document could show."""
    described = asdict(document)
    for page in described["pages"]:
        if page["label"] is None:  # so the digests of versions that knew no labels stay
            del page["label"]
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()


def require_embedder(old: PublishedVersion, embedder: ModelInfo) -> None:
    """Refuse vectors of another embedder: servers refuse them too, so after a restart they would find no index.

    Raises: RollbackError.
    """
    made_by = old.manifest.embedder
    if old.manifest.chunks and made_by != embedder:
        raise RollbackError(
            f"the version before, {old.name}, was made by {made_by.name} {made_by.revision}, "
            f"but {embedder.name} {embedder.revision} is set"
        )


def restore(old: Manifest, *, after: str, serving: Manifest) -> Manifest:
    """Return the manifest of the old content as the version after the serving one; numbers continue."""
    restored = {entry.document_id: entry.document_version for entry in old.document_list}
    removed = {each: last for each, last in serving.last_versions.items() if last > restored.get(each, 0)}
    return replace(old, previous=after, removed=removed, numbers_above=serving.numbers_above)


class Plan:
    """The part of a `rag.index.engine.IndexChange` that is the same in every engine; it keeps the chunks in a sink."""

    def __init__(
        self,
        tenant_id: str,
        *,
        writer: ChunkSink,
        base: PublishedVersion | None,
        makers: Makers,
        numbers_above: int,
        replaces_damage: bool,
    ) -> None:
        """New document versions are numbered above `numbers_above`; damage is replaced even if no document changed."""
        self._tenant_id = tenant_id
        self._writer = writer
        self._base = base
        self._makers = makers
        self._numbers_above = numbers_above
        self._replaces_damage = replaces_damage
        self._new: list[DocumentEntry] = []
        self._kept: dict[str, DocumentEntry] = {}
        self._removed: dict[str, int] = {}
        self._is_relabelled = False
        self._is_renumbered = False
        self.reembeds = False
        if base is not None:
            self._kept = {entry.document_id: entry for entry in base.manifest.document_list}
            self._removed = dict(base.manifest.removed)
            lacks = base.manifest.embedder != makers.embedder or (makers.keeps_tokens and not base.manifest.has_tokens)
            self.reembeds = base.manifest.chunks > 0 and lacks

    @property
    def chunks_to_embed(self) -> int:
        """The number of chunks without vectors so far."""
        carried = sum(entry.chunks for entry in self._kept.values())
        return len(self._writer) + (carried if self.reembeds else 0)

    @property
    def documents(self) -> Mapping[str, DocumentEntry]:
        """The stored documents, by id, without those that were replaced or dropped so far."""
        return self._kept

    def find_unchanged(self, document_id: str, digest: str) -> DocumentEntry | None:
        """Return the stored document if its digest is this one and the current chunker split it; else None."""
        entry = self._kept.get(document_id)
        same = entry is not None and (entry.digest, entry.chunker_version) == (digest, self._makers.chunker_version)
        return entry if same else None

    def labels_of(self, document_id: str) -> Labels:
        """Return the labels of a stored document; none if there is no such document."""
        entry = self._kept.get(document_id)
        return entry.labels if entry else Labels()

    def relabel(self, document_id: str, labels: Labels, origin: Origin | None = None) -> None:
        """Give a stored document, which does not change otherwise, these labels and this origin."""
        entry = self._kept[document_id]
        if (entry.labels, entry.origin) != (labels, origin):
            labelled = replace(entry, groups=labels.groups, metadata=labels.metadata, origin=origin)
            self._kept[document_id] = labelled
            self._is_relabelled = True

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
        """Add a document, or its next version; each id at most once, and each with at least one span.

        `edition` is the document's own statement of its age.
        """
        assert spans
        old = self._kept.pop(document_id, None)
        last = max(old.document_version if old else 0, self._removed.pop(document_id, 0))
        number = 1 + max(last, self._numbers_above)
        first, cutter = len(self._writer), self._makers.chunker_version
        contexts = contexts_of(title, spans)
        entry = DocumentEntry(document_id, title, number, len(spans), first, digest, cutter)
        self._new.append(replace(entry, groups=labels.groups, metadata=labels.metadata, origin=origin))
        self._writer.append(
            [
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
                    page_label=span.page_label,
                )
                for position, (span, context) in enumerate(zip(spans, contexts, strict=True), start=1)
            ]
        )

    def drop(self, document_id: str) -> bool:
        """Remove a document; False if there is none with this id."""
        entry = self._kept.pop(document_id, None)
        if entry is not None:
            self._removed[document_id] = max(entry.document_version, self._removed.get(document_id, 0))
        return entry is not None

    def adopt(self, entry: DocumentEntry, chunks: Sequence[Chunk]) -> None:
        """Take a document as another index of this tenant holds it: with its number and the ids of its chunks."""
        assert len(chunks) == entry.chunks > 0
        self._kept.pop(entry.document_id, None)
        self._removed.pop(entry.document_id, None)
        self._new.append(replace(entry, first_ordinal=len(self._writer)))
        self._writer.append(chunks)

    def continue_numbers(self, of: Manifest) -> None:
        """Give documents no number that another index of this tenant gave already."""
        present = {entry.document_id: entry.document_version for entry in (*self._kept.values(), *self._new)}
        highest = {each: max(last, self._removed.get(each, 0)) for each, last in of.last_versions.items()}
        missing = {each: last for each, last in highest.items() if last > present.get(each, 0)}
        before = dict(self._removed), self._numbers_above
        self._removed.update(missing)
        self._numbers_above = max(self._numbers_above, of.numbers_above)
        self._is_renumbered = before != (self._removed, self._numbers_above)

    @property
    def changes_nothing(self) -> bool:
        """Whether the serving version, if there is one, already is what the change asks for."""
        old_documents = self._base.manifest.documents if self._base else 0
        is_changed = self._new or self.reembeds or self._is_relabelled or self._is_renumbered
        is_same = not is_changed and len(self._kept) == old_documents
        return is_same and not (self._replaces_damage and self._base is not None)

    def describe(
        self,
        documents: Sequence[DocumentEntry],
        *,
        dense: DenseInfo | None = None,
        files: tuple[FileSeal, ...] = (),
        delta: DeltaInfo | None = None,
    ) -> Manifest:
        """Return what the next version, of these documents, says of itself."""
        chunks = sum(entry.chunks for entry in documents)
        return Manifest(
            format=format_of(documents, delta),
            previous=self._base.name if self._base else None,
            built_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            embedder=self._makers.embedder,
            chunker_version=self._makers.chunker_version,
            documents=len(documents),
            chunks=chunks,
            dense=dense,
            files=files,
            document_list=tuple(documents),
            removed=self._removed,
            has_tokens=self._makers.keeps_tokens and chunks > 0,
            numbers_above=self._numbers_above,
            delta=delta,
        )
