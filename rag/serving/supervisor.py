"""Patch the supervisor process of `bentoml serve`: only its own user can control it, and it stops in order.

BentoML (1.4.39) lets circus listen on loopback TCP, where anyone on the machine can read the environment, including
secrets, and start commands as the server's user. At the end it removes the Unix sockets and signals all services at
once: a query that had not yet called the Embedder failed, vLLM's engine exited in the middle of an answer, and a signal
that arrived while circus was managing its processes was refused as a conflict and lost.
"""

import asyncio
import logging
import shutil
import tempfile
from typing import Any, Final

from bentoml._internal.utils.circus import Arbiter
from circus.exc import ConflictError

from rag.serving.orphans import name_supervisor

# The name that BentoML gives to the watcher of the entry service.
FRONT_WATCHER: Final = "service"
_RETRY_AFTER_S: Final = 0.1

logger = logging.getLogger(__name__)
_construct: Final = Arbiter.__init__
_stop_all: Final = Arbiter.stop


def listen_privately() -> None:
    """Make every supervisor of this process use sockets in a folder that only its user can access.

    The supervisor names itself and the folder to its workers, which stop by themselves if it is killed (`orphans`).
    """
    Arbiter.__init__ = _construct_privately


def _construct_privately(arbiter: Any, watchers: Any, *args: Any, **kwargs: Any) -> None:  # Any: circus has no types
    folder = tempfile.mkdtemp(prefix="rag-supervisor-")  # 0700
    kwargs["endpoint"] = f"ipc://{folder}/commands"
    kwargs["pubsub_endpoint"] = f"ipc://{folder}/events"
    for watcher in watchers:
        watcher.env = {**(watcher.env or {}), **name_supervisor(folder)}
    _construct(arbiter, watchers, *args, **kwargs)
    arbiter.exit_stack.callback(shutil.rmtree, folder, ignore_errors=True)


def stop_front_first() -> None:
    """Make every supervisor of this process stop the front, which drains, before the services that the front calls."""
    Arbiter.stop = _stop


def _stop(arbiter: Any) -> "asyncio.Future[None]":  # Any: circus has no types
    """Start the ordered stop; the supervisor's event loop calls this once per signal, and later calls do nothing."""
    if not hasattr(arbiter, "rag_stopping"):
        arbiter.rag_stopping = asyncio.ensure_future(_stop_in_order(arbiter))
    stopping: asyncio.Future[None] = arbiter.rag_stopping
    return stopping


async def _stop_in_order(arbiter: Any) -> None:
    try:
        await arbiter.get_watcher(FRONT_WATCHER)._stop()
    except Exception:  # whatever it is, the other services must still be stopped
        logger.exception("front_not_stopped")
    while True:
        try:
            await _stop_all(arbiter)
        except ConflictError:  # it is starting or counting its processes
            await asyncio.sleep(_RETRY_AFTER_S)
        else:
            return
