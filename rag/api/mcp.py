"""`/mcp`: the Model Context Protocol over streamable HTTP, for the assistants that call `search`, `ask`, `get_source`.

Written by hand over the endpoints that exist, and not with the package `mcp`: importing its server takes 440 ms and 27
MB in each front process, and its session manager wants a task group of its own, while what is needed of the protocol is
one request and one response. The endpoints give identity, limits, deadlines, places and the log line.

No state is kept between requests, so any replica can answer any of them. The session id that `initialize` hands out is
a random name and nothing more: with it a `notifications/cancelled` finds the call that it means, if both come to one
process. A client that closes the connection ends its call anywhere: the result could not be fetched later.

Failures of a tool are results with `isError` and the contract's body as text, so that the model can read them. What is
refused before a tool is known (credentials, body, media type, origin) is an HTTP error as everywhere.
Source: MCP 2025-11-25, "Transports", section "Streamable HTTP", and "Tools".
"""

import asyncio
import json
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import Message as AsgiMessage
from starlette.types import Receive, Scope, Send

from rag import VERSION
from rag.api.chunks import ChunkEndpoint
from rag.api.exchange import (
    GRACE_S,
    End,
    Endpoint,
    QueryDesk,
    QueryEndpoint,
    Settle,
    log_failure,
    send_head,
)
from rag.api.json_rpc import (
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    REQUEST_CANCELLED,
    Json,
    Message,
    MessageId,
    make_error,
    make_result,
)
from rag.api.mcp_calls import SESSION_HEADER, Call, RunningCalls, make_key, make_request
from rag.api.mcp_reply import Progress, Reply, replying
from rag.api.mcp_tools import ASK, GET_SOURCE, INSTRUCTIONS, SEARCH, TOOLS, Tool
from rag.api.rendering import RequestState, render
from rag.api.requests import read_body
from rag.api.search import SearchEndpoint
from rag.errors import BadRequest, NotFound, OurFault, RagError
from rag.identity import Principal
from rag.limits import Deadline
from rag.observability.telemetry import QueryRecord
from schemas.errors import ErrorCode
from schemas.events import CitationEvent, Event, MetaEvent

# Those that come over streamable HTTP and begin with `initialize`; the newest last. Of 2025-03-26 batches are left out.
PROTOCOL_VERSIONS: Final = ("2025-03-26", "2025-06-18", "2025-11-25")
VERSION_HEADER: Final = "mcp-protocol-version"

Report = Callable[[str], Awaitable[None]]


class McpEndpoint(Endpoint):
    """Answers one message of the protocol per HTTP request; a call of a tool is reported under the tool's label."""

    def __init__(self, desk: QueryDesk, *, model_version: str) -> None:
        super().__init__(desk, timeout_s=desk.request_timeout_s)
        self._model_version = model_version
        self._calls = RunningCalls()
        self._answers: Mapping[str, Callable[[Json], Json | None]] = MappingProxyType(
            {"initialize": _initialize, "ping": lambda _: {}, "tools/list": lambda _: _TOOL_LIST}
        )

    async def _serve(self, scope: Scope, receive: Receive, send: Send, record: QueryRecord, deadline: Deadline) -> End:
        headers = Headers(scope=scope)
        principal = await self._identify(headers, record)
        async with deadline.enforced():
            message = await read_body(Message, headers, receive)
        if message.method != "initialize":
            _require_version(headers)
        if message.method is None or message.id is None:
            self._take_notice(message, principal, headers)
            async with deadline.enforced():
                return await send_head(send, 202)
        # One bound over everything, also over the end of a stream that the client does not read.
        async with Deadline.after(deadline.left_s() + 3 * GRACE_S).enforced():
            if message.method != "tools/call":
                return await self._answer_message(message, message.id, headers, send)
            call = Call(scope, receive, send, headers, principal, message.id, message.fields)
            return await self._call(call, record, deadline)

    def _take_notice(self, message: Message, principal: Principal, headers: Headers) -> None:
        if message.method == "notifications/cancelled":
            self._calls.cancel(make_key(principal, headers, message.fields.get("requestId")))

    async def _answer_message(self, message: Message, message_id: MessageId, headers: Headers, send: Send) -> End:
        answer = self._answers.get(message.method or "")
        result = answer(message.fields) if answer else None
        if answer is None:
            response = make_error(message_id, METHOD_NOT_FOUND, "This server does not have this method.")
        elif result is None:
            response = make_error(message_id, INVALID_PARAMS, "The parameters do not fit the method.")
        else:
            response = make_result(message_id, result)
        # A random name, see above.
        session = [(SESSION_HEADER.encode(), uuid.uuid4().hex.encode())] if message.method == "initialize" else []
        async with replying(send, headers, session=session) as reply:
            await reply.finish(response)
        return "unasked"

    async def _call(self, call: Call, record: QueryRecord, deadline: Deadline) -> End:
        tool = next((each for each in TOOLS if each.route.name == call.params.get("name")), None)
        arguments = call.params.get("arguments", {})
        if tool is None or not isinstance(arguments, dict):
            reason = "There is no such tool." if tool is None else "The arguments are not an object."
            async with replying(call.send, call.headers) as reply:
                await reply.finish(make_error(call.id, INVALID_PARAMS, reason))
            return ErrorCode.VALIDATION_ERROR
        record.route = tool.route.label
        record.model_version = self._model_version
        with self._calls.running(make_key(call.principal, call.headers, call.id)) as cancelled:
            end: End | None = None
            async with replying(call.send, call.headers, wants_events=call.progress_token is not None) as reply:
                try:
                    end = await self._run(
                        tool, arguments, call, reply, cancelled=cancelled, record=record, deadline=deadline
                    )
                except ClientDisconnect:
                    if not cancelled.is_set():
                        raise
                    await reply.withdraw(make_error(call.id, REQUEST_CANCELLED, "The request was cancelled."))
            if end is None:
                raise ClientDisconnect  # to be reported as such
            return end

    async def _run(
        self,
        tool: Tool,
        arguments: Json,
        call: Call,
        reply: Reply,
        *,
        cancelled: asyncio.Event,
        record: QueryRecord,
        deadline: Deadline,
    ) -> End:
        """Answer one call by the endpoint that answers such requests over HTTP; its failure becomes a result too."""

        async def send(message: AsgiMessage) -> None:
            if message["type"] == "http.response.body":
                await reply.finish(make_result(call.id, _describe_result(message["body"])))

        error: RagError
        try:
            endpoint = self._open(tool, call.principal, Progress(reply, call.progress_token).report)
            scope, receive = make_request(tool, arguments, call, cancelled)
            return await endpoint.serve_within(scope, receive, send, record, deadline)
        except ClientDisconnect:
            raise
        except RagError as failure:
            error = NotFound("No chunk has this id.") if isinstance(failure, NotFound) else failure
            if error.code is ErrorCode.INTERNAL_ERROR:
                log_failure(record)
        except Exception:  # noqa: BLE001  # as in `Endpoint`: the client gets a body and the log gets the cause
            log_failure(record)
            error = OurFault()
        if reply.is_finished:
            return ErrorCode.STREAM_TIMEOUT if error.code is ErrorCode.MODEL_TIMEOUT else error.code
        async with Deadline.after(GRACE_S).enforced():  # a client that does not read must not hold the request
            await reply.finish(make_result(call.id, _describe_failure(error, record)))
        return error.code

    def _open(self, tool: Tool, principal: Principal, report: Report) -> Endpoint:
        """Return the tool's endpoint, for a caller that is known already."""
        desk = replace(self._desk, authenticator=_Known(principal))
        if tool is ASK:
            return _AskEndpoint(desk, report)
        if tool is SEARCH:
            return SearchEndpoint(desk)
        assert tool is GET_SOURCE
        return ChunkEndpoint(desk, model_version=self._model_version)


