"""Stop a front process gracefully: on SIGTERM refuse new queries, let the running ones finish, then stop.

uvicorn alone would stop listening at once, and a load balancer would see refused connections instead of the NOT_READY
that the contract promises.
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

# For connections still open after the last query; a client that does not read never closes its connection.
CLOSING_TIMEOUT_S: Final = 5


@contextmanager
def draining_on_sigterm(gate: Gate) -> Iterator[None]:
    """During the block, let SIGTERM close the gate, and pass it on to the server when the last request has left.

    Enter it in the event loop of a running server. Outside the main thread it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():  # only the main thread can handle signals
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
