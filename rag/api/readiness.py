"""Whether every dependency answers now: asked side by side, each within a second, whatever state it is in."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from rag.errors import DeadlineExceeded
from schemas.response import DependencyState

PROBE_TIMEOUT_S: Final = 1.0
READY_STATES: Final = frozenset[DependencyState]({"ok", "local"})

Probe = Callable[[], Awaitable[DependencyState]]


async def check(probes: Mapping[str, Probe], *, timeout_s: float = PROBE_TIMEOUT_S) -> dict[str, DependencyState]:
    """The state of each dependency by its name; a probe that raises stands for one that cannot be reached."""
    tasks = {name: asyncio.ensure_future(probe()) for name, probe in probes.items()}
    if tasks:
        await asyncio.wait(tasks.values(), timeout=timeout_s)
    return {name: _state(task) for name, task in tasks.items()}


def _state(task: asyncio.Future[DependencyState]) -> DependencyState:
    if not task.done():
        task.cancel()  # not awaited: a probe that does not let itself be cancelled must not hold up the answer
        return "timeout"
    error = task.exception()
    if error is None:
        return task.result()
    return "timeout" if isinstance(error, TimeoutError | DeadlineExceeded) else "unreachable"
