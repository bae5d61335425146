"""Write an answer in OpenAI's form: as one completion, or event by event as chunks."""

import re
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from pydantic import BaseModel

from rag.api.openai_errors import to_chat_error
from rag.api.sse import encode_data
from rag.types import TokenUsage
from schemas.errors import ErrorDetail
from schemas.events import CitationEvent, DoneEvent, ErrorEvent, Event, MetaEvent, TokenEvent
from schemas.openai import (
    Annotation,
    ChatAnswer,
    ChatChoice,
    ChatChunk,
    ChatCompletion,
    ChatDelta,
    ChatFinishReason,
    ChatUsage,
    ChunkChoice,
    NumberedAnnotation,
    UrlCitation,
)
from schemas.response import Citation, FinishReason, QueryResponse

_MARKER: Final = re.compile(r"\[(S[1-9][0-9]*)\]")
_DONE: Final = encode_data("[DONE]")
# That nothing was found is an answer too: OpenAI has no word for it.
_FINISH_REASONS: Final[Mapping[FinishReason, ChatFinishReason]] = MappingProxyType(
    {"stop": "stop", "no_answer": "stop", "length": "length"}
)


def to_completion(answer: QueryResponse, usage: TokenUsage | None, *, model: str) -> ChatCompletion:
    """Return the whole answer; `model` is the name that the client asked for."""
    known = usage or TokenUsage(0, 0)
    message = ChatAnswer(
        content=answer.answer, refusal=None, annotations=_annotate(answer.answer, answer.citations, start=0)
    )
    return ChatCompletion(
        id=_name(answer.trace_id),
        created=int(time.time()),
        model=model,
        system_fingerprint=answer.model_version,
        choices=[ChatChoice(message=message, logprobs=None, finish_reason=_FINISH_REASONS[answer.finish_reason])],
        usage=_count(known.prompt_tokens, known.completion_tokens),
        citations=answer.citations,
        trace_id=answer.trace_id,
    )


class ChunkEncoder:
    """Encodes the events of one answer as chunks: role, text, annotations, how it finished, usage, `[DONE]`.

    A failure is sent as `{"error": …}`, and no `[DONE]` follows it: some clients take an answer with one for complete.
    """

    def __init__(self, *, model: str, includes_usage: bool) -> None:
        self._model = model
        self._includes_usage = includes_usage
        self._created = int(time.time())
        self._meta: MetaEvent | None = None
        self._citations: list[Citation] = []
        self._sent_chars = 0
        self._sent_annotations = 0

    def __call__(self, event: Event) -> bytes:
        """Return what is sent for an event: nothing for a citation, which goes out after the text with its marker."""
        match event:
            case MetaEvent():
                self._meta = event
                return self._encode_delta(ChatDelta(role="assistant", content=""))
            case TokenEvent():
                return self._encode_text(event.text)
            case CitationEvent():
                self._citations.append(event.citation)
                return b""
            case DoneEvent():
                return self._encode_end(event)
            case ErrorEvent():
                return _encode(to_chat_error(ErrorDetail(**event.model_dump(exclude={"event"}))))

    def _encode_text(self, text: str) -> bytes:
        found = _annotate(text, self._citations, start=self._sent_chars)
        annotations = [
            NumberedAnnotation(url_citation=each.url_citation, index=index)
            for index, each in enumerate(found, start=self._sent_annotations)
        ]
        self._sent_chars += len(text)
        self._sent_annotations += len(annotations)
        chunk = self._encode_delta(ChatDelta(content=text))
        return chunk + self._encode_delta(ChatDelta(annotations=annotations)) if annotations else chunk

    def _encode_end(self, event: DoneEvent) -> bytes:
        last = self._make_chunk(ChatDelta(), _FINISH_REASONS[event.finish_reason])
        chunks = [last.model_copy(update={"citations": self._citations, "trace_id": event.trace_id})]
        if self._includes_usage:
            usage = _count(event.usage.prompt_tokens, event.usage.completion_tokens)
            chunks.append(last.model_copy(update={"choices": [], "usage": usage}))
        return b"".join(map(_encode, chunks)) + _DONE

    def _encode_delta(self, delta: ChatDelta) -> bytes:
        return _encode(self._make_chunk(delta))

    def _make_chunk(self, delta: ChatDelta, finish_reason: ChatFinishReason | None = None) -> ChatChunk:
        assert self._meta is not None, "meta comes first"
        return ChatChunk(
            id=_name(self._meta.trace_id),
            created=self._created,
            model=self._model,
            system_fingerprint=self._meta.model_version,
            choices=[ChunkChoice(delta=delta, logprobs=None, finish_reason=finish_reason)],
        )


def _encode(body: BaseModel | str) -> bytes:
    """Encode one event of the stream; JSON escapes line breaks, so it is one line."""
    return encode_data(body if isinstance(body, str) else body.model_dump_json())


def _annotate(text: str, citations: Sequence[Citation], *, start: int) -> list[Annotation]:
    """Return an annotation for each marker of the text, which stands at `start` in the answer."""
    cited = {citation.source_id: citation for citation in citations}
    return [
        Annotation(
            url_citation=UrlCitation(
                url=cited[marker[1]].url,
                title=cited[marker[1]].title,
                start_index=start + marker.start(),
                end_index=start + marker.end(),
            )
        )
        for marker in _MARKER.finditer(text)
        if marker[1] in cited
    ]


def _count(prompt_tokens: int, completion_tokens: int) -> ChatUsage:
    return ChatUsage(
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        total_tokens=prompt_tokens + completion_tokens,
    )


def _name(trace_id: str) -> str:
    return f"chatcmpl-{trace_id}"
