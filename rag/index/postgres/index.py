"""Answer the port of the index from one version's rows, as far as a scope shows them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, LiteralString

import numpy as np

from rag.chunk_id import ChunkId
from rag.index.languages import LANGUAGES
from rag.index.postgres.adapters import Query
from rag.index.postgres.approximate import EXACT_MAX_CHUNKS, has_graph
from rag.index.postgres.corpus import Corpus, Hit
from rag.index.postgres.pool import Pool, Statement
from rag.index.postgres.rows import read_chunk, read_tokens
from rag.index.postgres.scopes import View
from rag.ports import Vectors
from rag.text.language import Language, words
from rag.types import IndexVersion, PlacedChunk, StoredChunk

# As in the embedded engine.
_SIMILARITY_DECIMALS: Final = 6
# A graph gives the order of equals by chance, so some more are fetched.
_TIES: Final = 8

# {distance}: the expression that a graph is made of, or another one, for which the planner finds none.
_NEAREST: Final[LiteralString] = """
SELECT c.document_id, c.document_version, n.number, -n.distance AS similarity FROM (
    SELECT r.doc, r.number, {distance} AS distance FROM rag.vectors r
    WHERE {rows} AND {language} ORDER BY distance {ties} LIMIT %(fetched)s
) n JOIN rag.contents c ON c.tenant = %(tenant)s AND c.doc = n.doc ORDER BY n.distance, n.doc, n.number
"""
_FETCH: Final[LiteralString] = """
SELECT asked.place, c.body, {tokens} FROM unnest(%(places)s::int[], %(ids)s::text[], %(numbers)s::int[])
    AS asked (place, document_id, number)
