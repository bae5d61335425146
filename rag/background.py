"""Run background tasks whose failures must not go unnoticed: log and count each failure, restart lasting work.

asyncio reports the failure of a task that nothing awaits only when the task is garbage-collected, if at all.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final

from rag.observability import metrics

# Long enough that work which fails at once neither floods the log nor occupies a core; short compared with the 5 s
# within which a new index version must be picked up.
RESTART_AFTER_S: Final = 2.0

Work = Callable[[], Coroutine[Any, Any, None]]

logger = logging.getLogger(__name__)


@asynccontextmanager
async def kept_running(name: str, work: Work, *, restart_after_s: float = RESTART_AFTER_S) -> AsyncIterator[None]:
    """Run the work as a task during the block and restart it after each failure; work that returns is not restarted."""
    task = asyncio.create_task(_keep_running(name, work, restart_after_s), name=name)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def _keep_running(name: str, work: Work, restart_after_s: float) -> None:
    while True:
        try:
            await work()
        except Exception as error:  # noqa: BLE001  # whatever it is, the next try may succeed
            note_failure(name, error)
            await asyncio.sleep(restart_after_s)
        else:
            return


def start(name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Start a task that runs once and whose failure is logged and counted although nothing awaits it."""
    task = asyncio.create_task(work, name=name)
    task.add_done_callback(_tell)
    return task


def note_failure(name: str, error: BaseException) -> None:
    """Log and count a failure; `name` must come from a closed set, because it is a metric label."""
    metrics.BACKGROUND_FAILURES.labels(name).inc()
    logger.error("background_task_failed", exc_info=error, extra={"fields": {"task": name}})


def _tell(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        note_failure(task.get_name(), error)
