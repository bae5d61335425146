"""Open the engine that the settings name: files in a folder, or what the scheme of the URL says.

An engine's driver is imported when it is opened, so that no process pays for one that it does not use.
"""

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from rag.index.engine import IndexEngine
from rag.index.files import FileEngine
from rag.index.milvus.address import MilvusAddress
from rag.index.milvus.engine import MilvusEngine
from rag.index.store import IndexStore


def open_engine(index_url: str | None, index_dir: Path) -> IndexEngine:
    """Return the engine at the URL; without one, the files in the folder. Nothing is read or written yet.

    Raises: ValueError: there is no engine for the scheme of the URL; the message does not show the URL, which may hold
        a password.
    """
    return FileEngine(IndexStore(index_dir)) if index_url is None else open_url(index_url)


def open_url(url: str) -> IndexEngine:
    """As `open_engine`, of a URL alone.

    Raises: ValueError: as there.
    """
    scheme = urlsplit(url).scheme
    if scheme not in _OPENERS:
        raise ValueError(f"no index is kept at a URL that begins with {scheme}:; known are {', '.join(_OPENERS)}")
    return _OPENERS[scheme](url)


def _open_files(url: str) -> IndexEngine:
    return FileEngine(IndexStore(Path(unquote(urlsplit(url).path))))


def _open_postgres(url: str) -> IndexEngine:
    from rag.index.postgres.engine import PostgresEngine  # noqa: PLC0415 - its driver is optional

    return PostgresEngine(url)


def _open_milvus(url: str) -> IndexEngine:
    if find_spec("pymilvus") is None:
        raise ValueError("an index in Milvus needs the packages of requirements/milvus.txt")
    return MilvusEngine(MilvusAddress.parse(url))


# By the scheme of the URL; `rag.config.settings.INDEX_SCHEMES` has the same.
_OPENERS: Final[Mapping[str, Callable[[str], IndexEngine]]] = {
    "file": _open_files,
    "postgres": _open_postgres,
    "postgresql": _open_postgres,
    "milvus+http": _open_milvus,
    "milvus+https": _open_milvus,
}
SCHEMES: Final = frozenset(_OPENERS)
