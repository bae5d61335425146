"""Read versions as a writer sees them, and check that they are what was sealed."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from rag.index.manifest import (
    BrokenIndexError,
    DocumentEntry,
    FileSeal,
    Manifest,
    number_of,
    render_manifest,
)
from rag.index.postgres.rows import read_entry, read_header
from rag.index.postgres.writing import Connection

NOTHING: Final = "000000-00000000"  # the name of what was before the first version
CONTENTS_NAME: Final = "contents"  # in the place of a file, in a manifest: what all documents hold


@dataclass(frozen=True, slots=True)
class DatabaseVersion:
    """A version with its seal intact; `docs` are the numbers of its documents' contents, in the manifest's order."""

    name: str
    manifest: Manifest
    docs: tuple[int, ...]

    @property
    def number(self) -> int:
        return number_of(self.name)


def read_serving(connection: Connection, tenant: int) -> DatabaseVersion | None:
    """Return the serving version, None if there is none. Raises: BrokenIndexError."""
    number = serving_number(connection, tenant)
    return None if number is None else read_version(connection, tenant, number)


def serving_number(connection: Connection, tenant: int) -> int | None:
    """Return the number of the serving version, if there is one."""
    row = connection.execute("SELECT serving FROM rag.tenants WHERE tenant = %s", (tenant,)).fetchone()
    return row[0] if row else None


def is_kept(connection: Connection, tenant: int, number: int) -> bool:
    """Return whether the version of this number is still there."""
    key = (tenant, number)
    return connection.execute("SELECT FROM rag.versions WHERE tenant = %s AND number = %s", key).fetchone() is not None


def read_version(connection: Connection, tenant: int, number: int) -> DatabaseVersion:
    """Return a version that is kept.

    Raises: BrokenIndexError: its rows are missing, or not those that its name was made of.
    """
    row = connection.execute(
        "SELECT name, header FROM rag.versions WHERE tenant = %s AND number = %s", (tenant, number)
    ).fetchone()
    if row is None:
        raise BrokenIndexError(f"version {number} is missing")
    found = connection.execute(
        "SELECT doc, entry FROM rag.documents WHERE tenant = %s AND born <= %s AND %s < died ORDER BY doc",
        (tenant, number, number),
    ).fetchall()
    try:
        header, entries = read_header(row[1]), [read_entry(entry) for _, entry in found]
    except ValueError as error:
        raise BrokenIndexError(f"the description of version {number} cannot be read") from error
    manifest = replace(header, document_list=place(entries))
    if not row[0].endswith("-" + hashlib.sha256(render_manifest(manifest)).hexdigest()[:8]):
        raise BrokenIndexError(f"the documents are not those that version {row[0]} was sealed with")
    return DatabaseVersion(row[0], manifest, tuple(doc for doc, _ in found))


def place(entries: Sequence[DocumentEntry]) -> tuple[DocumentEntry, ...]:
    """Return the entries with the ordinals of their chunks, one document after the other."""
    placed, first = [], 0
    for entry in entries:
        placed.append(replace(entry, first_ordinal=first))
        first += entry.chunks
    return tuple(placed)


def seal_contents(connection: Connection, tenant: int, docs: Sequence[int]) -> FileSeal:
    """Return the seal of all that these documents hold, in the order of their numbers; its size is that of no file."""
    seals = connection.execute(
        "SELECT seal FROM rag.contents WHERE tenant = %s AND doc = ANY(%s) ORDER BY doc", (tenant, list(docs))
    ).fetchall()
    return FileSeal(CONTENTS_NAME, 0, hashlib.sha256(b"".join(seal for (seal,) in seals)).hexdigest())


def verify_contents(connection: Connection, tenant: int, version: DatabaseVersion) -> None:
    """Read every chunk of a version, its vector and its token vectors. Raises: BrokenIndexError."""
    problems = []
    if version.docs and version.manifest.files != (seal_contents(connection, tenant, version.docs),):
        problems.append("the contents are not those that the version was sealed with")
    for doc, entry in zip(version.docs, version.manifest.document_list, strict=True):
        if not _is_whole(connection, tenant, doc, entry.chunks):
            problems.append(f"document {entry.document_id} has other content than was sealed")
    wrong = connection.execute(_MISCOUNTED, {"tenant": tenant, "number": version.number}).fetchone()
    if wrong and wrong[0]:
        problems.append(f"{wrong[0]} words are counted in more or fewer chunks than hold them")
    if problems:
        raise BrokenIndexError(*problems)


def _is_whole(connection: Connection, tenant: int, doc: int, chunks: int) -> bool:
    digest, found = hashlib.sha256(), 0
    key = {"tenant": tenant, "doc": doc}
    with connection.transaction(), connection.cursor("content", withhold=False) as cursor:
        for body, vector, tokens in cursor.execute(_CONTENT, key):
            seal_chunk(digest, body, vector, tokens)
            found += 1
    row = connection.execute(
        "SELECT seal FROM rag.contents WHERE tenant = %(tenant)s AND doc = %(doc)s", key
    ).fetchone()
    return row is not None and found == chunks and bytes(row[0]) == digest.digest()


def seal_chunk(digest: "hashlib._Hash", body: bytes, vector: bytes, tokens: bytes | None) -> None:
    """Add a chunk to the digest of its document; `vector` is in binary."""
    for part in (body, vector, tokens or b""):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)


_CONTENT: Final = """
SELECT c.body, vector_send(v.vector), t.vectors FROM rag.chunks c
JOIN rag.vectors v USING (tenant, doc, number) LEFT JOIN rag.tokens t USING (tenant, doc, number)
WHERE c.tenant = %(tenant)s AND c.doc = %(doc)s ORDER BY c.number
"""
_MISCOUNTED: Final = """
SELECT count(*) FROM (
    SELECT p.word_id, count(*) AS chunks FROM rag.postings p
    JOIN rag.documents d ON d.tenant = p.tenant AND d.doc = p.doc
    WHERE p.tenant = %(tenant)s AND d.born <= %(number)s AND %(number)s < d.died GROUP BY p.word_id
) found FULL JOIN (
    SELECT word_id, chunks FROM rag.counts
    WHERE tenant = %(tenant)s AND born <= %(number)s AND %(number)s < died
) told USING (word_id) WHERE found.chunks IS DISTINCT FROM told.chunks
"""
