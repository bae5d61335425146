"""Change and describe one tenant's documents: the ingestion command without its command line."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Protocol

from rag.errors import ParseError
from rag.index.manifest import BrokenIndexError, StoredVersion
from rag.index.store import IndexStore
from rag.index.update import IndexUpdate, Makers, digest_document, update_index
from rag.ingestion.sources import Failure, Source
from rag.parsing import READERS, Reader, parse
from rag.parsing.chunking import CHUNKER_VERSION, CONTEXT_TOKENS, split
from rag.ports import TokenCounter
from rag.text.editions import read_edition
from rag.text.language import place_tones
from rag.types import Chunk, EncodedTexts, Labels, ModelInfo


class PassageEncoder(TokenCounter, Protocol):
    """The embedder, in this process."""

    @property
    def limit_tokens(self) -> int: ...

    def read_passages(self, texts: Sequence[str], on_batch: Callable[[int], None] | None = None) -> EncodedTexts:
        """Return the vectors of the texts and of their tokens, in order; `on_batch` gets the number newly done."""
        ...


class Watcher(Protocol):
    """Receives the messages and the progress of the command."""

    def tell(self, line: str) -> None: ...

    def measure(self, what: str, total: int, unit: str) -> AbstractContextManager[Callable[[int], None]]:
        """Show the progress of one step.

        Yields: a function to call with the number of items newly done, out of the total.
        """
        ...


@dataclass(frozen=True, slots=True)
class Added:
    """A document that was added, or had not changed."""

    path: str
    document_id: str
    chunks: int


@dataclass(frozen=True, slots=True)
class AddReport:
    """The result of `add`; `documents` and `chunks` count the whole index after it."""

    tenant: str
    version: str | None
    added: list[Added]
    failed: list[Failure]
    documents: int
    chunks: int
    seconds: float


@dataclass(frozen=True, slots=True)
class RemoveReport:
    """The result of `remove`; `documents` and `chunks` count the whole index after it."""

    tenant: str
    version: str
    removed: str
    documents: int
    chunks: int


@dataclass(frozen=True, slots=True)
class RollbackReport:
    """The result of a rollback: `version` has the content of `restored`; `documents` and `chunks` count it."""

    tenant: str
    version: str
    restored: str
    documents: int
    chunks: int


@dataclass(frozen=True, slots=True)
class Listed:
    """One document of a list."""

    document_id: str
    title: str
    document_version: int
    chunks: int
    groups: tuple[str, ...]
    metadata: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class ListReport:
    """The documents of the serving version; `version` is None if there is none."""

    tenant: str
    version: str | None
    documents: list[Listed]


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The result of a check; `problems` is empty if there are none."""

    tenant: str
    version: str | None
    documents: int
    chunks: int
    problems: list[str]


def embedding_text(chunk: Chunk) -> str:
    """Return the text to embed for a chunk; it is as long as its `ranked_text`, so that offsets in both agree."""
    return place_tones(chunk.ranked_text)


