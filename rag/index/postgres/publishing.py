"""Switch a tenant to its next version, in one transaction: all of it is seen, or nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, LiteralString

from rag.index.manifest import DocumentEntry, Manifest, name_version, render_manifest, sum_by_groups
from rag.index.postgres.adapters import Ints
from rag.index.postgres.rows import group_label, labels_of, write_entry, write_grouped, write_header
from rag.index.postgres.schema import FOREVER
from rag.index.postgres.staging import Content
from rag.index.postgres.versions import DatabaseVersion, place, seal_contents
from rag.index.postgres.writing import Connection

# More are told by the documents' rows at each search, which costs as much as all documents, and not by a list.
HIDDEN_MAX: Final = 500

_BURY: Final[LiteralString] = """
UPDATE rag.documents SET died = %(number)s
WHERE tenant = %(tenant)s AND doc = ANY(%(docs)b::int[]) AND died = %(forever)s
"""
_BEAR: Final[LiteralString] = """
INSERT INTO rag.documents (tenant, doc, born, died, document_id, groups, labels, entry)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
"""
_FINISH: Final[LiteralString] = """
UPDATE rag.contents SET words = %s, languages = %s, seal = %s WHERE tenant = %s AND doc = %s
"""
_COUNT: Final[LiteralString] = """
WITH changed AS (
    SELECT word_id, sum(change)::int AS change FROM (
        SELECT unnest(words) AS word_id, 1 AS change FROM rag.chunks
        WHERE tenant = %(tenant)s AND doc = ANY(%(new)b::int[])
        UNION ALL
        SELECT unnest(words), -1 FROM rag.chunks WHERE tenant = %(tenant)s AND doc = ANY(%(gone)b::int[])
    ) held GROUP BY word_id HAVING sum(change) <> 0
), old AS (
    UPDATE rag.counts c SET died = %(number)s FROM changed
    WHERE c.tenant = %(tenant)s AND c.word_id = changed.word_id AND c.died = %(forever)s
    RETURNING c.word_id, c.chunks
)
INSERT INTO rag.counts (tenant, word_id, born, died, chunks)
SELECT %(tenant)s, word_id, %(number)s, %(forever)s, coalesce(chunks, 0) + change
FROM changed LEFT JOIN old USING (word_id) WHERE coalesce(chunks, 0) + change > 0
"""
# What lived then and does not now comes back, what lives now and did not then goes; a row is a document or a count.
_RESTORE: Final[tuple[LiteralString, ...]] = (
    """
    INSERT INTO rag.documents (tenant, doc, born, died, document_id, groups, labels, entry)
    SELECT tenant, doc, %(number)s, %(forever)s, document_id, groups, labels, entry FROM rag.documents
    WHERE tenant = %(tenant)s AND born <= %(old)s AND %(old)s < died AND died <= %(serving)s
    """,
    """
    INSERT INTO rag.counts (tenant, word_id, born, died, chunks)
    SELECT tenant, word_id, %(number)s, %(forever)s, chunks FROM rag.counts
    WHERE tenant = %(tenant)s AND born <= %(old)s AND %(old)s < died AND died <= %(serving)s
    """,
    "UPDATE rag.documents SET died = %(number)s WHERE tenant = %(tenant)s AND died = %(forever)s"
    " AND born > %(old)s AND born < %(number)s",
    "UPDATE rag.counts SET died = %(number)s WHERE tenant = %(tenant)s AND died = %(forever)s"
    " AND born > %(old)s AND born < %(number)s",
)
_CONTENTS: Final[LiteralString] = "SELECT doc, words, languages FROM rag.contents WHERE tenant = %s ORDER BY doc"
_VERSION: Final[LiteralString] = """
INSERT INTO rag.versions (tenant, number, name, header, grouped, words, languages, last_doc, hidden)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
_SWITCH: Final[LiteralString] = """
UPDATE rag.tenants SET serving = %s WHERE tenant = %s AND serving IS NOT DISTINCT FROM %s
"""


