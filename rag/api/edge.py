"""Add trace ids, refuse unknown paths and methods, and give every error the contract's body: the outermost layer.

BentoML answers unknown paths, overload, timeouts and its own failures outside the mounted app and outside
`add_asgi_middleware`; only a wrapper around `Service.to_asgi()` sees those responses.
"""

import asyncio
import logging
import re
import uuid
from collections.abc import Collection, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.utils import ClientDisconnected

from rag.api.cross_origin import CrossOrigin
from rag.api.rendering import RequestState, render
from rag.api.routes import LOGGED, ApiRoute, find_route
from rag.errors import BadRequest, Forbidden, RagError
from rag.observability.telemetry import QueryRecord
from schemas.errors import ErrorCode
from schemas.request import TRACE_ID_PATTERN

# BentoML sends 429 for too many concurrent requests, which is CONCURRENCY_LIMIT in the contract.
_CODES: Final[Mapping[int, ErrorCode]] = MappingProxyType(
    {
        401: ErrorCode.UNAUTHORIZED,
        403: ErrorCode.FORBIDDEN,
        404: ErrorCode.NOT_FOUND,
        405: ErrorCode.METHOD_NOT_ALLOWED,
        413: ErrorCode.PAYLOAD_TOO_LARGE,
        415: ErrorCode.UNSUPPORTED_MEDIA_TYPE,
        422: ErrorCode.VALIDATION_ERROR,
        431: ErrorCode.HEADERS_TOO_LARGE,
        429: ErrorCode.CONCURRENCY_LIMIT,
        502: ErrorCode.UPSTREAM_ERROR,
        503: ErrorCode.NOT_READY,
        504: ErrorCode.MODEL_TIMEOUT,
    }
)
_TRACE_ID: Final = re.compile(TRACE_ID_PATTERN)
# Limits for reading the rest of a refused body, so that the client gets to read the response.
_DRAIN_TIMEOUT_S: Final = 2.0
_DRAIN_MAX_BYTES: Final = 32 << 20

logger = logging.getLogger(__name__)


