"""Create the tables, and bring older ones up to date; every writer does so at its start, under one lock.

Two tables hold no content and are read across tenants: `tenants` and `versions`. All others show their rows only to a
transaction that has said whose it reads, in the setting `rag.tenant`; the owner of the tables is no exception.
"""

from typing import Final, LiteralString

# Set after it is read: an unknown or newer number is a database of other code.
SCHEMA_VERSION: Final = 1
# The role that the fronts' own roles are members of; who runs the database makes it.
READERS: Final = "rag_reader"
FOREVER: Final = 2**31 - 1  # `died` of what lives

_CONTENT: Final[tuple[LiteralString, ...]] = (
    "contents",
    "documents",
    "chunks",
    "tokens",
    "vectors",
    "words",
    "counts",
    "postings",
)

_FIRST: Final[LiteralString] = """
CREATE SCHEMA IF NOT EXISTS rag;
CREATE TABLE rag.schema_version (version int NOT NULL);
INSERT INTO rag.schema_version VALUES (0);
-- serving: the number of the version that serves.
CREATE TABLE rag.tenants (
    tenant int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id text COLLATE "C" NOT NULL UNIQUE,
    serving int
);
-- header: the manifest without its documents. words: the lengths of all chunks together. last_doc, hidden: no content
-- above last_doc and none of the hidden belongs to it; hidden is NULL if they are too many. languages: chunks of each.
CREATE TABLE rag.versions (
    tenant int NOT NULL REFERENCES rag.tenants,
    number int NOT NULL,
    name text NOT NULL,
    header bytea NOT NULL,
    grouped bytea NOT NULL,
    words bigint NOT NULL,
    languages int[] NOT NULL,
    last_doc int NOT NULL,
    hidden int[],
    published timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, number)
);
CREATE TABLE rag.contents (
    tenant int NOT NULL,
    doc int GENERATED ALWAYS AS IDENTITY,
    document_id text COLLATE "C" NOT NULL,
    document_version int NOT NULL,
    chunks int NOT NULL,
    words bigint NOT NULL DEFAULT 0,
    languages int[] NOT NULL DEFAULT '{}',
    seal bytea NOT NULL DEFAULT '',
    PRIMARY KEY (tenant, doc)
);
CREATE TABLE rag.documents (
    tenant int NOT NULL,
    doc int NOT NULL,
    born int NOT NULL,
    died int NOT NULL,
    document_id text COLLATE "C" NOT NULL,
    groups text[] NOT NULL,
    labels text[] NOT NULL,
    entry bytea NOT NULL,
    PRIMARY KEY (tenant, doc, born)
);
CREATE INDEX ON rag.documents (tenant, document_id);
-- words: the numbers of the distinct words, by which the chunk is found in `postings` when it goes.
CREATE TABLE rag.chunks (
    tenant int NOT NULL, doc int NOT NULL, number int NOT NULL, words int[] NOT NULL, body bytea NOT NULL,
    PRIMARY KEY (tenant, doc, number)
);
CREATE TABLE rag.tokens (
    tenant int NOT NULL, doc int NOT NULL, number int NOT NULL, vectors bytea NOT NULL,
    PRIMARY KEY (tenant, doc, number)
);
-- Compressing them takes time and saves nothing.
ALTER TABLE rag.tokens ALTER COLUMN vectors SET STORAGE EXTERNAL;
-- Without a dimension: an embedder and the next one keep theirs side by side.
CREATE TABLE rag.vectors (
    tenant int NOT NULL, doc int NOT NULL, number int NOT NULL, language int NOT NULL, vector vector NOT NULL,
    PRIMARY KEY (tenant, doc, number)
);
-- In the row while it fits into a page: out of line, an exact search would look each one up.
ALTER TABLE rag.vectors ALTER COLUMN vector SET STORAGE EXTERNAL;
ALTER TABLE rag.vectors SET (toast_tuple_target = 8160);
-- shape: what two words one typing error apart share, but for the length.
CREATE TABLE rag.words (
    tenant int NOT NULL,
    word_id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    word text COLLATE "C" NOT NULL,
    folded text COLLATE "C" NOT NULL,
    shape text COLLATE "C" NOT NULL,
    UNIQUE (tenant, word)
);
CREATE INDEX ON rag.words (tenant, folded);
CREATE INDEX ON rag.words (tenant, shape);
CREATE TABLE rag.counts (
    tenant int NOT NULL, word_id int NOT NULL, born int NOT NULL, died int NOT NULL, chunks int NOT NULL,
    PRIMARY KEY (tenant, word_id, born)
);
CREATE INDEX ON rag.counts (tenant, died);
CREATE TABLE rag.postings (
    tenant int NOT NULL, word_id int NOT NULL, doc int NOT NULL, number int NOT NULL, length int NOT NULL,
    count int NOT NULL
);
CREATE INDEX ON rag.postings (word_id, doc, number);
"""

# The subquery is evaluated once for a statement, not for each row.
_POLICY: Final[LiteralString] = """
ALTER TABLE rag.{table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE rag.{table} FORCE ROW LEVEL SECURITY;
CREATE POLICY of_tenant ON rag.{table}
    USING (tenant = (SELECT nullif(current_setting('rag.tenant', true), '')::int));
"""

MIGRATIONS: Final[tuple[LiteralString, ...]] = (
    _FIRST + "".join(_POLICY.replace("{table}", table) for table in _CONTENT),
)

# After each migration, for tables that it made; the role may be made later than the tables.
GRANTS: Final[LiteralString] = """
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'rag_reader') THEN
        GRANT USAGE ON SCHEMA rag TO rag_reader;
        GRANT SELECT ON ALL TABLES IN SCHEMA rag TO rag_reader;
    END IF;
END $$
"""
