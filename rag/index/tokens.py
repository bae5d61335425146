"""Store the token vectors of each chunk, so that a passage can be compared with a question without encoding it again.

They take about 60 KB per chunk, so they stay on disk, memory-mapped: 8-bit values with one scale per token, as in
`rag.types.TokenVectors`. There is one file each for values, scales and spans, and one with the offset of each chunk.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rag.index.manifest import BrokenIndexError
from rag.types import TokenVectors

VALUES_NAME: Final = "tokens.values.i8"
SCALES_NAME: Final = "tokens.scales.f32"
SPANS_NAME: Final = "tokens.spans.i32"
OFFSETS_NAME: Final = "tokens.offsets.npy"


class TokenFile:
    """Token vectors by ordinal; safe to read from several threads."""

    def __init__(
        self,
        values: NDArray[np.int8],
        scales: NDArray[np.float32],
        spans: NDArray[np.int32],
        offsets: NDArray[np.int64],
    ) -> None:
        self._values, self._scales, self._spans, self._offsets = values, scales, spans, offsets

    @classmethod
    def load(cls, folder: Path, dimension: int) -> "TokenFile":
        """Open the token files of a version; they stay mapped.

        Raises: BrokenIndexError: the files are not ours, or do not belong together.
        """
        try:
            offsets = np.load(folder / OFFSETS_NAME, mmap_mode="r").view(np.ndarray)
            values = _map(folder / VALUES_NAME, np.int8, dimension)
            scales = _map(folder / SCALES_NAME, np.float32, 1).reshape(-1)
            spans = _map(folder / SPANS_NAME, np.int32, 2)
        except (OSError, ValueError) as error:
            raise BrokenIndexError("token vectors cannot be loaded") from error
        if {len(values), len(scales), len(spans)} != {int(offsets[-1])}:
            raise BrokenIndexError("token vectors do not belong together")
        return cls(values, scales, spans, offsets)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def tokens(self, ordinal: int) -> TokenVectors:
        """Return the token vectors of one chunk, as views of the mapped files."""
        part = slice(int(self._offsets[ordinal]), int(self._offsets[ordinal + 1]))
        return TokenVectors(self._values[part], self._scales[part], self._spans[part])


class TokenWriter:
    """Writes the token files of a new version, in the order of the ordinals."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = [(folder / name).open("wb") for name in (VALUES_NAME, SCALES_NAME, SPANS_NAME)]
        self._offsets = [0]

    def append(self, tokens: Sequence[TokenVectors]) -> None:
        """Append the token vectors of the next chunks."""
        values, scales, spans = self._files
        for each in tokens:
            values.write(np.ascontiguousarray(each.values, dtype=np.int8).data)
            scales.write(np.ascontiguousarray(each.scales, dtype=np.float32).data)
            spans.write(np.ascontiguousarray(each.spans, dtype=np.int32).data)
            self._offsets.append(self._offsets[-1] + len(each.scales))

    def close(self) -> None:
        """Close the files; harmless if they are closed."""
        for file in self._files:
            file.close()

    def finish(self) -> None:
        """Complete the files, so that `TokenFile.load` can read them."""
        self.close()
        np.save(self._folder / OFFSETS_NAME, np.array(self._offsets, dtype=np.int64))


def _map(path: Path, dtype: Any, columns: int) -> NDArray[Any]:  # Any: depends on the dtype
    if not path.stat().st_size:  # an empty file cannot be mapped
        return np.zeros((0, columns), dtype=dtype)
    return np.memmap(path, dtype=dtype, mode="r").view(np.ndarray).reshape(-1, columns)
