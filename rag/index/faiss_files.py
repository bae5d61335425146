"""Read and write faiss's files, and restrict its searches; shared by the kinds of dense index."""

from pathlib import Path
from typing import Final

import faiss
import numpy as np
from numpy.typing import NDArray

from rag.index.manifest import BrokenIndexError
from rag.ports import Vectors

# Rows that are copied or compared at a time: limits the similarities to the centres of a million vectors to 130 MB.
BLOCK_ROWS: Final = 8_192


def read_mapped(path: Path) -> faiss.Index:
    """Open an index file; it stays mapped, and cannot be added to.

    Raises: BrokenIndexError: the file is no index.
    """
    return _read(path, faiss.IO_FLAG_MMAP_IFC)


def read_copy(path: Path) -> faiss.Index:
    """Read an index file into memory, to add to it.

    Raises: BrokenIndexError: the file is no index.
    """
    return _read(path, 0)


def write_index(index: faiss.Index, path: Path) -> None:
    """Write an index file.

    Raises: OSError: the disk is full or failed.
    """
    # Not by file name: faiss ignores errors on closing, so a full disk would leave a truncated file without an error.
    with path.open("wb") as file:
        faiss.write_index(index, faiss.PyCallbackIOWriter(file.write))  # type: ignore[attr-defined]  # made by SWIG


def select(numbers: NDArray[np.integer], total: int) -> faiss.IDSelector:
    """Return a selector of these numbers among `total`."""
    bits = np.zeros(total, dtype=bool)
    bits[numbers] = True
    # faiss's stubs have the signatures of C++, not those of its Python wrappers.
    return faiss.IDSelectorBitmap(np.packbits(bits, bitorder="little"))  # type: ignore[call-arg, arg-type]


def fill(index: faiss.Index, vectors: Vectors, rows: NDArray[np.integer] | None = None) -> None:
    """Add these vectors, or only those in these rows, in this order."""
    total = len(vectors) if rows is None else len(rows)
    for first in range(0, total, BLOCK_ROWS):
        part = slice(first, first + BLOCK_ROWS)
        index.add(np.ascontiguousarray(vectors[part] if rows is None else vectors[rows[part]]))


def _read(path: Path, flags: int) -> faiss.Index:
    try:
        return faiss.read_index(str(path), flags)
    except RuntimeError as error:
        raise BrokenIndexError(f"{path.name} cannot be loaded") from error
