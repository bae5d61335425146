"""Provide the drawn documents as ingestion needs them: source files, and an encoder that draws their vectors."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, overload

from load.growth.texts import TextStream
from load.growth.vectors import DIMENSION, VectorStream
from rag.ingestion.sources import Source
from rag.types import EncodedTexts, ModelInfo

EMBEDDER: Final = ModelInfo("drawn-at-random", "1", DIMENSION)
# Measured on a document of twenty XQuAD paragraphs: chunks of 205 tokens hold 141 English words or 170 Vietnamese.
_TOKENS_PER_WORD: Final = 1.32
CHUNKS_PER_DOCUMENT: Final = 19.4


class DrawnSources(Sequence[Source]):
    """Sources that are written one at a time to the same file, when ingestion reads them, to save disk space."""

    def __init__(self, folder: Path, documents: int, seed: int, prefix: str) -> None:
        self._path = folder / "document.txt"
        self._ids = [f"{prefix}{number:06d}" for number in range(documents)]
        self._texts = TextStream(seed)
        self.spent_s = 0.0

    def __len__(self) -> int:
        return len(self._ids)

    @overload
    def __getitem__(self, place: int) -> Source: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Source]: ...
    def __getitem__(self, place: int | slice) -> Source | Sequence[Source]:
        assert isinstance(place, int), "ingestion takes them one by one"
        document_id = self._ids[place]
        started = time.perf_counter()
        self._path.write_text(self._texts.draw_document(), "utf-8")
        self.spent_s += time.perf_counter() - started
        return Source(self._path, document_id)


class DrawnEncoder:
    """A `rag.ingestion.ports.PassageEncoder` without a model: its vectors do not depend on the text."""

    limit_tokens = 506

    def __init__(self, seed: int) -> None:
        self._vectors = VectorStream(seed)
        self.spent_s = 0.0

    def count(self, text: str) -> int:
        return round((1 + text.count(" ")) * _TOKENS_PER_WORD)

    def read_passages(self, texts: Sequence[str], on_batch: Callable[[int], None] | None = None) -> EncodedTexts:
        started = time.perf_counter()
        vectors = self._vectors.draw_passages(len(texts))
        self.spent_s += time.perf_counter() - started
        return EncodedTexts(vectors, ())


class StageClock:
    """A watcher that records how long each stage of an ingestion took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def tell(self, line: str) -> None:
        pass

    @contextmanager
    def measure(self, what: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
        started = time.perf_counter()
        yield lambda _: None
        self.seconds[what] = time.perf_counter() - started
