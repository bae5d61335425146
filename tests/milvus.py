"""A Milvus Lite server as a process of its own, spoken to through the client that a cluster is spoken to with.

It proves what the client sends and what we make of the answers. It is another program than Milvus: one process without
replicas, whose reads are always up to date, so it proves nothing of a cluster.
"""

import contextlib
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

from rag.index.milvus.address import MilvusAddress
from rag.index.milvus.driver import MilvusWriter, Row
from rag.index.milvus.engine import MilvusEngine
from rag.index.milvus.versions import MilvusVersion
from rag.index.plan import digest_document
from rag.types import Document, Labels, ModelInfo, Span
from tests.unit.index_fakes import EMBEDDER, FakeEncoder

_START = "from milvus_lite.cmdline import main; main()"


class MilvusLite:
    """A server on a free port of this machine, whose data outlive it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"milvus+http://127.0.0.1:{self.port}"

    def start(self) -> Self:
        """Start, and return once it listens."""
        command = [sys.executable, "-c", _START, "server", "--data-dir", str(self._folder), "--host", "127.0.0.1"]
        command += ["--port", str(self.port)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert "listening" in line, line
        return self

    def kill(self) -> None:
        """End it at once, as a machine that fails does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None


def remove_rows(address: MilvusAddress) -> None:
    """Empty all collections; to make them anew takes seconds."""
    writer = MilvusWriter(address)
    for collection in writer.collections():
        writer.delete(collection, 'pk != ""')
    writer.close()


@contextlib.contextmanager
def running_milvus(folder: Path) -> Iterator[MilvusLite]:
    """A server that ends with the block."""
    server = MilvusLite(folder).start()
    try:
        yield server
    finally:
        server.kill()


def change(
    engine: MilvusEngine,
    documents: Mapping[str, Sequence[str]],
    *,
    tenant_id: str,
    drop: Sequence[str] = (),
    embedder: ModelInfo = EMBEDDER,
    encoder: FakeEncoder | None = None,
    keeps_tokens: bool = False,
    labels: Mapping[str, Labels] | None = None,
    on_wait: Callable[[], object] = lambda: None,
) -> MilvusVersion:
    """One update: each document is given as the texts of its chunks; those that did not change are left alone."""
    encoder = encoder or FakeEncoder(embedder.dimension)
    with engine.update(tenant_id, on_wait, embedder, chunker_version="c1", keeps_tokens=keeps_tokens) as update:
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
        version = update.publish(encoder.encode_chunks)
    assert version is not None
    return version


class MortalWriter(MilvusWriter):
    """Makes `steps` writes; what is at the next one decides, and no write comes after it."""

    def __init__(self, address: MilvusAddress, steps: int, end: Callable[[], None]) -> None:
        super().__init__(address)
        self.steps = steps
        self._end = end

    def upsert(self, collection: str, rows: Sequence[Row], *, is_partial: bool = False) -> None:
        self._take_step()
        super().upsert(collection, rows, is_partial=is_partial)

    def delete(self, collection: str, filter_: str) -> None:
        self._take_step()
        super().delete(collection, filter_)

    def _take_step(self) -> None:
        self.steps -= 1
        if self.steps < 0:
            self._end()
