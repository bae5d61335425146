"""The adapter between BentoML's server and our batching."""

import asyncio
import warnings
from collections.abc import Sequence
from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from rag.engines.batching import CALLER_DEADLINE
from rag.errors import DeadlineExceeded, NotReady
from tests.asgi import Connection

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what BentoML warns of while it is imported is not ours to mend
    from rag.serving.bento_batching import WhileWaiting, pass_on


async def test_every_request_is_a_batch_of_its_own() -> None:
    """BentoML gathers nothing; it asks for a function of batches, and gets rows of one."""
    seen: list[Sequence[Any]] = []

    async def double(batches: Sequence[list[int]]) -> list[list[int]]:
        seen.append(batches)
        return [[2 * item for item in batch] for batch in batches]

    assert await pass_on(double)([1, 2]) == [2, 4]
    assert seen == [([1, 2],)]


@pytest.mark.parametrize(("error", "status"), [(NotReady, 503), (DeadlineExceeded, 504)])
async def test_what_cannot_be_served_is_a_status(error: type[Exception], status: int) -> None:
    """And no exception, whose traceback BentoML would log for each of them while it is busiest."""

    async def fail(_: Sequence[Any]) -> list[Any]:
        raise error

    response = await pass_on(fail)([1])

    assert response.status_code == status


class Slow:
    """An app that answers when the test lets it, and says whether it was cancelled."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.open = asyncio.Event()
        self.was_cancelled = False
        self.deadline: float | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        self.deadline = CALLER_DEADLINE.get()
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
    async with Connection(WhileWaiting(app), "POST", "/embed", body=[b"{}"]) as connection:
        await app.reached.wait()
        await connection.disconnect()
        status, _ = await connection.head()

    assert app.was_cancelled
    assert status == 499


async def test_a_client_that_stays_is_answered() -> None:
    """Watching changes nothing for it."""
    app = Slow()
    app.open.set()
    async with Connection(WhileWaiting(app), "POST", "/embed", body=[b"{}"]) as connection:
        status, _ = await connection.head()
        text = await connection.text()

    assert (status, text) == (200, "done")


async def find_deadline(headers: dict[str, str]) -> float | None:
    app = Slow()
    app.open.set()
    async with Connection(WhileWaiting(app), "POST", "/embed", body=[b"{}"], headers=headers) as connection:
        await connection.head()
    return app.deadline


async def test_the_callers_timeout_becomes_a_deadline() -> None:
    """A point on the loop's clock, that much later than the request came."""
    before = asyncio.get_running_loop().time()
    deadline = await find_deadline({"x-timeout-ms": "5000"})
    after = asyncio.get_running_loop().time()

    assert deadline is not None
    assert before + 5 <= deadline <= after + 5


@pytest.mark.parametrize("headers", [{}, *({"x-timeout-ms": value} for value in ("", "-1", "1.5", "soon", "9" * 40))])
async def test_what_is_no_timeout_is_none(headers: dict[str, str]) -> None:
    """The caller waits as long as it waits."""
    assert await find_deadline(headers) is None


async def test_what_the_app_raises_is_raised() -> None:
    """The server must see it."""

    async def fail(*_: Any) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await WhileWaiting(fail)({"type": "http", "headers": []}, asyncio.Event().wait, asyncio.Event().wait)  # type: ignore[arg-type]
