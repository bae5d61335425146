"""The paragraphs of a question set as documents in an index of their own, by the product's own ingestion."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from load.evaluation.xquad import Paragraph, QuestionSet
from rag.index.store import IndexStore
from rag.index.version import TenantIndex
from rag.ingestion.ingest import Ingestion
from rag.ingestion.sources import Source

# The one tenant of an open server; so each language has an index directory, and not a tenant, of its own.
TENANT: Final = "demo"


class Corpus:
    """One language's documents on disk: the files that were ingested, and the index that was made of them."""

    def __init__(self, folder: Path) -> None:
        self._documents_dir = folder / "documents"
        self.index_dir = folder / "index"

    def ingest(self, questions: QuestionSet, make_ingestion: Callable[[IndexStore], Ingestion]) -> None:
        """Makes the index hold just these paragraphs; what did not change since the last time is not embedded again.

        Raises: BrokenIndexError: the index is damaged; OSError: the disk is full or failed.
        """
        self._documents_dir.mkdir(parents=True, exist_ok=True)
        ingestion = make_ingestion(IndexStore(self.index_dir))
        wanted = {paragraph.document_id for paragraph in questions.paragraphs}
        for listed in ingestion.list_documents(TENANT).documents:
            if listed.document_id not in wanted:
                ingestion.remove(TENANT, listed.document_id)
        report = ingestion.add(TENANT, [self._write(paragraph) for paragraph in questions.paragraphs])
        assert not report.failed, "a paragraph is a plain text"

    def open_index(self) -> TenantIndex:
        """Raises: BrokenIndexError: the index is damaged."""
        stored = IndexStore(self.index_dir).current(TENANT)
        assert stored is not None, "ingested before it is opened"
        return TenantIndex(stored)

    def _write(self, paragraph: Paragraph) -> Source:
        path = self._documents_dir / f"{paragraph.document_id}.txt"
        path.write_text(paragraph.text, "utf-8")
        return Source(path, paragraph.document_id, paragraph.title)