class _Known:
    """An authenticator for a caller that has shown its credentials."""

    def __init__(self, principal: Principal) -> None:
        self._principal = principal

    async def authenticate(self, headers: Mapping[str, str]) -> Principal:
        return self._principal


class _AskEndpoint(QueryEndpoint):
    """`POST /query` that reports what has been found and cited so far; the text itself goes out whole."""

    def __init__(self, desk: QueryDesk, report: Report) -> None:
        super().__init__(desk, streams=False)
        self._report = report

    async def _send_whole(
        self, send: Send, events: AsyncGenerator[Event, None], record: QueryRecord, settle: Settle
    ) -> End:
        async with aclosing(self._watch(events)) as watched:
            return await super()._send_whole(send, watched, record, settle)

    async def _watch(self, events: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
        async for event in events:
            if isinstance(event, MetaEvent):
                await self._report("The documents were searched; the answer is being made and checked.")
            elif isinstance(event, CitationEvent):
                await self._report(f"[{event.citation.source_id}] {event.citation.title}")
            yield event


def _require_version(headers: Headers) -> None:
    """Raises: BadRequest: the client speaks another version. Without the header it is taken for the oldest."""
    if headers.get(VERSION_HEADER, PROTOCOL_VERSIONS[0]) not in PROTOCOL_VERSIONS:
        raise BadRequest(f"MCP-Protocol-Version must be one of {', '.join(PROTOCOL_VERSIONS)}.")


def _initialize(params: Json) -> Json | None:
    """Answer with the client's version if it is known here, else with the newest, which the client may refuse."""
    asked = params.get("protocolVersion")
    if not isinstance(asked, str):
        return None
    return {
        "protocolVersion": asked if asked in PROTOCOL_VERSIONS else PROTOCOL_VERSIONS[-1],
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "rag", "title": "RAG", "version": VERSION},
        "instructions": INSTRUCTIONS,
    }


def _describe_result(body: bytes) -> Json:
    """The body of the HTTP response, as text for clients that do not read structured content."""
    content = [{"type": "text", "text": body.decode()}]
    return {"content": content, "structuredContent": json.loads(body), "isError": False}


def _describe_failure(error: RagError, record: QueryRecord) -> Json:
    """The contract's error body as text; not structured, because the tool's schema describes results."""
    response = render(error, RequestState(record.trace_id, record.route))
    result: Json = {"content": [{"type": "text", "text": bytes(response.body).decode()}], "isError": True}
    if "retry-after" in response.headers:
        result["_meta"] = {"retry_after_s": int(response.headers["retry-after"])}
    return result


_TOOL_LIST: Final[Json] = {"tools": [tool.describe() for tool in TOOLS]}