class ContractEdge:
    """Wraps the whole server application; requests for paths of the contract go directly to `ours`.

    BentoML's own middleware would take a third of the front's time for a request: a timer that holds 5 KB for 90 s, a
    span, two sets of counters, and a context that nothing reads.
    """

    def __init__(self, server: ASGIApp, *, ours: ASGIApp, origins: Collection[str] = ()) -> None:
        """Wrap `server`; pages of these `origins` may read the responses."""
        self._server = server
        self._ours = ours
        self._cross_origin = CrossOrigin(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await _refuse_websocket(scope, receive, send)
            return
        if scope["type"] != "http":
            await self._server(scope, receive, send)
            return
        headers, route = Headers(scope=scope), find_route(scope["path"])
        state = RequestState(
            _trace_id(headers), route.path if route else "", speaks_openai=route is not None and route.speaks_openai
        )
        exit_ = _Exit(state, scope, receive, send, self._cross_origin.headers_for(headers))
        if len(headers.getlist("host")) != 1:  # with two, a proxy and this service may follow different ones
            await exit_.refuse(BadRequest("The request must have exactly one Host."))
        elif route is None:
            await exit_.refuse(ErrorCode.NOT_FOUND)
        elif preflight := self._cross_origin.answer_preflight(scope["method"], headers, route.methods):
            await preflight(scope, exit_.receive, exit_.send)
        elif route.checks_origin and self._cross_origin.refuses(headers):
            await exit_.refuse(Forbidden("Pages of this origin may not call this path."))
        elif scope["method"] not in route.methods:
            await exit_.refuse(ErrorCode.METHOD_NOT_ALLOWED, {"allow": ", ".join(route.methods)})
        else:
            app = self._ours if route.is_ours else self._server
            await self._pass(app, state.attach(_routed(scope, route)), exit_)

    async def _pass(self, app: ASGIApp, scope: Scope, exit_: "_Exit") -> None:
        try:
            await app(scope, exit_.receive, exit_.send)
        except Exception:
            logger.exception("request_failed", extra={"fields": {"trace_id": RequestState.of(scope).trace_id}})
            if RequestState.of(scope).started:
                raise  # the status has been sent: the server closes the connection, which the client notices
            await exit_.send_error(ErrorCode.INTERNAL_ERROR)


class _Exit:
    """The response side of one request: adds the trace id, and gives errors made elsewhere the contract's body."""

    def __init__(
        self, state: RequestState, scope: Scope, receive: Receive, send: Send, headers: list[tuple[str, str]]
    ) -> None:
        """Wrap `receive` and `send`; `headers` are added to every response."""
        self._state = state
        self._scope = scope
        self._receive = receive
        self._send = send
        self._headers = headers
        self._drops_body = False
        self._drains = False
        self._body_read = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._body_read = self._body_read or not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] != "http.response.start":
            if not self._drops_body:
                await self._send_body(message)
            return
        status = message["status"]
        if status >= 400 and not self._state.rendered:
            await self.send_error(_CODES.get(status, _default_code(status)), _kept_headers(message))
            return
        self._state.started = True
        await self._send(self._traced(message))

    async def refuse(self, error: RagError | ErrorCode, headers: Mapping[str, str] | None = None) -> None:
        """Refuse a request that no handler has seen; write the log line if it is for a query route."""
        if self._state.route in LOGGED:
            code = error if isinstance(error, ErrorCode) else error.code
            QueryRecord(self._state.trace_id, self._state.route).report(code)
        await self.send_error(error, headers)

    async def send_error(self, error: RagError | ErrorCode, headers: Mapping[str, str] | None = None) -> None:
        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                await self._send(self._traced(message))
            else:
                await self._send_body(message)

        self._drops_body = True
        self._state.started = True
        await render(error, self._state, headers=headers)(self._scope, self._receive, send)

    async def _send_body(self, message: Message) -> None:
        """Send a body message (empty for HEAD); end an error response only after reading the request's body.

        Closing a connection with unread data resets it, and the client may then never see the response.
        """
        if self._scope["method"] == "HEAD":
            message = {**message, "body": b""}
        if not self._drains or self._body_read or message.get("more_body", False):
            await self._send(message)
            return
        await self._send({**message, "more_body": True})
        with suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_TIMEOUT_S):
                unread_bytes = _DRAIN_MAX_BYTES
                while unread_bytes > 0 and not self._body_read:
                    unread_bytes -= len((await self.receive()).get("body", b""))
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    def _traced(self, message: Message) -> Message:
        # Errors, and the 204 for a reconnecting stream, may be sent before the request's body has been read.
        self._drains = message["status"] >= 400 or message["status"] == 204
        headers = MutableHeaders(raw=list(message.get("headers", [])))
        headers["x-trace-id"] = self._state.trace_id
        for name, value in self._headers:
            headers.append(name, value)
        return {**message, "headers": headers.raw}


async def _refuse_websocket(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a WebSocket handshake with NOT_FOUND, because no path supports WebSocket.

    Raises: ClientDisconnected: always after a response with a body; uvicorn needs it.
    """
    state = RequestState(_trace_id(Headers(scope=scope)), route="")

    async def send_denial(message: Message) -> None:
        headers = [*message.get("headers", []), (b"x-trace-id", state.trace_id.encode())]
        extra = {"headers": headers} if message["type"] == "http.response.start" else {}
        await send({**message, **extra, "type": f"websocket.{message['type']}"})

    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close"})
        return
    await render(ErrorCode.NOT_FOUND, state)({**scope, "type": "http", "method": "GET"}, receive, send_denial)
    # Otherwise uvicorn logs an error about the missing handshake, although the denial is complete.
    raise ClientDisconnected


def _trace_id(headers: Headers) -> str:
    given = headers.get("x-trace-id", "")
    return given if _TRACE_ID.fullmatch(given) else f"tr_{uuid.uuid4().hex}"


def _routed(scope: Scope, route: ApiRoute) -> Scope:
    """Rewrite the path, and HEAD to GET except for streams, for our own handlers; `_Exit` drops the body of HEAD."""
    path = route.handled_as
    routed = {**scope, "path": path, "raw_path": path.encode()} if path else scope
    is_read = scope["method"] == "HEAD" and route.is_ours and not route.streams
    return {**routed, "method": "GET"} if is_read else routed


def _kept_headers(message: Message) -> dict[str, str]:
    headers = Headers(raw=list(message.get("headers", [])))
    return {name: headers[name] for name in ("allow", "retry-after") if name in headers}


def _default_code(status: int) -> ErrorCode:
    return ErrorCode.BAD_REQUEST if status < 500 else ErrorCode.INTERNAL_ERROR
