"""The outermost layer: trace ids, known paths and methods, and the contract's body on every error whoever makes it.

BentoML answers unknown paths, overload, timeouts and its own failures outside the mounted app and outside
`add_asgi_middleware`; only a wrapper around `Service.to_asgi()` sees those.
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
from rag.errors import BadRequest, RagError
from rag.telemetry import QueryRecord
from schemas.errors import ErrorCode
from schemas.request import TRACE_ID_PATTERN

# 429 is BentoML's word for "too many at once", which the contract calls CONCURRENCY_LIMIT.
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
# What is read of a refused body, so that its sender comes to read the answer.
_DRAIN_TIMEOUT_S: Final = 2.0
_DRAIN_MAX_BYTES: Final = 32 << 20

logger = logging.getLogger(__name__)


class ContractEdge:
    """Wraps the whole server application; what the contract describes goes to `ours` directly.

    On the way through BentoML a request would pass a timer that holds 5 KB for 90 s, a span, two sets of counters and a
    context that nobody reads: a third of the time that the front takes for it.
    """

    def __init__(self, server: ASGIApp, *, ours: ASGIApp, origins: Collection[str] = ()) -> None:
        """`origins` are those whose pages may read the answers."""
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
        state = RequestState(_trace_id(headers), route.path if route else "")
        exit_ = _Exit(state, scope, receive, send, self._cross_origin.headers_for(headers))
        if len(headers.getlist("host")) != 1:  # two of them may lead a proxy and us to two places
            await exit_.refuse(BadRequest("The request must have exactly one Host."))
        elif route is None:
            await exit_.refuse(ErrorCode.NOT_FOUND)
        elif preflight := self._cross_origin.answer_preflight(scope["method"], headers, route.methods):
            await preflight(scope, exit_.receive, exit_.send)
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
                raise  # the status is spent: the server closes the connection, and the client sees that it broke
            await exit_.send_error(ErrorCode.INTERNAL_ERROR)


class _Exit:
    """The way out of one request: adds the trace id, and puts the contract's body in the place of foreign errors."""

    def __init__(
        self, state: RequestState, scope: Scope, receive: Receive, send: Send, headers: list[tuple[str, str]]
    ) -> None:
        """`headers` are added to the response, whatever it is."""
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
        """Answers a request that nobody has seen; one for an answer leaves its line in the log."""
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
        """Ends an error's response only after the request's body; to HEAD there is none.

        A connection that is closed with something unread is reset, and then the client may never see the answer.
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
        # Errors, and the 204 to a stream that is not begun again, may come before the body was read.
        self._drains = message["status"] >= 400 or message["status"] == 204
        headers = MutableHeaders(raw=list(message.get("headers", [])))
        headers["x-trace-id"] = self._state.trace_id
        for name, value in self._headers:
            headers.append(name, value)
        return {**message, "headers": headers.raw}


async def _refuse_websocket(scope: Scope, receive: Receive, send: Send) -> None:
    """No path speaks it: the handshake is answered like any request for a path that is not there.

    Raises: ClientDisconnected: at the end of an answer with a body.
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
    # What uvicorn understands: after a denial that is merely complete it logs an error about the missing handshake.
    raise ClientDisconnected


def _trace_id(headers: Headers) -> str:
    given = headers.get("x-trace-id", "")
    return given if _TRACE_ID.fullmatch(given) else f"tr_{uuid.uuid4().hex}"


def _routed(scope: Scope, route: ApiRoute) -> Scope:
    """As our own handlers know it: they answer HEAD as GET, but for streams, and the body is left out on the way."""
    path = route.handled_as
    routed = {**scope, "path": path, "raw_path": path.encode()} if path else scope
    is_read = scope["method"] == "HEAD" and route.is_ours and not route.streams
    return {**routed, "method": "GET"} if is_read else routed


def _kept_headers(message: Message) -> dict[str, str]:
    headers = Headers(raw=list(message.get("headers", [])))
    return {name: headers[name] for name in ("allow", "retry-after") if name in headers}


def _default_code(status: int) -> ErrorCode:
    return ErrorCode.BAD_REQUEST if status < 500 else ErrorCode.INTERNAL_ERROR
