"""The engines of the index that the contract tests run on: another engine adds one entry.

A place is where an engine keeps its indexes; it is empty at first, and each handle that is opened on it is as another
process would have one.
"""

import atexit
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np

from rag.index.engine import IndexEngine, PublishedVersion
from rag.index.milvus.address import MilvusAddress
from rag.index.milvus.engine import MilvusEngine
from rag.index.opening import open_engine
from rag.index.plan import digest_document
from rag.types import Chunk, Document, EncodedTexts, Labels, ModelInfo, Span
from tests.milvus import MilvusLite, remove_rows
from tests.postgres import shared_postgres
from tests.unit.index_fakes import EMBEDDER, embed, embed_tokens

OpenEngine = Callable[[], IndexEngine]
Place = Callable[[Path], AbstractContextManager[OpenEngine]]


@contextmanager
def keep_files(folder: Path) -> Iterator[OpenEngine]:
    """A place in a folder."""
    yield lambda: open_engine(None, folder / "index")


@contextmanager
def keep_rows(folder: Path) -> Iterator[OpenEngine]:
    """A place in a database of a PostgreSQL."""
    server = shared_postgres()
    url = server.url(server.make_empty_database())
    yield lambda: open_engine(url, folder)


@contextmanager
def keep_milvus(folder: Path) -> Iterator[OpenEngine]:
    """The Milvus Lite of this process, emptied: it proves what the client does, and nothing of a cluster."""
    address = MilvusAddress.parse(_shared_milvus().url)
    remove_rows(address)
    opened: list[MilvusEngine] = []

    def open_one() -> IndexEngine:
        opened.append(MilvusEngine(address))
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()


@cache
def _shared_milvus() -> MilvusLite:
    folder = tempfile.TemporaryDirectory()
    server = MilvusLite(Path(folder.name) / "data").start()
    atexit.register(folder.cleanup)
    atexit.register(server.kill)  # runs first
    return server


# May skip on entering, with the reason, where what the engine needs is not on this machine.
ENGINES: Final[Mapping[str, Place]] = {"files": keep_files, "postgresql": keep_rows, "milvus": keep_milvus}


class ChunkEncoder:
    """Embeds chunks by their words, and remembers which."""

    def __init__(self, embedder: ModelInfo = EMBEDDER) -> None:
        self._dimension = embedder.dimension
        self.encoded: list[str] = []

    def __call__(self, chunks: Sequence[Chunk]) -> EncodedTexts:
        self.encoded += [chunk.chunk_id for chunk in chunks]
        return encode([chunk.text for chunk in chunks], self._dimension)


def encode(texts: Sequence[str], dimension: int = EMBEDDER.dimension) -> EncodedTexts:
    """Vectors of the texts and of their words."""
    vectors = np.stack([embed(text, dimension) for text in texts])
    return EncodedTexts(vectors, [embed_tokens(text, dimension) for text in texts])


def put_all(
    engine: IndexEngine,
    documents: Mapping[str, Sequence[str]],
    *,
    drop: Sequence[str] = (),
    tenant_id: str = "demo",
    embedder: ModelInfo = EMBEDDER,
    encoder: ChunkEncoder | None = None,
    keeps_tokens: bool = False,
    labels: Mapping[str, Labels] | None = None,
    on_wait: Callable[[], object] = lambda: None,
) -> PublishedVersion:
    """One change: each document is given as the texts of its chunks, as the ingestion puts them."""
    with engine.update(tenant_id, on_wait, embedder, chunker_version="c1", keeps_tokens=keeps_tokens) as change:
        for document_id, texts in documents.items():
            digest = digest_document(Document(document_id, "\n\n".join(texts)))
            own = (labels or {}).get(document_id) or change.labels_of(document_id)
            if change.find_unchanged(document_id, digest) is None:
                spans = [Span(text, 0, len(text), None, None, None) for text in texts]
                change.put(document_id, document_id.upper(), spans, digest, labels=own)
            else:
                change.relabel(document_id, own)
        for document_id in drop:
            assert change.drop(document_id)
        stored = change.publish(encoder or ChunkEncoder(embedder))
    assert stored is not None
    return stored
