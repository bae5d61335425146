"""Send numpy's arrays as PostgreSQL's binary values: as text, they would take longer than the search."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from psycopg import BaseConnection
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

from rag.index.postgres.rows import binary_array, binary_ints, binary_vectors
from rag.ports import Vectors

_INT_ARRAY: Final = 1007  # the type int4[]


class Ints:
    """An `int[]`."""

    def __init__(self, numbers: Any) -> None:  # Any: what numpy takes for an array of integers
        self.numbers: NDArray[np.int32] = np.asarray(numbers, dtype=np.int32)


class Rows:
    """A `vector[]`, of the rows of float32, (n, dim)."""

    def __init__(self, vectors: Vectors) -> None:
        self.vectors = vectors


class Query:
    """A `vector`, float32, (dim,)."""

    def __init__(self, vector: Vectors) -> None:
        self.vector = vector


class _IntsDumper(Dumper):
    format = Format.BINARY
    oid = _INT_ARRAY

    def dump(self, obj: Ints) -> Buffer:
        return binary_ints(obj.numbers)


def register(connection: BaseConnection[Any], vector: int, vectors: int) -> None:
    """Teach a connection the types above; the numbers of pgvector's differ from database to database."""

    class RowsDumper(Dumper):
        format = Format.BINARY
        oid = vectors

        def dump(self, obj: Rows) -> Buffer:
            return binary_array(vector, len(obj.vectors), binary_vectors(obj.vectors).tobytes())

    class QueryDumper(Dumper):
        format = Format.BINARY
        oid = vector

        def dump(self, obj: Query) -> Buffer:
            return binary_vectors(obj.vector.reshape(1, -1)).tobytes()[4:]

    for type_, dumper in ((Ints, _IntsDumper), (Rows, RowsDumper), (Query, QueryDumper)):
        connection.adapters.register_dumper(type_, dumper)
