"""Store the chunks of a version: one line of JSON per chunk, and the offset of each line.

SQLite was rejected: an immutable, mapped file needs no lock and no connection per thread, stays readable after its
version is pruned, and is copied into the next version without being parsed.
"""

import json
import mmap
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np

from rag.index.manifest import BrokenIndexError
from rag.types import Chunk

LINES_NAME: Final = "chunks.jsonl"
OFFSETS_NAME: Final = "chunks.offsets.npy"
# Frequent questions find the same chunks; parsing one takes 20 µs, keeping it 2 KB.
_KEPT_CHUNKS: Final = 2048


class ChunkFile:
    """Chunks by ordinal; safe to read from several threads."""

    def __init__(self, lines: mmap.mmap, offsets: np.ndarray) -> None:
        self._lines = lines
        self._offsets = offsets.view(np.ndarray)  # every slice of a memmap is an object with a finaliser
        self._chunk = lru_cache(_KEPT_CHUNKS)(self._parse)

    @classmethod
    def load(cls, folder: Path) -> "ChunkFile":
        """Open the chunk files of a version; they stay mapped.

        Raises: BrokenIndexError: the files are not ours.
        """
        try:
            offsets = np.load(folder / OFFSETS_NAME, mmap_mode="r")
            with (folder / LINES_NAME).open("rb") as file:
                lines = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise BrokenIndexError(f"{LINES_NAME} cannot be loaded") from error
        if offsets[-1] != len(lines):
            raise BrokenIndexError(f"{OFFSETS_NAME} does not belong to {LINES_NAME}")
        return cls(lines, offsets)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def chunks(self, ordinals: Sequence[int]) -> list[Chunk]:
        """Return the chunks with these ordinals, in this order."""
        return [self._chunk(ordinal) for ordinal in ordinals]

    def lines(self, first: int, count: int) -> list[bytes]:
        """Return the stored lines of `count` chunks from ordinal `first` on."""
        starts = self._offsets[first : first + count + 1].tolist()
        return [self._lines[start:end] for start, end in pairwise(starts)]

    def __iter__(self) -> Iterator[Chunk]:
        for ordinal in range(len(self)):
            yield self._parse(ordinal)

    def _parse(self, ordinal: int) -> Chunk:
        return Chunk(**json.loads(self.lines(ordinal, 1)[0]))


class ChunkWriter:
    """Writes the chunk files of a new version, in the order of the ordinals."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = (folder / LINES_NAME).open("wb")
        self._offsets = [0]

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def append(self, chunks: Sequence[Chunk]) -> None:
        """Append chunks."""
        self.append_lines([_render(chunk) for chunk in chunks])

    def append_lines(self, lines: Sequence[bytes]) -> None:
        """Append stored lines of chunks."""
        for line in lines:
            self._file.write(line)
            self._offsets.append(self._offsets[-1] + len(line))

    def close(self) -> None:
        """Close the file; harmless if it is closed."""
        self._file.close()

    def finish(self) -> None:
        """Complete the files, so that `ChunkFile.load` can read them."""
        self.close()
        np.save(self._folder / OFFSETS_NAME, np.array(self._offsets, dtype=np.int64))


def _render(chunk: Chunk) -> bytes:
    described = asdict(chunk)
    if chunk.page_label is None:  # versions of the code that know no labels read the others
        del described["page_label"]
    # PDFs can hold lone surrogates; `json.loads` restores them from bytes written this way.
    return (json.dumps(described, ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass")
