"""Decide whether an update writes a small segment beside the main one of the version before it, and put it there.

The small segment is written again by each update, the main one once the small one has grown or much of the main one is
gone. With 20 000 chunks at the most, a million chunks are written again after a thousand documents, and a document more
writes some 10 000 chunks: less would write the million more often, more the thousands.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rag.index.disk import link_file
from rag.index.lexical import LexicalIndex
from rag.index.lexical_segments import count_gone
from rag.index.manifest import DeltaInfo, DocumentEntry, FileSeal, StoredVersion
from rag.index.segments import DELTA_NAME, GONE_NAME, LEXICAL_NAME, LIVE_NAME
from rag.index.version import TenantIndex


@dataclass(frozen=True, slots=True)
class DeltaLimits:
    """From which size on the main segment is kept, how large the small one gets, and how much of the main one may go.

    Below 10 000 chunks a version is written anew in two seconds.
    """

    from_chunks: int = 10_000
    max_chunks: int = 20_000
    max_share: float = 0.05
    gone_max_share: float = 0.1


DEFAULT_LIMITS: Final = DeltaLimits()


@dataclass(frozen=True, slots=True)
class Split:
    """The kept documents that the small segment gets, those that stay in the main one, and its chunks that are left."""

    rewritten: Sequence[DocumentEntry]
    left: Sequence[DocumentEntry]
    live: NDArray[np.bool_]


def split_documents(
    old: TenantIndex, kept: Sequence[DocumentEntry], new_chunks: int, limits: DeltaLimits = DEFAULT_LIMITS
) -> Split | None:
    """Return what goes where; None if the next version is written anew.

    `kept` are in the order of the old version.
    """
    if old.lexical.lengths is None or not old.languages.is_known:
        return None
    before, main = (old.places.delta, old.places.main) if old.places else (0, old.version.chunks)
    rewritten = [entry for entry in kept if entry.first_ordinal < before]
    left = [entry for entry in kept if entry.first_ordinal >= before]
    if (
        not new_chunks and not rewritten
    ):  # an empty segment has no files: the first document moves, which keeps its place
        rewritten, left = left[:1], left[1:]
    written = new_chunks + sum(entry.chunks for entry in rewritten)
    if not left or main < limits.from_chunks or written > min(limits.max_chunks, limits.max_share * main):
        return None
    live = np.zeros(main, dtype=bool)
    for entry in left:
        ordinals = np.arange(entry.first_ordinal, entry.first_ordinal + entry.chunks)
        live[old.places.in_main(ordinals) if old.places else ordinals] = True
    return Split(rewritten, left, live) if 1 - live.mean() <= limits.gone_max_share else None


def place_segment(building: Path, base: StoredVersion, live: NDArray[np.bool_]) -> tuple[DeltaInfo, list[FileSeal]]:
    """Make of what was built a small segment beside the main one of `base`; returns the seals of the main one's files.

    The main segment's files are linked: every version that shares them has the same bytes, which nobody writes again.

    Raises: OSError: the disk is full or failed.
    """
    parts = list(building.iterdir())
    folder = building / DELTA_NAME
    folder.mkdir(0o700)
    for part in parts:
        part.rename(folder / part.name)
    seals = [seal for seal in base.manifest.files if not seal.name.startswith(f"{DELTA_NAME}/")]
    for seal in seals:
        link_file(base.folder / seal.name, building / seal.name)
    gone = count_gone(LexicalIndex.load(building / LEXICAL_NAME), live)
    (folder / GONE_NAME).write_bytes(gone.tobytes())
    (folder / LIVE_NAME).write_bytes(np.packbits(live).tobytes())
    chunks = len(LexicalIndex.load(folder / LEXICAL_NAME))
    return DeltaInfo(chunks, len(live)), seals
