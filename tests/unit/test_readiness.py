"""The state of the dependencies between two probes."""

from collections.abc import Sequence

import pytest

from rag.api.readiness import DependencyWatch
from schemas.response import DependencyState


class ScriptedProbe:
    """A dependency in one state after the other, and in the last one for ever."""

    def __init__(self, *states: DependencyState) -> None:
        self._states = list(states)

    async def __call__(self, trace_id: str | None) -> DependencyState:
        return self._states.pop(0) if len(self._states) > 1 else self._states[0]


async def look(states: Sequence[DependencyState]) -> list[bool]:
    """Whether the dependency is taken for down after each look."""
    watch = DependencyWatch({"embedder": ScriptedProbe(*states)})
    seen = []
    for _ in states:
        await watch.look()
        seen.append("embedder" in watch.down)
    return seen


@pytest.mark.parametrize("state", ["unreachable", "loading", "mismatch"])
async def test_a_service_that_is_refused_is_down_at_once(state: DependencyState) -> None:
    """Nothing but a silence can be a busy machine."""
    assert await look(["ok", state]) == [False, True]


async def test_one_silence_is_no_death() -> None:
    """A busy machine answers late; twice in a row it is a dead process behind an open socket."""
    assert await look(["timeout", "ok", "timeout", "timeout"]) == [False, False, False, True]


async def test_a_service_that_is_back_is_up_again() -> None:
    """By itself, at the next look."""
    assert await look(["unreachable", "timeout", "ok"]) == [True, True, False]


async def test_one_that_was_never_asked_is_not_down() -> None:
    """Before the first look queries wait for the models anyway."""
    assert not DependencyWatch({"embedder": ScriptedProbe("unreachable")}).down


async def test_what_readiness_has_seen_counts_at_once() -> None:
    """Whoever was told that the service is ready is not refused because the last look was earlier."""
    watch = DependencyWatch({"embedder": ScriptedProbe("loading", "ok")})
    await watch.look()
    was_down = "embedder" in watch.down

    await watch.probes["embedder"]("tr-1")

    assert was_down
    assert not watch.down