JOIN rag.documents d ON d.document_id = asked.document_id
JOIN rag.chunks c ON c.tenant = d.tenant AND c.doc = d.doc AND c.number = asked.number
{join} WHERE
"""
_JOIN_TOKENS: Final[LiteralString] = (
    "LEFT JOIN rag.tokens t ON t.tenant = c.tenant AND t.doc = c.doc AND t.number = c.number"
)
_FIND: Final[LiteralString] = """
SELECT c.body, n.chunks FROM rag.documents d JOIN rag.contents n ON n.tenant = d.tenant AND n.doc = d.doc
JOIN rag.chunks c ON c.tenant = d.tenant AND c.doc = d.doc AND c.number = %(number)s
WHERE d.document_id = %(document_id)s AND n.document_version = %(document_version)s AND
"""


class DatabaseIndex:
    """A `rag.ports.ChunkIndex`; each method is one statement, or a few, in transactions of their own."""

    def __init__(self, pool: Pool, tenant_id: str, view: View) -> None:
        self._pool = pool
        self._tenant_id = tenant_id
        self._view = view
        self._corpus = Corpus(pool, view)

    @property
    def version(self) -> IndexVersion:
        return self._view.summary

    async def search_dense(self, vector: Vectors, k: int, language: Language | None = None) -> list[tuple[str, float]]:
        total = self._total(language)
        k = min(k, total)
        if k <= 0:
            return []
        query = {
            "vector": Query(np.ascontiguousarray(vector, dtype=np.float32)),
            "fetched": k + _TIES,
            "language": LANGUAGES.index(language) if language else None,
        }
        chunks, dimension = self._view.served.summary.chunks, self._view.served.embedder.dimension
        if has_graph(chunks, dimension) and total > EXACT_MAX_CHUNKS:
            hits = await self._ask(self._nearest(language, dimension), query)
            # A graph is searched up to a limit, within which a filter may leave too few.
            if len(hits) >= k:
                return self._name(hits, k)
        return self._name(await self._ask(self._nearest(language, None), query), k)

    async def search_lexical(self, text: str, k: int) -> list[tuple[str, float]]:
        return self._name(await self._corpus.search(words(text), k), k, decimals=None)

    async def fetch(self, chunk_ids: Sequence[str], *, with_tokens: bool = False) -> list[StoredChunk]:
        asked = [self._parse(chunk_id) for chunk_id in chunk_ids]
        if not asked:
            return []
        values = {
            "places": list(range(len(asked))),
            "ids": [each.document_id for each in asked],
            "numbers": [each.number for each in asked],
        }
        tokens: tuple[LiteralString, LiteralString] = ("t.vectors", _JOIN_TOKENS) if with_tokens else ("NULL", "")
        statement = _FETCH.replace("{tokens}", tokens[0]).replace("{join}", tokens[1]) + self._view.documents
        rows = await self._ask(statement, values)
        found = {
            place: StoredChunk(read_chunk(body), read_tokens(vectors) if vectors else None)
            for place, body, vectors in rows
        }
        return [self._take(found, place, chunk_id) for place, chunk_id in enumerate(chunk_ids)]

    async def find_chunk(self, chunk_id: ChunkId) -> PlacedChunk | None:
        if chunk_id.tenant_id != self._tenant_id:
            return None
        values = {
            "document_id": chunk_id.document_id,
            "document_version": chunk_id.document_version,
            "number": chunk_id.number,
        }
        rows = await self._ask(_FIND + self._view.documents, values)
        if not rows:
            return None
        body, last = rows[0]
        number = chunk_id.number
        return PlacedChunk(
            read_chunk(body),
            previous=str(replace(chunk_id, number=number - 1)) if number > 1 else None,
            next=str(replace(chunk_id, number=number + 1)) if number < last else None,
        )

    async def spellings(self, words: Collection[str]) -> dict[str, dict[str, int]]:
        return await self._corpus.spellings(words)

    async def near(self, words: Collection[str]) -> dict[str, dict[str, int]]:
        return await self._corpus.near(words)

    async def idf(self, words: Sequence[str]) -> list[float]:
        return await self._corpus.idf(words)

    def _total(self, language: Language | None) -> int:
        """Return the number of chunks to compare at most."""
        chunks = self._view.summary.chunks
        return chunks if language is None else min(chunks, self._view.served.languages[LANGUAGES.index(language)])

    def _nearest(self, language: Language | None, dimension: int | None) -> Statement:
        """Return the search, by the graph if it has a dimension."""
        distance: LiteralString = "r.vector <#> %(vector)s"
        ties: LiteralString = ", r.doc, r.number"
        of_language: LiteralString = "true" if language is None else "r.language = %(language)s"
        if dimension is not None:
            distance, ties = "r.vector::vector({d}) <#> %(vector)s", ""
            of_language += " AND vector_dims(r.vector) = {d}"
        statement = _NEAREST.replace("{distance}", distance).replace("{ties}", ties).replace("{language}", of_language)
        statement = statement.replace("{rows}", self._view.rows(in_turn=dimension is not None))
        # The type of a vector takes no parameter.
        return statement if dimension is None else statement.replace("{d}", str(int(dimension))).encode()

    async def _ask(self, statement: Statement, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        return await self._pool.ask(self._view.served.tenant, statement, {**self._view.parameters, **values})

    def _name(
        self, hits: Sequence[Hit], k: int, decimals: int | None = _SIMILARITY_DECIMALS
    ) -> list[tuple[str, float]]:
        """Return the hits with their chunks' ids; equals keep the order of their documents' numbers."""
        named = [
            (
                str(ChunkId(self._tenant_id, document_id, version, number)),
                score if decimals is None else round(score, decimals),
            )
            for document_id, version, number, score in hits
        ]
        return sorted(named, key=lambda hit: -hit[1])[:k]

    def _parse(self, chunk_id: str) -> ChunkId:
        parsed = ChunkId.parse(chunk_id)
        if parsed is None or parsed.tenant_id != self._tenant_id:
            raise LookupError("a chunk of another tenant")
        return parsed

    def _take(self, found: Mapping[int, StoredChunk], place: int, chunk_id: str) -> StoredChunk:
        """Return a chunk that was found. Raises: LookupError: only a bug asks for others, and it must not show them."""
        stored = found.get(place)
        if stored is None or stored.chunk.chunk_id != chunk_id:
            raise LookupError("a chunk outside the scope")
        return stored
