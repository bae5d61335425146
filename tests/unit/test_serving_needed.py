"""What BentoML, circus and uvicorn do by themselves: if a test fails, they have changed, and a part of ours may go."""

import asyncio
import inspect
import logging
import signal
from collections.abc import Iterator

import uvicorn
from bentoml._internal import log
from bentoml._internal.marshal.dispatcher import CorkDispatcher
from circus.arbiter import Arbiter


class Watcher:
    """One service, as circus knows it; it ends when the test says so."""

    def __init__(self) -> None:
        self.ended: asyncio.Future[None] | None = None

    def _stop(self, close_output_streams: bool = False) -> asyncio.Future[None]:
        self.ended = asyncio.get_running_loop().create_future()
        return self.ended


class Watchers(list[Watcher]):
    def iter_watchers(self, reverse: bool = True) -> Iterator[Watcher]:
        return iter(self)


async def test_circus_ends_all_services_at_once() -> None:
    """Why `stop_front_first`: a query that still needs the Embedder would fail."""
    watchers = Watchers([Watcher(), Watcher()])

    stopping = asyncio.ensure_future(Arbiter._stop_watchers(watchers))
    await asyncio.sleep(0)

    assert all(watcher.ended is not None for watcher in watchers)
    for watcher in watchers:
        assert watcher.ended is not None
        watcher.ended.set_result(None)
    await stopping


def test_uvicorn_stops_listening_at_the_signal() -> None:
    """Why `draining_on_sigterm`: a load balancer would see refused connections, and not NOT_READY."""
    server = uvicorn.Server(uvicorn.Config(lambda: None))

    server.handle_exit(signal.SIGTERM, None)

    assert server.should_exit


def test_bentoml_batches_by_items_alone() -> None:
    """Why `BatchedService`: thirty long texts and thirty short ones are no equal batches."""
    bounds = set(inspect.signature(CorkDispatcher.__init__).parameters) - {"self", "shared_sema", "fallback"}

    assert bounds == {"max_latency_in_ms", "max_batch_size", "get_batch_size", "batch_dim"}


def test_bentoml_logs_plain_lines() -> None:
    """Why `rag.observability.logs` replaces the formatter."""
    assert log.SERVER_LOGGING_CONFIG["formatters"]["traced"].keys() == {"format", "datefmt"}
    assert log.SERVER_LOGGING_CONFIG["handlers"]["tracehandler"]["class"] == f"{logging.__name__}.StreamHandler"
