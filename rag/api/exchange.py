"""Handle one request over HTTP, from its headers to its log line: identity, schema, quotas, place, pipeline, response.

All of it runs inside one ASGI call, so that every exit path releases what was acquired, and one watcher notices a
disconnect at any time.
"""

import asyncio
import logging
import random
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from pydantic import BaseModel
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from rag.api.origin import find_base_url
from rag.api.rendering import RequestState, render
from rag.api.requests import parse_query, read_body
from rag.api.sse import PING_AFTER_S, STREAM_HEADERS, EventWriter, RawHeaders, until_terminal
from rag.api.ui_answer import UI_STREAM_HEADERS, UiEncoder, wants_ui_stream
from rag.errors import DeadlineExceeded, OurFault, RagError, RateLimited
from rag.identity import Authenticator, Principal
from rag.limits import Deadline, Gate, Places
from rag.observability import metrics
from rag.observability.telemetry import QueryRecord, Unasked, redact
from rag.observability.tracing import UNTRACED, Tracer
from rag.pipeline import Pipeline, collect
from rag.ports import IndexProvider, RateLimiter
from rag.types import Reservation
from schemas.errors import ErrorCode
from schemas.events import DoneEvent, ErrorEvent, Event, TokenEvent
from schemas.request import QueryRequest
from schemas.response import FinishReason

# For a client that does not read: work that has not ended at its deadline is cancelled this much later.
GRACE_S: Final = 1.0

logger = logging.getLogger(__name__)

End = FinishReason | ErrorCode | Unasked
Settle = Callable[[], Awaitable[None]]
Respond = Callable[[AsyncGenerator[Event, None], QueryRecord, Settle], Awaitable[End]]


@dataclass(frozen=True, slots=True)
class QueryDesk:
    """What the query routes share; `pipeline()` raises NotReady while a model is loading or a model service is down."""

    pipeline: Callable[[], Pipeline]
    search_pipeline: Callable[[], Pipeline]  # the same one, but not kept back by a generator that is not ready
    indexes: IndexProvider
    authenticator: Authenticator
    limiter: RateLimiter
    places: Places
    gate: Gate
    request_timeout_s: float
    stream_timeout_s: float
    public_url: str | None = None  # where clients reach the service; None: where the request says that it came to
    log_content_sample: float = 0.0
    ping_after_s: float = PING_AFTER_S
    tracer: Tracer = UNTRACED
    names_tenant: Callable[[str], bool] = lambda _: False  # whether metrics may name it: only what the operator names


