"""SIGTERM to a front process: it refuses new queries, lets those that run come to their end, and only then stops.

uvicorn alone would stop listening at once: a load balancer would see refused connections where the contract promises
NOT_READY.
"""

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import uvicorn

from rag.background import start
from rag.limits import Gate

# After the last query has ended, for connections that are still open; a client that does not read never closes its own.
CLOSING_TIMEOUT_S: Final = 5


@contextmanager
def draining_on_sigterm(gate: Gate) -> Iterator[None]:
    """Inside the block a SIGTERM closes the gate, and reaches the server when the last request has left it.

    To be entered in the event loop of a running server.
    """
    if threading.current_thread() is not threading.main_thread():  # nobody can listen to signals there
        yield
        return
    loop = asyncio.get_running_loop()
    stop_server: Any = signal.getsignal(signal.SIGTERM)  # Any: a handler, or one of two constants
    server = getattr(stop_server, "__self__", None)
    if isinstance(server, uvicorn.Server):
        server.config.timeout_graceful_shutdown = CLOSING_TIMEOUT_S

    async def drain() -> None:
        await gate.emptied()
        if callable(stop_server):
            stop_server(signal.SIGTERM, None)

    def begin() -> None:
        if not gate.is_closed:
            gate.close()
            draining.append(start("drain", drain()))

    draining: list[asyncio.Task[None]] = []
    signal.signal(signal.SIGTERM, lambda *_: loop.call_soon_threadsafe(begin))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, stop_server)
