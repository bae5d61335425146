"""Count words in what a view shows: how many chunks hold each, which spellings there are, and the rank by BM25."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, LiteralString

from rag.index.lexical import K1, B, inverse_frequency
from rag.index.postgres.pool import Pool
from rag.index.postgres.rows import shape_of, word_key
from rag.index.postgres.scopes import View
from rag.index.vocabulary import NEAR_MIN_CHARS, is_one_slip
from rag.text.language import fold

# As many rows of the rarest words are read first; a question of frequent words alone reads more.
_RARE_ROWS: Final = 20_000
_SCORE_DECIMALS: Final = 6

Hit = tuple[str, int, int, float]  # document id, its version, the chunk's number, a score

# The version's own counts are stored; a view's are counted, as what it hides must not count.
_STORED: Final[LiteralString] = """
SELECT w.word, w.folded, w.word_id, c.chunks FROM rag.words w
JOIN rag.counts c ON c.tenant = w.tenant AND c.word_id = w.word_id AND c.born <= %(version)s AND %(version)s < c.died
WHERE w.tenant = %(tenant)s AND
"""
_COUNTED: Final[LiteralString] = """
SELECT * FROM (
    SELECT w.word, w.folded, w.word_id, (
        SELECT count(*) FROM rag.postings r WHERE r.word_id = w.word_id AND {rows}
    ) AS chunks FROM rag.words w WHERE w.tenant = %(tenant)s AND {words}
) counted WHERE chunks > 0
"""
_BY_WORD: Final[LiteralString] = "w.word = ANY(%(words)s)"
_BY_FOLD: Final[LiteralString] = "w.folded = ANY(%(folded)s)"
_SHAPED: Final[LiteralString] = """
SELECT DISTINCT w.folded FROM rag.words w WHERE w.tenant = %(tenant)s AND w.shape = ANY(%(shapes)s)
"""

_SCORE: Final[LiteralString] = "q.weight * r.count / (r.count + %(damping)s::float8 + %(per_word)s::float8 * r.length)"
_ALL_WORDS: Final[LiteralString] = """
SELECT c.document_id, c.document_version, best.number, best.score FROM (
    SELECT r.doc, r.number, round((sum({score}) * 1e6)::float8) / 1e6 AS score
    FROM unnest(%(word_ids)s::int[], %(weights)s::float8[]) AS q (word_id, weight)
    JOIN rag.postings r ON r.word_id = q.word_id
    WHERE {rows} GROUP BY r.doc, r.number ORDER BY score DESC, r.doc, r.number LIMIT %(k)s
) best JOIN rag.contents c ON c.tenant = %(tenant)s AND c.doc = best.doc
ORDER BY best.score DESC, best.doc, best.number
"""
# What the rare words find, and what the frequent ones could still bring to the top; `bound` is all that these give.
_RARE_FIRST: Final[LiteralString] = """
WITH found AS MATERIALIZED (
    SELECT r.doc, r.number, sum({score}) AS score
    FROM unnest(%(word_ids)s::int[], %(weights)s::float8[]) AS q (word_id, weight)
    JOIN rag.postings r ON r.word_id = q.word_id WHERE {rows} GROUP BY r.doc, r.number
), cut AS MATERIALIZED (
    SELECT coalesce((SELECT score FROM found ORDER BY score DESC OFFSET %(k)s - 1 LIMIT 1), 0) AS score
), best AS (
    SELECT f.doc, f.number, round(((f.score + coalesce((
        SELECT sum({score}) FROM unnest(%(rest_ids)s::int[], %(rest_weights)s::float8[]) AS q (word_id, weight)
        JOIN rag.postings r ON r.word_id = q.word_id AND r.doc = f.doc AND r.number = f.number
        WHERE r.tenant = %(tenant)s
    ), 0)) * 1e6)::float8) / 1e6 AS score
    FROM found f, cut WHERE cut.score >= %(bound)s::float8 AND f.score >= cut.score - %(bound)s::float8
)
SELECT c.document_id, c.document_version, best.number, best.score
FROM best JOIN rag.contents c ON c.tenant = %(tenant)s AND c.doc = best.doc
ORDER BY best.score DESC, best.doc, best.number LIMIT %(k)s
"""


class Corpus:
    """The words of a view."""

    def __init__(self, pool: Pool, view: View) -> None:
        self._pool = pool
        self._view = view

    async def search(self, words: Sequence[str], k: int) -> list[Hit]:
        """Return the k best by BM25, best first. A repeated word counts each time."""
        asked = Counter(map(word_key, words))
        if not asked or k <= 0:
            return []
        found = await self._count(_BY_WORD, words=list(asked))
        total = self._view.summary.chunks
        # Rarest first.
        known = sorted(
            (chunks, word_id, asked[word] * inverse_frequency(total, chunks)) for word, _, word_id, chunks in found
        )
        if not known:
            return []
        rare = _count_rare([chunks for chunks, _, _ in known])
        if rare < len(known):
            hits = await self._rank(_RARE_FIRST, known[:rare], k, known[rare:])
            if hits:
                return hits
        return await self._rank(_ALL_WORDS, known, k)

    async def idf(self, words: Sequence[str]) -> list[float]:
        """Return the inverse document frequency of each word."""
        keys = [word_key(word) for word in words]
        counts = {word: chunks for word, _, _, chunks in await self._count(_BY_WORD, words=sorted(set(keys)))}
        return [inverse_frequency(self._view.summary.chunks, counts.get(key, 0)) for key in keys]

    async def spellings(self, words: Collection[str]) -> dict[str, dict[str, int]]:
        """Return for each word those that equal it without diacritics, with the chunks that hold them."""
        return await self._by_fold({word: [fold(word)] for word in words})

    async def near(self, words: Collection[str]) -> dict[str, dict[str, int]]:
        """Return for each word those that are one typing error away."""
        folded = {word: fold(word) for word in words}
        wanted = {each for each in folded.values() if len(each) >= NEAR_MIN_CHARS and each.isalpha()}
        shapes = {shape_of(each, longer=longer) for each in wanted for longer in (-1, 0, 1)}
        others: list[str] = []
        if shapes:
            keys = {"tenant": self._view.served.tenant, "shapes": sorted(shapes)}
            others = [each for (each,) in await self._pool.ask(self._view.served.tenant, _SHAPED, keys)]
        slips: Mapping[str, list[str]] = {
            word: [each for each in others if own in wanted and _is_near(own, each)] for word, own in folded.items()
        }
        return await self._by_fold(slips)

    async def _by_fold(self, wanted: Mapping[str, Sequence[str]]) -> dict[str, dict[str, int]]:
        """Return for each word what is spelt as one of these, without diacritics."""
        folded = sorted({each for forms in wanted.values() for each in forms})
        spelt: defaultdict[str, dict[str, int]] = defaultdict(dict)
        for word, form, _, chunks in await self._count(_BY_FOLD, folded=folded) if folded else ():
            if word_key(word) == word and " " not in word:  # not the head of a word that is too long
                spelt[form][word] = chunks
        return {
            word: {found: chunks for form in forms for found, chunks in spelt[form].items()}
            for word, forms in wanted.items()
        }

    async def _count(self, which: LiteralString, **values: Any) -> list[tuple[str, str, int, int]]:
        view = self._view
        if view.is_whole:
            statement: LiteralString = _STORED + which
        else:
            statement = _COUNTED.replace("{rows}", view.rows()).replace("{words}", which)
        return await self._pool.ask(view.served.tenant, statement, {**view.parameters, **values})

    async def _rank(
        self,
        statement: LiteralString,
        words: Sequence[tuple[int, int, float]],
        k: int,
        rest: Sequence[tuple[int, int, float]] = (),
    ) -> list[Hit]:
        view = self._view
        values = {
            "word_ids": [word_id for _, word_id, _ in words],
            "weights": [weight for _, _, weight in words],
            "rest_ids": [word_id for _, word_id, _ in rest],
            "rest_weights": [weight for _, _, weight in rest],
            "bound": sum(weight for _, _, weight in rest),
            "damping": K1 * (1 - B),
            "per_word": K1 * B / view.mean_length,
            "k": k,
        }
        filled = statement.replace("{score}", _SCORE).replace("{rows}", view.rows())
        return await self._pool.ask(view.served.tenant, filled, {**view.parameters, **values})


def _count_rare(chunks: Iterable[int]) -> int:
    """Return how many of the words, the rarest first, are read at first; at least one."""
    rows = rare = 0
    for each in chunks:
        rows += each
        if rare and rows > _RARE_ROWS:
            break
        rare += 1
    return rare


def _is_near(word: str, other: str) -> bool:
    return word[0] == other[0] and word[-1] == other[-1] and is_one_slip(word, other)