class Endpoint(ABC):
    """One limited and logged route: answers one request per call, and writes one log line for it."""

    def __init__(self, desk: QueryDesk, *, timeout_s: float) -> None:
        self._desk = desk
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = RequestState.of(scope)
        span = self._desk.tracer.begin(state.route, trace_id=state.trace_id, headers=scope["headers"])
        record = QueryRecord(state.trace_id, state.route, span=span)
        deadline = Deadline.after(self._timeout_s)
        end: End | None = None
        try:
            with self._desk.gate.passing():
                end = await self._serve(scope, receive, send, record, deadline)
        except ClientDisconnect:
            pass  # `end` stays None
        except RagError as error:
            if error.code is ErrorCode.INTERNAL_ERROR:
                log_failure(record)
            end = await _fail(error, state, scope, receive, send)
        except Exception:  # noqa: BLE001  # the edge: for any error the client gets a body and the log gets the cause
            log_failure(record)
            end = await _fail(OurFault(), state, scope, receive, send)
        finally:
            record.report(end)

    @abstractmethod
    async def _serve(self, scope: Scope, receive: Receive, send: Send, record: QueryRecord, deadline: Deadline) -> End:
        """Answer the request completely, and return how it ended.

        Raises: ClientDisconnect, and whatever the client is to be told.
        """

    async def serve_within(
        self, scope: Scope, receive: Receive, send: Send, record: QueryRecord, deadline: Deadline
    ) -> End:
        """Answer as a part of another endpoint's request, which reports the record and sends what this raises."""
        return await self._serve(scope, receive, send, record, deadline)

    async def _identify(self, headers: Headers, record: QueryRecord) -> Principal:
        principal = await self._desk.authenticator.authenticate(headers)
        record.principal_id = principal.id
        return principal

    def _note_question(self, question: str, tenant_id: str, record: QueryRecord) -> None:
        record.tenant_id = tenant_id
        if self._desk.names_tenant(tenant_id):
            record.tenant_label = tenant_id
        record.input_chars = len(question)
        if random.random() < self._desk.log_content_sample:  # noqa: S311  # a sample, not a secret
            record.content = redact(question)

    @asynccontextmanager
    async def _admitted(
        self, principal: Principal, tenant_id: str, tokens: int, record: QueryRecord
    ) -> AsyncIterator[Settle]:
        """Reserve the tokens that the request may need, and take a place; return unused tokens on every exit.

        Yields: a function that settles once; it is called before the client sees the end, because the next request may
            reach another front immediately.
        """
        reservation = await self._reserve(principal, tenant_id, tokens)
        is_settled = False

        async def settle() -> None:
            nonlocal is_settled
            if not is_settled:
                is_settled = True
                used = record.usage
                await self._desk.limiter.settle(reservation, used.prompt_tokens + used.completion_tokens if used else 0)

        try:
            async with self._desk.places.hold():
                yield settle
        finally:
            await settle()

    async def _reserve(self, principal: Principal, tenant_id: str, tokens: int) -> Reservation:
        try:
            reservation = await self._desk.limiter.reserve(
                principal.id,
                tenant_id,
                tokens,
                requests_per_window=principal.requests_per_window,
                tokens_per_window=principal.tokens_per_window,
            )
        except RateLimited as error:
            metrics.note_admission(error.quota)
            raise
        metrics.note_admission(None)
        return reservation


class AnswerEndpoint(Endpoint):
    """A route that answers a query, in whatever form."""

    async def _answer(
        self,
        principal: Principal,
        query: QueryRequest,
        respond: Respond,
        scope: Scope,
        receive: Receive,
        *,
        record: QueryRecord,
        deadline: Deadline,
    ) -> End:
        """Admit the query and let `respond` send its events; if the client disconnects, all work for it ends."""
        base_url = find_base_url(scope, self._desk.public_url)

        async def answer() -> End:
            pipeline = self._desk.pipeline()
            record.model_version = pipeline.model_version
            async with self._admitted(principal, query.tenant_id, pipeline.bound_tokens(query), record) as settle:
                events = pipeline.answer(
                    query, groups=principal.groups, record=record, deadline=deadline, base_url=base_url
                )
                async with aclosing(events):
                    return await respond(events, record, settle)

        return await unless_gone(receive, answer(), deadline)


class QueryEndpoint(AnswerEndpoint):
    """Answers one query per call: as events if `streams` is true, else as one JSON body."""

    def __init__(self, desk: QueryDesk, *, streams: bool) -> None:
        super().__init__(desk, timeout_s=desk.stream_timeout_s if streams else desk.request_timeout_s)
        self._streams = streams

    async def _serve(self, scope: Scope, receive: Receive, send: Send, record: QueryRecord, deadline: Deadline) -> End:
        headers = Headers(scope=scope)
        principal = await self._identify(headers, record)
        if self._streams and "last-event-id" in headers:
            # A reconnecting browser wants to resume its stream: the whole answer would be made and paid for again.
            return await send_head(send, 204)
        async with deadline.enforced():
            query = await _read(scope, headers, receive)
        self._note_question(query.question, query.tenant_id, record)
        principal.require(query.tenant_id)
        if scope["method"] == "HEAD":
            record.model_version = self._desk.pipeline().model_version
            return await send_head(send, 200, STREAM_HEADERS)
        respond = partial(self._send_events, headers, send) if self._streams else partial(self._send_whole, send)
        return await self._answer(principal, query, respond, scope, receive, record=record, deadline=deadline)

    async def _send_whole(
        self, send: Send, events: AsyncGenerator[Event, None], record: QueryRecord, settle: Settle
    ) -> End:
        answer = await collect(events)
        await settle()
        await send_json(send, answer, exclude=None if answer.trace else {"trace"})
        return answer.finish_reason

    async def _send_events(
        self, headers: Headers, send: Send, events: AsyncGenerator[Event, None], record: QueryRecord, settle: Settle
    ) -> End:
        encoder, more_headers = (UiEncoder(), UI_STREAM_HEADERS) if wants_ui_stream(headers) else (None, ())
        writer = EventWriter(send, encoder=encoder, ping_after_s=self._desk.ping_after_s, headers=more_headers)
        return await send_events(events, writer, record, settle)


