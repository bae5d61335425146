"""How the process that `bentoml serve` starts ends the others: the front first, and nobody is forgotten.

By itself BentoML removes the Unix sockets and signals all services at once. A query that had not yet called the
Embedder then failed, vLLM's engine left in mid-answer, and a signal that came while circus looked after its processes
was refused as a conflict and lost.
"""

import asyncio
import logging
from typing import Any, Final

from bentoml._internal.utils.circus import Arbiter
from circus.exc import ConflictError

# The name that BentoML gives to the watcher of the entry service.
FRONT_WATCHER: Final = "service"
_RETRY_AFTER_S: Final = 0.1

logger = logging.getLogger(__name__)
_stop_all: Final = Arbiter.stop


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
