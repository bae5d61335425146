"""The process that `bentoml serve` starts: it obeys its own user alone, and ends the others in order.

By itself BentoML (1.4.39) has circus listen on loopback TCP, where anyone on the machine may read the environment,
secrets included, and start commands as the server's user. And it removes the Unix sockets and signals all services at
once: a query that had not yet called the Embedder failed, vLLM's engine left in mid-answer, and a signal that came
while circus looked after its processes was refused as a conflict and lost.
"""

import asyncio
import logging
import shutil
import tempfile
from typing import Any, Final

from bentoml._internal.utils.circus import Arbiter
from circus.exc import ConflictError

# The name that BentoML gives to the watcher of the entry service.
FRONT_WATCHER: Final = "service"
_RETRY_AFTER_S: Final = 0.1

logger = logging.getLogger(__name__)
_construct: Final = Arbiter.__init__
_stop_all: Final = Arbiter.stop


def listen_privately() -> None:
    """Makes every supervisor of this process take commands, and publish events, in a folder of its user's alone."""
    Arbiter.__init__ = _construct_privately


def _construct_privately(arbiter: Any, *args: Any, **kwargs: Any) -> None:  # Any: circus has no types
    folder = tempfile.mkdtemp(prefix="rag-supervisor-")  # 0700
    kwargs["endpoint"] = f"ipc://{folder}/commands"
    kwargs["pubsub_endpoint"] = f"ipc://{folder}/events"
    _construct(arbiter, *args, **kwargs)
    arbiter.exit_stack.callback(shutil.rmtree, folder, ignore_errors=True)


def stop_front_first() -> None:
    """Makes every supervisor of this process end the front, which drains, before the services that it calls."""
    Arbiter.stop = _stop


def _stop(arbiter: Any) -> "asyncio.Future[None]":  # Any: circus has no types
    """Called in the supervisor's event loop, once per signal; those after the first change nothing."""
    if not hasattr(arbiter, "rag_stopping"):
        arbiter.rag_stopping = asyncio.ensure_future(_stop_in_order(arbiter))
    stopping: asyncio.Future[None] = arbiter.rag_stopping
    return stopping


async def _stop_in_order(arbiter: Any) -> None:
    try:
        await arbiter.get_watcher(FRONT_WATCHER)._stop()
    except Exception:  # whatever it was, the others must still be told
        logger.exception("front_not_stopped")
    while True:
        try:
            await _stop_all(arbiter)
        except ConflictError:  # it is starting or counting its processes
            await asyncio.sleep(_RETRY_AFTER_S)
        else:
            return
