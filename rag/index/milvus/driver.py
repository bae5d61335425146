"""Talk to Milvus: the one file that imports its driver, and only when an index is there; failures become ours.

The driver is an optional package. Its import takes a second, reads `.env` of the working folder into the environment
and gives its loggers handlers of their own: both are prevented or undone here.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from rag.errors import IndexUnavailable
from rag.index.milvus.address import MilvusAddress

Row = dict[str, Any]  # Any: the driver's rows hold numbers, texts, lists and vectors
T = TypeVar("T")

# For reads without a deadline of their own, and for each write.
_READ_TIMEOUT_S: Final = 10.0
_WRITE_TIMEOUT_S: Final = 60.0
# merr.ErrCollectionNotLoaded of Milvus: a collection that was released, as all are after a restart of Milvus Lite.
_NOT_LOADED: Final = 101
# Channels to one address share their waits for it otherwise, also those that were closed.
_CHANNEL: Final = {"grpc.use_local_subchannel_pool": 1, "grpc.max_reconnect_backoff_ms": 1_000}
_LOST_KEPT: Final = 4
# Rows that one page of an iteration brings; a row of a chunk has some 5 KB.
_PAGE_ROWS: Final = 1_000


def load_driver() -> Any:  # Any: a module
    """Return the driver.

    Raises: RuntimeError: it is not installed.
    """
    before = os.environ.get("PYTHON_DOTENV_DISABLED")
    os.environ["PYTHON_DOTENV_DISABLED"] = "1"
    try:
        import pymilvus  # noqa: PLC0415
    except ImportError as error:
        raise RuntimeError("an index in Milvus needs the packages of requirements/milvus.txt") from error
    finally:
        if before is None:
            del os.environ["PYTHON_DOTENV_DISABLED"]
        else:
            os.environ["PYTHON_DOTENV_DISABLED"] = before
    for name in ("pymilvus", "pymilvus.milvus_client", "pymilvus.bulk_writer"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.CRITICAL)  # each failure reaches us as an exception, whose cause it is
    return pymilvus


@contextmanager
def as_os_error() -> Iterator[None]:
    """Turn the driver's failures into OSError, which the writing side treats as it does those of a disk."""
    import grpc  # noqa: PLC0415

    driver = load_driver()
    try:
        yield
    except (driver.MilvusException, grpc.RpcError) as error:
        raise OSError(f"Milvus failed: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return str(getattr(error, "message", "") or type(error).__name__)


class MilvusReader:
    """The asynchronous side: reads of one event loop, each with a limit, failures as IndexUnavailable."""

    def __init__(self, address: MilvusAddress, *, timeout_s: float = _READ_TIMEOUT_S) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._client: Any = None  # Any: the driver's type is known only once it is loaded
        self._is_connected = False
        self._lost: list[Any] = []  # Any: as above

    async def query(self, collection: str, filter_: str, fields: Sequence[str], *, level: str = "Strong") -> list[Row]:
        """Return the rows that meet the filter, all of them.

        Raises: IndexUnavailable.
        """
        found: list[Row] = await self._read(
            collection,
            lambda client: client.query(
                collection, filter=filter_, output_fields=list(fields), consistency_level=level, retry_times=0
            ),
        )
        return found

    async def count(self, collection: str, filter_: str, *, level: str = "Strong") -> int:
        """Return the number of rows that meet the filter."""
        return int((await self.query(collection, filter_, ["count(*)"], level=level))[0]["count(*)"])

    async def search(
        self,
        collection: str,
        field: str,
        vector: Any,  # Any: a list of numbers, or a dict of them for sparse vectors
        *,
        limit: int,
        filter_: str,
        fields: Sequence[str],
        params: Mapping[str, object],
        level: str = "Strong",
    ) -> list[tuple[Row, float]]:
        """Return the rows nearest by inner product, and their products, best first.

        Raises: IndexUnavailable.
        """
        hits = await self._read(
            collection,
            lambda client: client.search(
                collection,
                data=[vector],
                anns_field=field,
                limit=limit,
                filter=filter_,
                output_fields=list(fields),
                search_params={"metric_type": "IP", "params": dict(params)},
                consistency_level=level,
                retry_times=0,
            ),
        )
        return [(hit["entity"], float(hit["distance"])) for hit in hits[0]]

    async def has(self, collection: str) -> bool:
        """Return whether the collection exists.

        Raises: IndexUnavailable.
        """
        return bool(await self._read(collection, lambda client: client.has_collection(collection, retry_times=0)))

    async def aclose(self) -> None:
        """Close the connection; a later read opens another."""
        clients, self._client, self._lost = [*self._lost, self._client], None, []
        for client in clients:
            if client is not None:
                await client.close()

    async def _replace(self) -> None:
        """Let the next read open another connection: one that failed waits longer and longer before it tries again.

        The lost one is closed only after some more were lost, because that cancels the calls that still wait on it,
        and a cancelled call looks as if its caller had left.
        """
        if self._is_connected:
            self._lost.append(self._client)
        self._client, self._is_connected = None, False
        if len(self._lost) > _LOST_KEPT:
            await self._lost.pop(0).close()

    async def _read(self, collection: str, work: Callable[[Any], Awaitable[T]]) -> T:
        import grpc  # noqa: PLC0415

        driver = load_driver()
        try:
            async with asyncio.timeout(self._timeout_s):
                if self._client is None:
                    self._client = driver.AsyncMilvusClient(
                        self._address.uri,
                        token=self._address.token,
                        db_name=_name_of(self._address),
                        dedicated=True,
                        grpc_options=_CHANNEL,
                    )
                client = self._client
                try:
                    result = await work(client)
                except driver.MilvusException as error:
                    if error.code != _NOT_LOADED:
                        raise
                    await client.load_collection(collection, retry_times=0)
                    result = await work(client)
                self._is_connected = True
                return result
        except (driver.MilvusException, grpc.RpcError, grpc.aio.UsageError, TimeoutError, OSError) as error:
            if getattr(error, "code", None) == driver.Status.CONNECT_FAILED:
                await self._replace()
            raise IndexUnavailable from error


class MilvusWriter:
    """The synchronous side: what a change reads and writes, failures as OSError.

    All writes are upserts by primary key, so that one that was repeated because its answer was lost is no second row.
    """

    def __init__(self, address: MilvusAddress) -> None:
        self._address = address
        self._kept: Any = None  # Any: as in MilvusReader

    @property
    def client(self) -> Any:  # Any: as in MilvusReader
        """The driver's client, connected."""
        if self._kept is None:
            driver = load_driver()
            with as_os_error():
                self._kept = driver.MilvusClient(
                    self._address.uri,
                    token=self._address.token,
                    db_name=_name_of(self._address),
                    dedicated=True,
                    grpc_options=_CHANNEL,
                    timeout=_READ_TIMEOUT_S,
                )
        return self._kept

    def query(self, collection: str, filter_: str, fields: Sequence[str]) -> list[Row]:
        """Return the rows that meet the filter, all of them; for what one answer holds.

        Raises: OSError.
        """
        with as_os_error():
            return list(self._loaded(collection, lambda: self._query(collection, filter_, fields)))

    def count(self, collection: str, filter_: str) -> int:
        """Return the number of rows that meet the filter."""
        return int(self.query(collection, filter_, ["count(*)"])[0]["count(*)"])

    def iterate(self, collection: str, filter_: str, fields: Sequence[str], rows: int = _PAGE_ROWS) -> Iterator[Row]:
        """Yield the rows that meet the filter, page by page.

        Raises: OSError.
        """
        with as_os_error():
            self.client.load_collection(collection, timeout=_WRITE_TIMEOUT_S)
            pages = self.client.query_iterator(
                collection,
                filter=filter_,
                output_fields=list(fields),
                batch_size=rows,
                consistency_level="Strong",
                timeout=_WRITE_TIMEOUT_S,
            )
            try:
                while page := pages.next():
                    yield from page
            finally:
                pages.close()

    def upsert(self, collection: str, rows: Sequence[Row], *, is_partial: bool = False) -> None:
        """Write rows by primary key; a partial write changes the given fields alone.

        Raises: OSError.
        """
        with as_os_error():
            self.client.upsert(collection, list(rows), partial_update=is_partial, timeout=_WRITE_TIMEOUT_S)

    def delete(self, collection: str, filter_: str) -> None:
        """Remove the rows that meet the filter.

        Raises: OSError.
        """
        with as_os_error():
            self._loaded(collection, lambda: self.client.delete(collection, filter=filter_, timeout=_WRITE_TIMEOUT_S))

    def flush(self, collection: str) -> None:
        """Put all rows so far under the indexes.

        Raises: OSError.
        """
        with as_os_error():
            self.client.flush(collection, timeout=_WRITE_TIMEOUT_S)

    def has(self, collection: str) -> bool:
        """Return whether the collection exists.

        Raises: OSError.
        """
        with as_os_error():
            return bool(self.client.has_collection(collection, timeout=_READ_TIMEOUT_S))

    def collections(self) -> list[str]:
        """Return the names of all collections.

        Raises: OSError.
        """
        with as_os_error():
            return sorted(self.client.list_collections(timeout=_READ_TIMEOUT_S))

    def close(self) -> None:
        """Close the connection; a later call opens another."""
        client, self._kept = self._kept, None
        if client is not None:
            client.close()

    def _query(self, collection: str, filter_: str, fields: Sequence[str]) -> Any:  # Any: the driver's own list
        return self.client.query(
            collection,
            filter=filter_,
            output_fields=list(fields),
            consistency_level="Strong",
            timeout=_WRITE_TIMEOUT_S,
        )

    def _loaded(self, collection: str, work: Callable[[], T]) -> T:
        try:
            return work()
        except load_driver().MilvusException as error:
            if error.code != _NOT_LOADED:
                raise
            self.client.load_collection(collection, timeout=_WRITE_TIMEOUT_S)
            return work()


def _name_of(address: MilvusAddress) -> str:
    return "" if address.database == "default" else address.database
