"""Take files into an index: each is read, compared with the document that is there, cut and put; what fails is told."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

from rag.errors import ParseError
from rag.index.engine import IndexChange
from rag.index.manifest import DocumentEntry, Origin
from rag.index.plan import digest_document
from rag.ingestion.ports import DocumentReader, PassageEncoder, Watcher
from rag.ingestion.reports import Added, Warned
from rag.ingestion.sources import Failure, Source, settle
from rag.parsing.chunking import CONTEXT_TOKENS, split
from rag.text.editions import read_edition
from rag.types import Document, Labels


class Intake:
    """The files of one operation; `failed` and `warnings` are what there is to say of them so far."""

    def __init__(
        self,
        watcher: Watcher,
        open_reader: Callable[[], AbstractContextManager[DocumentReader]],
        failed: Iterable[Failure],
    ) -> None:
        self._watcher = watcher
        self._open_reader = open_reader
        self.failed = list(failed)
        self.warnings: list[Warned] = []

    def settle(self, sources: Sequence[Source], documents: Mapping[str, DocumentEntry]) -> list[Source]:
        """Return the sources with their ids, in view of the documents of the index; what gets none fails."""
        settled, rivals = settle(sources, documents)
        for failure in rivals:
            self._fail(failure)
        return settled

    def put_all(
        self, update: IndexChange, sources: Sequence[Source], use_encoder: Callable[[], PassageEncoder]
    ) -> list[Added]:
        """Add the documents of all files that can be read, and return them in order."""
        added = []
        with self.read_all(sources) as documents:
            for source, document in documents:
                try:
                    chunks = self._put(update, source, document, use_encoder)
                    added.append(Added(str(source.path), source.document_id, chunks))
                except ParseError as error:
                    self._fail(Failure(str(source.path), str(error)))
        return added

    @contextmanager
    def read_all(self, sources: Sequence[Source]) -> Iterator[Iterator[tuple[Source, Document]]]:
        """Read files one by one.

        Yields: an iterator over those that can be read, with their documents, in order.
        """
        with self._open_reader() as reader, self._watcher.measure("reading", len(sources), "file") as advance:
            yield self._read_each(reader, sources, advance)

    def _read_each(
        self, reader: DocumentReader, sources: Sequence[Source], advance: Callable[[int], None]
    ) -> Iterator[tuple[Source, Document]]:
        for source in sources:
            try:
                document = reader.read(source.path)
            except ParseError as error:
                self._fail(Failure(str(source.path), str(error)))
            else:
                for warning in document.warnings:
                    self._warn(source, warning)
                yield source, document if source.title is None else replace(document, title=source.title)
            advance(1)

    def _put(
        self, update: IndexChange, source: Source, document: Document, use_encoder: Callable[[], PassageEncoder]
    ) -> int:
        """Add the document of a file, and return the number of its chunks.

        Raises: ParseError: the file cannot become a document.
        """
        digest = digest_document(document)
        old = update.documents.get(source.document_id)
        labels = _change_labels(old.labels if old else Labels(), source)
        origin = _change_origin(old.origin if old else None, source.origin)
        unchanged = update.find_unchanged(source.document_id, digest)
        if unchanged is not None:
            update.relabel(source.document_id, labels, origin)
            return unchanged.chunks
        encoder = use_encoder()
        spans = split(document, encoder, limit_tokens=encoder.limit_tokens - CONTEXT_TOKENS)
        if not spans:
            raise ParseError("the file holds no text")
        if old and old.origin and origin and old.origin.path != origin.path and Path(old.origin.path).exists():
            self._warn(source, f"its document {source.document_id} replaces that of {old.origin.path}")
        edition = read_edition(document.title, document.text)
        update.put(source.document_id, document.title, spans, digest, edition=edition, labels=labels, origin=origin)
        return len(spans)

    def _fail(self, failure: Failure) -> None:
        self.failed.append(failure)
        self._watcher.tell(f"failed: {failure.path}: {failure.reason}")

    def _warn(self, source: Source, warning: str) -> None:
        self.warnings.append(Warned(str(source.path), warning))
        self._watcher.tell(f"warning: {source.path}: {warning}")


def _change_origin(old: Origin | None, new: Origin | None) -> Origin | None:
    """Return the origin of a document after its file is added; a file that is given itself stays in its folder."""
    if old and new and new.folder is None and old.path == new.path:
        return old
    return new


def _change_labels(labels: Labels, source: Source) -> Labels:
    """Return the labels of a document after its file is added; what the source does not say stays as it is."""
    return Labels(
        labels.groups if source.groups is None else source.groups,
        labels.metadata if source.metadata is None else source.metadata,
    )
