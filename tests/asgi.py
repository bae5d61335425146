"""An ASGI client that a test controls step by step: `httpx.ASGITransport` waits for the whole response, so it can
neither read a stream while it grows nor disconnect in the middle.
"""

import asyncio
import json
from dataclasses import dataclass
from typing import Any, Self

from starlette.types import ASGIApp, Message


@dataclass(frozen=True, slots=True)
class SentEvent:
    """One server-sent event as a client reads it."""

    id: int
    name: str
    data: dict[str, Any]


class Connection:
    """One request on one connection; leaving the block disconnects and waits until the app has let go."""

    def __init__(
        self,
        app: ASGIApp,
        method: str,
        path: str,
        *,
        query: str = "",
        body: list[bytes] | None = None,
        headers: dict[str, str] | None = None,
        ends: bool = True,
    ) -> None:
        self._app = app
        self._scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [
                (name.lower().encode(), value.encode()) for name, value in ({"host": "rag"} | (headers or {})).items()
            ],
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", 3000),
        }
        self._incoming: asyncio.Queue[Message] = asyncio.Queue()
        self._outgoing: asyncio.Queue[Message] = asyncio.Queue()
        for chunk in body or []:
            self._incoming.put_nowait({"type": "http.request", "body": chunk, "more_body": True})
        if ends:
            self._incoming.put_nowait({"type": "http.request", "body": b"", "more_body": False})
        self._buffer = ""
        self.reads = True  # False: a client whose window is full

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.disconnect()

    async def disconnect(self) -> None:
        """Closes the connection and waits until the app is done with it."""
        self._incoming.put_nowait({"type": "http.disconnect"})
        await asyncio.wait_for(asyncio.gather(self._task, return_exceptions=True), 5)

    def kill(self) -> None:
        """Cancels the request from the server's side."""
        self._task.cancel()

    @property
    def unread(self) -> int:
        """Messages of the client that the app has not asked for."""
        return self._incoming.qsize()

    async def finished(self) -> None:
        await asyncio.wait_for(asyncio.shield(self._task), 5)

    async def head(self) -> tuple[int, dict[str, str]]:
        """Status and headers, as soon as they are sent."""
        message = await self._next()
        assert message["type"] == "http.response.start"
        return message["status"], {name.decode(): value.decode() for name, value in message["headers"]}

    async def text(self) -> str:
        """The rest of the body."""
        chunks = []
        while True:
            message = await self._next()
            chunks.append(message.get("body", b""))
            if not message.get("more_body", False):
                return b"".join(chunks).decode()

    async def json(self) -> Any:
        return json.loads(await self.text())

    async def block(self) -> str | None:
        """The next block of an event stream, or None at its end."""
        while "\n\n" not in self._buffer:
            message = await self._next()
            self._buffer += message.get("body", b"").decode()
            if not message.get("more_body", False):
                return None
        block, _, self._buffer = self._buffer.partition("\n\n")
        return block

    async def event(self) -> SentEvent | None:
        """The next event; comments are passed over."""
        while (block := await self.block()) is not None:
            if not block.startswith(":"):
                return parse_event(block)
        return None

    async def events(self) -> list[SentEvent]:
        """All that is left of the stream."""
        found = []
        while (event := await self.event()) is not None:
            found.append(event)
        return found

    async def _run(self) -> None:
        await self._app(self._scope, self._incoming.get, self._take)

    async def _take(self, message: Message) -> None:
        if not self.reads:
            await asyncio.get_running_loop().create_future()
        self._outgoing.put_nowait(message)

    async def _next(self) -> Message:
        getting = asyncio.create_task(self._outgoing.get())
        await asyncio.wait({getting, self._task}, timeout=5, return_when=asyncio.FIRST_COMPLETED)
        if not getting.done():
            await asyncio.sleep(0)
        if not getting.done():
            getting.cancel()
            raise AssertionError("the app sends no more")
        return getting.result()


def parse_event(block: str) -> SentEvent:
    """Strict on purpose: three lines in this order, and nothing else."""
    id_line, event_line, data_line = block.split("\n")
    assert id_line.startswith("id: ")
    assert event_line.startswith("event: ")
    assert data_line.startswith("data: ")
    return SentEvent(int(id_line[4:]), event_line[7:], json.loads(data_line[6:]))


def parse_events(stream: str) -> list[SentEvent]:
    """A whole event stream; it ends with the blank line of its last event."""
    assert stream.endswith("\n\n")
    return [parse_event(block) for block in stream[:-2].split("\n\n") if not block.startswith(":")]
