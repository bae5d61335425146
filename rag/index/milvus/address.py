"""Read the address of a Milvus, which may hold a password: it is never shown whole."""

from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import unquote, urlsplit

_SCHEMES: Final = {"milvus+http": "http", "milvus+https": "https"}
_DEFAULT_PORT: Final = 19530
_DEFAULT_DATABASE: Final = "default"


@dataclass(frozen=True, slots=True)
class MilvusAddress:
    """Where a Milvus listens, and who asks; `token` is `user:password` or an API key."""

    uri: str
    database: str = _DEFAULT_DATABASE
    token: str = field(default="", repr=False)

    @classmethod
    def parse(cls, url: str, token: str = "") -> Self:
        """Read `milvus+http[s]://[user:password@]host[:port][/database]`; a token of its own replaces the one in it.

        Raises: ValueError: it is no such address; the message does not repeat it, as it may hold a password.
        """
        parts = urlsplit(url)
        scheme = _SCHEMES.get(parts.scheme)
        if scheme is None or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("must be milvus+http[s]://[user:password@]host[:port][/database]")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        database = parts.path.strip("/") or _DEFAULT_DATABASE
        if "/" in database:
            raise ValueError("names more than one database")
        own = ":".join(unquote(each) for each in (parts.username, parts.password) if each)
        return cls(f"{scheme}://{host}:{parts.port or _DEFAULT_PORT}", database, token or own)

    def __str__(self) -> str:
        return f"{self.uri}/{self.database}"
