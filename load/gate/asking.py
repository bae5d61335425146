"""Ask one deployment with the load driver's client, and keep the complete replies."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import httpx
from pydantic import ValidationError

from load.driver.client import LIMITS, Client
from load.driver.outcome import CONTRACT_BROKEN, Ending, Outcome, Piece
from load.driver.planning import Ask
from load.driver.progress import Watcher
from load.driver.targets import Call, RagTarget, Target
from load.gate.contract import ContractError, Event, find_broken_rule, read_stream, read_whole
from load.gate.pairs import Reply
from rag.limits import Deadline
from schemas.response import CurrentModels

_FACTS_TIMEOUT_S: Final = 10.0


class UnreachableError(Exception):
    """A deployment does not describe itself; the message says what it answered instead."""


class Listener:
    """A `Target` for one request: it delegates to another target, and keeps what was read."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self.events: list[Event] = []
        self.body: bytes | None = None

    def make_call(self, ask: Ask) -> Call:
        return self._target.make_call(ask)

    def read_event(self, name: str, data: str) -> Piece:
        self.events.append((name, data))
        return self._target.read_event(name, data)

    def read_whole(self, content: bytes) -> Piece:
        self.body = content
        return self._target.read_whole(content)

    def read_refusal(self, content: bytes) -> str:
        return self._target.read_refusal(content)


class Deployment:
    """One of the two deployments; it takes any number of questions at the same time."""

    def __init__(self, http: httpx.AsyncClient, key: str | None, *, timeout_s: float, patience_s: float) -> None:
        self._http = http
        self._key = key
        self._timeout_s = timeout_s
        self._patience_s = patience_s
        self._retry_after: dict[str, str] = {}
        # The driver's client reports only the code of a refusal.
        http.event_hooks = {"response": [self._note_retry_after]}

    async def describe(self) -> CurrentModels:
        """Return the deployment's /models/current.

        Raises: UnreachableError: there is no valid answer.
        """
        headers = {"x-api-key": self._key} if self._key else {}
        try:
            response = await self._http.get("/models/current", headers=headers, timeout=_FACTS_TIMEOUT_S)
            return CurrentModels.model_validate_json(response.raise_for_status().content)
        except httpx.HTTPStatusError as error:
            raise UnreachableError(f"/models/current answers with status {error.response.status_code}") from error
        except httpx.HTTPError as error:
            raise UnreachableError(f"/models/current is not answered: {type(error).__name__}") from error
        except ValidationError as error:
            raise UnreachableError("/models/current is in another form than the contract's") from error

    async def ask(self, ask: Ask, watcher: Watcher) -> Reply:
        """Ask, and after a refusal with `Retry-After` ask again in time, until patience ends; return the last reply."""
        watcher.on_sent()
        patience, refused = Deadline.after(self._patience_s), list[str]()
        while True:
            listener = Listener(RagTarget(self._key))
            client = Client(self._http, listener, timeout_s=self._timeout_s)
            outcome = await client.ask(ask, time.perf_counter(), time.perf_counter)
            wait_s = self._find_wait(ask, outcome)
            if wait_s is None or wait_s >= patience.left_s():
                watcher.on_ended(outcome)
                return read_reply(outcome, listener, tuple(refused))
            refused.append(outcome.code or "")
            await asyncio.sleep(wait_s)

    async def _note_retry_after(self, response: httpx.Response) -> None:
        trace_id = response.request.headers.get("x-trace-id", "")
        self._retry_after[trace_id] = response.headers.get("retry-after", "")

    def _find_wait(self, ask: Ask, outcome: Outcome) -> float | None:
        """Return the seconds until a retry; None if a retry is not possible or not necessary."""
        told = self._retry_after.pop(ask.trace_id, "")
        return float(told) if outcome.ending == Ending.REFUSED and told.isdecimal() else None


@asynccontextmanager
async def open_deployment(
    url: str, key: str | None, *, timeout_s: float, patience_s: float
) -> AsyncIterator[Deployment]:
    """Open a deployment without a limit on connections; each question has its own deadlines."""
    async with httpx.AsyncClient(base_url=url, limits=LIMITS, timeout=None) as http:  # noqa: S113 - see above
        yield Deployment(http, key, timeout_s=timeout_s, patience_s=patience_s)


def read_reply(outcome: Outcome, heard: Listener, refused: tuple[str, ...]) -> Reply:
    """Make the reply, and check it against the contract."""
    fault, response = None, None
    if outcome.ending == Ending.OK:
        try:
            response = read_stream(heard.events) if heard.body is None else read_whole(heard.body)
            fault = find_broken_rule(response, outcome.trace_id)
        except ContractError as error:
            fault = str(error)
    elif outcome.code == CONTRACT_BROKEN:
        fault = "a reply in another form"
    return Reply(
        trace_id=outcome.trace_id,
        e2e_s=outcome.e2e_s,
        ttft_s=outcome.ttft_s,
        error=None if response or fault else outcome.code or outcome.ending,
        fault=fault,
        response=response,
        refused=refused,
    )
