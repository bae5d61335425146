"""Answer some paths of a model service without BentoML's middleware and without JSON.

BentoML takes 5 ms of CPU time for a call of an API, as much as the local model for a question: two sets of counters, a
span that is not exported, a timer, a context, and a schema that is made anew for the media type of each response.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from rag.errors import DeadlineExceeded, NotReady
from schemas.errors import ERROR_TABLE

# A question has at most 2000 characters; one that was completed from its history somewhat more.
MAX_BODY_BYTES: Final = 65_536
_MARK: Final = "answers_directly"

_log = logging.getLogger(__name__)

# Any: the service.
Method = TypeVar("Method", bound=Callable[[Any, bytes], Awaitable[bytes]])


def answered_directly(method: Method) -> Method:
    """Serve a method, from body to body, at the path of its name, by POST."""
    setattr(method, _MARK, True)
    return method


def find_paths(service: type) -> dict[str, str]:
    """Return the names of a class's marked methods by their paths."""
    return {f"/{name}": name for name in vars(service) if getattr(vars(service)[name], _MARK, False)}


class DirectPaths:
    """Wraps the application of a service; requests for the marked methods go to them, all others to the application.

    `middleware` are the service's own, the outermost first, as classes with their options. `find` returns the running
    instance, None before its start.
    """

    def __init__(
        self,
        app: ASGIApp,
        paths: Mapping[str, str],
        find: Callable[[], Any],  # Any: the service
        middleware: Sequence[tuple[type, Mapping[str, Any]]] = (),  # Any: their options
    ) -> None:
        self._app = app
        self._paths = paths
        self._find = find
        direct: ASGIApp = self._answer
        for each, options in reversed(middleware):
            direct = each(direct, **options)
        self._direct = direct

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_direct = scope["type"] == "http" and scope["path"] in self._paths
        await (self._direct if is_direct else self._app)(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (await self._respond(scope, receive))(scope, receive, send)

    async def _respond(self, scope: Scope, receive: Receive) -> Response:
        if scope["method"] != "POST":
            return PlainTextResponse("only POST", status_code=405, headers={"allow": "POST"})
        body = await _read_body(receive)
        if body is None:
            return PlainTextResponse("too large", status_code=413)
        try:
            return Response(await self._call(scope["path"], body), media_type="application/octet-stream")
        except (NotReady, DeadlineExceeded) as error:
            return PlainTextResponse(error.message, status_code=ERROR_TABLE[error.code].status)
        except UnicodeDecodeError:
            return PlainTextResponse("no UTF-8", status_code=400)
        except Exception:  # noqa: BLE001  # the edge of the service
            _log.exception("direct_path_failed")
            return PlainTextResponse("failed", status_code=500)

    async def _call(self, path: str, body: bytes) -> bytes:
        instance = self._find()
        if instance is None:
            raise NotReady("The service is starting.")
        told: bytes = await getattr(instance, self._paths[path])(body)
        return told


async def _read_body(receive: Receive) -> bytes | None:
    """Return the body; None if it is too large, without reading on."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            return None
        if not message.get("more_body", False):
            return bytes(body)
