"""Change one tenant's index: build the next version from the serving one, invisible until it is published."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rag.index.chunks import ChunkFile, ChunkWriter
from rag.index.delta import DEFAULT_LIMITS, DeltaLimits, Split, place_segment, split_documents
from rag.index.dense import EXACT_MAX_CHUNKS, GRAPH_MAX_CHUNKS, DensePlan, build_dense
from rag.index.engine import EncodeChunks, OnDamage
from rag.index.languages import LANGUAGES_NAME, LanguageFile, detect_codes
from rag.index.lexical import build_lexical
from rag.index.manifest import BrokenIndexError, DenseInfo, DocumentEntry, Manifest, StoredVersion, seal_files
from rag.index.plan import Makers, Plan, warn_of_damage
from rag.index.segments import DENSE_NAME, LEXICAL_NAME
from rag.index.store import IndexStore
from rag.index.tokens import TokenWriter
from rag.index.version import TenantIndex
from rag.text.language import words
from rag.types import EncodedTexts

# Large enough to fill batches with texts of similar length, small enough to hold: a few MB of text and vectors.
GROUP_CHUNKS: Final = 2_000
_VECTORS_NAME: Final = "vectors.f32"


@contextmanager
def update_index(
    store: IndexStore,
    tenant_id: str,
    on_wait: Callable[[], object],
    makers: Makers | None = None,
    on_damage: OnDamage = warn_of_damage,
) -> Iterator["IndexUpdate"]:
    """Start an update and keep other writers out; `on_wait` is called if another writer is active.

    Without makers an update can only remove documents from an existing version. With them, if the serving version is
    damaged, it starts from the last whole version or from nothing; `on_damage` is called, because later changes are
    lost.

    Raises: BrokenIndexError: the serving version is damaged, and there are no makers.
    """
    with store.exclusive(tenant_id, on_wait) as building, closing(ChunkWriter(building)) as writer:
        is_damaged = False
        try:
            base = store.verify(tenant_id)
            numbers_above = base.manifest.numbers_above if base else 0
        except BrokenIndexError as damage:
            if makers is None:
                raise
            is_damaged = True
            base, numbers_above = store.recover(tenant_id)
            on_damage(damage, base)
        if makers is None:
            assert base is not None
            makers = Makers(base.manifest.embedder, base.manifest.chunker_version, base.manifest.has_tokens)
        yield IndexUpdate(
            store,
            tenant_id,
            building=building,
            writer=writer,
            base=base,
            makers=makers,
            numbers_above=numbers_above,
            replaces_damage=is_damaged,
        )


class IndexUpdate(Plan):
    """A change in progress. New documents come first in the next version, in the order of `put`, then those kept."""

    def __init__(
        self,
        store: IndexStore,
        tenant_id: str,
        *,
        building: Path,
        writer: ChunkWriter,
        base: StoredVersion | None,
        makers: Makers,
        numbers_above: int,
        replaces_damage: bool,
    ) -> None:
        """As `Plan`; the next version is built in the folder `building`."""
        super().__init__(
            tenant_id,
            writer=writer,
            base=base,
            makers=makers,
            numbers_above=numbers_above,
            replaces_damage=replaces_damage,
        )
        self._store = store
        self._building = building
        self._base: StoredVersion | None = base
        self._writer: ChunkWriter = writer

    def publish(
        self,
        encode: EncodeChunks,
        *,
        exact_max_chunks: int = EXACT_MAX_CHUNKS,
        graph_max_chunks: int = GRAPH_MAX_CHUNKS,
        delta_limits: DeltaLimits = DEFAULT_LIMITS,
    ) -> StoredVersion | None:
        """Build the next version and make it serve; if nothing changed, the serving version stays.

        `encode` is called with groups of chunks that have no vectors, and not at all if every chunk has some. The token
        vectors that it returns are stored if the makers say so. Of a large version only what is new is written, up to
        `delta_limits`.

        Raises: OSError: the disk is full or failed; the old version still serves.
        """
        if self.changes_nothing:
            return self._base
        to_embed, kept = self.chunks_to_embed, list(self._kept.values())
        old = TenantIndex(self._base) if self._base and kept else None
        split = self._split(old, kept, delta_limits)
        written = split.rewritten if split else kept
        entries = [*self._new, *(self._carry_chunks(old, written) if old else [])]
        self._writer.finish()
        if not len(self._writer):
            empty = self.describe(entries, files=seal_files(self._building))
            return self._store.publish(self._tenant_id, self._building, empty)
        self._write_languages(old, written)
        embedded = None if self.reembeds else old
        self._write_vectors(embedded, written, to_embed, encode)
        plan = DensePlan(exact_max_chunks, graph_max_chunks)
        if embedded is not None and split is None:
            graphs = embedded.dense.carry(_trace(kept, to_embed))
            plan = replace(plan, centres=embedded.dense.centres, graphs=graphs)
        dense = self._build_indexes(plan)
        manifest = (
            self.describe(entries, dense=dense, files=seal_files(self._building))
            if split is None
            else self._describe_segments(entries, split)
        )
        return self._store.publish(self._tenant_id, self._building, manifest)

    def _split(self, old: TenantIndex | None, kept: Sequence[DocumentEntry], limits: DeltaLimits) -> Split | None:
        if old is None or self.reembeds or self._makers.keeps_tokens != (old.token_file is not None):
            return None
        return split_documents(old, kept, len(self._writer), limits)

    def _carry_chunks(self, old: TenantIndex, kept: Sequence[DocumentEntry]) -> list[DocumentEntry]:
        carried = []
        for entry in kept:
            carried.append(replace(entry, first_ordinal=len(self._writer)))
            for first, count in _blocks(entry.first_ordinal, entry.chunks):
                self._writer.append_lines(old.chunk_file.lines(first, count))
        return carried

    def _write_languages(self, old: TenantIndex | None, kept: Sequence[DocumentEntry]) -> None:
        """Write the languages; those of kept chunks are copied if the old version has them."""
        chunks = ChunkFile.load(self._building)
        carried = [entry for entry in kept if old is not None and old.languages.is_known]
        new = range(len(chunks) - sum(entry.chunks for entry in carried))
        parts = [detect_codes(chunk.text for ordinal in new for chunk in chunks.chunks([ordinal]))]
        parts += [old.languages.codes[entry.first_ordinal :][: entry.chunks] for entry in carried if old]
        # `tofile` has no words for a full disk.
        (self._building / LANGUAGES_NAME).write_bytes(np.concatenate(parts).tobytes())

    def _write_vectors(
        self, old: TenantIndex | None, kept: Sequence[DocumentEntry], to_embed: int, encode: EncodeChunks
    ) -> None:
        with (self._building / _VECTORS_NAME).open("wb") as file, self._writing_tokens() as tokens:
            for encoded in self._encode(to_embed, encode):
                file.write(np.ascontiguousarray(encoded.vectors, dtype=np.float32).data)
                if tokens:
                    tokens.append(encoded.tokens)
            if old is not None:
                for entry in kept:
                    for first, count in _blocks(entry.first_ordinal, entry.chunks):
                        file.write(old.dense.vectors(first, count).data)
                        if tokens and old.token_file:
                            tokens.append([old.token_file.tokens(each) for each in range(first, first + count)])

    def _encode(self, to_embed: int, encode: EncodeChunks) -> Iterator[EncodedTexts]:
        chunks = ChunkFile.load(self._building)
        for first, count in _blocks(0, to_embed):
            encoded = encode(chunks.chunks(range(first, first + count)))
            assert encoded.vectors.shape == (count, self._makers.embedder.dimension)
            assert not self._makers.keeps_tokens or len(encoded.tokens) == count
            yield encoded

    @contextmanager
    def _writing_tokens(self) -> Iterator[TokenWriter | None]:
        if not self._makers.keeps_tokens:
            yield None
            return
        with closing(TokenWriter(self._building)) as writer:
            yield writer
            writer.finish()

    def _build_indexes(self, plan: DensePlan) -> DenseInfo:
        chunks = ChunkFile.load(self._building)
        build_lexical((words(chunk.ranked_text) for chunk in chunks), self._building / LEXICAL_NAME)
        path = self._building / _VECTORS_NAME
        vectors = np.memmap(path, dtype=np.float32, mode="r", shape=(len(chunks), self._makers.embedder.dimension))
        parts = LanguageFile.load(self._building, len(chunks)).codes
        info = build_dense(vectors, self._building / DENSE_NAME, replace(plan, parts=parts))
        path.unlink()
        return info

    def _describe_segments(self, entries: Sequence[DocumentEntry], split: Split) -> Manifest:
        """Put what was built beside the main segment, and describe both."""
        assert self._base is not None
        delta, seals = place_segment(self._building, self._base, split.live)
        documents, first = list(entries), delta.chunks
        for entry in split.left:
            documents.append(replace(entry, first_ordinal=first))
            first += entry.chunks
        files = seal_files(self._building, seals)
        return self.describe(documents, dense=self._base.manifest.dense, files=files, delta=delta)


def _trace(kept: Sequence[DocumentEntry], new: int) -> NDArray[np.int64]:
    """Return the old ordinal of each chunk, or -1 of the new ones, which come first."""
    old = [np.arange(entry.first_ordinal, entry.first_ordinal + entry.chunks) for entry in kept]
    return np.concatenate([np.full(new, -1), *old])


def _blocks(first: int, count: int) -> Iterator[tuple[int, int]]:
    """Split a range into parts of at most `GROUP_CHUNKS`, as (first, count)."""
    end = first + count
    for start in range(first, end, GROUP_CHUNKS):
        yield start, min(GROUP_CHUNKS, end - start)
