"""An OpenAI-compatible server whose replies and failures a test writes.

It writes HTTP byte by byte, because no library sends half a reply. A script belongs to one trace id, so tests that
share a server share nothing else. Without a script it quotes the first sentence of the prompt's first passage.
"""

import asyncio
import json
import re
import threading
from collections import defaultdict
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar

from rag.text.language import sentence_spans

Result = TypeVar("Result")

USAGE: Final = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
SILENCE: Final = None
# Among the pieces: what comes after it is sent when the test resumes the reply.
PAUSE: Final = b""
_FIRST_PASSAGE: Final = re.compile(r"\[S1\] (.*?)(?=\n\n\[S2\]|\n</)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes out: the head, or `SILENCE`; then pieces of a chunked body; then how it ends."""

    status: int | None = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    pieces: tuple[bytes, ...] = ()
    then: Literal["end", "hang", "cut"] = "end"


@dataclass(slots=True)
class SeenRequest:
    """What came in; `left` is set when the client closed the connection before the reply had its end."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any  # whatever JSON it was
    left: threading.Event = field(default_factory=threading.Event)


def delta(text: str) -> bytes:
    """One event of the stream, its text unescaped."""
    chunk = {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": text}}]}
    return f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n".encode()


def ending(finish_reason: str = "stop") -> bytes:
    last = {"choices": [{"index": 0, "delta": {}, "finish_reason": finish_reason}]}
    usage = {"choices": [], "usage": USAGE}
    return f"data: {json.dumps(last)}\n\ndata: {json.dumps(usage)}\n\ndata: [DONE]\n\n".encode()


def says(*texts: str, finish_reason: str = "stop") -> Reply:
    """A whole answer, one delta per text."""
    return Reply(pieces=(*map(delta, texts), ending(finish_reason)))


def breaks_off(*texts: str, then: Literal["hang", "cut"]) -> Reply:
    """A beginning, and then silence or a closed connection."""
    return Reply(pieces=tuple(map(delta, texts)), then=then)


def fails(status: int, body: str, **headers: str) -> Reply:
    """Headers are given with `_` for `-`."""
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, (body.encode(),))


class ScriptedModel:
    """The server, on the loopback interface, in a thread of its own."""

    def __init__(self) -> None:
        self._scripts: dict[str, Reply] = {}
        self._seen: dict[str, list[SeenRequest]] = defaultdict(list)
        self._resumed: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._port = 0
        self.replying = 0  # connections that are open now

    @property
    def url(self) -> str:
        """As in RAG_GENERATOR_URL."""
        return f"http://127.0.0.1:{self._port}/v1"

    def script(self, trace_id: str, reply: Reply) -> None:
        """Says this to every request with this trace id."""
        self._scripts[trace_id] = reply

    def seen(self, trace_id: str) -> list[SeenRequest]:
        """The requests with this trace id, in their order."""
        return self._seen[trace_id]

    def resume(self, trace_id: str) -> None:
        """Sends what replies with this trace id hold back."""
        self._loop.call_soon_threadsafe(self._resumed[trace_id].set)

    @contextmanager
    def running(self) -> Iterator["ScriptedModel"]:
        thread = threading.Thread(target=self._loop.run_forever, name="scripted-model")
        thread.start()
        try:
            self._wait_for(self._listen())
            yield self
        finally:
            self._wait_for(self._close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()
            self._loop.close()

    @contextmanager
    def unreachable(self) -> Iterator[None]:
        """Connections are refused inside the block."""
        self._wait_for(self._stop_listening())
        try:
            yield
        finally:
            self._wait_for(self._listen())

    def _wait_for(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def _stop_listening(self) -> None:
        assert self._server is not None
        self._server.close()

    async def _close(self) -> None:
        await self._stop_listening()
        serving = asyncio.all_tasks() - {asyncio.current_task()}
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.replying += 1
        try:
            await self._reply(reader, writer)
        finally:
            self.replying -= 1
            writer.close()

    async def _reply(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            request = await _read_request(reader)
            trace_id = request.headers.get("x-trace-id", "")
            self._seen[trace_id].append(request)
            reply = self._scripts.get(trace_id) or _reply_to(request)
            await _unless_left(reader, request, _write_reply(writer, reply, self._resumed[trace_id]))


async def _read_request(reader: asyncio.StreamReader) -> SeenRequest:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
    request_line, *lines = head.rstrip().split("\r\n")
    method, path, _ = request_line.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return SeenRequest(method, path, headers, json.loads(body) if body else None)


async def _write_reply(writer: asyncio.StreamWriter, reply: Reply, resumed: asyncio.Event) -> None:
    if reply.status is SILENCE:
        await _hang()
    headers = {"content-type": "text/event-stream", **reply.headers, "connection": "close"}
    lines = [f"HTTP/1.1 {reply.status} Scripted", *(f"{name}: {value}" for name, value in headers.items())]
    writer.write("\r\n".join([*lines, "transfer-encoding: chunked", "", ""]).encode())
    for piece in reply.pieces:
        if piece == PAUSE:
            await resumed.wait()
            continue
        writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        await writer.drain()
        await asyncio.sleep(0)  # lets the pieces be packets of their own
    if reply.then == "hang":
        await _hang()
    if reply.then == "end":
        writer.write(b"0\r\n\r\n")
    await writer.drain()


async def _unless_left(reader: asyncio.StreamReader, request: SeenRequest, writing: Coroutine[Any, Any, None]) -> None:
    working = asyncio.create_task(writing)
    leaving = asyncio.create_task(reader.read())
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done() or working.exception():
            request.left.set()
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _hang() -> None:
    await asyncio.get_running_loop().create_future()


def _reply_to(request: SeenRequest) -> Reply:
    if request.method == "GET":
        return Reply(headers={"content-type": "application/json"}, pieces=(b'{"object": "list", "data": []}',))
    return says(*quote_first_passage(request.body["messages"][-1]["content"]))


def quote_first_passage(prompt: str) -> tuple[str, str]:
    """The first sentence of what the prompt shows as `[S1]`, and its marker."""
    found = _FIRST_PASSAGE.search(prompt)
    assert found, prompt
    passage = found.group(1)
    start, end = sentence_spans(passage)[0]
    return passage[start:end], " [S1]"
