"""Turn a call of a tool into the HTTP request that asks for the same, and end it if the client cancels it."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from rag.api.json_rpc import Json, MessageId
from rag.api.mcp_tools import GET_SOURCE, Tool
from rag.api.requests import validate
from rag.errors import InvalidRequest
from rag.identity import Principal
from schemas.errors import FieldError
from schemas.request import SourceRequest

SESSION_HEADER: Final = "mcp-session-id"
# In place of the client's own, which describe its message and not the arguments of the tool.
_TOOL_HEADERS: Final = ((b"content-type", b"application/json"), (b"accept", b"application/json"))
_REPLACED: Final = frozenset({b"content-type", b"content-length", b"transfer-encoding", b"accept", b"last-event-id"})

CallKey = tuple[str, str, MessageId]  # principal, session, request


@dataclass(frozen=True, slots=True)
class Call:
    """One `tools/call`: the connection, and what was asked."""

    scope: Scope
    receive: Receive
    send: Send
    headers: Headers
    principal: Principal
    id: MessageId
    params: Json

    @property
    def progress_token(self) -> MessageId | None:
        """The client's name for the progress of this call; None if it wants to hear nothing."""
        meta = self.params.get("_meta")
        token = meta.get("progressToken") if isinstance(meta, dict) else None
        return token if isinstance(token, int | str) and not isinstance(token, bool) else None


class RunningCalls:
    """The calls that run in this process, to be cancelled by name."""

    def __init__(self) -> None:
        self._running: dict[CallKey, asyncio.Event] = {}

    @contextmanager
    def running(self, key: CallKey | None) -> Iterator[asyncio.Event]:
        """Provide the event that is set if the call is cancelled."""
        cancelled = asyncio.Event()
        if key is not None:
            self._running[key] = cancelled
        try:
            yield cancelled
        finally:
            if key is not None and self._running.get(key) is cancelled:
                del self._running[key]

    def cancel(self, key: CallKey | None) -> None:
        """Cancel the call; do nothing if it does not run here."""
        if key is not None and key in self._running:
            self._running[key].set()


def make_key(principal: Principal, headers: Headers, request_id: object) -> CallKey | None:
    """Return the name of a call: nobody can name another caller's; None if it has no session."""
    session = headers.get(SESSION_HEADER)
    if session is None or not isinstance(request_id, int | str):
        return None
    return principal.id, session, request_id


def make_request(tool: Tool, arguments: Json, call: Call, cancelled: asyncio.Event) -> tuple[Scope, Receive]:
    """Return the HTTP request that asks for the same.

    Raises: InvalidRequest: the arguments cannot be part of one.
    """
    try:
        body = json.dumps(arguments, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except ValueError as error:  # the parser's infinity, or half a surrogate pair
        raise InvalidRequest([FieldError(path="", reason="holds a number or a text that no field takes")]) from error
    kept = [(name, value) for name, value in call.scope["headers"] if name not in _REPLACED]
    scope = {**call.scope, "method": "POST", "query_string": b"", "headers": [*kept, *_TOOL_HEADERS]}
    if tool is GET_SOURCE:
        chunk_id = validate(SourceRequest, arguments).chunk_id
        scope |= {"method": "GET", "path_params": {"chunk_id": chunk_id}}
    return scope, _Incoming(body, call.receive, cancelled)


class _Incoming:
    """What an endpoint receives: the arguments as its body, then the end of the connection or of the call."""

    def __init__(self, body: bytes, receive: Receive, cancelled: asyncio.Event) -> None:
        self._body: bytes | None = body
        self._receive = receive
        self._cancelled = cancelled

    async def __call__(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        receiving = asyncio.ensure_future(self._receive())
        cancelling = asyncio.create_task(self._cancelled.wait())
        try:
            await asyncio.wait({receiving, cancelling}, return_when=asyncio.FIRST_COMPLETED)
            return {"type": "http.disconnect"} if cancelling.done() else receiving.result()
        finally:
            receiving.cancel()
            cancelling.cancel()
            await asyncio.gather(receiving, cancelling, return_exceptions=True)
