"""Remove what no reader can need, and what a crash left: rows by rows, by who holds the tenant's lock."""

from collections.abc import Sequence
from typing import Any, Final, LiteralString

from rag.index.postgres.adapters import Ints
from rag.index.postgres.writing import Connection

# A query keeps its version for as long: more than any deadline of a request.
GRACE_S: Final = 600
_DOCS_AT_ONCE: Final = 200

# The first version that stays: the one before the serving one, or an older one that served within the grace.
_OLDEST: Final[LiteralString] = """
SELECT least(min(number), %(previous)s) FROM (
    SELECT number, lead(published) OVER (ORDER BY number) AS until FROM rag.versions WHERE tenant = %(tenant)s
) kept WHERE until > now() - make_interval(secs => %(grace_s)s)
"""
_ORPHANS: Final[LiteralString] = """
SELECT doc FROM rag.contents c WHERE tenant = %(tenant)s
AND NOT EXISTS (SELECT FROM rag.documents d WHERE d.tenant = c.tenant AND d.doc = c.doc) ORDER BY doc
"""
_FORGET: Final[tuple[LiteralString, ...]] = (
    "DELETE FROM rag.documents WHERE tenant = %(tenant)s AND died <= %(oldest)s",
    "DELETE FROM rag.counts WHERE tenant = %(tenant)s AND died <= %(oldest)s",
    "DELETE FROM rag.versions WHERE tenant = %(tenant)s AND number < %(oldest)s",
)
# The words first, as the chunks tell which; a word that nothing holds any more goes too: it was in a document.
_DISCARD: Final[tuple[LiteralString, ...]] = (
    """
    WITH held AS MATERIALIZED (
        SELECT doc, number, unnest(words) AS word_id FROM rag.chunks
        WHERE tenant = %(tenant)s AND doc = ANY(%(docs)b::int[])
    ), gone AS (
        DELETE FROM rag.postings p USING held h
        WHERE p.tenant = %(tenant)s AND p.word_id = h.word_id AND p.doc = h.doc AND p.number = h.number
    ) SELECT array_agg(DISTINCT word_id) FROM held
    """,
    """
    DELETE FROM rag.words w WHERE w.tenant = %(tenant)s AND w.word_id = ANY(%(words)b::int[])
    AND NOT EXISTS (SELECT FROM rag.postings p WHERE p.tenant = %(tenant)s AND p.word_id = w.word_id)
    """,
    "DELETE FROM rag.chunks WHERE tenant = %(tenant)s AND doc = ANY(%(docs)b::int[])",
    "DELETE FROM rag.tokens WHERE tenant = %(tenant)s AND doc = ANY(%(docs)b::int[])",
    "DELETE FROM rag.vectors WHERE tenant = %(tenant)s AND doc = ANY(%(docs)b::int[])",
    "DELETE FROM rag.contents WHERE tenant = %(tenant)s AND doc = ANY(%(docs)b::int[])",
)


def prune(connection: Connection, tenant: int, previous: int, *, grace_s: float = GRACE_S) -> None:
    """Keep the serving version, the one before it, those that served a moment ago, and what they hold."""
    keys = {"tenant": tenant, "previous": previous, "grace_s": grace_s}
    row = connection.execute(_OLDEST, keys).fetchone()
    oldest = previous if row is None or row[0] is None else row[0]
    with connection.transaction():
        for statement in _FORGET:
            connection.execute(statement, {"tenant": tenant, "oldest": oldest})
    discard_orphans(connection, tenant)


def discard_orphans(connection: Connection, tenant: int) -> None:
    """Remove the contents that no version holds."""
    docs = [doc for (doc,) in connection.execute(_ORPHANS, {"tenant": tenant})]
    for first in range(0, len(docs), _DOCS_AT_ONCE):
        with connection.transaction():
            _discard(connection, tenant, docs[first : first + _DOCS_AT_ONCE])


def _discard(connection: Connection, tenant: int, docs: Sequence[int]) -> None:
    keys: dict[str, Any] = {"tenant": tenant, "docs": Ints(docs)}  # Any: what the driver adapts
    find, *delete = _DISCARD
    row = connection.execute(find, keys).fetchone()
    keys["words"] = Ints((row and row[0]) or [])
    for statement in delete:
        connection.execute(statement, keys)
