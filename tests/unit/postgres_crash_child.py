"""Run by `test_postgres_writers.py`: a process that changes an index and is killed before its n-th statement."""

import os
import signal
import sys
from typing import Any

import psycopg

from rag.index.postgres.engine import PostgresEngine
from tests.unit.postgres_changes import change
from tests.unit.test_postgres_writers import NEW


def die_before(statement: int) -> None:
    left = iter(range(statement, -1, -1))
    execute = psycopg.Cursor.execute

    def count(self: Any, *args: Any, **kwargs: Any) -> Any:
        if next(left, 1) == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return execute(self, *args, **kwargs)

    psycopg.Cursor.execute = count  # type: ignore[method-assign]


if __name__ == "__main__":
    url, statement = sys.argv[1:]
    die_before(int(statement))
    change(PostgresEngine(url), NEW)
