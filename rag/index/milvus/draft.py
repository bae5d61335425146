"""Write the rows of the next version: inserted, copied or marked as dying, and the words that this adds and takes.

Every step can be repeated, and none is seen by a version that serves.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeVar

from rag.index.milvus.driver import MilvusWriter, Row
from rag.index.milvus.filters import any_number, one_of, seen_at
from rag.index.milvus.layout import WORDS, chunks_of, make_chunks, make_tokens, tokens_of
from rag.index.milvus.rows import COPIED_FIELDS, copy_row, count_words, make_row, token_rows, word_row
from rag.index.milvus.words import number_of
from rag.text.language import words
from rag.types import Chunk, EncodedTexts, Labels, ModelInfo

T = TypeVar("T")

# As in the embedded engine: fills batches of the embedder, and is a few MB of text and vectors.
GROUP_CHUNKS: Final = 2_000
# Rows in one write, so that it stays below the 64 MB that Milvus takes: of chunks, of token vectors, of small rows.
_CHUNK_ROWS: Final = 500
_TOKEN_ROWS: Final = 200
_SMALL_ROWS: Final = 2_000
# From here on a collection's new rows are put under its indexes before the switch; fewer are searched one by one as
# fast. Milvus wants this seldom, and does it by itself in time.
_FLUSHED_ROWS: Final = 500
# Ids in one filter.
_IDS: Final = 500


class Draft:
    """The rows of one tenant's version `number`, which follows the version of number `base`."""

    def __init__(self, writer: MilvusWriter, tenant_id: str, *, base: int, number: int, embedder: ModelInfo) -> None:
        self._writer = writer
        self._tenant_id = tenant_id
        self._base = base
        self._number = number
        self._embedder = embedder
        self._words: Counter[str] = Counter()
        self._is_made = False
        self._written: Counter[str] = Counter()

    def add(self, chunks: Sequence[Chunk], encoded: EncodedTexts, labels: Mapping[str, Labels]) -> dict[str, int]:
        """Insert chunks with their vectors; returns the words of each document in them.

        Raises: OSError.
        """
        self._make(has_tokens=bool(encoded.tokens))
        lengths: Counter[str] = Counter()
        rows = []
        for chunk, vector in zip(chunks, encoded.vectors, strict=True):
            row = make_row(chunk, vector, labels[chunk.document_id], tenant_id=self._tenant_id, born=self._number)
            rows.append(row)
            lengths[chunk.document_id] += row["words"]
            self._words.update(set(words(chunk.ranked_text)))
        # The tokens last: those of a writer that dies are found by their chunks.
        self._write(chunks_of(self._embedder), rows, _CHUNK_ROWS)
        if encoded.tokens:
            ids = [chunk.chunk_id for chunk in chunks]
            tokens = token_rows(self._tenant_id, ids, encoded.tokens)
            self._write(tokens_of(self._embedder), tokens, _TOKEN_ROWS)
        return lengths

    def copy(self, labels: Mapping[str, Labels], *, seen: int) -> None:
        """Copy the chunks of documents, as the version of number `seen` sees them, with these labels.

        Raises: OSError.
        """
        collection = chunks_of(self._embedder)
        for some in blocks(sorted(labels), _IDS):
            found = self._find(collection, some, COPIED_FIELDS, seen=seen, rows=_CHUNK_ROWS)
            for page in blocks(found, _CHUNK_ROWS):
                copies = [copy_row(row, self._number, labels[row["document_id"]]) for row in page]
                self._words.update(count_words(page))
                self._write(collection, copies, _CHUNK_ROWS)

    def end(self, document_ids: Iterable[str], embedder: ModelInfo) -> None:
        """Mark the chunks of documents that this embedder embedded: the next version does not see them.

        Raises: OSError.
        """
        collection = chunks_of(embedder)
        for some in blocks(sorted(document_ids), _IDS):
            found = list(self._find(collection, some, ("pk", "tenant", "body", "born"), seen=self._base))
            # A copy of this version is born now; the base does not see it.
            self._words.subtract(count_words(found))
            self._mark(collection, found)

    def end_words(self) -> None:
        """Write the new counts of the words that changed; the last step before the version is described.

        Raises: OSError.
        """
        changed = {number_of(word): word for word, by in self._words.items() if by}
        for some in blocks(sorted(changed), _SMALL_ROWS):
            filter_ = f"{seen_at(self._tenant_id, self._base)} and {any_number('word', some)}"
            old = {row["word"]: row for row in self._writer.query(WORDS, filter_, ["pk", "tenant", "word", "chunks"])}
            rows = []
            for number in some:
                word = changed[number]
                chunks = self._words[word] + (old[number]["chunks"] if number in old else 0)
                if chunks > 0:
                    rows.append(word_row(self._tenant_id, word, chunks, self._number))
            self._write(WORDS, rows, _SMALL_ROWS)
            self._mark(WORDS, list(old.values()))
        for collection, count in self._written.items():
            if count >= _FLUSHED_ROWS:
                self._writer.flush(collection)

    def _find(
        self, collection: str, document_ids: Sequence[str], fields: Sequence[str], *, seen: int, rows: int = _SMALL_ROWS
    ) -> Iterator[Row]:
        filter_ = f"{seen_at(self._tenant_id, seen)} and {one_of('document_id', document_ids)}"
        return self._writer.iterate(collection, filter_, fields, rows)

    def _mark(self, collection: str, rows: Sequence[Row]) -> None:
        marked = ({"pk": row["pk"], "tenant": row["tenant"], "died": self._number} for row in rows)
        for some in blocks(marked, _SMALL_ROWS):
            self._writer.upsert(collection, some, is_partial=True)

    def _write(self, collection: str, rows: Iterable[Row], size: int) -> None:
        for some in blocks(rows, size):
            self._writer.upsert(collection, some)
            self._written[collection] += len(some)

    def _make(self, *, has_tokens: bool) -> None:
        if not self._is_made:
            make_chunks(self._writer, self._embedder)
            if has_tokens:
                make_tokens(self._writer, self._embedder)
            self._is_made = True


def blocks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Split what comes into lists of at most this many."""
    block: list[T] = []
    for item in items:
        block.append(item)
        if len(block) == size:
            yield block
            block = []
    if block:
        yield block
