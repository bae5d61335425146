"""Read all of a version, for a copy of it.

Rows go once two newer versions were published. So a copy that took longer finds some missing, says so, and is run
again.
"""

from collections.abc import Sequence
from typing import Final

from rag.index.manifest import BrokenIndexError, DocumentEntry
from rag.index.milvus.draft import blocks
from rag.index.milvus.driver import MilvusWriter, Row
from rag.index.milvus.filters import of_tenant, one_of, seen_at
from rag.index.milvus.layout import chunks_of, tokens_of
from rag.index.milvus.rows import read_chunk, read_tokens, read_vectors
from rag.index.milvus.versions import MilvusVersion
from rag.types import Chunk, EncodedTexts, ModelInfo

# Ids in one filter; their token vectors are some 30 MB.
_IDS: Final = 500


class MilvusContent:
    """A `rag.index.engine.VersionContent`."""

    def __init__(self, writer: MilvusWriter, tenant_id: str, version: MilvusVersion) -> None:
        self.version: Final = version
        self._writer = writer
        self._tenant_id = tenant_id

    def chunks(self, entry: DocumentEntry) -> list[Chunk]:
        filter_ = f"{self._seen} and {one_of('document_id', [entry.document_id])}"
        rows = self._writer.iterate(chunks_of(self._embedder), filter_, ["pk", "chunk_id", "body"])
        found = {row["chunk_id"]: read_chunk(row) for row in rows}
        if len(found) != entry.chunks:
            raise BrokenIndexError(f"chunks of document {entry.document_id} are missing, or were removed meanwhile")
        return [found[chunk_id] for chunk_id in sorted(found, key=_number_of)]

    def encoded(self, chunks: Sequence[Chunk]) -> EncodedTexts:
        rows: dict[str, Row] = {}
        parts: list[Row] = []
        for some in blocks((chunk.chunk_id for chunk in chunks), _IDS):
            named = one_of("chunk_id", some)
            fields = ["pk", "chunk_id", "dense"]
            for row in self._writer.iterate(chunks_of(self._embedder), f"{self._seen} and {named}", fields):
                rows[row["chunk_id"]] = row
            if self.version.manifest.has_tokens:
                filter_ = f"{of_tenant(self._tenant_id)} and {named}"
                parts += self._writer.iterate(
                    tokens_of(self._embedder), filter_, ["pk", "chunk_id", "part", "body"], rows=_IDS
                )
        tokens = read_tokens(parts)
        wanted = [chunk.chunk_id for chunk in chunks]
        if not rows.keys() >= set(wanted) or (self.version.manifest.has_tokens and not tokens.keys() >= set(wanted)):
            raise BrokenIndexError("vectors are missing, or were removed meanwhile")
        return EncodedTexts(
            read_vectors([rows[each] for each in wanted]), [tokens[each] for each in wanted] if tokens else []
        )

    @property
    def _embedder(self) -> ModelInfo:
        return self.version.manifest.embedder

    @property
    def _seen(self) -> str:
        return seen_at(self._tenant_id, self.version.number)


def _number_of(chunk_id: str) -> int:
    return int(chunk_id.rpartition(":")[2])
