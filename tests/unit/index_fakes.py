"""Shared by the index and ingestion tests: an embedder of words, a disk that fails on demand, an index in one call."""

import contextlib
import errno
import hashlib
import os
import re
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from rag.index.delta import DEFAULT_LIMITS, DeltaLimits
from rag.index.disk import Disk
from rag.index.engine import OnDamage
from rag.index.manifest import StoredVersion
from rag.index.plan import Makers, digest_document
from rag.index.store import IndexStore
from rag.index.update import update_index
from rag.index.version import TenantIndex
from rag.parsing import parse
from rag.ports import ChunkIndex, Vectors
from rag.text.language import words
from rag.types import Chunk, Document, EncodedTexts, Labels, ModelInfo, Span, TokenVectors

EMBEDDER = ModelInfo("bag-of-words", "r1", 32)
OTHER_EMBEDDER = ModelInfo("bag-of-words", "r2", 48)


def embed(text: str, dimension: int = EMBEDDER.dimension) -> Vectors:
    """A unit vector that is near another where the texts share words."""
    vector = np.full(dimension, 1e-3, dtype=np.float32)
    for word in words(text):
        vector[int.from_bytes(hashlib.sha256(word.encode()).digest()[:4]) % dimension] += 1
    unit: Vectors = vector / np.linalg.norm(vector)
    return unit


def embed_tokens(text: str, dimension: int = EMBEDDER.dimension) -> TokenVectors:
    """One token for each word, its values told by its letters."""
    starts = [match.start() for match in re.finditer(r"\S+", text)]
    values = [[ord(text[at]) % 128] * dimension for at in starts]
    spans = [[at, at + 1] for at in starts]
    return TokenVectors(
        np.array(values, np.int8).reshape(-1, dimension),
        np.ones(len(starts), np.float32),
        np.array(spans, np.int32).reshape(-1, 2),
    )


async def all_chunks(index: ChunkIndex, dimension: int = EMBEDDER.dimension) -> list[Chunk]:
    """All that the index holds, by the order of their ids."""
    found = await index.search_dense(embed("any", dimension), index.version.chunks)
    return [stored.chunk for stored in await index.fetch(sorted(chunk_id for chunk_id, _ in found))]


class FakeEncoder:
    """Counts what it is asked to do."""

    limit_tokens = 400

    def __init__(self, dimension: int = EMBEDDER.dimension) -> None:
        self.dimension = dimension
        self.encoded: list[str] = []

    def count(self, text: str) -> int:
        return len(text.split())

    def encode_passages(self, texts: Sequence[str], on_batch: Callable[[int], None] | None = None) -> Vectors:
        self.encoded += texts
        if on_batch is not None:
            on_batch(len(texts))
        return np.stack([embed(text, self.dimension) for text in texts])

    def read_passages(self, texts: Sequence[str], on_batch: Callable[[int], None] | None = None) -> EncodedTexts:
        vectors = self.encode_passages(texts, on_batch)
        return EncodedTexts(vectors, [embed_tokens(text, self.dimension) for text in texts])

    def encode_chunks(self, chunks: Sequence[Chunk]) -> EncodedTexts:
        return self.read_passages([chunk.text for chunk in chunks])


class PlainReader:
    """Reads files in this process, which costs no start: for tests that no file is to harm."""

    def read(self, path: Path) -> Document:
        return parse(path)


def open_plain_reader() -> contextlib.AbstractContextManager[PlainReader]:
    return contextlib.nullcontext(PlainReader())


class FakeWatcher:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.done: dict[str, int] = {}

    def tell(self, line: str) -> None:
        self.lines.append(line)

    @contextlib.contextmanager
    def measure(self, what: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
        def advance(count: int) -> None:
            self.done[what] = self.done.get(what, 0) + count

        yield advance


class FaultyDisk(Disk):
    """Takes `steps` durable steps, then, before the next, fails as a full disk does or dies at once.

    It flushes nothing: the kernel outlives a killed process, and a real disk would be most of a test's time.
    """

    def __init__(self, steps: int, *, dies: bool = False) -> None:
        self.steps = steps
        self.dies = dies

    def _take_step(self) -> None:
        self.steps -= 1
        if self.steps >= 0:
            return
        if self.dies:
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def sync(self, path: Path) -> None:
        self._take_step()

    def rename(self, source: Path, target: Path) -> None:
        self._take_step()
        super().rename(source, target)

    def remove(self, path: Path) -> None:
        self._take_step()
        super().remove(path)


def change(
    store: IndexStore,
    documents: Mapping[str, Sequence[str]],
    *,
    drop: Sequence[str] = (),
    tenant_id: str = "demo",
    embedder: ModelInfo = EMBEDDER,
    encoder: FakeEncoder | None = None,
    chunker_version: str = "c1",
    exact_max_chunks: int = 50_000,
    graph_max_chunks: int = 300_000,
    delta_limits: DeltaLimits = DEFAULT_LIMITS,
    keeps_tokens: bool = False,
    labels: Mapping[str, Labels] | None = None,
    on_wait: Callable[[], object] = lambda: None,
    on_damage: OnDamage = lambda *_: None,
) -> StoredVersion:
    """One update: each document is given as the texts of its chunks; those that did not change are left alone."""
    encoder = encoder or FakeEncoder(embedder.dimension)
    makers = Makers(embedder, chunker_version, keeps_tokens)
    with update_index(store, tenant_id, on_wait, makers, on_damage) as update:
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
        stored = update.publish(
            encoder.encode_chunks,
            exact_max_chunks=exact_max_chunks,
            graph_max_chunks=graph_max_chunks,
            delta_limits=delta_limits,
        )
    assert stored is not None
    return stored


def stored_texts(store: IndexStore, tenant_id: str = "demo") -> dict[str, str]:
    """Every chunk id of the serving version with its text."""
    stored = store.verify(tenant_id)
    if stored is None or not stored.manifest.chunks:
        return {}
    return {chunk.chunk_id: chunk.text for chunk in TenantIndex(stored).chunk_file}