async def send_events(
    events: AsyncGenerator[Event, None], writer: EventWriter, record: QueryRecord, settle: Settle
) -> End:
    """Send all events by the writer; return how the stream ended."""
    first = await anext(events)  # before the response head, so that a failure up to here has its own HTTP status
    end: End = ErrorCode.INTERNAL_ERROR
    async with aclosing(until_terminal(events, trace_id=record.trace_id)) as rest, writer:
        await writer.write(first)
        async for event in rest:
            if isinstance(event, DoneEvent | ErrorEvent):
                await settle()
                end = event.finish_reason if isinstance(event, DoneEvent) else event.code
            await writer.write(event)
            if isinstance(event, TokenEvent):
                record.note_first_token()
    return end


async def send_json(
    send: Send, answer: BaseModel, *, exclude: set[str] | None = None, headers: RawHeaders = ()
) -> None:
    await send_body(send, answer.model_dump_json(exclude=exclude).encode(), b"application/json", headers=headers)


async def send_body(send: Send, body: bytes, media_type: bytes, *, headers: RawHeaders = ()) -> None:
    framing = [(b"content-type", media_type), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": [*framing, *headers]})
    await send({"type": "http.response.body", "body": body})


async def send_head(send: Send, status: int, headers: RawHeaders = ()) -> Unasked:
    """Send a complete response without a body, for a request that wants no answer."""
    await send({"type": "http.response.start", "status": status, "headers": [*headers]})
    await send({"type": "http.response.body", "body": b""})
    return "unasked"


async def _read(scope: Scope, headers: Headers, receive: Receive) -> QueryRequest:
    if scope["method"] != "POST":
        return parse_query(scope["query_string"])
    return await read_body(QueryRequest, headers, receive)


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, End], deadline: Deadline) -> End:
    """Return the result of the work; if the client disconnects first, cancel the work and wait for it to end.

    Raises: ClientDisconnect; DeadlineExceeded: the work did not end in time (the client does not read); whatever the
        work raises.
    """
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(_disconnected(receive))
    try:
        # Two waits: if the event loop was blocked past the deadline, the work has not seen its own timeout yet.
        for timeout_s in (deadline.left_s(), GRACE_S):
            await asyncio.wait({working, leaving}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if working.done() or leaving.done():
                break
        if working.done():
            return working.result()
        raise ClientDisconnect if leaving.done() else DeadlineExceeded
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _fail(error: RagError, state: RequestState, scope: Scope, receive: Receive, send: Send) -> ErrorCode:
    """Send the error and return its code; if the status has already gone out, only return the code."""
    if state.started:
        return ErrorCode.STREAM_TIMEOUT if isinstance(error, DeadlineExceeded) else error.code
    with suppress(TimeoutError):
        async with asyncio.timeout(GRACE_S):  # a client that does not read must not hold the request
            await render(error, state)(scope, receive, send)
    return error.code


def log_failure(record: QueryRecord) -> None:
    logger.exception("query_failed_inside", extra={"fields": {"trace_id": record.trace_id}})