@dataclass(frozen=True, slots=True)
class Difference:
    """What a version has that the one before has not: `gone` are contents that leave, `new` those that come.

    `relabelled` are contents that stay, under another description.
    """

    gone: Sequence[int]
    new: Sequence[int]
    relabelled: Sequence[int]
    contents: Mapping[int, Content]


def publish(
    connection: Connection, tenant: int, manifest: Manifest, docs: Sequence[int], difference: Difference,
    *, serving: int | None,
) -> DatabaseVersion:  # fmt: skip
    """Make the version serve that has these contents, in the order of the manifest, in the place of `serving`."""
    with connection.transaction():
        finished = [
            (each.words, each.languages, each.digest.digest(), tenant, doc) for doc, each in difference.contents.items()
        ]
        with connection.cursor() as cursor:
            cursor.executemany(_FINISH, finished)
        version = _name(connection, tenant, manifest, docs)
        keys = {"tenant": tenant, "number": version.number, "forever": FOREVER}
        connection.execute(_BURY, keys | {"docs": Ints([*difference.gone, *difference.relabelled])})
        born = [*difference.new, *difference.relabelled]
        placed = dict(zip(docs, version.manifest.document_list, strict=True))
        with connection.cursor() as cursor:
            cursor.executemany(_BEAR, [_row(tenant, version.number, doc, placed[doc]) for doc in born])
        connection.execute(_COUNT, keys | {"new": Ints(difference.new), "gone": Ints(difference.gone)})
        _switch(connection, tenant, version, serving)
    return version


def restore(
    connection: Connection, tenant: int, manifest: Manifest, old: DatabaseVersion, *, serving: int
) -> DatabaseVersion:
    """Make a version serve that has the content of an old one, in the place of `serving`."""
    with connection.transaction():
        version = _name(connection, tenant, manifest, old.docs)
        keys = {
            "tenant": tenant, "number": version.number, "old": old.number, "serving": serving, "forever": FOREVER,
        }  # fmt: skip
        for statement in _RESTORE:
            connection.execute(statement, keys)
        _switch(connection, tenant, version, serving)
    return version


def _name(connection: Connection, tenant: int, manifest: Manifest, docs: Sequence[int]) -> DatabaseVersion:
    files = (seal_contents(connection, tenant, docs),) if docs else ()
    sealed = replace(manifest, document_list=place(manifest.document_list), files=files)
    return DatabaseVersion(name_version(sealed, render_manifest(sealed)), sealed, tuple(docs))


def _row(tenant: int, number: int, doc: int, entry: DocumentEntry) -> tuple[Any, ...]:
    groups = [group_label(group) for group in entry.groups]
    labels = labels_of(entry.metadata)
    # Its place in the manifest is that of its number.
    stored = write_entry(replace(entry, first_ordinal=0))
    return (tenant, doc, number, FOREVER, entry.document_id, groups, labels, stored)


def _switch(connection: Connection, tenant: int, version: DatabaseVersion, serving: int | None) -> None:
    manifest, held = version.manifest, set(version.docs)
    last = max(version.docs, default=0)
    words, languages, hidden = 0, [0, 0, 0], []
    for doc, length, of_languages in connection.execute(_CONTENTS, (tenant,)):
        if doc in held:
            words += length
            languages = [each + more for each, more in zip(languages, of_languages, strict=True)]
        elif doc < last:
            hidden.append(doc)
    header, grouped = (
        write_header(replace(manifest, document_list=())),
        write_grouped(sum_by_groups(manifest.document_list)),
    )
    listed = hidden if len(hidden) <= HIDDEN_MAX else None
    values = (tenant, version.number, version.name, header, grouped, words, languages, last, listed)
    connection.execute(_VERSION, values)
    switched = connection.execute(_SWITCH, (version.number, tenant, serving)).rowcount
    assert switched == 1, "another writer published in spite of the lock"