class Ingestion:
    """The five operations on a tenant's index.

    `remove` and `list_documents` raise BrokenIndexError if the serving version is damaged. All raise OSError if the
    disk is full or failed; the serving version is then unchanged.
    """

    def __init__(
        self,
        store: IndexStore,
        watcher: Watcher,
        describe_embedder: Callable[[], ModelInfo],
        open_encoder: Callable[[], PassageEncoder],
        *,
        keeps_tokens: bool = False,
        readers: Mapping[str, Reader] = READERS,
    ) -> None:
        """The encoder is heavy: it is opened once, and only if something has to be split or embedded.

        `keeps_tokens`: store token vectors in the index too, for a reranker of the same model. `readers`: by suffix.
        """
        self._store = store
        self._watcher = watcher
        self._describe_embedder = describe_embedder
        self._open_encoder = open_encoder
        self._keeps_tokens = keeps_tokens
        self._readers = readers
        self._encoder: PassageEncoder | None = None

    def add(self, tenant_id: str, sources: Sequence[Source], failed: Sequence[Failure] = ()) -> AddReport:
        """Put all readable files into one new version, and report the others; unchanged documents stay as they are.

        If the serving version is damaged, it starts from the last whole one or from nothing, and says so.
        """
        started = time.monotonic()
        failures = list(failed)
        makers = Makers(self._describe_embedder(), CHUNKER_VERSION, self._keeps_tokens)
        with update_index(self._store, tenant_id, self._tell_waiting, makers, self._tell_damage) as update:
            added = list(self._put_all(update, sources, failures))
            if update.reembeds:
                self._watcher.tell("the index is by another embedder, or without its tokens: all is embedded again")
            stored = self._publish(update)
        return AddReport(
            tenant=tenant_id,
            version=stored.name if stored else None,
            added=added,
            failed=failures,
            documents=stored.manifest.documents if stored else 0,
            chunks=stored.manifest.chunks if stored else 0,
            seconds=round(time.monotonic() - started, 3),
        )

    def remove(self, tenant_id: str, document_id: str) -> RemoveReport | None:
        """Remove a document; None if there is none with this id."""
        if self._store.current(tenant_id) is None:
            return None
        with update_index(self._store, tenant_id, self._tell_waiting) as update:
            if not update.drop(document_id):
                return None
            stored = self._publish(update)
        assert stored is not None
        return RemoveReport(tenant_id, stored.name, document_id, stored.manifest.documents, stored.manifest.chunks)

    def rollback(self, tenant_id: str) -> RollbackReport:
        """Undo the last change of the index; a second rollback undoes the first.

        Raises: RollbackError: there is no previous version, or none that the servers could answer from.
        """
        restored, stored = self._store.rollback(tenant_id, self._describe_embedder(), self._tell_waiting)
        return RollbackReport(tenant_id, stored.name, restored, stored.manifest.documents, stored.manifest.chunks)

    def list_documents(self, tenant_id: str) -> ListReport:
        """Return the documents of the serving version, sorted by id."""
        stored = self._store.current(tenant_id)
        entries = sorted(stored.manifest.document_list, key=lambda entry: entry.document_id) if stored else []
        documents = [
            Listed(each.document_id, each.title, each.document_version, each.chunks, each.groups, each.metadata)
            for each in entries
        ]
        return ListReport(tenant_id, stored.name if stored else None, documents)

    def check(self, tenant_id: str) -> CheckReport:
        """Read every byte of the serving version, and compare its embedder with the configured one."""
        try:
            stored = self._store.verify(tenant_id)
        except BrokenIndexError as error:
            return CheckReport(tenant_id, None, 0, 0, error.problems)
        if stored is None:
            return CheckReport(tenant_id, None, 0, 0, ["there is no index"])
        manifest, embedder = stored.manifest, self._describe_embedder()
        problems = []
        if manifest.chunks and manifest.embedder != embedder:
            problems.append(f"made by the embedder {_name(manifest.embedder)}, but {_name(embedder)} is set")
        return CheckReport(tenant_id, stored.name, manifest.documents, manifest.chunks, problems)

    def _put_all(self, update: IndexUpdate, sources: Sequence[Source], failures: list[Failure]) -> Iterator[Added]:
        with self._watcher.measure("reading", len(sources), "file") as advance:
            for source in sources:
                try:
                    chunks = self._put(update, source)
                    yield Added(str(source.path), source.document_id, chunks)
                except ParseError as error:
                    failures.append(Failure(str(source.path), str(error)))
                    self._watcher.tell(f"failed: {source.path}: {error}")
                advance(1)

    def _put(self, update: IndexUpdate, source: Source) -> int:
        """Add the document of a file, and return the number of its chunks.

        Raises: ParseError: the file cannot become a document.
        """
        document = parse(source.path, self._readers)
        for warning in document.warnings:
            self._watcher.tell(f"warning: {source.path}: {warning}")
        if source.title is not None:
            document = replace(document, title=source.title)
        digest = digest_document(document)
        labels = _change_labels(update.labels_of(source.document_id), source)
        unchanged = update.find_unchanged(source.document_id, digest)
        if unchanged is not None:
            update.relabel(source.document_id, labels)
            return unchanged.chunks
        encoder = self._use_encoder()
        spans = split(document, encoder, limit_tokens=encoder.limit_tokens - CONTEXT_TOKENS)
        if not spans:
            raise ParseError("the file holds no text")
        edition = read_edition(document.title, document.text)
        update.put(source.document_id, document.title, spans, digest, edition=edition, labels=labels)
        return len(spans)

    def _publish(self, update: IndexUpdate) -> StoredVersion | None:
        with self._watcher.measure("embedding", update.chunks_to_embed, "chunk") as advance:
            return update.publish(
                lambda chunks: self._use_encoder().read_passages([embedding_text(chunk) for chunk in chunks], advance)
            )

    def _use_encoder(self) -> PassageEncoder:
        if self._encoder is None:
            self._encoder = self._open_encoder()
        return self._encoder

    def _tell_damage(self, damage: BrokenIndexError, base: StoredVersion | None) -> None:
        lost = "no other is whole, so this starts from nothing: add all documents again, with their groups and metadata"
        if base is not None:
            lost = f"this starts from {base.name}, the last whole one: add and remove again what came after it"
        self._watcher.tell(f"the serving version is damaged ({damage}); {lost}")

    def _tell_waiting(self) -> None:
        self._watcher.tell("another ingestion is changing this tenant's index; waiting for it to end")


def _change_labels(labels: Labels, source: Source) -> Labels:
    """Return the labels of a document after its file is added; what the source does not say stays as it is."""
    return Labels(
        labels.groups if source.groups is None else source.groups,
        labels.metadata if source.metadata is None else source.metadata,
    )


def _name(model: ModelInfo) -> str:
    return f"{model.name} ({model.revision}, {model.dimension} dimensions)"
