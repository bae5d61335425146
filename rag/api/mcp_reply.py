"""Send what answers one request of `/mcp`: one JSON body, or events of which the last one is the response.

Source: MCP 2025-11-25, "Transports", section "Sending Messages to the Server"; "Progress".
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from starlette.datastructures import Headers
from starlette.types import Send

from rag.api.accept import JSON, weigh
from rag.api.exchange import send_body
from rag.api.json_rpc import Json, MessageId, encode, make_notification
from rag.api.sse import EventWriter, RawHeaders

_EVENTS: Final = "text/event-stream"


class Reply:
    """The response to one request: one JSON body, or a stream of events whose last one is the response.

    Events have no ids: a stream cannot be taken up again, and a client that lost one has to ask anew.
    """

    def __init__(self, send: Send, writer: EventWriter | None, headers: RawHeaders) -> None:
        self._send = send
        self._writer = writer
        self._headers = headers
        self.is_finished = False  # the response was begun, it may not have arrived

    async def notify(self, notification: Json) -> None:
        if self._writer is not None:
            await self._writer.send_chunk(_encode_event(notification))

    async def finish(self, response: Json) -> None:
        self.is_finished = True
        if self._writer is not None:
            await self._writer.send_chunk(_encode_event(response))
        else:
            await send_body(self._send, encode(response), JSON.encode(), headers=self._headers)

    async def withdraw(self, response: Json) -> None:
        """End a cancelled request: a stream just ends, HTTP itself wants a body."""
        if self._writer is None and not self.is_finished:
            await self.finish(response)


@asynccontextmanager
async def replying(
    send: Send, headers: Headers, *, wants_events: bool = False, session: RawHeaders = ()
) -> AsyncIterator[Reply]:
    """Provide the reply in the form that the client takes: events only if it wants them, or takes nothing else."""
    accept = ",".join(headers.getlist("accept"))
    as_events, as_json = weigh(accept, _EVENTS), weigh(accept, JSON)
    async with AsyncExitStack() as stack:
        writer = None
        if as_events and (wants_events or not as_json):
            writer = await stack.enter_async_context(EventWriter(send, headers=session))
        yield Reply(send, writer, session)


class Progress:
    """Tells the client that its call advances, if it asked for that and reads events."""

    def __init__(self, reply: Reply, token: MessageId | None) -> None:
        self._reply = reply
        self._token = token
        self._steps = 0

    async def report(self, text: str) -> None:
        if self._token is not None:
            self._steps += 1  # nobody knows how many there will be: no `total`
            params = {"progressToken": self._token, "progress": self._steps, "message": text}
            await self._reply.notify(make_notification("notifications/progress", params))


def _encode_event(message: Json) -> bytes:
    return b"event: message\ndata: " + encode(message) + b"\n\n"
