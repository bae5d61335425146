"""When the client disconnects, every stage that works for it stops, and everything it held is released."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from rag.limits import Places
from tests.asgi import Connection
from tests.contract.conftest import LogLines
from tests.fakes import ANNUAL_LEAVE, HANG, HangingEmbedder, ScriptedGenerator, make_app, make_pipeline

JSON = {"content-type": "application/json"}
BODY = b'{"question": "How many days of annual leave do full-time staff have?"}'
ROUTES = ["/query", "/v1/query", "/query/stream"]


def make_places(limit: int = 1) -> Places:
    return Places(limit, queue_timeout_s=10)


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("script", [(HANG,), ("Full-time ", HANG), (f"{ANNUAL_LEAVE} [S1] And ", HANG)])
async def test_leaving_during_generation_closes_the_upstream_stream(
    path: str, script: tuple[str, ...], log_lines: LogLines
) -> None:
    """The generator's slot and the place are free at once, and the line says `query_cancelled`."""
    generator, places = ScriptedGenerator(*script), make_places()
    app = make_app(pipeline=make_pipeline(generator=generator), places=places)

    async with Connection(app, "POST", path, body=[BODY], headers=JSON) as connection:
        await generator.reached.wait()
        assert (generator.open_streams, places.taken) == (1, 1)
        await connection.disconnect()

    assert (generator.open_streams, places.taken) == (0, 0)
    (line,) = log_lines()
    assert (line["event"], line["finish_reason"]) == ("query_cancelled", "client_disconnected")


@pytest.mark.parametrize("path", ROUTES)
async def test_leaving_during_retrieval_cancels_it(path: str, log_lines: LogLines) -> None:
    """Before the first event too: the wait for the embedder ends."""
    embedder, places = HangingEmbedder(), make_places()
    app = make_app(pipeline=make_pipeline(embedder=embedder), places=places)

    async with Connection(app, "POST", path, body=[BODY], headers=JSON) as connection:
        await embedder.reached.wait()
        await connection.disconnect()

    assert (embedder.waiting, places.taken) == (0, 0)
    assert [line["event"] for line in log_lines()] == ["query_cancelled"]


@pytest.mark.parametrize("path", ROUTES)
async def test_leaving_the_queue_takes_no_place(path: str, log_lines: LogLines) -> None:
    """A client that is gone while it waits for a place never starts to work."""
    generator, places = ScriptedGenerator(HANG), make_places()
    app = make_app(pipeline=make_pipeline(generator=generator), places=places)

    async with places.hold():
        async with Connection(app, "POST", path, body=[BODY], headers=JSON) as connection:
            await asyncio.sleep(0)
            await connection.disconnect()
        assert places.taken == 1

    assert generator.calls == []
    assert [line["event"] for line in log_lines()] == ["query_cancelled"]


async def test_leaving_while_the_body_is_sent_is_a_cancellation(log_lines: LogLines) -> None:
    """Half a request is nobody's fault and needs no answer."""
    async with Connection(make_app(), "POST", "/query", body=[b"{"], headers=JSON, ends=False) as connection:
        await connection.disconnect()

    assert [line["event"] for line in log_lines()] == ["query_cancelled"]


async def test_a_client_that_does_not_read_is_cut_off(monkeypatch: pytest.MonkeyPatch, log_lines: LogLines) -> None:
    """Its window is full: the stream's deadline ends it, and the place returns."""
    monkeypatch.setattr("rag.api.exchange.GRACE_S", 0.01)
    generator, places = ScriptedGenerator(f"{ANNUAL_LEAVE} [S1]"), make_places()
    app = make_app(pipeline=make_pipeline(generator=generator), places=places, stream_timeout_s=0.5)

    connection = Connection(app, "POST", "/query/stream", body=[BODY], headers=JSON)
    connection.reads = False
    async with connection:
        await connection.finished()

    assert (generator.open_streams, places.taken) == (0, 0)
    assert [line["error_code"] for line in log_lines()] == ["STREAM_TIMEOUT"]


@pytest.mark.parametrize("path", ROUTES)
async def test_many_clients_that_leave_at_any_moment_leave_nothing_behind(path: str) -> None:
    """Zero places taken, zero upstream streams, whenever they went."""
    generator, places = ScriptedGenerator(*f"{ANNUAL_LEAVE} [S1]"), make_places(4)
    app = make_app(pipeline=make_pipeline(generator=generator), places=places)

    async def visit(steps: int) -> None:
        async with Connection(app, "POST", path, body=[BODY], headers=JSON) as connection:
            for _ in range(steps):
                await asyncio.sleep(0)
            await connection.disconnect()

    await asyncio.gather(*(visit(steps) for steps in range(0, 160, 2)))

    assert (generator.open_streams, places.taken) == (0, 0)


async def test_a_server_that_stops_cancels_what_runs() -> None:
    """Cancellation from outside gives everything back as well."""
    generator, places = ScriptedGenerator(HANG), make_places()
    app: Callable[..., Any] = make_app(pipeline=make_pipeline(generator=generator), places=places)

    connection = Connection(app, "POST", "/query/stream", body=[BODY], headers=JSON)
    async with connection:
        await generator.reached.wait()
        connection.kill()

    assert (generator.open_streams, places.taken) == (0, 0)
