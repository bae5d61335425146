"""Paths of a model service that are answered without BentoML."""

import asyncio
import warnings
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from rag.engines.batching import CALLER_DEADLINE
from rag.errors import DeadlineExceeded, NotReady
from rag.serving.direct import MAX_BODY_BYTES, DirectPaths, answered_directly, find_paths
from tests.asgi import Connection

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what BentoML warns of while it is imported is not ours to mend
    from rag.serving.bento_batching import WhileWaiting


class Echo:
    """A service with one marked method."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.deadline: float | None = None
        self.reached = asyncio.Event()
        self.open = asyncio.Event()
        self.was_cancelled = False
        self.open.set()

    @answered_directly
    async def echo(self, body: bytes) -> bytes:
        self.deadline = CALLER_DEADLINE.get()
        self.reached.set()
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        if self.error:
            raise self.error
        return body[::-1]

    async def other(self, body: bytes) -> bytes:
        return body


async def bento(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("BentoML's")(scope, receive, send)


def wrap(service: Echo | None) -> DirectPaths:
    return DirectPaths(bento, find_paths(Echo), lambda: service, [(WhileWaiting, {})])


@pytest.fixture
async def service() -> Echo:
    return Echo()


@pytest.fixture
async def http(service: Echo) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(wrap(service))
    async with httpx.AsyncClient(base_url="http://service", transport=transport) as client:
        yield client


async def test_only_marked_methods_are_paths(http: httpx.AsyncClient) -> None:
    """All others are the application's, and so is every path that is none of ours."""
    told = await http.post("/echo", content=b"abc")
    others = [await http.post(path, content=b"abc") for path in ("/other", "/echo/", "/", "/metrics")]

    assert find_paths(Echo) == {"/echo": "echo"}
    assert (told.content, told.headers["content-type"]) == (b"cba", "application/octet-stream")
    assert {each.text for each in others} == {"BentoML's"}


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotReady("full"), 503),
        (DeadlineExceeded(), 504),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"), 400),
        (RuntimeError("secret"), 500),
        (ValueError("secret"), 500),
    ],
)
async def test_a_failure_is_a_status(http: httpx.AsyncClient, service: Echo, error: Exception, status: int) -> None:
    """The ones that BentoML would give, without the words of the cause."""
    service.error = error

    response = await http.post("/echo", content=b"abc")

    assert response.status_code == status
    assert "secret" not in response.text


async def test_what_is_no_call_is_refused(http: httpx.AsyncClient) -> None:
    """Another method, and a body that no question has."""
    assert (await http.get("/echo")).status_code == 405
    assert (await http.post("/echo", content=b"x" * (MAX_BODY_BYTES + 1))).status_code == 413
    assert (await http.post("/echo", content=b"x" * MAX_BODY_BYTES)).status_code == 200


async def test_a_service_that_is_not_there_yet_is_not_ready() -> None:
    """It answers once BentoML has made it."""
    async with httpx.AsyncClient(base_url="http://service", transport=httpx.ASGITransport(wrap(None))) as client:
        assert (await client.post("/echo", content=b"abc")).status_code == 503


async def test_the_services_own_middleware_stands_before_it(http: httpx.AsyncClient, service: Echo) -> None:
    """A caller's deadline is known, as for every API."""
    before = asyncio.get_running_loop().time()

    await http.post("/echo", content=b"abc", headers={"x-timeout-ms": "5000"})

    assert service.deadline is not None
    assert service.deadline >= before + 5


async def test_a_caller_that_leaves_ends_its_work(service: Echo) -> None:
    """Nobody computes for it any longer."""
    service.open.clear()
    async with Connection(wrap(service), "POST", "/echo", body=[b"abc"]) as connection:
        await service.reached.wait()
        await connection.disconnect()
        status, _ = await connection.head()

    assert service.was_cancelled
    assert status == 499


async def test_the_life_of_the_server_is_the_applications() -> None:
    """Its start and its end pass by."""
    seen: list[str] = []

    async def note(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    await DirectPaths(note, {"/echo": "echo"}, Echo)({"type": "lifespan"}, asyncio.Event().wait, bento)  # type: ignore[arg-type]

    assert seen == ["lifespan"]
