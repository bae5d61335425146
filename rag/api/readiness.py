"""Whether every dependency answers now: asked side by side, each within a second, whatever state it is in."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from rag.errors import DeadlineExceeded
from rag.observability import metrics
from schemas.response import DependencyState

PROBE_TIMEOUT_S: Final = 1.0
_SILENCES_MAX: Final = 2
READY_STATES: Final = frozenset[DependencyState]({"ok", "local"})

# Asks one dependency, on behalf of the request with this trace id if there is one.
Probe = Callable[[str | None], Awaitable[DependencyState]]


async def check(
    probes: Mapping[str, Probe], trace_id: str | None = None, *, timeout_s: float = PROBE_TIMEOUT_S
) -> dict[str, DependencyState]:
    """The state of each dependency by its name; a probe that raises stands for one that cannot be reached."""
    tasks = {name: asyncio.ensure_future(probe(trace_id)) for name, probe in probes.items()}
    if tasks:
        await asyncio.wait(tasks.values(), timeout=timeout_s)
    states = {name: _state(task) for name, task in tasks.items()}
    for name, state in states.items():
        metrics.DEPENDENCY_READY.labels(name).set(state in READY_STATES)
    return states


def _state(task: asyncio.Future[DependencyState]) -> DependencyState:
    if not task.done():
        task.cancel()  # not awaited: a probe that does not let itself be cancelled must not hold up the answer
        return "timeout"
    error = task.exception()
    if error is None:
        return task.result()
    return "timeout" if isinstance(error, TimeoutError | DeadlineExceeded) else "unreachable"


class DependencyWatch:
    """Keeps asking the services that no query can do without, so that none has to wait to find one of them dead.

    A process that has died leaves its socket open while it is started again: connections are taken, and nothing
    answers. One silence may be a busy machine, a second in a row is not.
    """

    def __init__(self, probes: Mapping[str, Probe], *, every_s: float = PROBE_TIMEOUT_S) -> None:
        self._every_s = every_s
        self._silences: dict[str, int] = dict.fromkeys(probes, 0)
        # To be asked by readiness too: whoever was told that the service is ready must not then be refused.
        self.probes: Final[Mapping[str, Probe]] = {name: self._noting(name, probe) for name, probe in probes.items()}

    @property
    def down(self) -> frozenset[str]:
        """The names of those that are known to be down."""
        return frozenset(name for name, silences in self._silences.items() if silences >= _SILENCES_MAX)

    async def run(self) -> None:
        """Looks for ever; runs as a task beside the server."""
        while True:
            await self.look()
            await asyncio.sleep(self._every_s)

    async def look(self) -> None:
        """Asks each of them once."""
        for name, state in (await check(self.probes)).items():
            if state not in READY_STATES:
                self._silences[name] += 1 if state == "timeout" else _SILENCES_MAX

    def _noting(self, name: str, probe: Probe) -> Probe:
        async def ask(trace_id: str | None) -> DependencyState:
            state = await probe(trace_id)
            if state in READY_STATES:
                self._silences[name] = 0
            return state

        return ask
