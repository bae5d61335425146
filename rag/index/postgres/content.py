"""Read all of a version, for a copy of it."""

from collections.abc import Sequence
from typing import Final, LiteralString

import numpy as np

from rag.chunk_id import ChunkId
from rag.index.manifest import BrokenIndexError, DocumentEntry
from rag.index.postgres.adapters import Ints
from rag.index.postgres.rows import read_chunk, read_tokens
from rag.index.postgres.versions import DatabaseVersion
from rag.index.postgres.writing import Connection
from rag.types import Chunk, EncodedTexts

# Of one transaction, so that what is read is there until its end, whatever other writers remove.
SNAPSHOT: Final[LiteralString] = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
_CHUNKS: Final[LiteralString] = "SELECT body FROM rag.chunks WHERE tenant = %s AND doc = %s ORDER BY number"
_ENCODED: Final[LiteralString] = """
SELECT vector_send(v.vector), t.vectors FROM unnest(%b::int[], %b::int[]) WITH ORDINALITY AS asked (doc, number, place)
JOIN rag.vectors v ON v.tenant = %s AND v.doc = asked.doc AND v.number = asked.number
LEFT JOIN rag.tokens t ON t.tenant = v.tenant AND t.doc = v.doc AND t.number = v.number ORDER BY asked.place
"""
_VECTOR_HEADER_BYTES: Final = 4  # the dimension, and two bytes that are not used


class DatabaseContent:
    """A `rag.index.engine.VersionContent`, inside one transaction."""

    def __init__(self, connection: Connection, tenant: int, version: DatabaseVersion) -> None:
        self.version: Final = version
        self._connection = connection
        self._tenant = tenant
        entries = version.manifest.document_list
        self._docs = {entry.document_id: doc for entry, doc in zip(entries, version.docs, strict=True)}

    def chunks(self, entry: DocumentEntry) -> list[Chunk]:
        rows = self._connection.execute(_CHUNKS, (self._tenant, self._docs[entry.document_id]))
        return [read_chunk(body) for (body,) in rows]

    def encoded(self, chunks: Sequence[Chunk]) -> EncodedTexts:
        docs, numbers = zip(*map(self._locate, chunks), strict=True)
        rows = self._connection.execute(_ENCODED, (Ints(docs), Ints(numbers), self._tenant)).fetchall()
        if len(rows) != len(chunks):
            raise BrokenIndexError(f"{len(chunks) - len(rows)} vectors are missing")
        vectors = np.stack([np.frombuffer(vector, ">f4", offset=_VECTOR_HEADER_BYTES) for vector, _ in rows])
        tokens = [read_tokens(each) for _, each in rows if each is not None]
        return EncodedTexts(vectors.astype(np.float32), tokens)

    def _locate(self, chunk: Chunk) -> tuple[int, int]:
        parsed = ChunkId.parse(chunk.chunk_id)
        assert parsed is not None
        return self._docs[parsed.document_id], parsed.number
