"""Run by `test_postgres_writers.py`: processes that change an index and are killed, each before another statement.

The n-th tenant is changed by a process that is killed before its n-th statement. When one survives, its number is
printed. One interpreter forks all processes, because the imports cost more than the work.
"""

import os
import signal
import sys
from collections.abc import Sequence
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


def count_deaths(url: str, tenants: Sequence[str]) -> int:
    for statement, tenant_id in enumerate(tenants):
        child = os.fork()
        if child == 0:
            die_before(statement)
            change(PostgresEngine(url), NEW, tenant_id=tenant_id)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            return statement
    raise AssertionError("a change has more statements than there are tenants")


if __name__ == "__main__":
    url, *tenants = sys.argv[1:]
    sys.stdout.write(str(count_deaths(url, tenants)))
