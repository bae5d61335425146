"""Change and describe one tenant's documents: the ingestion command without its command line."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from rag.index.engine import IndexChange, IndexEngine, PublishedVersion
from rag.index.manifest import BrokenIndexError
from rag.index.plan import digest_document
from rag.ingestion.intake import Intake
from rag.ingestion.migration import Migration, NewEmbedder
from rag.ingestion.ports import DocumentReader, PassageEncoder, Watcher
from rag.ingestion.reading import FileReader
from rag.ingestion.reports import (
    AddReport,
    CheckReport,
    Listed,
    ListReport,
    MigrateReport,
    Named,
    RemoveReport,
    RollbackReport,
    SyncReport,
)
from rag.ingestion.sources import Failure, Findings, Skipped, Source
from rag.ingestion.sync import Changes, find_gone, list_failures
from rag.parsing.chunking import CHUNKER_VERSION
from rag.text.language import place_tones
from rag.types import Chunk, EncodedTexts, ModelInfo

FindFiles = Callable[[], Findings]


def embedding_text(chunk: Chunk) -> str:
    """Return the text to embed for a chunk; it is as long as its `ranked_text`, so that offsets in both agree."""
    return place_tones(chunk.ranked_text)


class Ingestion:
    """The operations on a tenant's index.

    `remove`, `list_documents` and `preview` raise BrokenIndexError if the serving version is damaged. All raise OSError
    if the disk is full or failed; the serving version is then unchanged.
    """

    def __init__(
        self,
        engine: IndexEngine,
        watcher: Watcher,
        describe_embedder: Callable[[], ModelInfo],
        open_encoder: Callable[[], PassageEncoder],
        *,
        keeps_tokens: bool = False,
        open_reader: Callable[[], AbstractContextManager[DocumentReader]] = FileReader,
    ) -> None:
        """The encoder is heavy: it is opened once, and only if something has to be split or embedded.

        `keeps_tokens`: store token vectors in the index too, for a reranker of the same model.
        """
        self._engine = engine
        self._watcher = watcher
        self._describe_embedder = describe_embedder
        self._open_encoder = open_encoder
        self._keeps_tokens = keeps_tokens
        self._open_reader = open_reader
        self._encoder: PassageEncoder | None = None

    def add(
        self,
        tenant_id: str,
        sources: Sequence[Source],
        failed: Sequence[Failure] = (),
        skipped: Sequence[Skipped] = (),
    ) -> AddReport:
        """Put all readable files into one new version, and report the others; unchanged documents stay as they are.

        If the serving version is damaged, it starts from the last whole one or from nothing, and says so.
        """
        started = time.monotonic()
        intake = self._begin(failed)
        with self._updating(tenant_id) as update:
            added = intake.put_all(update, intake.settle(sources, update.documents), self._use_encoder)
            stored = self._publish(update)
        return AddReport(
            tenant=tenant_id,
            version=stored.name if stored else None,
            added=added,
            failed=intake.failed,
            skipped=list(skipped),
            warnings=intake.warnings,
            documents=stored.manifest.documents if stored else 0,
            chunks=stored.manifest.chunks if stored else 0,
            seconds=round(time.monotonic() - started, 3),
        )

    def sync(self, tenant_id: str, folder: Path, find: FindFiles, *, allow_empty: bool = False) -> SyncReport:
        """Add what is found in a folder, and remove the documents whose files are gone from it, in one new version.

        Raises: SyncError: all documents of the folder would go, and `allow_empty` is False.
        """
        started = time.monotonic()
        with self._updating(tenant_id) as update:
            findings = find()  # not before: what another sync adds meanwhile would count as gone
            intake = self._begin(list_failures(findings, allow_empty=allow_empty))
            before = dict(update.documents)
            sources = intake.settle(findings.sources, before)
            gone = find_gone(before.values(), folder, findings, sources, allow_empty=allow_empty)
            added = intake.put_all(update, sources, self._use_encoder)
            unchanged = {each.document_id for each in added} & update.documents.keys()
            for entry in gone:
                update.drop(entry.document_id)
            stored = self._publish(update)
        new = [Named(each.path, each.document_id) for each in added if each.document_id not in unchanged]
        changes = Changes(new, len(unchanged), gone, intake.failed, intake.warnings)
        return changes.report(tenant_id, stored, before, findings.skipped, started, dry_run=False)

    def preview(self, tenant_id: str, folder: Path, find: FindFiles, *, allow_empty: bool = False) -> SyncReport:
        """Return what `sync` would report; nothing is changed, and no model is opened.

        Raises: SyncError: as `sync`.
        """
        started = time.monotonic()
        findings = find()
        intake = self._begin(list_failures(findings, allow_empty=allow_empty))
        stored = self._engine.current(tenant_id)
        before = {entry.document_id: entry for entry in stored.manifest.document_list} if stored else {}
        sources = intake.settle(findings.sources, before)
        gone = find_gone(before.values(), folder, findings, sources, allow_empty=allow_empty)
        unchanged, new = 0, []
        with intake.read_all(sources) as documents:
            for source, document in documents:
                entry = before.get(source.document_id)
                if entry and (entry.digest, entry.chunker_version) == (digest_document(document), CHUNKER_VERSION):
                    unchanged += 1
                else:
                    new.append(Named(str(source.path), source.document_id))
        changes = Changes(new, unchanged, gone, intake.failed, intake.warnings)
        return changes.report(tenant_id, stored, before, findings.skipped, started, dry_run=True)

    def remove(self, tenant_id: str, document_id: str) -> RemoveReport | None:
        """Remove a document; None if there is none with this id."""
        if self._engine.current(tenant_id) is None:
            return None
        with self._engine.update(tenant_id, self._tell_waiting) as update:
            if not update.drop(document_id):
                return None
            stored = self._publish(update)
        assert stored is not None
        return RemoveReport(tenant_id, stored.name, document_id, stored.manifest.documents, stored.manifest.chunks)

    def rollback(self, tenant_id: str) -> RollbackReport:
        """Undo the last change of the index; a second rollback undoes the first.

        Raises: RollbackError: there is no previous version, or none that the servers could answer from.
        """
        restored, stored = self._engine.rollback(tenant_id, self._describe_embedder(), self._tell_waiting)
        return RollbackReport(tenant_id, stored.name, restored, stored.manifest.documents, stored.manifest.chunks)

    def migrate(self, target: IndexEngine, tenant_ids: Sequence[str] = (), *, reembeds: bool = False) -> MigrateReport:
        """Copy these tenants, or all, to another engine; `reembeds`: with vectors of this embedder.

        Raises: BrokenIndexError: a version of the source or of the target is damaged; OSError.
        """
        new = NewEmbedder(self._describe_embedder(), self._embed, self._keeps_tokens) if reembeds else None
        return Migration(self._engine, target, self._watcher, new).run(tenant_ids)

    def list_documents(self, tenant_id: str) -> ListReport:
        """Return the documents of the serving version, sorted by id."""
        stored = self._engine.current(tenant_id)
        entries = sorted(stored.manifest.document_list, key=lambda entry: entry.document_id) if stored else []
        documents = [
            Listed(each.document_id, each.title, each.document_version, each.chunks, each.groups, each.metadata)
            for each in entries
        ]
        return ListReport(tenant_id, stored.name if stored else None, documents)

    def check(self, tenant_id: str) -> CheckReport:
        """Read every byte of the serving version, and compare its embedder with the configured one."""
        try:
            stored = self._engine.verify(tenant_id)
        except BrokenIndexError as error:
            return CheckReport(tenant_id, None, 0, 0, error.problems)
        if stored is None:
            return CheckReport(tenant_id, None, 0, 0, ["there is no index"])
        manifest, embedder = stored.manifest, self._describe_embedder()
        problems = []
        if manifest.chunks and manifest.embedder != embedder:
            problems.append(f"made by the embedder {_name(manifest.embedder)}, but {_name(embedder)} is set")
        return CheckReport(tenant_id, stored.name, manifest.documents, manifest.chunks, problems)

    def _begin(self, failed: Iterable[Failure]) -> Intake:
        return Intake(self._watcher, self._open_reader, failed)

    @contextmanager
    def _updating(self, tenant_id: str) -> Iterator[IndexChange]:
        with self._engine.update(
            tenant_id,
            self._tell_waiting,
            self._describe_embedder(),
            chunker_version=CHUNKER_VERSION,
            keeps_tokens=self._keeps_tokens,
            on_damage=self._tell_damage,
        ) as update:
            yield update

    def _publish(self, update: IndexChange) -> PublishedVersion | None:
        if update.reembeds:
            self._watcher.tell("the index is by another embedder, or without its tokens: all is embedded again")
        with self._watcher.measure("embedding", update.chunks_to_embed, "chunk") as advance:
            return update.publish(lambda chunks: self._embed(chunks, advance))

    def _embed(self, chunks: Sequence[Chunk], advance: Callable[[int], None]) -> EncodedTexts:
        return self._use_encoder().read_passages([embedding_text(chunk) for chunk in chunks], advance)

    def _use_encoder(self) -> PassageEncoder:
        if self._encoder is None:
            self._encoder = self._open_encoder()
        return self._encoder

    def _tell_damage(self, damage: BrokenIndexError, base: PublishedVersion | None) -> None:
        lost = "no other is whole, so this starts from nothing: add all documents again, with their groups and metadata"
        if base is not None:
            lost = f"this starts from {base.name}, the last whole one: add and remove again what came after it"
        self._watcher.tell(f"the serving version is damaged ({damage}); {lost}")

    def _tell_waiting(self) -> None:
        self._watcher.tell("another ingestion is changing this tenant's index; waiting for it to end")


def _name(model: ModelInfo) -> str:
    return f"{model.name} ({model.revision}, {model.dimension} dimensions)"
