"""Ingest the documents of a question set into an index of their own, with the product's ingestion."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from load.evaluation.xquad import Paragraph
from rag.index.store import IndexStore
from rag.index.version import TenantIndex
from rag.ingestion.ingest import Ingestion
from rag.ingestion.sources import Source

# The one tenant of an open server; so each language has its own index directory, not its own tenant.
TENANT: Final = "demo"


class Corpus:
    """The documents of one index on disk: the files written for it, and the index itself."""

    def __init__(self, folder: Path) -> None:
        self._documents_dir = folder / "documents"
        self.index_dir = folder / "index"

    def write(self, paragraphs: Iterable[Paragraph]) -> list[Source]:
        """Write each paragraph to a file.

        Raises: OSError: the disk is full or failed.
        """
        self._documents_dir.mkdir(parents=True, exist_ok=True)
        return [self._write(paragraph) for paragraph in paragraphs]

    def ingest(self, sources: Sequence[Source], make_ingestion: Callable[[IndexStore], Ingestion]) -> None:
        """Make the index hold exactly these documents; unchanged ones are not embedded again.

        Raises: BrokenIndexError: the index is damaged; OSError: the disk is full or failed.
        """
        ingestion = make_ingestion(IndexStore(self.index_dir))
        wanted = {source.document_id for source in sources}
        for listed in ingestion.list_documents(TENANT).documents:
            if listed.document_id not in wanted:
                ingestion.remove(TENANT, listed.document_id)
        report = ingestion.add(TENANT, sources)
        assert not report.failed, "documents of an evaluation can be read"

    def open_index(self) -> TenantIndex:
        """Open the index, which must have been ingested.

        Raises: BrokenIndexError: the index is damaged.
        """
        stored = IndexStore(self.index_dir).current(TENANT)
        assert stored is not None, "ingested before it is opened"
        return TenantIndex(stored)

    def _write(self, paragraph: Paragraph) -> Source:
        path = self._documents_dir / f"{paragraph.document_id}.txt"
        path.write_text(paragraph.text, "utf-8")
        return Source(path, paragraph.document_id, paragraph.title)
