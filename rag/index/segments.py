"""Open the parts of a version: one set of files, or a large main segment and a small one of what came after it.

Adding a document to a large index would write everything again. So the main segment stays as it is, linked from version
to version; what is new is written into a second, small one beside it, and what is gone is left out of the main one by a
mask. To everything else both are one index, whose ordinals are those of the small segment, then those of the main one
that are left: the order that a version written anew would have.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from rag.index.chunks import ChunkFile
from rag.index.dense import DenseIndex
from rag.index.languages import LanguageFile
from rag.index.lexical import LexicalIndex
from rag.index.lexical_segments import SegmentedLexical
from rag.index.manifest import BrokenIndexError, StoredVersion
from rag.index.neighbour_segments import SegmentedVectors
from rag.index.places import Places
from rag.index.tokens import TokenFile
from rag.index.words import Lexicon
from rag.types import Chunk, TokenVectors

DENSE_NAME: Final = "dense.faiss"
LEXICAL_NAME: Final = "lexical"
DELTA_NAME: Final = "delta"
# One bit for each chunk of the main segment: whether it is left.
LIVE_NAME: Final = "live.bits"
# Pairs of a word's number in the main segment, and how many chunks that hold it are gone.
GONE_NAME: Final = "gone.i32"


class Chunks(Protocol):
    """Chunks by ordinal."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Chunk]: ...
    def chunks(self, ordinals: Sequence[int]) -> list[Chunk]: ...
    def lines(self, first: int, count: int) -> list[bytes]: ...


class Tokens(Protocol):
    """Token vectors by ordinal."""

    def __len__(self) -> int: ...
    def tokens(self, ordinal: int) -> TokenVectors: ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What a version is searched by and read from; `places` is set if there are two segments."""

    dense: DenseIndex
    lexical: Lexicon
    chunk_file: Chunks
    languages: LanguageFile
    token_file: Tokens | None
    places: Places | None = None

    def require_sizes(self, total: int, dimension: int) -> None:
        """Check that each part holds all chunks.

        Raises: BrokenIndexError: one does not.
        """
        sizes = {len(self.dense), len(self.lexical), len(self.chunk_file), len(self.token_file or self.chunk_file)}
        if sizes | {len(self.languages.codes)} != {total} or self.dense.dimension != dimension:
            raise BrokenIndexError("vectors, words and chunks do not belong together")


def open_parts(stored: StoredVersion) -> Parts:
    """Open the files of a version.

    Raises: BrokenIndexError: they cannot be loaded, or do not belong together.
    """
    manifest = stored.manifest
    tokens_dimension = manifest.embedder.dimension if manifest.has_tokens else None
    main = _open(stored.folder, tokens_dimension)
    if manifest.delta is None:
        main.require_sizes(manifest.chunks, manifest.embedder.dimension)
        return main
    main.require_sizes(manifest.delta.main_chunks, manifest.embedder.dimension)
    folder = stored.folder / DELTA_NAME
    delta = _open(folder, tokens_dimension)
    delta.require_sizes(manifest.delta.chunks, manifest.embedder.dimension)
    joined = _join(delta, main, folder)
    joined.require_sizes(manifest.chunks, manifest.embedder.dimension)
    return joined


def _open(folder: Path, tokens_dimension: int | None) -> Parts:
    chunk_file = ChunkFile.load(folder)
    return Parts(
        DenseIndex.load(folder / DENSE_NAME),
        LexicalIndex.load(folder / LEXICAL_NAME),
        chunk_file,
        LanguageFile.load(folder, len(chunk_file)),
        TokenFile.load(folder, tokens_dimension) if tokens_dimension is not None else None,
    )


def _join(delta: Parts, main: Parts, folder: Path) -> Parts:
    try:
        live = np.unpackbits(np.fromfile(folder / LIVE_NAME, dtype=np.uint8), count=len(main.chunk_file)).astype(bool)
        gone = np.fromfile(folder / GONE_NAME, dtype=np.int32).reshape(-1, 2)
    except (OSError, ValueError) as error:
        raise BrokenIndexError("what is gone from the main segment cannot be read") from error
    places = Places(len(delta.chunk_file), live)
    assert isinstance(delta.lexical, LexicalIndex)
    assert isinstance(main.lexical, LexicalIndex)
    codes = np.concatenate([delta.languages.codes, main.languages.codes[places.live]])
    tokens = _JoinedTokens(delta.token_file, main.token_file, places) if delta.token_file and main.token_file else None
    return Parts(
        DenseIndex(SegmentedVectors(delta.dense.neighbours, main.dense.neighbours, places)),
        SegmentedLexical(delta.lexical, main.lexical, places, gone),
        _JoinedChunks(delta.chunk_file, main.chunk_file, places),
        LanguageFile(codes),
        tokens,
        places,
    )


class _JoinedChunks:
    def __init__(self, delta: Chunks, main: Chunks, places: Places) -> None:
        self._segments = (delta, main)
        self._places = places

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Chunk]:
        for ordinal in range(len(self)):
            yield from self.chunks([ordinal])

    def chunks(self, ordinals: Sequence[int]) -> list[Chunk]:
        found = (self._places.find(ordinal) for ordinal in ordinals)
        return [self._segments[segment].chunks([place])[0] for segment, place in found]

    def lines(self, first: int, count: int) -> list[bytes]:
        found = (self._places.find(ordinal) for ordinal in range(first, first + count))
        return [self._segments[segment].lines(place, 1)[0] for segment, place in found]


class _JoinedTokens:
    def __init__(self, delta: Tokens, main: Tokens, places: Places) -> None:
        self._segments = (delta, main)
        self._places = places

    def __len__(self) -> int:
        return len(self._places)

    def tokens(self, ordinal: int) -> TokenVectors:
        segment, place = self._places.find(ordinal)
        return self._segments[segment].tokens(place)
