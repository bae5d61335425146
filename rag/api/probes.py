"""Probe dependencies that are HTTP services, for readiness."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

import httpx

from rag.api.readiness import Probe
from rag.clients.runtime_identity import SERVER_PATH, ServedElsewhere, read_json, without_metadata
from rag.types import ModelInfo
from schemas.response import DependencyState

# Less than the 1 s that readiness allows, so that each probe can still return a specific state.
ANSWER_TIMEOUT_S: Final = 0.9


_log = logging.getLogger(__name__)


class ServiceProbe:
    """Probes one URL; a service that we start ourselves (`ours`) is `loading` until its first successful answer."""

    def __init__(self, client: httpx.AsyncClient, path: str, *, ours: bool) -> None:
        self._client = client
        self._path = path
        self._ours = ours
        self._has_answered = False

    async def __call__(self, trace_id: str | None) -> DependencyState:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                response = await self._client.get(self._path, headers={"x-trace-id": trace_id} if trace_id else None)
        except (TimeoutError, httpx.TimeoutException):
            return self._absent("timeout")
        except (httpx.HTTPError, OSError):
            return self._absent("unreachable")
        if response.status_code == httpx.codes.OK:  # nothing else: a key refused here would be refused for queries too
            self._has_answered = True
            return "ok"
        return self._absent("unreachable")

    def _absent(self, state: DependencyState) -> DependencyState:
        return "loading" if self._ours and not self._has_answered else state


class ModelProbe:
    """Asks one of our model services which models it serves; if they are not the expected ones, it is a `mismatch`.

    A front and a service on different hosts are not updated at the same moment, and vectors of two models do not match.
    """

    def __init__(self, client: httpx.AsyncClient, expected: Sequence[ModelInfo]) -> None:
        self._client = client
        self._expected = [asdict(each) for each in expected]
        self._last_told: object = None  # the last logged mismatch
        self._has_answered = False

    async def __call__(self, trace_id: str | None) -> DependencyState:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                response = await self._client.post(
                    "/describe", json={}, headers={"x-trace-id": trace_id} if trace_id else None
                )
            served = response.raise_for_status().json()
        except (TimeoutError, httpx.TimeoutException):
            return self._absent("timeout")
        except (httpx.HTTPError, OSError, ValueError):
            return self._absent("unreachable")
        self._has_answered = True
        if served == self._expected:
            self._last_told = None
            return "ok"
        if served != self._last_told:
            self._last_told = served
            _log.warning("other_models_served", extra={"fields": {"expected": self._expected, "served": served}})
        return "mismatch"

    def _absent(self, state: DependencyState) -> DependencyState:
        return state if self._has_answered else "loading"


class RuntimeProbe:
    """Asks another model server whether it is ready, and what it serves; another model is a `mismatch`."""

    def __init__(self, client: httpx.AsyncClient, served: ServedElsewhere) -> None:
        self._client = client
        self._served = served
        self._is_mismatch = False  # and logged
        self._has_answered = False

    async def __call__(self, trace_id: str | None) -> DependencyState:
        headers = {"x-trace-id": trace_id} if trace_id else None
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                for path in self._served.paths:
                    response = await self._client.get(path, headers=headers)
                    status, described = response.status_code, read_json(response)
                    if self._served.may_lack(path, status):
                        server = read_json(await self._client.get(SERVER_PATH, headers=headers))
                        status, described = without_metadata(status, server)
                    if not self._served.accepts(status):
                        return self._absent("unreachable")
        except (TimeoutError, httpx.TimeoutException):
            return self._absent("timeout")
        except (httpx.HTTPError, OSError):
            return self._absent("unreachable")
        self._has_answered = True
        if self._served.is_described_by(described):
            self._is_mismatch = False
            return "ok"
        if not self._is_mismatch:
            self._is_mismatch = True
            _log.warning("other_models_served", extra={"fields": {"expected": asdict(self._served)}})
        return "mismatch"

    def _absent(self, state: DependencyState) -> DependencyState:
        return state if self._has_answered else "loading"


async def wait_until_ok(probes: Sequence[Probe], *, poll_s: float = 0.2) -> None:
    """Wait until each probe has returned `ok`; without a timeout, because loading a model may take minutes."""
    for probe in probes:
        while await probe(None) != "ok":  # noqa: ASYNC110  # another process does not notify us when it is ready
            await asyncio.sleep(poll_s)
