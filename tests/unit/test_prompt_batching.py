"""What BentoML's batching does here: no work for callers who have left."""

import asyncio
import warnings
from collections.abc import Sequence
from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from tests.asgi import Connection

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what BentoML warns of while it is imported is not ours to mend
    from rag.backends.bento_batching import PromptDispatcher, PromptOptimizer, UnlessGone


class GatedModel:
    """Computes one batch after the other, each when the test lets it."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.open = asyncio.Event()
        self.busy = asyncio.Event()

    async def __call__(self, items: Sequence[str]) -> list[str]:
        self.batches.append(list(items))
        self.busy.set()
        await self.open.wait()
        return [item.upper() for item in items]


async def test_what_a_gone_caller_had_queued_is_dropped() -> None:
    """It waits behind a running batch; cancelled there, it never reaches the model, and the others do."""
    model = GatedModel()
    dispatcher = PromptDispatcher(
        max_latency_in_ms=60_000, max_batch_size=8, fallback=lambda: None, get_batch_size=lambda _: 1
    )
    call = dispatcher(model)
    running = asyncio.create_task(call("first"))
    await model.busy.wait()
    gone, waiting = asyncio.create_task(call("gone")), asyncio.create_task(call("waiting"))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)

    model.open.set()
    answers = [await running, await waiting]
    dispatcher.shutdown()

    assert answers == ["FIRST", "WAITING"]
    assert model.batches == [["first"], ["waiting"]]


def test_a_lone_request_is_not_held_back() -> None:
    """Whatever the optimizer has learned, it waits for no company."""
    optimizer = PromptOptimizer(1.0)
    optimizer.wait = 0.5

    assert optimizer.wait == 0.0


class Slow:
    """An app that answers when the test lets it, and says whether it was cancelled."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.open = asyncio.Event()
        self.was_cancelled = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        self.reached.set()
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        await PlainTextResponse("done")(scope, receive, send)


async def test_a_client_that_leaves_ends_its_work() -> None:
    """The work is cancelled; an answer still begins, without which BentoML's timer keeps the request."""
    app = Slow()
    async with Connection(UnlessGone(app), "POST", "/embed", body=[b"{}"]) as connection:
        await app.reached.wait()
        await connection.disconnect()
        status, _ = await connection.head()

    assert app.was_cancelled
    assert status == 499


async def test_a_client_that_stays_is_answered() -> None:
    """Watching changes nothing for it."""
    app = Slow()
    app.open.set()
    async with Connection(UnlessGone(app), "POST", "/embed", body=[b"{}"]) as connection:
        status, _ = await connection.head()
        text = await connection.text()

    assert (status, text) == (200, "done")


async def test_what_the_app_raises_is_raised() -> None:
    """The server must see it."""

    async def fail(*_: Any) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await UnlessGone(fail)({"type": "http"}, asyncio.Event().wait, asyncio.Event().wait)  # type: ignore[arg-type]
