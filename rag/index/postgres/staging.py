"""Write the contents of new documents, group by group; no version names them yet, so nobody sees them.

Each group is a transaction of its own. One over all of them would last as long as the embedding, for hours, and keep
the database from tidying up. What a crash leaves is removed by the next change (`pruning.py`).

COPY would be faster, but PostgreSQL refuses it where row-level security holds for the owner too.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, LiteralString

import numpy as np

from rag.index.languages import LANGUAGES
from rag.index.postgres.adapters import Ints, Rows
from rag.index.postgres.rows import binary_vectors, describe_words, word_key, write_chunk, write_tokens
from rag.index.postgres.versions import seal_chunk
from rag.index.postgres.writing import Connection
from rag.text.language import detect_language, words
from rag.types import Chunk, EncodedTexts

# Token vectors take 60 KB a chunk, and are copied a few times on their way.
_TOKENS_AT_ONCE: Final = 100

_CONTENTS: Final[LiteralString] = """
INSERT INTO rag.contents (tenant, document_id, document_version, chunks)
SELECT %s, * FROM unnest(%s::text[], %b::int[], %b::int[]) RETURNING doc
"""
_CHUNKS: Final[LiteralString] = """
INSERT INTO rag.chunks (tenant, doc, number, words, body)
SELECT %s, doc, number, words::int[], body
FROM unnest(%b::int[], %b::int[], %s::text[], %b::bytea[]) AS new (doc, number, words, body)
"""
_VECTORS: Final[LiteralString] = """
INSERT INTO rag.vectors (tenant, doc, number, language, vector)
SELECT %s, * FROM unnest(%b::int[], %b::int[], %b::int[], %b)
"""
_TOKENS: Final[LiteralString] = """
INSERT INTO rag.tokens (tenant, doc, number, vectors)
SELECT %s, * FROM unnest(%b::int[], %b::int[], %b::bytea[])
"""
# In the order of the words: what one word's search reads lies together.
_POSTINGS: Final[LiteralString] = """
INSERT INTO rag.postings (tenant, word_id, doc, number, length, count)
SELECT %s, * FROM unnest(%b::int[], %b::int[], %b::int[], %b::int[], %b::int[])
"""
_WORDS: Final[LiteralString] = """
INSERT INTO rag.words (tenant, word, folded, shape)
SELECT %s, * FROM unnest(%s::text[], %s::text[], %s::text[]) ON CONFLICT DO NOTHING
"""


@dataclass(slots=True)
class Content:
    """What is known of a document's content at its end: the lengths of its chunks, their languages, and a seal."""

    words: int = 0
    languages: list[int] = field(default_factory=lambda: [0] * len(LANGUAGES))
    digest: Any = field(default_factory=hashlib.sha256)  # Any: hashlib does not name the type


class Staging:
    """The contents that one change writes, by their numbers."""

    def __init__(self, connection: Connection, tenant: int, *, keeps_tokens: bool) -> None:
        self._connection = connection
        self._tenant = tenant
        self._keeps_tokens = keeps_tokens
        self._word_ids: dict[str, int] = {}
        self.contents: dict[int, Content] = {}

    def begin(self, documents: Sequence[tuple[str, int, int]]) -> list[int]:
        """Announce contents, as (document id, document version, chunks), and return their numbers, ascending."""
        if not documents:
            return []
        ids, versions, chunks = zip(*documents, strict=True)
        values = (self._tenant, list(ids), Ints(versions), Ints(chunks))
        docs = [doc for (doc,) in self._connection.execute(_CONTENTS, values)]
        assert docs == sorted(docs), "rows are inserted, and numbered, in the order of the arrays"
        self.contents |= {doc: Content() for doc in docs}
        return docs

    def write(
        self, docs: Sequence[int], numbers: Sequence[int], chunks: Sequence[Chunk], encoded: EncodedTexts
    ) -> None:
        """Write chunks, in the order of their numbers in each document; a document may go on in the next group."""
        bodies = [write_chunk(chunk) for chunk in chunks]
        counts = [Counter(map(word_key, words(chunk.ranked_text))) for chunk in chunks]
        languages = [LANGUAGES.index(detect_language(chunk.text)) for chunk in chunks]
        vectors = np.asarray(encoded.vectors, np.float32)
        tokens = [write_tokens(each) for each in encoded.tokens] if self._keeps_tokens else []
        binary = [each.tobytes()[4:] for each in binary_vectors(vectors)]
        for at, doc in enumerate(docs):
            content = self.contents[doc]
            content.words += _length(counts[at])
            content.languages[languages[at]] += 1
            seal_chunk(content.digest, bodies[at], binary[at], tokens[at] if tokens else None)
        places = (self._tenant, Ints(docs), Ints(numbers))
        with self._connection.transaction():
            self._number_words(counts)
            word_ids = ["{" + ",".join(str(self._word_ids[word]) for word in each) + "}" for each in counts]
            self._connection.execute(_CHUNKS, (*places, word_ids, bodies))
            self._connection.execute(_VECTORS, (*places, Ints(languages), Rows(vectors)))
            self._write_postings(docs, numbers, counts)
            for first in range(0, len(tokens), _TOKENS_AT_ONCE):
                part = slice(first, first + _TOKENS_AT_ONCE)
                values = (self._tenant, Ints(docs[part]), Ints(numbers[part]), tokens[part])
                self._connection.execute(_TOKENS, values)

    def _number_words(self, counts: Sequence[Counter[str]]) -> None:
        new = sorted({word for each in counts for word in each} - self._word_ids.keys())
        if new:
            self._connection.execute(_WORDS, (self._tenant, *describe_words(new)))
            found = self._connection.execute(
                "SELECT word, word_id FROM rag.words WHERE tenant = %s AND word = ANY(%s)", (self._tenant, new)
            )
            self._word_ids |= dict(found.fetchall())

    def _write_postings(self, docs: Sequence[int], numbers: Sequence[int], counts: Sequence[Counter[str]]) -> None:
        rows = np.array(
            [
                (self._word_ids[word], doc, number, length, count)
                for doc, number, each, length in zip(docs, numbers, counts, map(_length, counts), strict=True)
                for word, count in each.items()
            ],
            dtype=np.int32,
        ).reshape(-1, 5)
        rows = rows[np.lexsort((rows[:, 2], rows[:, 1], rows[:, 0]))]
        self._connection.execute(_POSTINGS, (self._tenant, *(Ints(column) for column in rows.T)))


def _length(counts: Counter[str]) -> int:
    """Return the length of a chunk in words; one without words has length 1, as in the embedded engine."""
    return counts.total() or 1
