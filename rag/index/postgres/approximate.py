"""Keep a graph (HNSW) of the vectors of each tenant that is too large to compare all of them with each question.

One graph for all tenants would have to be searched through the others' vectors. A partition for each tenant would cost
every small tenant a dozen files. So a large tenant gets an index of its own part of the table.
"""

from typing import Final, LiteralString

from psycopg import sql

from rag.index.manifest import Manifest
from rag.index.postgres.writing import Connection

# Up to here every vector is compared.
EXACT_MAX_CHUNKS: Final = 5_000
# A vector of pgvector's graphs has no more.
DIMENSION_MAX: Final = 2_000
ANALYZE_FROM: Final = 200  # chunks that a change has written, if they are a tenth of all
_ANALYZED: Final = ("contents", "documents", "chunks", "vectors", "words", "counts", "postings")

_STATE: Final[LiteralString] = """
SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)
"""


def graph_name(tenant: int, dimension: int) -> str:
    """Return the name of a tenant's graph for vectors of this dimension."""
    return f"vectors_of_{tenant}_{dimension}"


def has_graph(chunks: int, dimension: int) -> bool:
    """Return whether a version of this size gets a graph."""
    return chunks > EXACT_MAX_CHUNKS and dimension <= DIMENSION_MAX


def keep_searchable(connection: Connection, tenant: int, manifest: Manifest) -> None:
    """Build the graph of a tenant that has grown large; it serves meanwhile, by comparing all, and others may write.

    A graph that was interrupted is built anew.
    """
    dimension = manifest.embedder.dimension
    if not has_graph(manifest.chunks, dimension):
        return
    name = graph_name(tenant, dimension)
    row = connection.execute(_STATE, (f"rag.{name}",)).fetchone()
    if row is not None and row[0]:
        return
    if row is not None:
        connection.execute(sql.SQL("DROP INDEX CONCURRENTLY rag.{}").format(sql.Identifier(name)))
    # A graph that does not fit is built many times as slowly.
    megabytes = min(4_000, 64 + manifest.chunks * (4 * dimension + 600) * 3 // 2 // 2**20)
    connection.execute("SELECT set_config('maintenance_work_mem', %s, false)", (f"{megabytes}MB",))
    statement = sql.SQL(
        "CREATE INDEX CONCURRENTLY {name} ON rag.vectors USING hnsw ((vector::vector({dimension})) vector_ip_ops)"
        " WHERE tenant = {tenant} AND vector_dims(vector) = {dimension}"
    )
    parts = {"name": sql.Identifier(name), "dimension": sql.Literal(dimension), "tenant": sql.Literal(tenant)}
    connection.execute(statement.format(**parts))


def analyze(connection: Connection) -> None:
    """Tell the planner of many new rows now, and not when the database gets to it."""
    for table in _ANALYZED:
        connection.execute(sql.SQL("ANALYZE rag.{}").format(sql.Identifier(table)))
