"""Answer the port of the index from rows in Milvus: one version of one tenant, as far as a scope shows it."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from rag.chunk_id import ChunkId
from rag.errors import IndexUnavailable
from rag.index.documents import DocumentTable, Mask
from rag.index.languages import LANGUAGES
from rag.index.lexical import inverse_frequency
from rag.index.manifest import DocumentEntry
from rag.index.milvus.driver import MilvusReader, Row
from rag.index.milvus.filters import admitted as admitted_by
from rag.index.milvus.filters import any_number, of_tenant, one_of, seen_at
from rag.index.milvus.layout import EF_MIN, WORDS, chunks_of, tokens_of
from rag.index.milvus.rows import HIT_FIELDS, read_chunk, read_tokens
from rag.index.milvus.versions import MilvusVersion
from rag.index.milvus.words import ask, near_shapes, number_of, rarity_of, score, weigh_question
from rag.index.vocabulary import NEAR_MIN_CHARS, Vocabulary, is_one_slip
from rag.ports import Vectors
from rag.text.language import Language, fold, words
from rag.types import IndexVersion, PlacedChunk, Scope, StoredChunk

# Milvus's bounded staleness shows all that is older than 5 s (proxy.gracefulTime): strong reads, which wait for the
# newest write of anyone, are needed only until then.
_FRESH_S: Final = 10.0
# What Milvus returns at most.
_LIMIT_MAX: Final = 16_384
# The inner product differs from BM25 by the mean length alone, so the best k are among the best of it, and these more.
_RESCORED: Final = 4
_RESCORED_MIN: Final = 64
# Equal vectors may differ in the last bits, as in the embedded engine: such a difference is no rank.
_DECIMALS: Final = 6
_KEPT_SCOPES: Final = 16
_KEPT_COUNTS: Final = 20_000

Hit = tuple[str, float]


class OpenedVersion:
    """A version that serves, with its documents in memory; its restrictions that were used last are kept."""

    def __init__(self, reader: MilvusReader, tenant_id: str, version: MilvusVersion) -> None:
        """Raises: BrokenIndexError: the documents of the manifest do not belong together."""
        self.reader: Final = reader
        self.tenant_id: Final = tenant_id
        self.stored: Final = version
        self.summary: Final = version.summary
        self.documents: Final = DocumentTable(version.manifest.document_list)
        self.chunks: Final = chunks_of(version.manifest.embedder)
        self.tokens: Final = tokens_of(version.manifest.embedder) if version.manifest.has_tokens else None
        self.seen: Final = seen_at(tenant_id, version.number)
        self._ids: Final = frozenset(entry.document_id for entry in version.manifest.document_list)
        lengths = [version.lengths.get(entry.document_id, 0) for entry in version.manifest.document_list]
        self.lengths: Final = np.array(lengths, dtype=np.int64)
        self._everything: Final = MilvusIndex(self, None, "")
        self._kept: OrderedDict[bytes, MilvusIndex] = OrderedDict()
        self._opened = time.monotonic()

    @property
    def level(self) -> str:
        """The consistency that a read needs to see this version whole."""
        return "Strong" if time.monotonic() - self._opened < _FRESH_S else "Bounded"

    def find(self, scope: Scope) -> "MilvusIndex | None":
        """Return the index of what the scope admits; None if that is nothing."""
        admitted = self.documents.admit(scope)
        if admitted.all():
            return self._everything
        if not admitted.any():
            return None
        key = np.packbits(admitted).tobytes()
        found = self._kept.pop(key, None) or MilvusIndex(self, admitted, admitted_by(scope, self._ids))
        self._kept[key] = found
        if len(self._kept) > _KEPT_SCOPES:
            self._kept.popitem(last=False)
        return found


class MilvusIndex:
    """A `rag.ports.ChunkIndex`."""

    def __init__(self, opened: OpenedVersion, admitted: Mask | None, only: str) -> None:
        """`admitted` tells for each document whether it is shown, None: all are; `only` is the filter for the same."""
        self._opened = opened
        self._admitted = admitted
        self._only = only
        self._counts: OrderedDict[str, int] = OrderedDict()
        if admitted is None:
            self._summary = opened.summary
            words_shown = int(opened.lengths.sum())
        else:
            documents, chunks = opened.documents.count(admitted)
            self._summary = replace(opened.summary, chunks=chunks, documents=documents, grouped=())
            words_shown = int(opened.lengths[admitted].sum())
        self._mean_length = words_shown / max(1, self._summary.chunks)

    @property
    def version(self) -> IndexVersion:
        return self._summary

    async def search_dense(self, vector: Vectors, k: int, language: Language | None = None) -> list[Hit]:
        only = self._filter + (f" and language == {LANGUAGES.index(language)}" if language else "")
        k, wanted = min(k, self._summary.chunks, _LIMIT_MAX), 0
        if k <= 0:
            return []
        query = np.asarray(vector, dtype=np.float32).tolist()
        while True:
            # Of equal similarities any may be returned, so one more than is asked for shows whether all of them are.
            wanted = min(max(k + 1, 2 * wanted), _LIMIT_MAX)
            rows = await self._opened.reader.search(
                self._opened.chunks,
                "dense",
                query,
                limit=wanted,
                filter_=only,
                fields=["chunk_id"],
                params={"ef": max(EF_MIN, wanted)},
                level=self._opened.level,
            )
            hits = [(row["chunk_id"], round(similarity, _DECIMALS)) for row, similarity in rows]
            if len(hits) < wanted or wanted == _LIMIT_MAX or hits[-1][1] < hits[k - 1][1]:
                return self._rank(hits, k)

    async def search_lexical(self, text: str, k: int) -> list[Hit]:
        asked = words(text)
        rarity = rarity_of(self._summary.chunks, await self._count(asked))
        weights = weigh_question(asked, rarity)
        if not weights or k <= 0:
            return []
        limit = min(max(_RESCORED * k, _RESCORED_MIN), _LIMIT_MAX)
        rows = await self._opened.reader.search(
            self._opened.chunks,
            "sparse",
            ask(weights),
            limit=limit,
            filter_=self._filter,
            fields=HIT_FIELDS,
            params={},
            level=self._opened.level,
        )
        counted = ((row, dict(zip(row["terms"], row["counts"], strict=True))) for row, _ in rows)
        return self._rank(
            ((row["chunk_id"], score(counts, row["words"], weights, self._mean_length)) for row, counts in counted), k
        )

    async def fetch(self, chunk_ids: Sequence[str], *, with_tokens: bool = False) -> list[StoredChunk]:
        for chunk_id in chunk_ids:
            self._locate(chunk_id)
        if not chunk_ids:
            return []
        opened, ids = self._opened, one_of("chunk_id", dict.fromkeys(chunk_ids))
        reads = [opened.reader.query(opened.chunks, f"{self._filter} and {ids}", ["body"], level=opened.level)]
        if with_tokens and opened.tokens:
            own = f"{of_tenant(opened.tenant_id)} and {ids}"
            fields = ["chunk_id", "part", "body"]
            reads.append(opened.reader.query(opened.tokens, own, fields, level=opened.level))
        rows, *token_rows = await asyncio.gather(*reads)
        try:
            found = {chunk.chunk_id: chunk for chunk in map(read_chunk, rows)}
            tokens = read_tokens(token_rows[0]) if token_rows else {}
            return [StoredChunk(found[each], tokens[each] if token_rows else None) for each in chunk_ids]
        except (ValueError, TypeError, KeyError) as error:  # removed since, or overwritten
            raise IndexUnavailable from error

    async def find_chunk(self, chunk_id: ChunkId) -> PlacedChunk | None:
        entry = self._opened.documents.find(chunk_id.document_id, self._admitted)
        number, last = chunk_id.number, entry.chunks if entry else 0
        if entry is None or entry.document_version != chunk_id.document_version or not 1 <= number <= last:
            return None
        if chunk_id.tenant_id != self._opened.tenant_id:
            return None
        (stored,) = await self.fetch([str(chunk_id)])
        return PlacedChunk(
            stored.chunk,
            previous=str(replace(chunk_id, number=number - 1)) if number > 1 else None,
            next=str(replace(chunk_id, number=number + 1)) if number < last else None,
        )

    async def spellings(self, words: Collection[str]) -> dict[str, dict[str, int]]:
        rows = await self._find_words("folded", (number_of(fold(word)) for word in words))
        known = await self._vocabulary(rows)
        return {word: known.spellings(word) for word in words}

    async def near(self, words: Collection[str]) -> dict[str, dict[str, int]]:
        shapes = {shape for word in words if len(fold(word)) >= NEAR_MIN_CHARS for shape in near_shapes(word)}
        rows = await self._find_words("shape", sorted(shapes)) if shapes else []
        folded = {fold(word) for word in words}
        known = await self._vocabulary(
            row for row in rows if any(is_one_slip(each, fold(row["text"])) for each in folded)
        )
        return {word: known.near(word) for word in words}

    async def idf(self, words: Sequence[str]) -> list[float]:
        counts = await self._count(words)
        return [inverse_frequency(self._summary.chunks, counts[word]) for word in words]

    @property
    def _filter(self) -> str:
        return self._opened.seen + self._only

    def _rank(self, hits: Iterable[Hit], k: int) -> list[Hit]:
        """Return the k best; ties by the order of the index."""
        placed = sorted((-score, self._locate(chunk_id), chunk_id) for chunk_id, score in hits)
        return [(chunk_id, -negative) for negative, _, chunk_id in placed[:k]]

    def _locate(self, chunk_id: str) -> int:
        """Return the place of a chunk in the order of the index.

        Raises: LookupError: it is not in this version, or outside the scope: only a bug can ask for it, or find it.
        """
        parsed = ChunkId.parse(chunk_id)
        entry: DocumentEntry | None = None
        if parsed is not None and parsed.tenant_id == self._opened.tenant_id:
            entry = self._opened.documents.find(parsed.document_id, self._admitted)
        if parsed is None or entry is None or entry.document_version != parsed.document_version:
            raise LookupError("a chunk outside the scope")
        if not 1 <= parsed.number <= entry.chunks:
            raise LookupError("a chunk outside the document")
        return entry.first_ordinal + parsed.number - 1

    async def _count(self, asked: Iterable[str]) -> dict[str, int]:
        """Return how many chunks of the scope hold each of these words."""
        distinct = list(dict.fromkeys(asked))
        missing = [word for word in distinct if word not in self._counts]
        if missing:
            rows = await self._find_words("word", map(number_of, missing))
            shown = await self._shown(rows)
            self._keep({word: shown.get(word, 0) for word in missing})
        return {word: self._counts.get(word, 0) for word in distinct}

    async def _shown(self, rows: Iterable[Row]) -> dict[str, int]:
        """Return in how many chunks of the scope these words stand; words that it does not show are left out.

        The table counts over all chunks. Where some are hidden, each word is counted among those that are shown, by an
        index over the words of each chunk, and remembered.
        """
        counts = {row["text"]: int(row["chunks"]) for row in rows}
        if self._admitted is None:
            return counts
        missing = [word for word in counts if word not in self._counts]
        opened = self._opened
        found = await asyncio.gather(
            *(
                opened.reader.count(
                    opened.chunks, f"{self._filter} and array_contains(terms, {number_of(word)})", level=opened.level
                )
                for word in missing
            )
        )
        self._keep(dict(zip(missing, found, strict=True)))
        return {word: count for word in counts if (count := self._counts.get(word, 0))}

    async def _vocabulary(self, rows: Iterable[Row]) -> Vocabulary:
        shown = await self._shown(rows)
        return Vocabulary(shown, shown.__getitem__)

    async def _find_words(self, field: str, numbers: Iterable[int]) -> list[Row]:
        opened = self._opened
        filter_ = f"{opened.seen} and {any_number(field, dict.fromkeys(numbers))}"
        return await opened.reader.query(WORDS, filter_, ["text", "chunks"], level=opened.level)

    def _keep(self, counts: Mapping[str, int]) -> None:
        self._counts.update(counts)
        while len(self._counts) > _KEPT_COUNTS:
            self._counts.popitem(last=False)
