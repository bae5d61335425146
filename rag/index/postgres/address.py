"""Read the URL of the database; what goes wrong there is told without it, as it may hold a password."""

from typing import Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

SCHEMES: Final = ("postgresql://", "postgres://")
# libpq's; a URL that says otherwise is followed. A peer that is gone without a word is noticed within 20 s.
_DEFAULTS: Final = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "2",
    "tcp_user_timeout": "20000",
}


class DatabaseError(OSError):
    """The database failed, is full or cannot be reached; the message names no secret and no stored text."""


def read_address(url: str, role: str) -> str:
    """Return what libpq connects by; `role` is shown beside the connection in `pg_stat_activity`.

    Raises: ValueError: the URL cannot be read.
    """
    try:
        given = conninfo_to_dict(url)
    except psycopg.Error:
        raise ValueError("the URL of the database cannot be read") from None  # the cause repeats parts of it
    return make_conninfo("", **(_DEFAULTS | {"application_name": f"rag-{role}"} | given))


def describe(error: psycopg.Error) -> str:
    """Return what the server says, without values; for a connection that fails, what libpq says."""
    return f"{error.sqlstate} {error.diag.message_primary}" if error.sqlstate else str(error).partition("\n")[0]
