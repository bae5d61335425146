"""OpenAI's two routes: `POST /v1/chat/completions` answers one chat as a query, `GET /v1/models` lists the tenants."""

from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping
from datetime import datetime
from functools import partial

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from rag.api.exchange import AnswerEndpoint, End, QueryDesk, Settle, send_events, send_head, send_json
from rag.api.openai_answer import ChunkEncoder, to_completion
from rag.api.openai_request import name_model, to_query
from rag.api.requests import read_body
from rag.api.sse import EventWriter
from rag.limits import Deadline
from rag.model_card import ModelCard
from rag.observability.telemetry import QueryRecord
from rag.pipeline import collect
from rag.types import IndexVersion
from schemas.events import Event
from schemas.openai import ChatModel, ChatModels, ChatRequest


class ChatEndpoint(AnswerEndpoint):
    """Answers one chat per call, as a whole or streamed, as the body asks for."""

    def __init__(self, desk: QueryDesk) -> None:
        super().__init__(desk, timeout_s=desk.stream_timeout_s)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, record: QueryRecord, deadline: Deadline) -> End:
        whole_deadline = deadline.sooner(self._desk.request_timeout_s)
        headers = Headers(scope=scope)
        principal = await self._identify(headers, record)
        async with whole_deadline.enforced():
            chat = await read_body(ChatRequest, headers, receive)
        query = to_query(chat)
        self._note_question(query.question, query.tenant_id, record)
        principal.require(query.tenant_id)
        if chat.stream and "last-event-id" in headers:
            return await send_head(send, 204)
        respond = partial(self._send_chunks if chat.stream else self._send_completion, chat, send)
        used_deadline = deadline if chat.stream else whole_deadline
        return await self._answer(principal, query, respond, scope, receive, record=record, deadline=used_deadline)

    async def _send_completion(
        self, chat: ChatRequest, send: Send, events: AsyncGenerator[Event, None], record: QueryRecord, settle: Settle
    ) -> End:
        answer = await collect(events)
        await settle()
        await send_json(send, to_completion(answer, record.usage, model=chat.model))
        return answer.finish_reason

    async def _send_chunks(
        self, chat: ChatRequest, send: Send, events: AsyncGenerator[Event, None], record: QueryRecord, settle: Settle
    ) -> End:
        encoder = ChunkEncoder(model=chat.model, includes_usage=chat.includes_usage)
        writer = EventWriter(send, encoder=encoder, ping_after_s=self._desk.ping_after_s)
        return await send_events(events, writer, record, settle)


class ModelsEndpoint:
    """Lists a model for each tenant that the caller may use; for a caller that may use all, for each with an index."""

    def __init__(
        self,
        desk: QueryDesk,
        *,
        card: ModelCard,
        index_versions: Callable[[Collection[str] | None, Collection[str]], Mapping[str, IndexVersion]],
    ) -> None:
        self._desk = desk
        self._created = int(datetime.fromisoformat(card.deployed_at).timestamp())
        self._index_versions = index_versions

    async def __call__(self, request: Request) -> Response:
        principal = await self._desk.authenticator.authenticate(request.headers)
        tenants: Iterable[str] | None = principal.tenants
        if tenants is None:
            tenants = self._index_versions(None, principal.groups)
        models = [ChatModel(id=name, created=self._created) for name in sorted(map(name_model, tenants))]
        return Response(ChatModels(data=models).model_dump_json(), media_type="application/json")
