"""Shared by the tests of the index in PostgreSQL: databases, a change in one call, a front."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from rag.index.plan import digest_document
from rag.index.postgres.engine import PostgresEngine
from rag.index.postgres.index import DatabaseIndex
from rag.index.postgres.rows import read_chunk
from rag.index.postgres.server import DatabaseServer
from rag.index.postgres.versions import DatabaseVersion
from rag.types import Chunk, Document, EncodedTexts, Labels, ModelInfo, Scope, Span
from tests.postgres import Postgres
from tests.unit.index_fakes import EMBEDDER, FakeEncoder

EVERYTHING: Final = Scope()

Encode = Callable[[Sequence[Chunk]], EncodedTexts]


def change(
    engine: PostgresEngine,
    documents: Mapping[str, Sequence[str]],
    *,
    drop: Sequence[str] = (),
    tenant_id: str = "demo",
    embedder: ModelInfo = EMBEDDER,
    encode: Encode | None = None,
    keeps_tokens: bool = False,
    labels: Mapping[str, Labels] | None = None,
    on_wait: Callable[[], object] = lambda: None,
) -> DatabaseVersion:
    """One change: each document is given as the texts of its chunks; those that did not change are left alone."""
    with engine.update(
        tenant_id, on_wait, embedder, chunker_version="c1", keeps_tokens=keeps_tokens, on_damage=lambda *_: None
    ) as update:
        for document_id, texts in documents.items():
            digest = digest_document(Document(document_id, "\n\n".join(texts)))
            own = (labels or {}).get(document_id) or update.labels_of(document_id)
            if update.find_unchanged(document_id, digest) is None:
                spans = [Span(text, 0, len(text), None, None, None) for text in texts]
                update.put(document_id, document_id.upper(), spans, digest, labels=own)
            else:
                update.relabel(document_id, own)
        for document_id in drop:
            assert update.drop(document_id)
        version = update.publish(encode or FakeEncoder(embedder.dimension).encode_chunks)
    assert version is not None
    return version


def stored_texts(postgres: Postgres, database: str, tenant_id: str = "demo") -> dict[str, str]:
    """Every chunk id of the serving version with its text, after all of it was verified."""

    version = PostgresEngine(postgres.url(database)).verify(tenant_id)
    if version is None:
        return {}
    with postgres.admin(database) as connection:
        rows = connection.execute("SELECT body FROM rag.chunks WHERE doc = ANY(%s)", (list(version.docs),)).fetchall()
    return {chunk.chunk_id: chunk.text for chunk in (read_chunk(body) for (body,) in rows)}


@asynccontextmanager
async def shown(
    engine: PostgresEngine, scope: Scope = EVERYTHING, tenant_id: str = "demo"
) -> AsyncIterator[DatabaseIndex]:
    """What a front shows of the serving version."""
    async with serving(engine) as server:
        index = await server.current(tenant_id, scope)
        assert index is not None
        yield index


@asynccontextmanager
async def serving(engine: PostgresEngine, embedder: ModelInfo = EMBEDDER) -> AsyncIterator[DatabaseServer]:
    """A front's side of the engine; its connections are closed at the end."""
    server = engine.serve(embedder)
    try:
        yield server
    finally:
        await server.aclose()
