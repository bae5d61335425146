"""Check readiness: probe all dependencies in parallel, within one second."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from rag.errors import DeadlineExceeded
from rag.observability import metrics
from schemas.response import DependencyState

PROBE_TIMEOUT_S: Final = 1.0
_SILENCES_MAX: Final = 2
READY_STATES: Final = frozenset[DependencyState]({"ok", "local"})

# Probes one dependency; the argument is the trace id of the request that caused the probe, if any.
Probe = Callable[[str | None], Awaitable[DependencyState]]


async def check(
    probes: Mapping[str, Probe], trace_id: str | None = None, *, timeout_s: float = PROBE_TIMEOUT_S
) -> dict[str, DependencyState]:
    """Return the state of each dependency by name, and set its gauge; a probe that raises means `unreachable`.

    A probe that exceeds `timeout_s`, or raises a timeout error, means `timeout`.
    """
    tasks = {name: asyncio.ensure_future(probe(trace_id)) for name, probe in probes.items()}
    if tasks:
        await asyncio.wait(tasks.values(), timeout=timeout_s)
    states = {name: _state(task) for name, task in tasks.items()}
    for name, state in states.items():
        metrics.DEPENDENCY_READY.labels(name).set(state in READY_STATES)
    return states


def _state(task: asyncio.Future[DependencyState]) -> DependencyState:
    if not task.done():
        task.cancel()  # not awaited: a probe that ignores its cancellation must not delay the answer
        return "timeout"
    error = task.exception()
    if error is None:
        return task.result()
    return "timeout" if isinstance(error, TimeoutError | DeadlineExceeded) else "unreachable"


class DependencyWatch:
    """Keeps probing the services that every query needs, so that queries fail at once if one of them is down.

    While a dead process is being restarted its socket stays open: connections are accepted, but nothing answers. One
    timeout may be a busy machine; a second in a row means that the service is down, as does any other failure.
    """

    def __init__(self, probes: Mapping[str, Probe], *, every_s: float = PROBE_TIMEOUT_S) -> None:
        self._every_s = every_s
        self._silences: dict[str, int] = dict.fromkeys(probes, 0)
        # Readiness uses these probes too: a client that was told "ready" must not then be refused.
        self.probes: Final[Mapping[str, Probe]] = {name: self._noting(name, probe) for name, probe in probes.items()}

    @property
    def down(self) -> frozenset[str]:
        """The names of the dependencies that are known to be down."""
        return frozenset(name for name, silences in self._silences.items() if silences >= _SILENCES_MAX)

    async def run(self) -> None:
        """Probe for ever; run this as a background task."""
        while True:
            await self.look()
            await asyncio.sleep(self._every_s)

    async def look(self) -> None:
        """Probe each dependency once."""
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
